"""What leaves: the page a steward reads.  Its words stand in `pages/`, to be read and judged as they are.

After a change of words: ``python -m tests.nskd.governance.test_explain`` writes them anew; read the difference.
"""

from __future__ import annotations

import datetime
import itertools
from pathlib import Path

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nskd.analysis.table import plan_request
from nskd.governance.charter import Charter, CharterError
from nskd.governance.charter import Purpose as CharterPurpose
from nskd.governance.disclosure import DisclosureRules, HospitalPoints, Zeros
from nskd.governance.explain import Earlier, Page, Question, explain
from nskd.governance.explain.earlier import SHOWN_MAX
from nskd.governance.explain.page import LANGUAGES, Language, say
from nskd.governance.explain.rules import DISCLOSURE
from nskd.governance.explain.words import EHDS
from nskd.governance.presence import Absence, Presence
from nskd.governance.question import Measure, TableRequest
from nskd.governance.request_text import parse_request
from nskd.packs.pack import load_pack
from tests.examples import examples

from .workshop import CHARTER, NOW, PAIR_HEAD, PURPOSE, charter

PAGES = Path(__file__).parent / "pages"
ROOT = Path(__file__).parents[3]
BOOK = load_pack("nsk").codebook
TYPICAL = b"""
kind = "table"
title = "Positieve NSK per leeftijdsgroep"
purpose = "improvement"
rows = "age_band"
columns = "nsk_positive"
measure = "children"
where = "sex IN ('M', 'V') AND nsk_status = 'complete'"
margins = true
"""
FINER = TYPICAL.replace(b'rows = "age_band"', b'rows = ["age_band", "daypart"]').replace(
    b"per leef", b"en dagdeel per leef"
)
ALL = TYPICAL.replace(b"where = \"sex IN ('M', 'V') AND nsk_status = 'complete'\"\n", b"").replace(
    b"NSK per", b"NSK, alle, per"
)


def question(text: bytes, *, requester: str = "noord") -> Question:
    table = parse_request(text)
    plan = plan_request(BOOK, table)
    return Question(table, requester, plan.filter.sql if table.where else "", plan.size)


def earlier(text: bytes, days_ago: int) -> Earlier:
    return Earlier(question(text), NOW - 86_400 * days_ago, bytes([days_ago]) * 32)


def agreed(**changes: object) -> Charter:
    """A charter of three hospitals with a purpose that says everything a purpose can say."""
    purpose = CharterPurpose(
        id="improvement",
        text="Zien hoe goed het signaleren op de spoedeisende hulp werkt, en het verbeteren.",
        legal_basis="AVG artikel 6, lid 1, onder e, en artikel 9, lid 2, onder j",
        ehds="f",
        valid_until=datetime.date(2030, 12, 31),
    )
    titles = {"noord": "Ziekenhuis Noord", "midden": "Ziekenhuis Midden", "zuid": "Ziekenhuis Zuid"}
    centres = tuple(attrs.evolve(centre, title=titles[centre.name]) for centre in CHARTER.centres)
    return attrs.evolve(CHARTER, centres=centres, purposes=(purpose,), **changes)


def typical() -> Page:
    return explain(
        question(TYPICAL),
        own="midden",
        charter=agreed(),
        codebook=BOOK,
        opt_out=True,
        released=[earlier(ALL, 40), earlier(FINER, 12)],
    )


def written(page: Page, language: str) -> str:
    chosen: Language = "nl" if language == "nl" else "en"
    sections = [
        "\n".join([say(section.title, chosen), *(f"- {say(sentence, chosen)}" for sentence in section.sentences)])
        for section in page.sections
    ]
    return "\n\n".join(sections) + "\n"


def words(page: Page, section: str, language: str = "en") -> str:
    (found,) = (each for each in page.sections if each.key == section)
    return "\n".join(say(each, "nl" if language == "nl" else "en") for each in found.sentences)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_typical_request_reads_as_it_stands_in_the_file(language: str) -> None:
    assert written(typical(), language) == (PAGES / f"typical.{language}.txt").read_text()


def test_the_sections_stand_in_reading_order() -> None:
    keys = [section.key for section in typical().sections]
    assert keys == ["asked", "purpose", "leaves", "results", "learnt", "rules", "earlier"]


def with_absences(*absences: Absence, own: str = "midden") -> Page:
    return explain(question(TYPICAL), own=own, charter=agreed(), codebook=BOOK, absences=absences)


