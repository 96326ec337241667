"""A request built step by step: what it says, and what is told of a slip where it is made."""

from __future__ import annotations

import tomllib
from collections.abc import Callable

import attrs
import pytest

from nskd.client import Client, Table
from nskd.errors import OperatorError
from nskd.governance.question import TableRequest
from nskd.governance.request_text import parse_request

CLIENT = Client("/nowhere/control.sock")


def whole() -> Table:
    return (
        CLIENT.table(rows="age_band", columns=["nsk_positive", "sex"], measure="visits")
        .where("delay = 'ja' OR sex = 'M'")
        .where("visit_year = '2025'")
        .with_totals()
        .titled('Boys, "quoted" – é')
        .for_purpose("improvement")
        .under_permit("HDAB-NL-2026-0042")
    )


def test_the_text_is_what_governance_reads() -> None:
    request = parse_request(whole().text.encode())
    assert attrs.asdict(request) == attrs.asdict(
        TableRequest(
            title='Boys, "quoted" – é',
            purpose="improvement",
            rows=("age_band",),
            columns=("nsk_positive", "sex"),
            measure=request.measure,
            where="(delay = 'ja' OR sex = 'M') AND (visit_year = '2025')",
            margins=True,
            permit="HDAB-NL-2026-0042",
        )
    )
    assert request.measure == "visits"
    assert repr(whole()) == whole().text


def test_a_step_leaves_the_former_request_as_it_was() -> None:
    begun = CLIENT.table(rows=["sex"])
    begun.where("delay = 'ja'").titled("T").with_totals()
    assert tomllib.loads(repr(begun)) == {"kind": "table", "rows": "sex", "measure": "children"}


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: CLIENT.table(rows="age_bnad"), 'rows: there is no variable "age_bnad". Did you mean "age_band"?'),
        (lambda: CLIENT.table(rows="age_months"), 'Use "age_band"'),
        (lambda: CLIENT.table(rows=[]), "rows"),
        (lambda: CLIENT.table(rows="sex", columns="sex"), "among the rows already"),
        (lambda: CLIENT.table(rows="sex", measure="child"), "'child' is not known (did you mean 'children'?)"),
        (lambda: CLIENT.table(rows=["visit_month", "referrer"], columns=["ehr", "triage", "sex"]), "cells"),
        (lambda: CLIENT.table(rows="sex").where("delya = 'ja'"), 'where, character 1: there is no variable "delya"'),
        (lambda: CLIENT.table(rows="sex").where("delay = 'ja'; x"), '";" is not allowed'),
        (lambda: CLIENT.table(rows="sex").titled("a\u202eb"), "invisible or control characters"),
        (lambda: CLIENT.table(rows="sex").titled("\ud800"), "not UTF-8"),
        (lambda: CLIENT.table(rows="sex").titled("x" * 201), "at most 200"),
        (lambda: CLIENT.table(rows="sex").for_purpose("improvment"), 'Did you mean "improvement"?'),
        (lambda: CLIENT.table(rows="followup_outcome").for_purpose("improvement"), "Purposes it may serve: research."),
        (lambda: CLIENT.table(rows="sex").for_purpose("improvement").where("followup_outcome = 'abuse'"), "may serve"),
        (lambda: CLIENT.table(rows="sex").under_permit("no spaces"), "permit"),
        (lambda: CLIENT.table(rows="sex").for_purpose("research").text, 'Add .titled("…")'),
        (lambda: CLIENT.table(rows="sex").titled("T").text, 'Add .for_purpose("…"): research, improvement.'),
        (lambda: CLIENT.read('kind = "table"\nrow = "sex"'), "unknown key 'row' (did you mean 'rows'?)"),
        (lambda: CLIENT.read("\ud800"), "not UTF-8"),
        (lambda: Client(pack="nks"), "Built in: nsk"),
        (lambda: Client(language="fr"), "Choose nl or en"),  # type: ignore[arg-type]
    ],
)
def test_a_slip_is_one_sentence(make: Callable[[], object], words: str) -> None:
    with pytest.raises(OperatorError) as caught:
        make()
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value._render_traceback_() == [str(caught.value)]  # what a notebook shows


def test_a_client_says_where_it_would_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    assert repr(Client("/run/x.sock")) == "<Client of /run/x.sock, pack nsk>"
    monkeypatch.setenv("NSKD_SOCKET", "/run/y.sock")
    assert "/run/y.sock" in repr(Client())
