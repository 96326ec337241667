from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nskd.data.months import months_selected
from nskd.data.where import parse_where
from nskd.governance import limits
from nskd.governance.charter import load_charter
from nskd.governance.permit import (
    Permit,
    PermitError,
    Permits,
    Use,
    load_permits,
    parse_permit,
    review_by_permit,
)
from nskd.governance.policy import Rule
from nskd.packs.pack import load_pack
from tests.examples import examples

from .mutations import mutated

CONFIGS = Path(__file__).parents[3] / "configs"
RAW = (CONFIGS / "permit.json").read_bytes()
PERMIT = parse_permit(RAW)
BOOK = load_pack("nsk").codebook
MONTHS = BOOK.variables["visit_month"].keys
TODAY = datetime.date(2026, 6, 1)
USE = Use("ziekenhuis-midden", "research", ("age_band", "nsk_positive"), ("2024-01", "2025-12"))


def sources(name: str) -> tuple[str, ...]:
    derivation = BOOK.variables[name].derivation
    return () if derivation is None else derivation.variables


def broken(use: Use = USE, permit: Permit = PERMIT, today: datetime.date = TODAY) -> list[tuple[Rule, str]]:
    return [(each.rule, each.subject) for each in review_by_permit(permit, use, sources=sources, today=today)]


def test_the_sample_goes_with_the_sample_charter() -> None:
    charter = load_charter(CONFIGS / "charter.toml")
    assert PERMIT.holder in charter.names
    assert all(charter.purpose(purpose) for purpose in PERMIT.purposes)
    assert set(BOOK.variables) >= PERMIT.categories
    assert broken() == []  # age_band is derived from age_months alone


@pytest.mark.parametrize(
    ("rule", "subject", "changes"),
    [
        (Rule.PERMIT_HOLDER, "ziekenhuis-noord", {"requester": "ziekenhuis-noord"}),
        (Rule.PERMIT_PURPOSE, "improvement", {"purpose": "improvement"}),
        (Rule.PERMIT_CATEGORY, "sex", {"variables": ("age_band", "sex")}),
        (Rule.PERMIT_PERIOD, "2026-01", {"months": ("2025-12", "2026-01")}),
        (Rule.PERMIT_PERIOD, "2023-12", {"months": ("2023-12",)}),
        (Rule.PERMIT_PERIOD, "period", {"months": None}),
    ],
)
def test_each_rule_by_name(rule: Rule, subject: str, changes: dict[str, Any]) -> None:
    assert broken(attrs.evolve(USE, **changes)) == [(rule, subject)]


def test_it_holds_from_its_first_day_to_its_last() -> None:
    day = datetime.timedelta(days=1)
    assert broken(today=PERMIT.valid_from) == broken(today=PERMIT.valid_until) == []
    assert broken(today=PERMIT.valid_from - day) == [(Rule.PERMIT_EARLY, PERMIT.id)]
    assert broken(today=PERMIT.valid_until + day) == [(Rule.PERMIT_EXPIRED, PERMIT.id)]


def test_several_faults_are_all_named() -> None:
    found = broken(Use("x", "y", ("sex", "ehr"), MONTHS), today=datetime.date(2030, 1, 1))
    assert [rule for rule, _ in found] == [
        Rule.PERMIT_EXPIRED,
        Rule.PERMIT_HOLDER,
        Rule.PERMIT_PURPOSE,
        Rule.PERMIT_CATEGORY,
        Rule.PERMIT_CATEGORY,
        Rule.PERMIT_PERIOD,
    ]


def test_a_permit_is_named_known_and_where_asked_for_needed() -> None:
    def rules(permits: Permits, named: str | None) -> list[Rule]:
        return [each.rule for each in permits.review(named, lambda: USE, sources=sources, today=TODAY)]

    assert rules(Permits(), None) == rules(Permits((PERMIT,)), None) == []
    assert rules(Permits((PERMIT,), required=True), None) == [Rule.PERMIT_REQUIRED]
    assert rules(Permits((PERMIT,), required=True), PERMIT.id) == []
    assert rules(Permits((PERMIT,)), "HDAB-NL-2026-0043") == [Rule.PERMIT_UNKNOWN]


# --- the months a filter can select ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("where", "first", "last"),
    [
        ("visit_month BETWEEN '2024-03' AND '2024-05'", "2024-03", "2024-05"),
        ("visit_month >= '2024-03' AND sex = 'V' AND '2024-05' >= visit_month", "2024-03", "2024-05"),
        ("visit_year = '2025'", "2025-01", "2025-12"),
        ("visit_quarter = '2025-Q2'", "2025-04", "2025-06"),
        ("(visit_year IN ('2024') OR visit_year = '2025') AND NOT visit_month > '2025-02'", "2024-01", "2025-02"),
        ("NOT (visit_month < '2025-01' OR visit_month > '2025-03')", "2025-01", "2025-03"),
        ("coalesce(visit_month, '2024-01') = '2024-01'", "2024-01", "2024-01"),
        ("lower(visit_month) = '2024-01'", "2024-01", "2024-01"),
        ("visit_month = '2024-02' AND age_months < 12 OR visit_month = '2024-03'", "2024-02", "2024-03"),
    ],
)
def test_a_filter_that_keeps_to_months(where: str, first: str, last: str) -> None:
    selected = months_selected(parse_where(where, BOOK), BOOK)
    assert selected == tuple(month for month in MONTHS if first <= month <= last)