def test_who_has_paused_or_left_stands_before_what_leaves() -> None:
    paused = Absence("zuid", Presence.PAUSED, NOW, "the extract")
    left = Absence("noord", Presence.LEFT, NOW, "")
    page = with_absences(paused)
    complete(page)
    assert [section.key for section in page.sections][1:4] == ["purpose", "absent", "leaves"]
    assert words(page, "absent").splitlines() == [
        "Ziekenhuis Zuid has paused since 28 May 2026.",
        "Reason given: the extract",
        "As long as that is so, nothing is computed. Approvals that have been given stay.",
    ]
    assert "Goedkeuringen die er al zijn, blijven staan." in words(page, "absent", "nl")
    page = with_absences(left, paused, own="zuid")
    complete(page)
    assert words(page, "absent", "nl").splitlines() == [
        "Ziekenhuis Noord heeft de samenwerking op 28 mei 2026 verlaten.",
        "Dit centrum (Ziekenhuis Zuid) heeft zijn deelname sinds 28 mei 2026 onderbroken.",
        "Opgegeven reden: the extract",
        "Onder dit handvest kan deze vraag niet meer worden uitgerekend: dat kan alleen samen.",
    ]
    assert "cannot be computed any more" in words(page, "absent")


# --- no missing label, whatever is asked ------------------------------------------------------------------------


def complete(page: Page) -> None:
    """Every section says something, in both languages, and nothing was left to be filled in."""
    for section in page.sections:
        assert section.sentences, section.key
        for text in (section.title, *section.sentences):
            for line in (text.nl, text.en):
                assert line.strip() == line
                assert line
                assert not {"{", "}", "None", "?:"} & set(line.split()), line
                assert "\n" not in line
                assert "None" not in line


@pytest.mark.parametrize("name", sorted(BOOK.variables))
def test_every_variable_of_the_codebook_has_its_label_as_an_axis_and_in_a_condition(name: str) -> None:
    variable = BOOK.variables[name]
    other = "sex" if name != "sex" else "daypart"
    table = TableRequest("T", "improvement", (name,), (), Measure.CHILDREN, f"{name} = 'x'", False)
    aside = attrs.evolve(table, rows=(other,))
    for each, shown in ((table, f"({name})"), (aside, f"{name} =")):
        page = explain(Question(each, "noord", "", None), own="noord", charter=CHARTER, codebook=BOOK)
        complete(page)
        assert variable.label.nl in words(page, "asked", "nl")
        assert variable.label.en in words(page, "asked", "en")
        assert shown in words(page, "asked")


@pytest.mark.parametrize(
    ("name", "key"),
    [(v.name, level.key) for v in BOOK.variables.values() for level in v.levels if level.nl != level.key],
)
def test_every_level_in_a_condition_is_put_into_words(name: str, key: str) -> None:
    level = next(each for each in BOOK.variables[name].levels if each.key == key)
    table = TableRequest("T", "improvement", ("sex",), (), Measure.VISITS, f"{name} = '{key}'", False)
    page = explain(Question(table, "noord", "", None), own="noord", charter=CHARTER, codebook=BOOK)
    assert f"'{key}' = {level.nl}" in words(page, "asked", "nl")
    assert f"'{key}' = {level.en}" in words(page, "asked", "en")


def test_a_model_is_explained_with_what_its_steps_tell() -> None:
    text = (
        b'kind = "regression"\ntitle = "T"\npurpose = "improvement"\nmeasure = "visits"\nfamily = "logistic"\n'
        b'outcome = "nsk_status = \'complete\'"\ncovariates = ["age_band: 4-8", "sex"]\ncentre_effects = true\n'
    )
    allowed = attrs.evolve(agreed(), disclosure=attrs.evolve(agreed().disclosure, models=True))
    page = explain(question(text), own="midden", charter=allowed, codebook=BOOK, opt_out=False)
    complete(page)
    assert "Mind: regression models are allowed" in words(page, "rules")
    asked, leaves = words(page, "asked"), words(page, "leaves")
    assert "nsk_status = 'complete'" in asked
    assert "compared with 4-8" in asked
    assert "there is no model, and no number either" in asked
    assert "the estimate after each step" in leaves
    assert "keeps to itself" in asked


