"""How much is logged: as configured, or as an administrator says until the next restart."""

from __future__ import annotations

import structlog

from nskd.control import answers, methods
from nskd.logs import Threshold


class LogLevel:
    """Changes the threshold of the process's log."""

    def __init__(self, threshold: Threshold, log: structlog.typing.FilteringBoundLogger) -> None:
        self.threshold = threshold
        self._log = log

    def change(self, params: methods.LogLevelParams) -> answers.LogLevelAnswer:
        """Log from this level on; without one, from the configured one on."""
        level = params.level or self.threshold.configured
        if not params.check:
            before, self.threshold.level = self.threshold.level, level
            self._log.warning("log level changed", before=before, level_now=level)
        return answers.LogLevelAnswer(level=level, configured=self.threshold.configured, checked=params.check)
