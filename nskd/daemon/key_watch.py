"""Keys that are due to be replaced: in the status, and once a day in the log."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import structlog

from nskd.key_age import DAY_S, NOTICE_S, KeyAge, key_ages
from nskd.keyring import Age
from nskd.monitor.findings import Finding, Name


class KeyWatch:
    """Knows since when this centre has used its keys; ``rotate_after_s`` is asked anew, for it can be reloaded."""

    def __init__(
        self,
        ages: Sequence[Age],
        rotate_after_s: Callable[[], float],
        *,
        clock: Callable[[], int],
        log: structlog.typing.FilteringBoundLogger,
    ) -> None:
        self._ages = ages
        self._rotate_after_s = rotate_after_s
        self._clock = clock
        self._log = log
        self._reminded: int | None = None

    def ages(self) -> list[KeyAge]:
        """Each key, since when it is in use and when it is due, the soonest first."""
        return key_ages(self._ages, self._rotate_after_s())

    def findings(self) -> list[Finding]:
        """What an operator should know now: keys that are due, or will be within :data:`NOTICE_S`."""
        now = self._clock()
        return [_finding(age, now) for age in self.ages() if now + NOTICE_S >= age.due]

    def remind(self) -> None:
        """Log what is due; to be called every minute or so."""
        now = self._clock()
        if self._reminded is None or now - self._reminded >= DAY_S:
            self._reminded = now
            for finding in self.findings():
                self._log.warning("a key is due to be replaced", key=finding.subject, note=finding.what)


def _finding(age: KeyAge, now: int) -> Finding:
    when = f"is due in {max(1, (age.due - now) // DAY_S)} days" if now < age.due else "is overdue"
    what = f"{age.kind}.key has been in use for {max(0, now - age.since) // DAY_S} days; its replacement {when}"
    return Finding(Name.KEY_DUE, what, "Replace it, or raise [keys] rotate_after.", subject=age.kind)