@pytest.mark.parametrize(
    ("lines", "nl", "en"),
    [
        (
            b'kind = "rate"\nof = "sex = \'M\'"\nby = "hospital_type"\n',
            "naar Soort ziekenhuis (hospital_type), en naar of het bezoek aan de voorwaarde voldoet, met totalen.",
            "by Type of hospital (hospital_type), and by whether the visit meets the condition, with totals.",
        ),
        (
            b'kind = "rate"\nof = "sex = \'M\'"\n',
            "uitgesplitst naar of het bezoek aan de voorwaarde voldoet, met totalen.",
            "broken down by whether the visit meets the condition, with totals.",
        ),
        (
            b'kind = "association"\nexposure = "sex = \'M\'"\noutcome = "delay = \'ja\'"\n',
            "naar of het bezoek aan de eerste voorwaarde voldoet, en naar of het aan de tweede voldoet, met totalen.",
            "by whether the visit meets the first condition, and by whether it meets the second, with totals.",
        ),
        (
            b'kind = "table"\nrows = "hospital_type"\ncolumns = "sex"\n',
            "naar Soort ziekenhuis (hospital_type), en naar Geslacht (sex).",
            "by Type of hospital (hospital_type), and by Sex (sex).",
        ),
    ],
)
def test_what_the_counts_are_broken_down_by_reads_as_a_sentence(lines: bytes, nl: str, en: str) -> None:
    text = lines + b'title = "T"\npurpose = "improvement"\nmeasure = "visits"\n'
    page = explain(question(text), own="noord", charter=CHARTER, codebook=BOOK)
    assert nl in words(page, "asked", "nl")
    assert en in words(page, "asked")


def combinations() -> list[DisclosureRules]:
    """Every combination of what the charter's switches can say."""
    switched: dict[str, tuple[object, ...]] = {
        "insider": (True, False),
        "centres_min": (3, 2),
        "dominance": (85, 100),
        "rounding": (5, 1),
        "zeros": tuple(Zeros),
    }
    every = [
        DisclosureRules(**dict(zip(switched, each, strict=True))) for each in itertools.product(*switched.values())
    ]
    return [attrs.evolve(rules, nk=100, p_percent=0) if rules.centres_min == 2 else rules for rules in every]


@pytest.mark.parametrize("disclosure", combinations(), ids=str)
@pytest.mark.parametrize("margins", [False, True])
@pytest.mark.parametrize("names", [("noord", "zuid"), ("noord", "midden", "zuid")])
def test_every_combination_of_rules_is_stated(
    disclosure: DisclosureRules, margins: bool, names: tuple[str, ...]
) -> None:
    asked = attrs.evolve(question(TYPICAL), table=attrs.evolve(question(TYPICAL).table, margins=margins))
    page = explain(
        asked,
        own="noord",
        charter=attrs.evolve(charter(head=PAIR_HEAD, names=names), disclosure=disclosure),
        codebook=BOOK,
    )
    complete(page)
    said = words(page, "rules")
    assert f"at least {disclosure.threshold} distinct children" in said
    assert ("Mind: the charter does not ask" in said) == (not disclosure.insider)
    assert ("Mind: a cell may be opened when only two centres" in said) == (disclosure.centres_min == 2)
    assert ("one centre has at most 85 %" in said) == (disclosure.dominance == 85)
    assert ("Mind: numbers are not rounded" in said) == (disclosure.rounding == 1)
    assert ("is shown as 0" in said) == (disclosure.zeros is Zeros.SHOW)
    assert ("worked out from the totals" in said) == margins
    learnt = words(page, "learnt")
    assert ("Mind: only two centres" in learnt) == (len(names) == 2)
    # Of rounded numbers nothing on the page may be said to be known exactly.
    whole = written(page, "en")
    assert ("exactly the other's" in whole) == (len(names) == 2 and disclosure.rounding == 1)
    assert ("exactly that of the other" in whole) == (disclosure.centres_min == 2 and disclosure.rounding == 1)
    assert ("precies dat van het andere" in written(page, "nl")) == (
        disclosure.rounding == 1 and (len(names) == 2 or disclosure.centres_min == 2)
    )
    assert ("too few children, or none;" in learnt) == (disclosure.zeros is Zeros.SUPPRESS)
    assert ("another closed cell" in learnt) == margins


@pytest.mark.parametrize("measure", Measure)
@pytest.mark.parametrize(
    ("changes", "large", "earlier"),
    [
        ({}, True, True),
        ({"dominance": 100}, True, True),
        ({"dominance": 100, "nk": 100}, True, True),
        ({"dominance": 100, "nk": 100, "p_percent": 0}, False, True),
        ({"differencing": 0}, True, False),
    ],
)
def test_a_dot_has_every_reason_that_the_charter_gives_it(
    measure: Measure, changes: dict[str, int], large: bool, earlier: bool
) -> None:
    agreed_on = attrs.evolve(CHARTER, disclosure=attrs.evolve(CHARTER.disclosure, **changes))
    asked = attrs.evolve(question(TYPICAL), table=attrs.evolve(question(TYPICAL).table, measure=measure))
    said = words(explain(asked, own="noord", charter=agreed_on, codebook=BOOK), "learnt")
    assert "too few centres that have children in it" in said
    assert ("too much of one or two centres" in said) == (large and measure is Measure.VISITS)
    assert ("too little difference from an earlier table" in said) == earlier


