from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nskd.data.errors import RequestError
from nskd.data.load import Dataset, load_visits
from nskd.data.months import months_selected
from nskd.data.where import EVERYTHING, parse_where
from nskd.data.where_tokens import DEPTH_MAX, WHERE_CHARS_MAX
from nskd.packs.synthetic import generate, write_visits
from tests.examples import examples
from tests.nskd.data.extracts import nsk

BOOK = nsk().codebook


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dataset]:
    path = tmp_path_factory.mktemp("where") / "visits.csv"
    write_visits(generate(nsk(), seed=11, visits=300), path)
    with load_visits(path, BOOK) as dataset:
        yield dataset


def selected(data: Dataset, sql: str) -> list[tuple[str]]:
    return data.fetch(f"SELECT visit_id FROM visits WHERE {sql} ORDER BY visit_id")


@pytest.mark.parametrize(
    ("source", "sql"),
    [
        ("delay='ja'", "(\"delay\" = 'ja')"),
        ("\"DELAY\" <> 'ja'", "(\"delay\" <> 'ja')"),
        ("NOT (delay = 'ja' OR age_months >= 12)", '(NOT (("delay" = \'ja\') OR ("age_months" >= 12)))'),
        ("sex IN ('M', 'V') and true", "((\"sex\" IN ('M', 'V')) AND TRUE)"),
        ("visit_month between '2025-01' and '2025-06'", "(\"visit_month\" BETWEEN '2025-01' AND '2025-06')"),
        ("delay IS NULL", "(\"delay\" = 'missing')"),
        ("delay IS NOT NULL", "(NOT (\"delay\" = 'missing'))"),
        ("sex IS NULL", "FALSE"),
        ("age_months - 3 < -abs(age_months)", '(("age_months" - 3) < (- abs("age_months")))'),
        ("lower(ehr) = 'hix'", "(lower(\"ehr\") = 'hix')"),
        ("coalesce(delay, 'nee') = upper('x')", "(coalesce(\"delay\", 'nee') = upper('x'))"),
    ],
)
def test_accepted(data: Dataset, source: str, sql: str) -> None:
    accepted = parse_where(source, BOOK)
    assert accepted.sql == sql
    selected(data, sql)


def test_the_variables_of_a_filter_are_named_in_codebook_order() -> None:
    assert parse_where("sex = 'M' or age_months = 1 or daypart = 'night'", BOOK).variables == (
        "daypart", "age_months", "sex",
    )  # fmt: skip
    assert parse_where("  ", BOOK) == EVERYTHING


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ("delay = 'JA'", "Did you mean 'ja'? Its levels are ja, nee, nvt, missing."),
        ("'JA' = delay", "Did you mean 'ja'?"),
        ("delay IN ('ja', 'neen')", "Did you mean 'nee'?"),
        ("visit_month > '2025'", "Its levels are 2024-01 … 2027-12."),
        ("delay = ja", "Write it in single quotes: 'ja'."),
        ('delay = "ja"', "Write it in single quotes: 'ja'."),
        ("delya = 'ja'", 'character 1: there is no variable "delya". Did you mean "delay"?'),
        ("person_link = 'x'", "singles out a visit or a child"),
        ("coalesce(visit_id, 'x') = 'x'", "singles out a visit or a child"),
        ("age_band < '9-11'", "without an order"),
        ("delay", "where a condition is needed"),
        ("age_months", "where a condition is needed"),
        ("age_months = '3'", "Compare values of one kind"),
        ("delay + 1 = 2", "not a number"),
        ("lower(age_months) = '3'", "not text"),
        ("(delay = 'ja') = true", "Compare values of one kind"),
        ("age_months = 1.5", "not a whole number"),
        ("age_months = 1e3", "not a whole number"),
        ("age_months = 99999999999", "not a whole number"),
        ("delay = NULL", "NULL is not allowed"),
        ("delay IS TRUE", "IS goes with one variable and NULL"),
        ("delay IN ()", "IN needs a list"),
        ("sex IN (delay)", "plain values"),
        ("delay LIKE 'j%'", "character 7"),
        ("delay = 'ja' -- all", "comments"),
        ("delay = 'ja' /* all */", "comments"),
        ("-- all", "nothing"),
        ("delay = 'ja'; DROP TABLE visits", '";" is not allowed'),
        ("delay = (SELECT 'ja')", '"SELECT" is not allowed'),
        ("EXISTS (SELECT 1)", "is not allowed"),
        ("delay = ANY(['ja'])", "is not allowed"),
        ("delay::int = 1", "is not allowed"),
        ("CAST(delay AS int) = 1", "is not a"),
        ("CASE WHEN true THEN true END", "is not allowed"),
        ("age_months = $1", "is not allowed"),
        ("age_months = ?", "is not allowed"),
        ("age_months * 2 = 4", "is not allowed"),
        ("* = 1", "is not allowed"),
        ("x -> x = 1", "there is no variable"),
        ("visits.delay = 'ja'", "there is no variable"),
        ("delay.sex = 'ja'", "is not allowed"),
        ("read_text('/etc/passwd') = 'x'", "not a function that may be used"),
        ("getenv('HOME') = 'x'", "not a function that may be used"),
        ("random() > 1", "not a function that may be used"),
        ("delay = 'ja' 'nee'", "CONCAT is not allowed"),
        ("delay = 'ja", "every quote"),
        ("delay = 'ja' AND", "cannot be understood"),
        ("(delay = 'ja'", "cannot be understood"),
        ("delay = 'ja')", "cannot be understood"),
        ("delay = 'j\0a'", "cannot be printed"),
        ("in(delay)", "is not allowed"),
        ("(" * (DEPTH_MAX + 1) + "true" + ")" * (DEPTH_MAX + 1), "nested deeper"),
        ("NOT " * (DEPTH_MAX + 1) + "true", "nested deeper"),
        ("true" + " OR true" * 300, "more than"),
        (" " * WHERE_CHARS_MAX + "true", "longer than"),
    ],
)
def test_refused(source: str, what: str) -> None:
    with pytest.raises(RequestError) as caught:
        parse_where(source, BOOK)
    assert what in str(caught.value)