@pytest.mark.parametrize(
    "where",
    ["", "sex = 'V'", "visit_month = '2024-01' OR sex = 'V'", "NOT (visit_month = '2024-01' AND sex = 'V')"],
)
def test_a_filter_that_does_not(where: str) -> None:
    assert months_selected(parse_where(where, BOOK), BOOK) == MONTHS


ATOMS = st.sampled_from(
    (
        "visit_month = '2024-02'",
        "visit_month > '2024-06'",
        "visit_year = '2025'",
        "visit_quarter IN ('2024-Q1', '2026-Q4')",
        "visit_month BETWEEN '2024-05' AND '2025-05'",
        "sex = 'V'",
        "age_months < 24",
    )
)


@examples(60)
@given(
    st.recursive(
        ATOMS,
        lambda inner: st.one_of(
            inner.map(lambda one: f"(NOT {one})"),
            st.tuples(inner, st.sampled_from(("AND", "OR")), inner).map(lambda p: f"({p[0]} {p[1]} {p[2]})"),
        ),
        max_leaves=8,
    )
)
def test_no_visit_is_selected_outside_the_months(where: str) -> None:
    """Against Python's own evaluation, for a girl and a boy of two ages in every month."""
    selected = months_selected(parse_where(where, BOOK), BOOK)
    assert selected is not None
    for month in MONTHS:
        for sex in ("V", "M"):
            for age in (3, 100):
                if _holds(where, month, sex, age):
                    assert month in selected


def _holds(where: str, month: str, sex: str, age: int) -> bool:
    quarter = f"{month[:4]}-Q{(int(month[5:]) + 2) // 3}"
    python = (
        where.replace("visit_month BETWEEN '2024-05' AND '2025-05'", "('2024-05' <= visit_month <= '2025-05')")
        .replace(" = ", " == ")
        .replace("NOT", "not")
        .replace("AND", "and")
        .replace("OR", "or")
        .replace("IN (", "in (")
    )
    values = {"visit_month": month, "visit_year": month[:4], "visit_quarter": quarter, "sex": sex, "age_months": age}
    return bool(eval(python, {}, values))


# --- the file -------------------------------------------------------------------------------------------------


def changed(**changes: Any) -> bytes:
    document = {**json.loads(RAW), **changes}
    return json.dumps({key: value for key, value in document.items() if value is not None}).encode()


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "not a JSON document"),
        (b"[" * 100_000, "more than the"),
        (b"[" * 10_000, "not a JSON document"),
        (b"[]", "expected 'object', got 'array'"),
        (b"\xff", "not a JSON document in UTF-8"),
        (RAW.replace(b'"kind"', b'"id"', 1), "a key stands in it twice"),
        (changed(holder=None), "missing required field 'holder'"),
        (changed(extra=1), "unknown field 'extra'"),
        (changed(holder=3), "permit: holder: expected 'str', got 'int'"),
        (changed(holder="a\u202eb"), "permit: holder: the text has invisible characters"),
        (changed(categories=["age ", "sex"]), r"permit: categories\[0\]: the text has"),
        (changed(format="nskd permit 2"), "permit: format: invalid enum value"),
        (changed(kind="note"), "permit: kind: invalid enum value"),
        (changed(id="a b"), "permit: id: 'a b' is not an id"),
        (changed(purposes=[]), "permit: purposes: expected 'array' of length >= 1"),
        (changed(period={"first": "2024-13", "last": "2025-01"}), "permit: period.first: expected 'str' matching"),
        (changed(period={"first": "2025-02", "last": "2025-01"}), "last month lies before its first"),
        (changed(valid_from="2028-01-01"), "permit: valid_until: it lies before valid_from"),
        (changed(retention_end="2027-12-30"), "permit: retention_end: it lies before valid_until"),
        (changed(retention_end="9999-12-31"), "the year 9999 is out of bounds"),
        (changed(valid_until="31-12-2027"), "permit: valid_until: invalid RFC3339"),
    ],
)
def test_what_is_wrong_is_named(raw: bytes, words: str) -> None:
    with pytest.raises(PermitError, match=words):
        parse_permit(raw)


@given(raw=st.one_of(mutated(RAW), st.binary(max_size=100)))
def test_any_bytes_are_a_permit_or_a_sentence(raw: bytes) -> None:
    try:
        parse_permit(raw)
    except PermitError as error:
        assert str(error).isprintable()


def test_files_and_directories(tmp_path: Path) -> None:
    (tmp_path / "permits").mkdir()
    (tmp_path / "permits" / "a.json").write_bytes(RAW)
    (tmp_path / "permits" / "notes.txt").write_text("no permit")
    (tmp_path / "b.json").write_bytes(changed(id="B"))
    both = load_permits([tmp_path / "permits", tmp_path / "b.json"])
    assert {permit.id for permit in both.permits} == {PERMIT.id, "B"}
    (tmp_path / "permits" / "c.json").write_bytes(RAW)
    with pytest.raises(PermitError, match=r"c\.json: permit HDAB-NL-2026-0042 is also in .*a\.json"):
        load_permits([tmp_path / "permits"])
    with pytest.raises(PermitError, match="cannot be read"):
        load_permits([tmp_path / "none.json"])
    assert load_permits([]).permits == ()
    assert PERMIT.erase_at == 1_861_920_000  # 2029-01-01
    assert limits.PERMIT_BYTES_MAX < 100_000
