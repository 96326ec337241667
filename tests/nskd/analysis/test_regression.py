"""Joint models over several centres against statsmodels on all rows together: published rows, and made-up extracts."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import attrs
import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from nskd.analysis.design import Design, DesignError, Group
from nskd.analysis.impossible import impossible_cells
from nskd.analysis.regression import OwnRows, Scale, fitted, too_small
from nskd.analysis.table import TablePlan, plan_request
from nskd.data.errors import RequestError
from nskd.data.load import Dataset, load_visits
from nskd.data.patterns import Patterns, local_patterns
from nskd.data.query import local_table
from nskd.governance.question import ModelFamily
from nskd.governance.request_text import parse_request
from nskd.packs.codebook import TOTAL
from nskd.packs.synthetic import generate, write_visits
from protocol.online.arithmetic import Evaluator
from protocol.online.regression import Estimates, Status, regression, regression_cost
from protocol.party import Party
from tests.cluster import Cluster
from tests.dealer import Dealer
from tests.nskd.data.extracts import nsk

FAMILIES = {
    ModelFamily.LOGISTIC: sm.families.Binomial(),
    ModelFamily.POISSON: sm.families.Poisson(),
    ModelFamily.LINEAR: sm.families.Gaussian(),
}


async def joint(own: list[OwnRows]) -> Estimates:
    """The fit of all centres together; each must come to the same."""
    design, parties = own[0].design, len(own)
    dealer = Dealer(parties, seed=1)
    material = dealer.material(**attrs.asdict(regression_cost(design.sizes)))

    async def seat(party: Party) -> Estimates:
        evaluator = Evaluator(party, dealer.keys[party.index], material[party.index])
        return await regression(evaluator, design.sizes, design, own[party.index])

    found = await Cluster(parties).run(seat)
    assert all(each == found[0] for each in found)
    return found[0]


# --- rows that are published ------------------------------------------------------------------------------------


@attrs.frozen(eq=False)
class Study:
    """Rows with categories alone, and the outcome."""

    columns: dict[str, np.ndarray]
    outcome: np.ndarray

    def design(self, family: ModelFamily, effects: bool) -> Design:
        """As from counts rounded to multiples of 5."""
        groups = []
        for name, values in self.columns.items():
            levels, counts = np.unique(values, return_counts=True)
            near = np.rint(counts / 5) * 5
            groups.append(
                Group(name, tuple(levels.tolist()), levels[0], tuple(near.tolist()), tuple(range(levels.size)))
            )
        people = float(np.rint(self.outcome.size / 5) * 5)
        rate = float(np.rint((self.outcome > 0).sum() / 5) * 5) / people
        return Design(family, tuple(groups), not effects, people, rate)

    def rows(self, design: Design, part: np.ndarray, scale: Scale) -> OwnRows:
        places = np.stack(
            [np.searchsorted(np.array(group.levels), self.columns[group.name][part]) for group in design.groups], axis=1
        )
        total = self.outcome[part].astype(np.int64)
        return OwnRows.of(design, Patterns(places, np.ones_like(total), total, total**2), scale)

    def pooled(self, design: Design, parts: list[np.ndarray], family: ModelFamily) -> sm.GLM:
        order = np.concatenate(parts)
        columns = self.rows(design, order, Scale()).columns
        if not design.intercept:
            columns = np.hstack([columns, np.repeat(np.eye(len(parts)), [part.size for part in parts], axis=0)])
        return sm.GLM(self.outcome[order], columns, family=FAMILIES[family]).fit(tol=1e-13)


def affairs() -> Study:
    """R. C. Fair, J. Polit. Econ. 86 (1978): 6,366 answers to a survey, published with statsmodels."""
    data = sm.datasets.fair.load_pandas().data
    return Study(
        {
            "rating": data.rate_marriage.clip(lower=2).astype(int).astype(str).to_numpy(),
            "religious": data.religious.astype(int).astype(str).to_numpy(),
            "years": pd.cut(data.yrs_married, [0, 3, 9, 30], labels=["a", "b", "c"]).astype(str).to_numpy(),
        },
        (data.affairs > 0).astype(np.int64).to_numpy(),
    )


def parts_of(count: int, centres: int) -> list[np.ndarray]:
    """Unequal parts of rows; the first ones differ from the last, as the order of publication is half kept."""
    bounds = (np.linspace(0, 1, centres + 1) ** 1.4 * count).astype(int)
    order = np.argsort(np.arange(count) + count * np.random.default_rng(1).random(count))
    return [order[a:b] for a, b in pairwise(bounds)]


@pytest.mark.parametrize("effects", [False, True])
@pytest.mark.parametrize("family", list(ModelFamily))
@pytest.mark.parametrize("centres", [3, pytest.param(6, marks=pytest.mark.long)])
async def test_published_rows_split_over_centres(family: ModelFamily, effects: bool, centres: int) -> None:
    study = affairs()
    scale = Scale()
    if family is ModelFamily.LINEAR:
        data = sm.datasets.fair.load_pandas().data
        study, scale = attrs.evolve(study, outcome=(data.age * 2).astype(np.int64).to_numpy()), Scale.between(30, 90)
    design = study.design(family, effects)
    parts = parts_of(study.outcome.size, centres)
    estimates = await joint([study.rows(design, part, scale) for part in parts])
    model = fitted(design, estimates, scale, centres)
    exact = study.pooled(design, parts, family)
    count = design.coefficients
    estimate = np.array([row["estimate"] for row in model["coefficients"]])
    error = np.array([row["error"] for row in model["coefficients"]])
    np.testing.assert_allclose(estimate, exact.params[:count], rtol=1e-4, atol=1e-4 * exact.bse[:count].min())
    np.testing.assert_allclose(error, exact.bse[:count], rtol=1e-4)
    if family is ModelFamily.LINEAR:
        assert model["residual_error"] == pytest.approx(np.sqrt(exact.scale), rel=1e-4)
        within = exact.deviance
        middle = study.outcome - study.outcome.mean()
        if effects:
            middle = np.concatenate([study.outcome[part] - study.outcome[part].mean() for part in parts])
        assert model["determination"] == pytest.approx(1 - within / (middle**2).sum(), abs=1e-4)
    else:
        order = np.concatenate(parts)
        flat = np.ones((order.size, 1))
        if effects:
            flat = np.repeat(np.eye(centres), [part.size for part in parts], axis=0)
        null = sm.GLM(study.outcome[order], flat, family=FAMILIES[family]).fit(tol=1e-13)
        assert model["likelihood_ratio"] == pytest.approx(2 * (exact.llf - null.llf), rel=1e-3)


async def test_counts_of_events_split_over_centres() -> None:
    """The RAND health insurance experiment (J. P. Newhouse, 1993; rows come with statsmodels): visits to doctors."""
    data = sm.datasets.randhie.load_pandas().data
    study = Study(
        {
            "plan": (data.lncoins > 0).astype(int).astype(str).to_numpy(),
            "health": data[["hlthg", "hlthf", "hlthp"]].to_numpy().dot([1, 2, 3]).astype(int).astype(str),
            "limited": (data.physlm > 0).astype(int).astype(str).to_numpy(),
        },
        data.mdvis.to_numpy().astype(np.int64),
    )
    design = attrs.evolve(study.design(ModelFamily.POISSON, False), rate=float(study.outcome.mean()))
    parts = parts_of(study.outcome.size, 4)
    estimates = await joint([study.rows(design, part, Scale()) for part in parts])
    exact = study.pooled(design, parts, ModelFamily.POISSON)
    np.testing.assert_allclose(estimates.path[-1], exact.params, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(estimates.errors, exact.bse, rtol=1e-4)


async def test_a_centre_where_nothing_happened_changes_nothing_beside_its_own_intercept() -> None:
    study = affairs()
    design = study.design(ModelFamily.LOGISTIC, True)
    parts = parts_of(study.outcome.size, 3)
    quiet = np.flatnonzero(study.outcome == 0)[:40]
    parts[2] = np.setdiff1d(parts[2], quiet)
    parts[0], parts[1] = (np.setdiff1d(part, quiet) for part in parts[:2])
    without = await joint([study.rows(design, part, Scale()) for part in parts])
    beside = await joint([study.rows(design, part, Scale()) for part in [*parts, quiet]])
    np.testing.assert_allclose(without.path[-1], beside.path[-1], rtol=1e-4)
    np.testing.assert_allclose(without.errors, beside.errors, rtol=1e-5)


async def test_separation_is_named() -> None:
    """Of those that a raises and b does not all have the outcome, of those the other way round none."""
    rng = np.random.default_rng(1)
    a, b = rng.integers(0, 2, 3000), rng.integers(0, 2, 3000)
    y = np.where(a == b, rng.random(3000) < 0.5, a == 1).astype(np.int64)
    study = Study({"a": a.astype(str), "b": b.astype(str)}, y)
    design = study.design(ModelFamily.LOGISTIC, False)
    parts = parts_of(3000, 3)
    estimates = await joint([study.rows(design, part, Scale()) for part in parts])
    model = fitted(design, estimates, Scale(), 3)
    assert model["reason"] == "separated"
    assert model["levels"] == [{"name": "a", "level": "1"}, {"name": "b", "level": "1"}]


async def test_collinear_covariates_are_named_so() -> None:
    study = affairs()
    twice = Study({**study.columns, "again": study.columns["years"]}, study.outcome)
    design = twice.design(ModelFamily.LOGISTIC, False)
    parts = parts_of(twice.outcome.size, 3)
    estimates = await joint([twice.rows(design, part, Scale()) for part in parts])
    assert estimates.status is Status.SINGULAR
    assert fitted(design, estimates, Scale(), 3) == {"reason": "collinear", "levels": []}


# --- extracts, from the request on --------------------------------------------------------------------------------

HEAD = 'kind = "regression"\ntitle = "T"\npurpose = "improvement"\nmeasure = "visits"\n'


def plan(*lines: str) -> TablePlan:
    return plan_request(nsk().codebook, parse_request("\n".join((HEAD, *lines)).encode()))


@pytest.fixture(scope="module")
def extracts(tmp_path_factory: pytest.TempPathFactory) -> list[Dataset]:
    """Of three made-up centres."""
    found = []
    for centre in range(3):
        path: Path = tmp_path_factory.mktemp("extract") / "visits.parquet"
        write_visits(generate(nsk(), seed=3, centre=centre, visits=4000), path)
        found.append(load_visits(path, nsk().codebook))
    return found


def design_of(asked: TablePlan, extracts: list[Dataset]) -> Design:
    counts = np.sum([local_table(each, asked).values.astype(np.int64) for each in extracts], axis=0)
    return Design.of(asked, impossible_cells(asked), (counts + 2) // 5 * 5)


@pytest.mark.parametrize("effects", [False, True])
async def test_a_request_over_extracts(extracts: list[Dataset], effects: bool) -> None:
    asked = plan(
        'family = "logistic"',
        "outcome = \"nsk_status = 'complete'\"",
        'covariates = ["age_band: 4-8", "sex", "daypart"]',
        "where = \"daypart <> 'missing' AND sex <> 'X'\"",
        f"centre_effects = {str(effects).lower()}",
    )
    design = design_of(asked, extracts)
    assert [group.reference for group in design.groups] == ["4-8", "M", "night"]
    assert "missing" not in design.groups[2].levels
    own = [OwnRows.of(design, local_patterns(each, asked), Scale()) for each in extracts]
    model = fitted(design, await joint(own), Scale(), 3)

    rows = [
        (centre, *row)
        for centre, each in enumerate(extracts)
        for row in each.fetch("SELECT age_band, sex, daypart, nsk_status FROM visits")
        if row[2] != "missing" and row[1] != "X"
    ]
    frame = pd.DataFrame(rows, columns=["centre", "age_band", "sex", "daypart", "status"])
    columns = [
        np.ones(len(frame)) if row["name"] is None else (frame[row["name"]] == row["level"]).to_numpy(dtype=float)
        for row in model["coefficients"]
    ]
    if effects:
        columns += [(frame.centre == k).to_numpy(dtype=float) for k in range(3)]
    exact = sm.GLM((frame.status == "complete").to_numpy(float), np.stack(columns, 1), family=sm.families.Binomial())
    exact = exact.fit(tol=1e-13)
    count = design.coefficients
    np.testing.assert_allclose(
        [r["estimate"] for r in model["coefficients"]], exact.params[:count], rtol=1e-4, atol=1e-5
    )
    np.testing.assert_allclose([r["error"] for r in model["coefficients"]], exact.bse[:count], rtol=1e-4)


async def test_a_linear_request_over_extracts(extracts: list[Dataset]) -> None:
    asked = plan('family = "linear"', 'outcome = "age_months"', 'covariates = ["daypart", "nsk_status"]')
    design = design_of(asked, extracts)
    scale = Scale.between(0, 215)
    own = [OwnRows.of(design, local_patterns(each, asked), scale) for each in extracts]
    model = fitted(design, await joint(own), scale, 3)
    frame = pd.DataFrame(
        [row for each in extracts for row in each.fetch("SELECT daypart, nsk_status, age_months FROM visits")],
        columns=["daypart", "nsk_status", "age"],
    )
    columns = [
        np.ones(len(frame)) if row["name"] is None else (frame[row["name"]] == row["level"]).to_numpy(dtype=float)
        for row in model["coefficients"]
    ]
    exact = sm.OLS(frame.age.to_numpy(float), np.stack(columns, 1)).fit()
    np.testing.assert_allclose([r["estimate"] for r in model["coefficients"]], exact.params, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose([r["error"] for r in model["coefficients"]], exact.bse, rtol=1e-4)
    assert model["residual_error"] == pytest.approx(np.sqrt(exact.scale), rel=1e-4)
    assert model["determination"] == pytest.approx(exact.rsquared, abs=1e-4)


def test_cells_are_each_covariate_by_itself(extracts: list[Dataset]) -> None:
    asked = plan('family = "logistic"', "outcome = \"sex = 'V'\"", 'covariates = ["age_band", "daypart"]')
    assert asked.size == 2 * (4 + 5)
    counts = local_table(extracts[0], asked)
    for cell, value in zip(asked.cells, counts.values.tolist(), strict=True):
        ((name, level),) = ((n, cell[n]) for n in asked.rows if cell[n] != TOTAL)
        equals = "=" if cell["@event"] == "yes" else "<>"
        ((expected,),) = extracts[0].fetch(f"SELECT count(*) FROM visits WHERE {name} = '{level}' AND sex {equals} 'V'")
        assert value == expected


def test_levels_without_events_are_named(extracts: list[Dataset]) -> None:
    asked = plan(
        'family = "logistic"', "outcome = \"sex = 'V' AND age_months < 48\"", 'covariates = ["age_band", "daypart"]'
    )
    with pytest.raises(DesignError) as caught:
        design_of(asked, extracts)
    levels = {(each["name"], each["level"]) for each in too_small(caught.value.levels)["levels"]}
    assert levels == {("age_band", "4-8"), ("age_band", "9-11"), ("age_band", "12-17")}


@pytest.mark.parametrize(
    ("lines", "what"),
    [
        (['family = "logistic"', "outcome = \"sex = 'V'\"", 'covariates = ["age_band"]'], "no more than a table"),
        (['family = "logit"', "outcome = \"sex = 'V'\"", 'covariates = ["age_band"]'], "not known"),
        (['family = "logistic"', "outcome = \"sex = 'V'\"", 'covariates = ["age_band: 5", "daypart"]'], "no level"),
        (['family = "logistic"', "outcome = \"sex = 'V'\"", 'covariates = ["age", "daypart"]'], "no variable"),
        (['family = "logistic"', "outcome = \"sex = 'V'\"", 'covariates = ["sex", "sex: M"]'], "listed twice"),
        (['family = "linear"', 'outcome = "sex"', 'covariates = ["age_band", "daypart"]'], "no whole number"),
        (['family = "logistic"', "outcome = \"sex = 'V'\"", 'covariates = ["visit_month", "daypart"]'], "coefficients"),
    ],
)
def test_what_cannot_be_a_model(lines: list[str], what: str) -> None:
    from nskd.governance.request_text import RequestError as TextError

    with pytest.raises((RequestError, TextError), match=what):
        plan(*lines)


def test_a_unit_in_the_last_place_of_an_exponential_changes_no_scale(
    extracts: list[Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Machines differ by that much, and shares multiplied by different public numbers fit no MAC (18.8)."""
    lines = ('family = "logistic"', "outcome = \"nsk_status = 'complete'\"", 'covariates = ["age_band", "sex"]')
    design = design_of(plan(*lines, "where = \"sex <> 'X'\""), extracts)
    at = tuple(0.1 * k for k in range(design.coefficients))
    here, exponential = design.expected(at), np.exp
    monkeypatch.setattr(np, "exp", lambda values: np.nextafter(exponential(values), np.inf))
    assert np.array_equal(design.expected(at), here)
