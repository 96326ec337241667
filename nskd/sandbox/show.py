"""What a sandbox shows: where it is, the table, and what each phase took."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from nskd.control import answers, render
from nskd.sandbox.drive import PhaseLine


class Progress:
    """Prints stages and phases as they come; collects the phases."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self.phases: list[PhaseLine] = []

    def begin(self, what: str) -> None:
        """Say what begins."""
        self._console.print(Text(f"· {what} …", style="cyan"))

    def phase(self, line: PhaseLine) -> None:
        """Say what ended."""
        self.phases.append(line)
        self._console.print(
            Text(f"    {line.name}: {line.seconds:.2f} s, {line.rounds} rounds, {render.amount(line.bytes_sent)} sent")
        )


def summed(phases: list[PhaseLine]) -> list[PhaseLine]:
    """Phases of one name added up, in order of first appearance."""
    totals: dict[str, PhaseLine] = {}
    for line in phases:
        former = totals.get(line.name, PhaseLine(line.name, 0.0, 0, 0))
        totals[line.name] = PhaseLine(
            line.name,
            former.seconds + line.seconds,
            former.rounds + line.rounds,
            former.bytes_sent + line.bytes_sent,
        )
    return list(totals.values())


def show_result(console: Console, answer: answers.ResultAnswer, centres: int) -> None:
    """The released table, the way ``nskctl result show`` prints it."""
    console.print()
    render.result(console, answer)
    console.print(Text(f"computed jointly by {centres} centres; none saw another's rows or totals", style="dim"))


def show_phases(console: Console, phases: list[PhaseLine]) -> None:
    """A line per phase, as seen by the first centre."""
    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False, title="phases at the first centre", title_justify="left")
    for head, justify in (("phase", "left"), ("seconds", "right"), ("rounds", "right"), ("sent", "right")):
        grid.add_column(head, justify=justify)  # type: ignore[arg-type]
    for line in summed(phases):
        grid.add_row(line.name, f"{line.seconds:.2f}", str(line.rounds), render.amount(line.bytes_sent))
    console.print(grid)


def as_json(answer: answers.ResultAnswer, phases: list[PhaseLine], seed: int | None) -> dict[str, Any]:
    """What ``--json`` writes."""
    release = dict(answer.release or {})
    cells = release.pop("cells", [])
    return {
        "request": {"digest": answer.request, **{k: v for k, v in release.items() if k not in ("format", "request")}},
        "cells": cells,
        "phases": [
            {
                "name": line.name,
                "seconds": round(line.seconds, 4),
                "rounds": line.rounds,
                "bytes_sent": line.bytes_sent,
            }
            for line in summed(phases)
        ],
        "result_digest": answer.digest,
        "seed": seed,
    }
