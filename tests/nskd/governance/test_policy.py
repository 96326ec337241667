from __future__ import annotations

import datetime

import pytest

from nskd.governance.policy import PolicyError, Rule, check_request, review
from nskd.governance.request_text import parse_request

from .workshop import CHARTER, HEAD, PURPOSE, TEXT, charter

TODAY = datetime.date(2026, 6, 1)
BOOK = {
    "age_band": {"improvement", "research"},
    "nsk_positive": {"improvement"},
    "sex": {"improvement"},
    "ehr": set(),
}
TABLE = parse_request(TEXT)


def rules(text: bytes = TEXT, requester: str = "noord", where: tuple[str, ...] = ("sex",), **more: object) -> list[str]:
    under = more.get("under", CHARTER)
    found = review(
        parse_request(text),
        requester=requester,
        charter=under,  # type: ignore[arg-type]
        purposes=BOOK.get,
        where_variables=where,
        today=more.get("today", TODAY),  # type: ignore[arg-type]
    )
    return [f"{each.rule}:{each.subject}" for each in found]


def test_in_order() -> None:
    assert rules() == []


def test_each_rule_by_name() -> None:
    assert rules(requester="west") == ["requester-not-in-charter:west"]
    limited = charter(zuid="roles = ['compute', 'contribute']")
    assert rules(requester="zuid", under=limited) == ["requester-without-role:zuid"]
    assert rules(TEXT.replace(b"age_band", b"age_bnd")) == ["variable-not-in-codebook:age_bnd"]
    assert rules(where=("ehr",)) == ["variable-not-for-purpose:ehr"]
    ended = charter(head=HEAD, purpose=PURPOSE + "valid_until = 2026-05-31\n")
    assert rules(under=ended) == ["purpose-expired:improvement"]
    assert rules(under=ended, today=datetime.date(2026, 5, 31)) == []


def test_a_model_takes_a_charter_that_allows_it() -> None:
    text = (
        b'kind = "regression"\ntitle = "T"\npurpose = "improvement"\nmeasure = "visits"\nfamily = "logistic"\n'
        b'outcome = "nsk_positive = \'ja\'"\ncovariates = ["age_band", "sex"]\n'
    )
    assert rules(text) == ["model-not-in-charter:regression"]
    assert rules(text, under=charter(head=HEAD + "[disclosure]\nmodels = true\n")) == []
    assert rules(TEXT, under=charter(head=HEAD + "[disclosure]\nmodels = true\n")) == []


def test_an_unknown_purpose_is_allowed_for_no_variable() -> None:
    found = rules(TEXT.replace(b'"improvement"', b'"improvment"'))
    assert found[0] == "purpose-not-in-charter:improvment"
    assert {each.split(":")[0] for each in found[1:]} == {"variable-not-for-purpose"}


def test_the_error_names_rule_and_remedy() -> None:
    with pytest.raises(PolicyError) as caught:
        check_request(
            parse_request(TEXT.replace(b"improvement", b"research")),
            requester="noord",
            charter=charter(purpose=PURPOSE + '[[purpose]]\nid = "research"\ntext = "R"\n'),
            purposes=BOOK.get,
            where_variables=["sex"],
            today=TODAY,
        )
    assert caught.value.rule is Rule.VARIABLE_PURPOSE
    assert len(caught.value.refusals) == 2
    assert str(caught.value) == (
        "rule variable-not-for-purpose: variable nsk_positive may not be used for purpose research"
        " (and 1 more). Purposes it may serve: improvement."
    )
