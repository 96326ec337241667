from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nskd.control import steward_key
from nskd.errors import OperatorError
from nskd.governance import limits
from nskd.governance.charter import Centre, load_charter
from nskd.governance.own_policy import load_own_policy
from nskd.governance.policy import PolicyError, Rule
from nskd.governance.request_text import parse_request
from nskd.governance.standing_policy import (
    NAMESPACE,
    StandingPolicyError,
    month_of,
    parse_standing_policy,
    review_by_policy,
    variables_named,
)
from nskd.governance.steward import parse_steward

from .mutations import mutated
from .workshop import CHARTER, NOW, TEXT, policy_text

CONFIGS = Path(__file__).parents[3] / "configs"
TABLE = parse_request(TEXT)


def test_the_sample_goes_with_the_sample_charter() -> None:
    """Signed by one of the charter's stewards, it covers the sample request."""
    sample = load_charter(CONFIGS / "charter.toml")
    policy = parse_standing_policy((CONFIGS / "standing-policy.toml").read_bytes())
    table = parse_request((CONFIGS / "request.toml").read_bytes())
    assert (policy.centre, policy.workshop) == (sample.centres[0].name, sample.workshop)
    assert not review_by_policy(
        policy, table, requester="ziekenhuis-midden", centre=policy.centre, charter=sample, at=NOW
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"title": ""}, "title: this key is missing"),
        ({"kinds": '["sum"]'}, "kinds: 'sum' is not one of: table"),
        ({"variables": "[]"}, "variables: 0 entries"),
        ({"variables": '["Age"]'}, "not the name of a variable"),
        ({"variables": '["sex", "sex"]'}, "listed twice"),
        ({"threshold_min": "2"}, "threshold_min: 2 is outside"),
        ({"per_month": "0"}, "per_month: 0 is outside"),
        ({"per_month": '"many"'}, "per_month: a whole number is expected"),
        ({"margins": '"no"'}, "margins: true or false is expected"),
        ({"valid_until": ""}, "valid_until: its last day is missing"),
        ({"valid_until": '"2027-01-01"'}, "valid_until: a date is expected"),
        ({"valid_until": "9999-12-31"}, "valid_until: its last day is missing, or is none"),
        ({"approval_days": "93"}, "approval_days: 93 is outside"),
        ({"purpose": '["x"]'}, "unknown key 'purpose'"),
    ],
)
def test_what_is_wrong_is_named(changes: dict[str, str], words: str) -> None:
    with pytest.raises(StandingPolicyError, match=words):
        parse_standing_policy(policy_text(**changes))


@pytest.mark.parametrize(
    ("where", "names"),
    [
        ("sex = 'V'", {"sex"}),
        ("\"sex\" = 'V' AND NOT (\"Ehr\" IN ('HiX', 'Epic'))", {"sex", "ehr"}),
        ("lower(ehr) = 'it''s sex' OR abs(age_months - 3) < 12", {"ehr", "age_months"}),
        ('"lower" = 3 OR lower = 3 OR "not" = 1', {"lower", "not"}),
        ("coalesce(triage, 'missing') IS NOT NULL", {"triage"}),
    ],
)
def test_a_filter_uses_what_it_names(where: str, names: set[str]) -> None:
    assert variables_named(attrs.evolve(TABLE, where=where)) == {"age_band", "nsk_positive", *names}


def test_months_are_calendar_months_in_utc() -> None:
    first, following = month_of(1_796_083_199)  # 2026-11-30 23:59:59
    assert (first, following) == (1_793_491_200, 1_796_083_200)
    assert month_of(following)[0] == following
    assert [month_of(first + day * limits.DAY_S)[0] for day in range(31)] == [first] * 30 + [following]


def test_it_ends_with_its_last_day() -> None:
    policy = parse_standing_policy(policy_text(valid_until="2026-11-30"))
    assert policy.ends_at == 1_796_083_200
    for at, found in ((policy.ends_at - 1, []), (policy.ends_at, [Rule.POLICY_EXPIRED])):
        broken = review_by_policy(policy, TABLE, requester="noord", centre="zuid", charter=CHARTER, at=at)
        assert [refusal.rule for refusal in broken] == found


@given(raw=st.one_of(mutated(policy_text()), st.binary(max_size=200)))
def test_any_bytes_are_a_policy_or_a_sentence(raw: bytes) -> None:
    try:
        policy = parse_standing_policy(raw)
    except StandingPolicyError as error:
        assert str(error).isprintable()
    else:
        review_by_policy(policy, TABLE, requester="noord", centre="zuid", charter=CHARTER, at=NOW)


# --- on disk --------------------------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "policy.toml").write_bytes(policy_text())
    for name in ("a", "b", "other"):
        steward_key.generate(tmp_path / name, f"dr. {name}")
    return tmp_path


def centre_of(files: Path) -> Centre:
    lines = [parse_steward((files / f"{name}.pub").read_text()) for name in ("a", "b")]
    return attrs.evolve(CHARTER.centres[2], stewards=tuple(lines))


def sign(files: Path, *names: str, namespace: str = NAMESPACE) -> None:
    policy = files / "policy.toml"
    (files / "policy.toml.sig").write_text(
        "".join(steward_key.sign(files / name, policy.read_bytes(), namespace=namespace) for name in names)
    )


def load(files: Path) -> int:
    return len(load_own_policy(files / "policy.toml", centre=centre_of(files), workshop="test").signatures)


def test_one_or_two_stewards_sign(files: Path) -> None:
    sign(files, "a")
    assert load(files) == 1
    sign(files, "a", "b")
    assert load(files) == 2


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="no ssh-keygen here")
def test_what_openssh_signs_is_taken(files: Path) -> None:
    subprocess.run(
        ["ssh-keygen", "-q", "-Y", "sign", "-n", NAMESPACE, "-f", files / "a", files / "policy.toml"],
        check=True,
        capture_output=True,
    )
    assert load(files) == 1


def test_a_policy_that_stewards_did_not_sign_is_not_used(files: Path) -> None:
    def refused(words: str) -> None:
        with pytest.raises(OperatorError, match=words):
            load(files)

    refused("cannot be read")
    (files / "policy.toml.sig").write_text("hello")
    refused("does not begin and end")
    sign(files, "other")
    refused("lists no steward of zuid with that key")
    sign(files, "a", "other")
    refused("lists no steward")
    sign(files, "a", "a")
    refused("signed the standing policy twice")
    sign(files, "a", "b", "a", "b", "a")
    refused("there are 5 signatures")
    sign(files, "a", namespace="nskd-statement")
    refused("does not fit the standing policy")
    sign(files, "a")
    (files / "policy.toml").write_bytes(policy_text(per_month="3"))
    with pytest.raises(PolicyError) as caught:
        load(files)
    assert caught.value.rule is Rule.STEWARD_SIGNATURE
    (files / "policy.toml").write_bytes(policy_text("noord"))
    sign(files, "a")
    refused("it is of centre noord in workshop test")
