"""Where the time of a session goes: seconds, rounds and bytes by phase, for reports and the canonical log line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import attrs

from nskd.peers.channel import ChannelStats


@attrs.frozen
class Phase:
    """One phase of one session at this centre; ``bytes_sent`` is payload to all peers together."""

    name: str
    seconds: float
    rounds: int
    bytes_sent: int

    def as_fields(self) -> dict[str, str | float | int]:
        """The phase as JSON fields."""
        return {
            "name": self.name,
            "seconds": round(self.seconds, 4),
            "rounds": self.rounds,
            "bytes_sent": self.bytes_sent,
        }


@attrs.define(eq=False)
class Stopwatch:
    """Collects phases.

    ``monotonic`` is a clock in seconds, ``stats`` the session's counters, if it has any.  ``on_begin`` hears the name
    of each phase when it begins, ``on_phase`` the whole of it when it has ended.
    """

    monotonic: Callable[[], float]
    stats: ChannelStats | None = None
    phases: list[Phase] = attrs.field(factory=list)
    on_begin: Callable[[str], None] | None = None
    on_phase: Callable[[Phase], None] | None = None

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time what happens inside; a phase that failed is not recorded."""
        if self.on_begin is not None:
            self.on_begin(name)
        start_s = self.monotonic()
        rounds, sent = self._counters()
        yield
        rounds_now, sent_now = self._counters()
        phase = Phase(name, self.monotonic() - start_s, rounds_now - rounds, sent_now - sent)
        self.phases.append(phase)
        if self.on_phase is not None:
            self.on_phase(phase)

    def _counters(self) -> tuple[int, int]:
        return (0, 0) if self.stats is None else (self.stats.rounds, self.stats.bytes_sent)
