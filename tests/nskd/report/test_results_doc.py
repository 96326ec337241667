"""``docs/results.md`` speaks of the pages as they are: what it quotes is on one of them.

Its commands are run in ``tests/nskd/control/test_cli_report.py``.
"""

from __future__ import annotations

import re
from pathlib import Path

from nskd.governance.question import Kind
from nskd.report.figures import Figures
from nskd.report.kinds import document, figures
from nskd.report.page import render
from nskd.report.plots.spc import RULES

from . import releases
from .samples import CONTEXT
from .wellformed import read

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docs" / "results.md").read_text()
PAGES = {
    name: read(render(document(release, CONTEXT, own=(180, 5600) if "funnel" in name else None), "en")).words
    for name, release in releases.releases().items()
}
TITLES = {"spc": "Control chart"}


def section(kind: str) -> str:
    found = re.search(rf"^## {TITLES.get(kind, kind.capitalize())}$(.*?)(?=^## |\Z)", TEXT, flags=re.M | re.S)
    assert found is not None, kind
    return found[1]


def quoted(text: str) -> list[str]:
    return [" ".join(each.split()) for each in re.findall(r"(?<!\*)\*(?=[^\s*])([^*]+)(?<=\S)\*(?!\*)", text)]


def test_each_kind_has_its_section_and_what_it_quotes_is_on_its_page() -> None:
    for kind in Kind:
        words = " ".join(page for name, page in PAGES.items() if name.partition("-")[0] == kind).lower()
        words += " ".join(meaning.en for meaning in RULES.values()) if kind is Kind.SPC else ""  # not all occur there
        for phrase in quoted(section(kind)):
            assert phrase.lower() in words, (kind, phrase)


def test_the_parts_it_lists_are_those_of_a_page_in_order() -> None:
    parts = re.findall(r"^\| ([A-Z][^|]*?) \|", TEXT, flags=re.M)
    words = PAGES["rate-hidden"]
    places = [words.index(part) for part in parts]
    assert len(parts) == 8 and places == sorted(places)


def test_the_columns_it_lists_are_those_of_the_figures() -> None:
    found = figures(releases.rate(), CONTEXT)
    assert isinstance(found, Figures)
    columns = found.to_csv().splitlines()[0].split(",")
    table = TEXT[TEXT.index("variables broken down by") :].splitlines()
    named = [name for line in table if line.startswith("|") for name in re.findall(r"`([a-z]+)`", line.split("|")[1])]
    assert named == [column for column in columns if column != "age_band"]