FUNNEL = b'kind = "funnel"\ntitle = "T"\npurpose = "improvement"\nmeasure = "children"\nof = "sex = \'M\'"\n'


@pytest.mark.parametrize("points", HospitalPoints)
@pytest.mark.parametrize("overdispersion", [False, True])
def test_what_a_funnel_tells_of_hospitals_is_said_where_it_leaves_and_where_it_is_learnt(
    points: HospitalPoints, overdispersion: bool
) -> None:
    shown = points is HospitalPoints.SHUFFLED
    disclosure = attrs.evolve(CHARTER.disclosure, hospital_points=points, overdispersion=overdispersion)
    page = explain(
        Question(parse_request(FUNNEL), "noord", "", 3),
        own="midden",
        charter=agreed(disclosure=disclosure),
        codebook=BOOK,
    )
    complete(page)
    leaves, learnt, rules = (words(page, key) for key in ("leaves", "learnt", "rules"))
    assert ("stays here: it is on its own page only" in leaves) == (not shown)
    assert ("no figure of this centre alone" in leaves) == (not shown)
    assert ("Two rounded numbers of this hospital reach all centres" in leaves) == shown
    assert ("shuffling hides little" in learnt) == shown
    assert ("how far from the mean it lies" in leaves) == overdispersion
    assert ("how far from the mean this hospital lies" in learnt) == overdispersion
    assert ("Mind: in a funnel plot all centres see" in rules) == shown
    assert ("Mind: with a funnel plot it is computed" in rules) == overdispersion


def test_of_other_kinds_nothing_is_said_of_hospitals() -> None:
    disclosure = attrs.evolve(CHARTER.disclosure, hospital_points=HospitalPoints.SHUFFLED, overdispersion=True)
    page = explain(question(TYPICAL), own="midden", charter=agreed(disclosure=disclosure), codebook=BOOK)
    assert "funnel" not in written(page, "en")
    assert "no figure of this centre alone" in words(page, "leaves")


def test_every_rule_of_the_charter_has_a_sentence() -> None:
    assert list(DISCLOSURE) == [field.name for field in attrs.fields(DisclosureRules)]


def test_the_letters_a_charter_may_give_are_those_of_the_regulation() -> None:
    for letter in "abcdefgh":
        purpose = PURPOSE + f'ehds = "{letter}"\n'
        if letter in EHDS:
            assert charter(purpose=purpose).purposes[0].ehds == letter
        else:
            with pytest.raises(CharterError, match="ehds"):
                charter(purpose=purpose)


@given(
    letter=st.sampled_from([*EHDS, None]),
    basis=st.none() | st.just("Wpg\nartikel 1"),
    last=st.none() | st.dates(),
    measure=st.sampled_from(Measure),
    columns=st.sampled_from([(), ("sex",), ("sex", "triage")]),
    where=st.none() | st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S")), min_size=1, max_size=40),
    purpose=st.sampled_from(["improvement", "unheard-of"]),
    requester=st.sampled_from(["noord", "nobody"]),
    own=st.sampled_from(["noord", "zuid"]),
    when=st.lists(st.integers(0, NOW), max_size=SHOWN_MAX + 3),
)
@examples(50)
def test_any_request_under_any_purpose_gets_a_whole_page(
    letter: str | None,
    basis: str | None,
    last: datetime.date | None,
    measure: Measure,
    columns: tuple[str, ...],
    where: str | None,
    purpose: str,
    requester: str,
    own: str,
    when: list[int],
) -> None:
    table = TableRequest("T", purpose, ("age_band",), columns, measure, where, False)
    stated = CharterPurpose("improvement", "To better it.", basis, letter, last)
    released = [Earlier(question(TYPICAL), moment, b"r" * 32) for moment in when]
    page = explain(
        Question(table, requester, where or "", None),
        own=own,
        charter=attrs.evolve(CHARTER, purposes=(stated,)),
        codebook=BOOK,
        released=released,
    )
    for section in page.sections:
        assert section.sentences
        for text in section.sentences:
            assert text.nl
            assert text.en
    said = words(page, "purpose", "nl")
    if purpose == "unheard-of":
        assert "staat niet in het handvest" in said
    else:
        assert (EHDS[letter].nl if letter else "geen letter") in said
        assert (str(last.year) if last else "geen einddatum") in said
        assert ("Wpg artikel 1" if basis else "geen juridische grondslag") in said
    assert ("staat niet in het handvest" in said) == (purpose == "unheard-of" or requester == "nobody")


