"""A result in every form: closed cells are told, texts are text, and what was made up says so."""

from __future__ import annotations

import csv
import html.parser
import io
import json
import sys
from typing import Any

import pytest

from nskd.client import MissingPackageError, Result
from nskd.client.html import sections
from nskd.client.result import Synthetic
from nskd.control.answers import PageSection
from nskd.packs.pack import load_pack
from tests.nskd.report import releases

EVIL = "<script>alert(1)</script> & \x1b[31m"
RELEASE: dict[str, Any] = {
    "format": 1,
    "title": EVIL,
    "rows": ["age_band"],
    "columns": ["sex"],
    "measure": "children",
    "where": "TRUE",
    "margins": True,
    "rounding": 5,
    "cells": [
        {"age_band": "0-3", "sex": "V", "value": 45},
        {"age_band": "0-3", "sex": "M", "value": None},
        {"age_band": "12-17", "sex": "V", "value": None},
        {"age_band": "12-17", "sex": "M", "value": 0},
        {"age_band": "0-3", "sex": "total", "value": 120},
        {"age_band": "12-17", "sex": "total", "value": 60},
        {"age_band": "total", "sex": "V", "value": 85},
        {"age_band": "total", "sex": "M", "value": 95},
        {"age_band": "total", "sex": "total", "value": 180},
    ],
}
VALUES = [45, None, None, 0, 120, 60, 85, 95, 180]
REAL = Result(title=EVIL, release=RELEASE, rules=(f"A rule {EVIL}",), request="ab" * 32, digest="12" * 32)
MADE_UP = Result(
    title="T", release=RELEASE, rules=("A rule",), synthetic=Synthetic(3, 7, {"threshold": 2, "margins": 1})
)


def test_print() -> None:
    shown = repr(REAL)
    lines = [line.split() for line in shown.splitlines()]
    assert ["age_band", "sex=V", "sex=M", "sex=total"] in lines
    assert ["0-3", "45", ".", "120"] in lines
    assert ["12-17", ".", "0", "60"] in lines
    assert "rounded to multiples of 5" in shown
    assert "2 of 9 cells" in shown
    assert "Nobody learns which of the charter's rules closed a cell" in shown
    assert "- A rule" in shown
    assert "\x1b" not in shown
    assert "SYNTHETIC" not in shown


def test_rules_are_told_only_where_they_closed_something() -> None:
    everything = {**RELEASE, "rounding": 1, "cells": [dict(cell, value=7) for cell in RELEASE["cells"]]}
    shown = repr(Result(title="T", release=everything, rules=("A rule",)))
    assert "A rule" not in shown
    assert "not shown" not in shown
    assert "rounded" not in shown


class _Page(html.parser.HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.rows: list[list[str]] = []
        self.words = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)
        if tag == "tr":
            self.rows.append([])

    def handle_data(self, data: str) -> None:
        self.words += data
        if self.tags[-1:] in (["td"], ["th"]) and data.strip():
            self.rows[-1].append(data)


def test_page() -> None:
    page = _Page(REAL._repr_html_())
    assert "script" not in page.tags
    assert page.rows == [
        ["age_band", "sex = V", "sex = M", "sex = total"],
        ["0-3", "45", ".", "120"],
        ["12-17", ".", "0", "60"],
        ["total", "85", "95", "180"],
    ]
    for words in ("<script>alert(1)</script> &", "rounded to multiples of 5", "2 of 9 cells", "A rule"):
        assert words in page.words
    assert "\x1b" not in page.words
    evil = PageSection(key="asked", title=EVIL, sentences=[EVIL])
    assert "script" not in _Page(sections({"en": [evil]}, "en")).tags
    assert sections({"en": [evil]}, "nl") == ""


def test_text() -> None:
    lines = list(csv.DictReader(io.StringIO(REAL.to_csv())))
    assert [line["children"] for line in lines] == ["45", ".", ".", "0", "120", "60", "85", "95", "180"]
    assert list(lines[0]) == ["age_band", "sex", "children"]
    assert [cell["value"] for cell in json.loads(REAL.to_json())["cells"]] == VALUES


