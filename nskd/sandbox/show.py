"""What a sandbox shows in the end: the table in words, and what each phase took."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from nskd.control import answers, render
from nskd.control.release_text import release
from nskd.control.render import Crosstab
from nskd.sandbox.options import Options
from nskd.sandbox.prepare import Errand
from nskd.sandbox.watch import PhaseLine


def show_result(console: Console, errand: Errand, answer: answers.ResultAnswer, options: Options) -> None:
    """The released table, in the words of the codebook."""
    tab = Crosstab.of(answer.release or {})
    console.print()
    console.print(Text(render.plain(answer.title), style="bold"))
    release(console, answer.release or {}, errand.pack.codebook, options.language)
    hidden = sum(value is None for value in tab.values.values())
    if hidden:
        count = f"{hidden} of {len(tab.values)} cells"
        line = f"{render.SUPPRESSED} = not shown ({count}), to protect children in small groups"
        console.print(Text(line, style="dim"))
    render.rounding(console, answer.release or {})
    console.print(
        Text(f"computed jointly by {options.centres} centres; none saw another's rows or totals", style="dim")
    )
    console.print(Text(f"digest {answer.digest}", style="dim"))


def show_phases(console: Console, phases: list[PhaseLine]) -> None:
    """A line per phase, as seen by the first centre."""
    console.print()
    console.print(Text("What it took, at the first centre", style="bold"))
    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    grid.add_column("phase")
    for head in ("seconds", "rounds", "sent"):
        grid.add_column(head, justify="right")
    for line in summed(phases):
        grid.add_row(line.name, f"{line.seconds:.2f}", str(line.rounds), render.amount(line.bytes_sent))
    console.print(grid)


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


def as_json(errand: Errand, answer: answers.ResultAnswer, phases: list[PhaseLine], options: Options) -> dict[str, Any]:
    """What ``--json`` writes: the request as asked, the cells in codebook order, the phases, and how to repeat it."""
    table = errand.table
    return {
        "request": {
            "kind": table.kind,
            "title": table.title,
            "purpose": table.purpose,
            "rows": list(table.rows),
            "columns": list(table.columns),
            "measure": table.measure.value,
            "where": table.where,
            "margins": table.margins,
            "digest": answer.request,
        },
        "cells": (answer.release or {})["cells"],
        **{key: value for key, value in (answer.release or {}).items() if key == "model"},
        "phases": [
            {"name": line.name, "seconds": line.seconds, "rounds": line.rounds, "bytes_sent": line.bytes_sent}
            for line in summed(phases)
        ],
        "disclosure": {"threshold": options.rules.threshold, "insider": options.rules.insider},
        "centres": options.centres,
        "seed": options.seed,
        "result_digest": answer.digest,
    }
