"""What a sandbox shows in the end: the table in words, and what each phase took."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from nskd.control import answers, render
from nskd.control.model_text import model
from nskd.control.render import TOTAL, Crosstab
from nskd.packs.codebook import Codebook
from nskd.sandbox.options import Language, Options
from nskd.sandbox.prepare import Errand
from nskd.sandbox.watch import PhaseLine

_TOTAL_WORD: dict[Language, str] = {"en": "total", "nl": "totaal"}


class Words:
    """A codebook's labels in one language, for the names and keys that a release uses."""

    def __init__(self, codebook: Codebook, language: Language) -> None:
        self._language = language
        self._variables = codebook.variables

    def variable(self, name: str) -> str:
        """The label of a variable."""
        label = self._variables[name].label
        return label.nl if self._language == "nl" else label.en

    def level(self, name: str, key: str) -> str:
        """The label of a level of a variable, or the word for its total."""
        if key == TOTAL:
            return _TOTAL_WORD[self._language]
        level = next(level for level in self._variables[name].levels if level.key == key)
        return level.nl if self._language == "nl" else level.en

    def crossing(self, names: tuple[str, ...], keys: tuple[str, ...]) -> str:
        """The labels of one level of each variable, or once the word for the total."""
        labels = (self.level(name, key) for name, key in zip(names, keys, strict=True))
        return " × ".join(dict.fromkeys(labels)) if TOTAL in keys else " × ".join(labels)


def show_result(console: Console, errand: Errand, answer: answers.ResultAnswer, options: Options) -> None:
    """The released table, in the words of the codebook."""
    tab = Crosstab.of(answer.release or {})
    console.print()
    console.print(Text(render.plain(answer.title), style="bold"))
    _show_table(console, tab, Words(errand.plan.codebook, options.language))
    model(console, answer.release or {})
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


def _show_table(console: Console, tab: Crosstab, words: Words) -> None:
    over = " × ".join(words.variable(name) for name in tab.columns)
    counted = f"number of {tab.measure}" + (f" by: {over}" if over else "")
    console.print(Text(counted))
    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for name in tab.rows:
        grid.add_column(Text(words.variable(name)), overflow="fold")
    for keys in tab.across:
        grid.add_column(Text(words.crossing(tab.columns, keys) or tab.measure), justify="right", overflow="fold")
    pair = tab.pair
    if pair is not None:
        yes, no = (words.level(tab.columns[0], key) for key in pair)
        grid.add_column(Text(f"{yes} / ({yes} + {no})"), justify="right", overflow="fold")
    for levels in tab.down:
        labels = (words.level(name, key) for name, key in zip(tab.rows, levels, strict=True))
        rates = () if pair is None else (rate(*(tab.values.get((levels, (key,))) for key in pair)),)
        grid.add_row(*(Text(cell) for cell in (*labels, *tab.line(levels), *rates)))
    console.print(grid)


def rate(yes: int | None, no: int | None) -> str:
    """The share of ``yes``, from shown cells alone; a tenth of a per cent, half a tenth rounded up."""
    if yes is None or no is None or yes + no == 0:
        return render.SUPPRESSED
    tenths = (2000 * yes + yes + no) // (2 * (yes + no))
    return f"{tenths // 10}.{tenths % 10} %"


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
