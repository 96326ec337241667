"""``docs/packs.md``: its commands, run as they stand, make a workshop in another field from files alone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from nskd.packs.pack import load_pack
from nskd.packs.synthetic import generate
from tests.console import commands, known, lines, run

ROOT = Path(__file__).parents[1]
ASTHMA = ROOT / "configs" / "packs" / "asthma"


def test_the_example_says_everything_twice_and_nothing_of_nsk() -> None:
    pack = load_pack(ASTHMA)
    for variable in pack.codebook.variables.values():
        assert variable.label.nl != "" != variable.label.en and variable.purposes
    assert pack.codebook.unsuited("improvement", ["returned", "steroid"]) == ("returned",)
    for path in ASTHMA.iterdir():
        assert "nsk" not in path.read_text().lower()


def test_the_commands_there_are_known() -> None:
    wanted = {"nskd codebook", "nskd synthetic", "nskd check", "nskd sandbox"}
    assert {known(command) for command in commands((ROOT / "docs" / "packs.md").read_text())} == wanted


@pytest.mark.long  # in the normal suite: a pack of one's own in tests/system/test_sandbox_errors.py
@pytest.mark.timeout(240)
def test_the_commands_of_the_document(tmp_path: Path) -> None:
    shutil.copytree(ASTHMA, tmp_path / "asthma")
    done = run(tmp_path, lines((ROOT / "docs" / "packs.md").read_text(), ports={}), timeout_s=200)
    assert done.status == 0, done.errors[-3000:]
    assert "Corticosteroïd binnen een uur" in (tmp_path / "codebook.nl.md").read_text()
    assert "a.csv: in order, 2,000 visits" in done.output
    assert "Corticosteroid within an hour" in done.output
    # What was counted jointly is what plain counting over the three extracts gives.
    pack = load_pack(ASTHMA)
    extracts = [generate(pack, seed=1, centre=centre) for centre in range(3)]
    cells = json.loads((tmp_path / "table.json").read_text())["cells"]
    assert len(cells) == 9
    shown = 0
    for cell in cells:
        children = [
            len(set(rows["patient"][(rows["age_group"] == cell["age_group"]) & (rows["steroid"] == cell["steroid"])]))
            for rows in extracts
        ]
        if cell["value"] is not None:
            assert cell["value"] == (sum(children) + 2) // 5 * 5
            shown += 1
        assert (min(sum(children) - each for each in children) < 10) <= (cell["value"] is None)
    assert shown >= 6