def test_the_deepest_and_longest_conditions_that_pass_are_parsed(data: Dataset) -> None:
    for source in (
        "(NOT " * 8 + "true" + ")" * 8,
        "true" + " AND true" * 240,
        "-" + " -" * 15 + "1 = age_months",
    ):
        selected(data, parse_where(source, BOOK).sql)


# A grammar of conditions in plain SQL, to be read by our checker and, as it stands, by DuckDB.
_NUMBERS = st.recursive(
    st.just("age_months") | st.integers(0, 250).map(str),
    lambda inner: st.one_of(
        st.builds("({} {} {})".format, inner, st.sampled_from("+-"), inner),
        inner.map("abs({})".format),
        inner.map("- {}".format),
    ),
    max_leaves=3,
)
_CATEGORY = st.sampled_from(("delay", "Sex", "age_band", '"triage"', "nsk_positive"))


@st.composite
def _atoms(draw: st.DrawFn) -> str:
    name = draw(_CATEGORY)
    keys = BOOK.variables[name.strip('"').lower()].keys
    level = st.sampled_from(keys).map("'{}'".format)
    order = st.sampled_from(("=", "<>", "!=", "<", "<=", ">", ">="))
    month = st.sampled_from(BOOK.variables["visit_month"].keys).map("'{}'".format)
    negated = draw(st.sampled_from(("", "NOT ")))
    forms = (
        lambda: f"{name} {draw(order.filter(lambda o: o in ('=', '<>', '!=')))} {draw(level)}",
        lambda: f"{draw(level)} = {name}",
        lambda: f"{name} {negated}IN ({', '.join(draw(st.lists(level, min_size=1, max_size=3)))})",
        lambda: f"{draw(_NUMBERS)} {draw(order)} {draw(_NUMBERS)}",
        lambda: f"{draw(_NUMBERS)} {negated}BETWEEN {draw(_NUMBERS)} AND {draw(_NUMBERS)}",
        lambda: f"visit_month {draw(order)} {draw(month)}",
        lambda: f"visit_month {negated}between {draw(month)} and {draw(month)}",
        lambda: f"upper({name}) = {draw(level)}",
        lambda: f"coalesce({name}, {draw(level)}) = {draw(level)}",
        lambda: draw(st.sampled_from(("true", "FALSE", "age_months IS NOT NULL", "age_months IS NULL"))),
    )
    return draw(st.sampled_from(forms))()


_CONDITIONS = st.recursive(
    _atoms(),
    lambda inner: st.one_of(
        st.builds("{} {} {}".format, inner, st.sampled_from(("AND", "or", "OR", "and")), inner),
        inner.map("NOT {}".format),
        inner.map("({})".format),
    ),
    max_leaves=5,
)


@examples(100)
@given(_CONDITIONS)
def test_a_filter_means_what_its_text_means(data: Dataset, source: str) -> None:
    try:
        accepted = parse_where(source, BOOK)
    except RequestError as error:
        assert "nested deeper" in str(error)  # the only bound this grammar can meet
        return
    assert selected(data, accepted.sql) == selected(data, source)


_ALLOWED = "delay age_months visit_id 'ja' 'x' 1 NOT AND OR IN BETWEEN IS NULL ISNULL ( ) , = < - + lower( abs("
_FORBIDDEN = r"""
    visits 0x1 -- /* */ ; :: -> * $1 ? SELECT FROM UNION [ ] { } : . ANY DISTINCT AS x " ' CASE END LAMBDA
    e' $$ date interval || SYMMETRIC COLLATE \ count( coalesce(
"""
_WORDS = st.sampled_from(_ALLOWED.split()) | st.sampled_from(_FORBIDDEN.split())


@examples(100)
@given(st.one_of(st.lists(_WORDS, max_size=12).map(" ".join), st.text(max_size=40), _CONDITIONS))
def test_any_text_is_accepted_or_refused_and_what_is_accepted_runs(data: Dataset, source: str) -> None:
    with contextlib.suppress(RequestError):
        selected(data, parse_where(source, BOOK).sql)


def test_a_condition_too_deep_to_be_looked_into_excludes_no_month(monkeypatch: pytest.MonkeyPatch) -> None:
    def too_deep(*_: object, **__: object) -> None:
        raise RecursionError

    monkeypatch.setattr("nskd.data.months.sqlglot.parse_one", too_deep)
    found = months_selected(EVERYTHING, BOOK)
    assert BOOK.month is not None and found == tuple(BOOK.variables[BOOK.month].keys)
