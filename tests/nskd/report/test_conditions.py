"""Conditions are said in the codebook's words, and stay as they are written where they have none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nskd.data.where import parse_where
from nskd.report.conditions import in_words
from tests.examples import examples

from .samples import CODEBOOK

SAID = {
    "nsk_status = 'complete'": "“Was the NSK filled in?” is complete",
    "sex <> 'M'": "“Sex” is not male",
    "sex IN ('M', 'V')": "“Sex” is male or female",
    "sex NOT IN ('M', 'V')": "“Sex” is none of these: male, female",
    "NOT sex IN ('M')": "“Sex” is not male",
    "age_months < 12": "“Age in months” is below 12",
    "age_months >= 12 AND sex = 'V'": "“Age in months” is at least 12 and “Sex” is female",
    "sex = 'V' AND (age_months <= 1 OR age_months > 9)": (
        "“Sex” is female and (“Age in months” is at most 1 or “Age in months” is above 9)"
    ),
    "NOT (sex = 'V' AND age_months = 3)": "not: (“Sex” is female and “Age in months” is 3)",
    "visit_month BETWEEN '2025-01' AND '2025-06'": "“Month of the visit” is from 2025-01 to 2025-06",
    "visit_month < '2025-01'": "“Month of the visit” is before 2025-01",
    "age_months > -1": "“Age in months” is above −1",
    "age_months IS NULL": "“Age in months” is missing",
    "triage IS NULL": "“Triage colour” is missing",
    "triage <> 'missing'": "“Triage colour” is not missing",
}


@pytest.mark.parametrize("written", SAID)
def test_a_condition_in_words(written: str) -> None:
    assert in_words(parse_where(written, CODEBOOK).sql, CODEBOOK).en == SAID[written]


def test_dutch_has_its_own_words() -> None:
    sql = parse_where("triage = 'missing' OR NOT (age_months BETWEEN 1 AND 3)", CODEBOOK).sql
    assert (
        in_words(sql, CODEBOOK).nl == "„Triagekleur” ontbreekt of niet: („Leeftijd in maanden” is van 1 tot en met 3)"
    )


@pytest.mark.parametrize("written", ["abs(age_months) > 3", "age_months + 1 = 3", "lower(sex) = 'm'", "sex = triage"])
def test_what_has_no_words_stays_as_it_is(written: str) -> None:
    sql = parse_where(written, CODEBOOK).sql
    assert in_words(sql, CODEBOOK).nl == in_words(sql, CODEBOOK).en == sql


@examples(100)
@given(
    st.text(max_size=40) | st.sampled_from(["a b", "((", "'", '"x" = 1', "sex = 'M'; DROP", "SELECT 1", "\x00", "--"])
)
def test_text_of_any_kind_is_said_or_stays(written: str) -> None:
    said = in_words(written, CODEBOOK)
    assert isinstance(said.nl, str) and isinstance(said.en, str)
