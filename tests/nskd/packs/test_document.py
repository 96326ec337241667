"""The codebook as a page, and the commands a data manager uses."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from nskd.__main__ import main
from nskd.packs.document import markdown
from nskd.packs.pack import load_pack

PAGE = Path(__file__).parents[3] / "docs" / "codebook.md"


def test_the_page_in_docs_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == markdown(load_pack("nsk")), "run: nskd codebook > docs/codebook.md"


@pytest.mark.parametrize("language", ["en", "nl"])
def test_every_column_and_level_is_on_it(language: str) -> None:
    shown = CliRunner().invoke(main, ["codebook", "--language", language])
    assert shown.exit_code == 0
    for variable in load_pack("nsk").codebook.variables.values():
        (line,) = [line for line in shown.stdout.splitlines() if line.startswith(f"| `{variable.name}` |")]
        assert (variable.label.nl if language == "nl" else variable.label.en) in line
        if variable.type.value == "category" and variable.derivation is None:
            assert all(f"`{key}`" in line for key in variable.keys)


def test_a_made_up_extract_is_in_order_and_a_spoilt_one_is_not(tmp_path: Path) -> None:
    run = CliRunner().invoke
    path = tmp_path / "visits.csv"
    assert run(main, ["synthetic", "--seed", "1", "--visits", "50", str(path)]).exit_code == 0
    again = run(main, ["synthetic", str(path)])
    assert (again.exit_code, "exists already" in again.stderr) == (1, True)
    good = run(main, ["check", str(path)])
    assert (good.exit_code, "50 visits" in good.stdout) == (0, True)
    lines = path.read_text().splitlines()
    path.write_text("\n".join(line + (",bsn" if index == 0 else ",1") for index, line in enumerate(lines)) + "\n")
    bad = run(main, ["check", str(path)])
    assert bad.exit_code == 1
    assert "bsn: this column may not be in the file; remove it. It identifies a person" in bad.stderr


def test_a_row_that_breaks_a_rule_is_a_remark(tmp_path: Path) -> None:
    path = tmp_path / "visits.csv"
    columns = [variable.name for variable in load_pack("nsk").codebook.recorded]
    row = {"visit_id": "a", "person_link": "b", "visit_month": "2025-01", "age_months": "3", "sex": "M"}
    row |= {"nsk_status": "absent", "delay": "nee", "ehr": "HiX", "hospital_type": "general"}
    path.write_text(",".join(columns) + "\n" + ",".join(row.get(name, "") for name in columns) + "\n")
    shown = CliRunner().invoke(main, ["check", str(path)])
    assert shown.exit_code == 0, shown.stderr
    assert "remark absent_means_unanswered: 1 visit (row 2). Without an NSK" in shown.stdout
