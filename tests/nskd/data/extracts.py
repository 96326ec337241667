"""Tiny extracts for tests: valid rows, written and broken at will."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from hypothesis import strategies as st

from nskd.packs.codebook import Codebook
from nskd.packs.pack import Pack, load_pack

Row = dict[str, str]


@cache
def nsk() -> Pack:
    return load_pack("nsk")


def visit(number: int = 1, **changes: str) -> Row:
    """A valid visit with nothing remarkable, changed as asked; derived variables are left to the loader."""
    row = {v.name: v.keys[0] for v in nsk().codebook.recorded if v.levels}
    row |= {
        "visit_id": f"v{number}",
        "person_link": f"p{number}",
        "visit_month": "2025-03",
        "age_months": "30",
    }
    row |= {
        "nsk_status": "complete",
        "delay": "nee",
        "interaction": "ja",
        "injury_fit": "ja",
        "other_signals": "nee",
    }
    return row | {"followup_outcome": "missing", "vt_report": "nee"} | changes


def write_csv(path: Path, rows: Sequence[Mapping[str, str]], *, delimiter: str = ",", encoding: str = "utf-8") -> Path:
    with path.open("w", newline="", encoding=encoding) as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return path


def random_rows(codebook: Codebook, prefix: str) -> st.SearchStrategy[list[Row]]:
    """Rows whose every recorded field is free, with few children so that some come often."""

    def row(number: int, draw: st.DrawFn) -> Row:
        values = {v.name: draw(st.sampled_from(v.keys)) for v in codebook.recorded if v.levels and v.name in VARIED}
        fixed = visit()
        return (
            fixed
            | values
            | {
                "visit_id": f"{prefix}{number}",
                "person_link": f"{prefix}-{draw(st.integers(0, 4))}",
                "age_months": str(draw(st.sampled_from((0, 47, 48, 107, 108, 143, 144, 215)))),
                "visit_month": draw(st.sampled_from(("2024-01", "2024-12", "2025-04"))),
            }
        )

    @st.composite
    def rows(draw: st.DrawFn) -> list[Row]:
        return [row(number, draw) for number in range(draw(st.integers(1, 8)))]

    return rows()


VARIED = ("sex", "nsk_status", "delay", "interaction", "injury_fit", "other_signals", "daypart")
