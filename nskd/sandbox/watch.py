"""Progress for whoever waits: lines as things happen, and on a terminal what is going on and for how long."""

from __future__ import annotations

from types import TracebackType

import attrs
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from nskd.control import render


@attrs.frozen
class PhaseLine:
    """One line of the account a sandbox gives."""

    name: str
    seconds: float
    rounds: int
    bytes_sent: int


class Watch:
    """Told how far a sandbox is; a context manager, for the spinner.  Collects the phases."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._stage = self._phase = ""
        self._live = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._live.add_task("", start=False, visible=False)
        self.phases: list[PhaseLine] = []

    def __enter__(self) -> Watch:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._live.stop()

    def begin(self, stage: str) -> None:
        """A stage begins, and the former ends."""
        self._stage = stage
        self._console.print(Text(f"· {stage}", style="cyan"))
        self._show()

    def note(self, line: str) -> None:
        """Something about the present stage."""
        self._console.print(Text(f"    {render.plain(line)}"))

    def phase_begins(self, name: str) -> None:
        """A phase inside the daemons begins."""
        self._phase = render.plain(name)
        self._show()

    def phase(self, line: PhaseLine) -> None:
        """A phase inside the daemons has ended."""
        self.phases.append(line)
        traffic = f", {line.rounds} rounds, {render.amount(line.bytes_sent)} sent" if line.rounds else ""
        self.note(f"{line.name}: {line.seconds:.2f} s{traffic}")
        self._phase = ""
        self._show()

    def _show(self) -> None:
        """The clock on the terminal starts anew with whatever begins."""
        what = f"{self._stage}: {self._phase}" if self._phase else self._stage
        self._live.reset(self._task, description=what, visible=True)
