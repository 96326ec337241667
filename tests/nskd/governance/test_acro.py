"""ACRO's thresholds → a charter's table; keys without a counterpart are named, anything odd is refused."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from nskd.__main__ import main
from nskd.governance.acro import AcroError, convert_acro
from nskd.governance.charter import parse_charter
from nskd.governance.disclosure import DisclosureRules, Zeros
from nskd.governance.limits import ACRO_BYTES_MAX

from .workshop import HEAD, charter_toml

DEFAULT = b"""# Configuration for SDC
safe_threshold: 10
safe_dof_threshold: 10
safe_nk_n: 2
safe_nk_k: 0.9
safe_pratio_p: 0.1
check_missing_values: False
survival_safe_threshold: 10
zeros_are_disclosive: True
"""


def test_the_usual_file() -> None:
    thresholds = convert_acro(DEFAULT)
    rules = parse_charter(charter_toml(head=HEAD + thresholds.toml)).disclosure
    assert rules == DisclosureRules()
    assert [note.split(":")[0] for note in thresholds.notes] == [
        "safe_dof_threshold", "check_missing_values", "survival_safe_threshold",
    ]  # fmt: skip


def test_other_values() -> None:
    raw = b"---\nsafe_threshold: 5   # lower\nsafe_nk_k: 0.75\nsafe_pratio_p: 0.05\nzeros_are_disclosive: no\n"
    rules = parse_charter(charter_toml(head=HEAD + convert_acro(raw).toml)).disclosure
    assert (rules.threshold, rules.nk, rules.p_percent, rules.zeros) == (5, 75, 5, Zeros.SHOW)


@pytest.mark.parametrize(
    ("raw", "what"),
    [
        (b"safe_treshold: 10\n", "did you mean 'safe_threshold'"),
        (b"safe_threshold: 2\n", "2 is outside 3 to 1000"),
        (b"safe_threshold: 10.5\n", "a whole number is expected, not 10.5"),
        (b"safe_threshold: true\n", "a whole number is expected, not true"),
        (b"safe_threshold: 10\nsafe_threshold: 12\n", "it is there twice"),
        (b"safe_nk_n: 3\n", "only the 2 largest contributors"),
        (b"safe_nk_k: 90\n", "a share between 0 and 1"),
        (b"safe_nk_k: 0.905\n", "in hundredths"),
        (b"zeros_are_disclosive: 1\n", "true or false is expected"),
        (b"safe_threshold: [10]\n", "line 1 is not a key"),
        (b"safe_threshold: &a 10\n", "line 1 is not a key"),
        (b"rules:\n  safe_threshold: 10\n", "line 1 is not a key"),
        (b"safe_threshold: !!python/object/apply:os.system ['id']\n", "line 1 is not a key"),
        (b"safe_threshold: 10\n---\nsafe_threshold: 3\n", "line 2 is not a key"),
        (b"\xff\n", "not UTF-8"),
        (b"#" * (ACRO_BYTES_MAX + 1), "more than"),
    ],
)
def test_refused(raw: bytes, what: str) -> None:
    with pytest.raises(AcroError) as caught:
        convert_acro(raw)
    assert what in str(caught.value)


@given(st.binary(max_size=200) | st.text("safe_threshold: 0123.\n#-yes", max_size=80).map(str.encode))
def test_only_one_error_comes_out(raw: bytes) -> None:
    with contextlib.suppress(AcroError):
        convert_acro(raw)


def test_the_command(tmp_path: Path) -> None:
    path = tmp_path / "default.yaml"
    path.write_bytes(DEFAULT)
    done = CliRunner().invoke(main, ["acro", str(path)])
    assert done.exit_code == 0
    assert done.stdout.startswith("[disclosure]\nthreshold = 10\n")
    assert "no counterpart for survival_safe_threshold" in done.stderr
    missing = CliRunner().invoke(main, ["acro", str(tmp_path / "none.yaml")])
    assert missing.exit_code == 1
    assert "cannot be read" in missing.stderr