# --- who learns what --------------------------------------------------------------------------------------------


def test_a_centre_without_data_of_its_own_is_told_so() -> None:
    only = charter(head=PAIR_HEAD, noord='roles = ["compute", "request"]')
    page = explain(question(TYPICAL), own="noord", charter=only, codebook=BOOK)
    assert "brings no data" in words(page, "leaves")
    other = explain(question(TYPICAL), own="zuid", charter=only, codebook=BOOK)
    assert "split into 3 shares" in words(other, "leaves")
    assert "the 2 centres that bring data" in words(other, "leaves")
    assert "only two centres bring data" in words(other, "learnt")


def test_people_who_object_are_spoken_of_as_the_centre_has_it() -> None:
    for opt_out, said in ((True, "Whoever has objected at this centre does not count"), (False, "no list of people")):
        page = explain(question(TYPICAL), own="noord", charter=CHARTER, codebook=BOOK, opt_out=opt_out)
        assert said in words(page, "leaves")


def test_liars_are_spoken_of_as_the_insider_rule_allows() -> None:
    strict = explain(question(TYPICAL), own="noord", charter=CHARTER, codebook=BOOK)
    assert "cannot open a small cell" in words(strict, "learnt")
    lax = attrs.evolve(CHARTER, disclosure=attrs.evolve(CHARTER.disclosure, insider=False))
    assert "can open a cell in which there really are too few" in words(
        explain(question(TYPICAL), own="noord", charter=lax, codebook=BOOK), "learnt"
    )


# --- compared with what was released before -----------------------------------------------------------------------


def compared(*texts: bytes, now: bytes = TYPICAL) -> list[str]:
    released = [earlier(text, days) for days, text in enumerate(texts, 1)]
    page = explain(question(now), own="noord", charter=CHARTER, codebook=BOOK, released=released)
    return words(page, "earlier").splitlines()


def test_unrelated_releases_are_not_mentioned() -> None:
    far = TYPICAL.replace(b"improvement", b"research").replace(b"age_band", b"ehr").replace(b"nsk_positive", b"triage")
    assert compared(far) == ["Nothing has been released yet with the same variables or for the same purpose."]
    assert len(compared(far.replace(b'"research"', b'"improvement"'))) == 2


@pytest.mark.parametrize(
    ("then", "said"),
    [
        (TYPICAL, "the same choice of visits; the same breakdown."),
        (
            TYPICAL.replace(b"sex IN ('M', 'V') AND", b"sex in ('M','V')  and"),
            "the same choice of visits; the same breakdown.",
        ),
        (ALL, "then all visits; the same breakdown."),
        (FINER, "the same choice of visits; coarser now: without Part of the day (daypart)."),
        (
            TYPICAL.replace(b'columns = "nsk_positive"\n', b""),
            "the same choice of visits; finer now: also by Result of the NSK: positive (nsk_positive).",
        ),
        (TYPICAL.replace(b'"age_band"', b'"triage"'), "then broken down by"),
        (TYPICAL.replace(b"children", b"visits"), "visits were counted then"),
        (TYPICAL.replace(b"improvement", b"research"), "another purpose (research)"),
        (TYPICAL.replace(b"'complete'", b"'partial'"), "then visits for which"),
    ],
)
def test_each_difference_is_named(then: bytes, said: str) -> None:
    first, last = compared(then)
    assert said in first
    assert "2026" in first
    assert "“" in first
    assert "compared with those of the last 100 tables" in last


def test_the_closest_come_first_and_the_list_is_bounded() -> None:
    lines = compared(ALL, FINER, TYPICAL)
    assert [("same breakdown" in line, "same choice" in line) for line in lines[:3]] == [
        (True, True),
        (False, True),
        (True, False),
    ]
    many = compared(*[TYPICAL] * (SHOWN_MAX + 3))
    assert len(many) == SHOWN_MAX + 2
    assert "And 3 more" in many[SHOWN_MAX]


if __name__ == "__main__":
    for each in LANGUAGES:
        (PAGES / f"typical.{each}.txt").write_text(written(typical(), each))