def test_frames() -> None:
    pandas_frame, polars_frame, arrow = REAL.to_pandas(), REAL.to_polars(), REAL.to_arrow()
    assert list(pandas_frame.columns) == polars_frame.columns == arrow.column_names == ["age_band", "sex", "children"]
    assert [None if value is None else int(value) for value in pandas_frame["children"].astype(object).where(
        pandas_frame["children"].notna(), None)] == VALUES  # fmt: skip
    assert polars_frame["children"].to_list() == arrow["children"].to_pylist() == VALUES
    assert str(pandas_frame["children"].dtype) == "Int64"
    # In the order of the codebook, in which 12-17 comes after 0-3 and V before M, whatever the alphabet says.
    assert list(pandas_frame["sex"].cat.categories) == ["V", "M", "total"]
    assert pandas_frame["sex"].cat.ordered
    assert polars_frame["sex"].dtype.categories.to_list() == ["V", "M", "total"]  # type: ignore[attr-defined]
    assert arrow["sex"].type.ordered
    assert arrow["sex"].to_pylist() == polars_frame["sex"].to_list() == [cell["sex"] for cell in RELEASE["cells"]]
    wide = pandas_frame.pivot_table(index="age_band", columns="sex", values="children", observed=False)
    assert wide.loc["0-3", "V"] == 45


def test_a_frame_without_its_library_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, make in (("pandas", REAL.to_pandas), ("polars", REAL.to_polars), ("pyarrow", REAL.to_arrow)):
        monkeypatch.setitem(sys.modules, name, None)
        with pytest.raises(MissingPackageError, match=f"pip install {name}"):
            make()


def test_what_was_made_up_says_so_in_every_form() -> None:
    for shown in (repr(MADE_UP), _Page(MADE_UP._repr_html_()).words):
        assert shown.strip().startswith("SYNTHETIC DATA: made up from the codebook for 3 centres (seed 7)")
        assert "threshold 2, margins 1" in shown
        assert "Nobody learns which of the charter's rules" not in shown
    assert all(line["synthetic"] == "True" for line in csv.DictReader(io.StringIO(MADE_UP.to_csv())))
    assert json.loads(MADE_UP.to_json())["synthetic"]["seed"] == 7
    assert MADE_UP.to_pandas()["synthetic"].all()
    assert MADE_UP.to_polars()["synthetic"].all()
    assert all(MADE_UP.to_arrow()["synthetic"].to_pylist())
    for form in (REAL.to_csv(), REAL.to_json(), REAL._repr_html_()):
        assert "synthetic" not in form.lower()


def test_a_variable_that_is_called_like_a_column_of_ours_keeps_its_name() -> None:
    cells = [{"children": "a", "synthetic": "b", "value": 5}]
    odd = Result(
        "T", {**RELEASE, "rows": ["children"], "columns": ["synthetic"], "cells": cells}, synthetic=Synthetic(3, 1, {})
    )
    assert odd.columns() == {"children": ["a"], "synthetic": ["b"], "children_": [5], "synthetic_": [True]}


def test_figures_are_those_of_the_result_page() -> None:
    codebook = load_pack("nsk").codebook
    rate = Result(title="T", release=releases.rate(hidden=lambda cell: cell["age_band"] == "9-11"), codebook=codebook)
    figures = {row["age_band"]: row for row in rate.figures}
    released = {(cell["age_band"], cell["@of"]): cell["value"] for cell in rate.cells}
    yes, no = released["0-3", "yes"], released["0-3", "no"]
    assert figures["0-3"]["value"] == yes / (yes + no)
    assert (figures["9-11"]["value"], figures["9-11"]["note"]) == (None, "suppressed")
    assert f"{yes / (yes + no):.4g}" in repr(rate)
    assert f"<td>{yes / (yes + no):.4g}</td>" in rate._repr_html_()
    monthly = Result(title="T", release=releases.spc(), codebook=codebook)
    assert f"… {len(monthly.figures) - 40} more in .figures" in repr(monthly)
    assert monthly.figures and not REAL.figures  # a table has none but its counts
