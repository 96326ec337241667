"""What each daemon is at, as it says itself; how much memory it has had; whether it is there."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import attrs
import trio

from nskd.control.client import UnreachableError
from tests.system.workshop import Daemon, EndedError, Event

_AGAIN_S: Final = 0.2
_SAMPLE_S: Final = 2.0
STARTING, IDLE = "starting", "idle"


@attrs.define(eq=False)
class Follower:
    """Follows one daemon through its lives."""

    daemon: Daemon
    ready: bool = False
    run: str | None = None
    generation: str | None = None
    peak_kib: int = 0
    heard: list[Callable[[Event], None]] = attrs.field(factory=list)

    @property
    def phase(self) -> str:
        """What it is at; a run counts more than the batch beside it."""
        if not self.ready:
            return STARTING
        return self.run or self.generation or IDLE

    async def follow(self) -> None:
        """For ever."""
        while True:
            with contextlib.suppress(UnreachableError, EndedError, trio.TooSlowError):
                async with self.daemon.events("generation", "run", "request.state") as client:
                    self.ready = True
                    while True:
                        self._note(await client.next_event())
            self.ready, self.run, self.generation = False, None, None
            await trio.sleep(_AGAIN_S)

    def _note(self, event: Event) -> None:
        match event["kind"]:
            case "generation.begin":
                self.generation = f"batch: {event['name']}"
            case "generation.end":
                self.generation = None
            case "run.begin":
                self.run = f"run: {event['name']}"
            case "run.failed":
                self.run = None
            case "request.state" if event.get("state") != "running":
                self.run = None
        for listener in self.heard:
            listener(event)

    async def reach(self, moment: str) -> None:
        """Wait until it enters a phase, or a round, of that name."""
        reached = trio.Event()

        def listen(event: Event) -> None:
            entered = event["kind"].endswith(".begin") and event.get("name") == moment
            if entered or str(event.get("step", "")).partition(".")[2] == moment:
                reached.set()

        self.heard.append(listen)
        try:
            await reached.wait()
        finally:
            self.heard.remove(listen)

    async def measure(self) -> None:
        """Note the most memory that any of its processes had, for ever."""
        while True:
            self.peak_kib = max(self.peak_kib, resident_peak_kib(self.daemon))
            await trio.sleep(_SAMPLE_S)


def resident_peak_kib(daemon: Daemon) -> int:
    """The most memory that the present process has had; 0 without one."""
    try:
        with Path(f"/proc/{daemon.running.pid}/status").open() as file:
            fields: dict[str, Any] = dict(line.split(":", 1) for line in file)
    except (OSError, AssertionError):
        return 0
    return int(fields.get("VmHWM", "0 kB").split()[0])
