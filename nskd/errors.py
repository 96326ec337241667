"""The errors an operator, steward or analyst sees: what is wrong, where, and what to do."""

from __future__ import annotations


class OperatorError(Exception):
    """One clear sentence for a person; the command line and the socket print it, never a traceback."""

    def __init__(self, what: str, *, where: str, remedy: str) -> None:
        self.what = what
        self.where = where
        self.remedy = remedy
        super().__init__(f"{where}: {what}. {remedy}")

    def _render_traceback_(self) -> list[str]:
        """What IPython shows instead of a traceback."""
        return [str(self)]


def innermost(error: BaseException) -> BaseException:
    """Unwrap the groups that nurseries put around an error: the first error itself."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
