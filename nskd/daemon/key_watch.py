"""Keys that are due to be replaced: in the status, and once a day in the log."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import structlog

from nskd.key_age import DAY_S, KeyAge, key_ages, key_notes
from nskd.keyring import Age


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

    def notes(self) -> list[str]:
        """What an operator should know."""
        return key_notes(self.ages(), self._clock())

    def remind(self) -> None:
        """Log what is due; to be called every minute or so."""
        now = self._clock()
        if self._reminded is None or now - self._reminded >= DAY_S:
            self._reminded = now
            for note in self.notes():
                self._log.warning("a key is due to be replaced", note=note)
