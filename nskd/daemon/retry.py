"""When a run that failed is tried again: soon at first, then ever more patiently, and not for ever."""

from __future__ import annotations

from typing import Final

import attrs

ATTEMPTS_MAX: Final = 8
POSTPONED_MAX: Final = 64  # refusals by centres that were busy, which are no failures but cost the stock reserved
FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 60.0


@attrs.define
class Attempts:
    """Failures of requests since the daemon started, by request digest."""

    _failures: dict[bytes, int] = attrs.field(factory=dict)
    _postponed: dict[bytes, int] = attrs.field(factory=dict)

    def failed(self, request: bytes) -> None:
        """Count a failure."""
        self._failures[request] = self._failures.get(request, 0) + 1

    def postponed(self, request: bytes) -> None:
        """Count an attempt that met another centre's; only very many of them are a failure."""
        self._postponed[request] = self._postponed.get(request, 0) + 1
        if self._postponed[request] >= POSTPONED_MAX:
            self._failures[request] = ATTEMPTS_MAX

    def forget(self, request: bytes) -> None:
        """Start counting anew: it succeeded, or an operator asked for it."""
        self._failures.pop(request, None)
        self._postponed.pop(request, None)

    def left(self, request: bytes) -> bool:
        """Whether another attempt is due without anybody asking."""
        return self._failures.get(request, 0) < ATTEMPTS_MAX

    def pause_s(self, request: bytes) -> float:
        """How long to wait before the next attempt."""
        failures = self._failures.get(request, 0)
        if failures == 0:
            return FIRST_PAUSE_S if request in self._postponed else 0.0
        return min(FIRST_PAUSE_S * 2.0 ** (failures - 1), LONGEST_PAUSE_S)
