"""What an analyst sees when something is not as it should be: one sentence, in a notebook too."""

from __future__ import annotations

from nskd.control.client import DaemonError
from nskd.errors import OperatorError


class RefusedError(OperatorError):
    """The daemon said no; ``code`` is one of :class:`nskd.control.codes.Code`."""

    def __init__(self, what: str, *, where: str, remedy: str, code: int) -> None:
        self.code = code
        super().__init__(what, where=where, remedy=remedy)


class UnansweredError(OperatorError):
    """There is no result: not yet, or because the request was refused, has failed or has expired."""


class MissingPackageError(OperatorError):
    """A form of the result needs a package that is not installed."""


class SqlError(OperatorError):
    """SQL that is no request; ``position`` is the character it is about, from 0, if one is."""

    def __init__(self, what: str, *, where: str, remedy: str, position: int | None = None) -> None:
        self.position = position
        super().__init__(what, where=where, remedy=remedy)


def refused(error: DaemonError, socket: str) -> RefusedError:
    """Turn a daemon's no into a sentence."""
    data = {key: str(value) for key, value in error.data.items()}
    return RefusedError(
        plain(data.get("what") or error.message).removesuffix("."),
        where=plain(data.get("where") or f"the daemon at {socket}"),
        remedy=plain(data.get("remedy") or "See nskctl request list."),
        code=error.code,
    )


def plain(text: object) -> str:
    """One safe line, whatever another centre wrote into a title."""
    return "".join(c if c.isprintable() else " " for c in str(text))
