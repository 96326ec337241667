"""Made-up extracts have the published properties, and are what the codebook would accept."""

from __future__ import annotations

import attrs
import numpy as np
import pytest

from nskd.errors import OperatorError
from nskd.packs.errors import PackError
from nskd.packs.pack import load_pack
from nskd.packs.synthetic import Rows, generate

PACK = load_pack("nsk")


@pytest.fixture(scope="module")
def centres() -> list[Rows]:
    """Sixty hospitals of a thousand visits, to see the spread between them."""
    return [generate(PACK, seed=2025, centre=centre, visits=1000) for centre in range(60)]


@pytest.fixture(scope="module")
def country() -> Rows:
    """A hospital of a hundred thousand visits, to see rare things."""
    return generate(PACK, seed=2025, centre=3, visits=120_000)


def test_the_same_seed_gives_the_same_extract() -> None:
    one, two, other, elsewhere = (
        generate(PACK, seed=seed, centre=centre, visits=40) for seed, centre in ((1, 0), (1, 0), (2, 0), (1, 1))
    )
    assert all((one[name] == two[name]).all() for name in one)
    assert (one["visit_id"] != other["visit_id"]).all()
    assert (one["visit_id"] != elsewhere["visit_id"]).all()


def test_size_and_order() -> None:
    made = generate(PACK, seed=1)
    assert list(made) == list(PACK.codebook.variables)
    assert {len(column) for column in made.values()} == {7000}
    assert np.unique(made["visit_id"]).size == 7000


def test_values_are_those_of_the_codebook(country: Rows) -> None:
    for variable in PACK.codebook.variables.values():
        if variable.levels:
            assert set(np.unique(country[variable.name])) <= set(variable.keys)
    assert country["age_months"].min() >= 0
    assert country["age_months"].max() <= 215


def test_compliance_and_its_spread_between_hospitals(centres: list[Rows]) -> None:
    rates = np.array([(made["screened"] == "ja").mean() for made in centres])
    assert 0.57 <= rates.mean() <= 0.71
    assert 0.45 <= np.log(rates / (1 - rates)).std() <= 0.8


def test_positives_among_the_screened(country: Rows) -> None:
    screened = country["screened"] == "ja"
    assert 0.020 <= (country["nsk_positive"][screened] == "ja").mean() <= 0.025
    assert (country["nsk_positive"][~screened] == "not_screened").all()


@pytest.mark.parametrize(
    ("flag", "published", "tolerance"),
    [
        ("delay_abnormal", 3.45, 0.5),
        ("interaction_abnormal", 14.67, 0.3),
        ("injury_fit_abnormal", 10.40, 0.35),
        ("other_signals_abnormal", 182.9, 0.3),
    ],
)
def test_association_with_maltreatment(flag: str, published: float, tolerance: float) -> None:
    # The hidden factor is in no file. Here it is shown and made common; odds ratios stay.
    assert PACK.synthetic is not None
    (hidden,) = (d for d in PACK.synthetic.draws if d.hidden)
    common = attrs.evolve(hidden, weights=np.array([0.5, 0.5]))
    draws = tuple(common if d is hidden else d for d in PACK.synthetic.draws)
    variables = {**PACK.codebook.variables, hidden.variable.name: hidden.variable}
    pack = attrs.evolve(
        PACK,
        codebook=attrs.evolve(PACK.codebook, variables=variables),
        synthetic=attrs.evolve(PACK.synthetic, draws=draws),
    )
    made = generate(pack, seed=9, visits=60_000)
    asked = (made["complaint_group"] == "injury") & (made["nsk_status"] == "complete")
    odds = []
    for group in ("yes", "no"):
        rate = (made[flag][asked & (made[hidden.variable.name] == group)] == "ja").mean()
        odds.append(rate / (1 - rate))
    assert abs(np.log(odds[0] / odds[1] / published)) < tolerance


def test_prevalence_of_the_hidden_factor_is_published() -> None:
    assert PACK.synthetic is not None
    (hidden,) = (d for d in PACK.synthetic.draws if d.hidden)
    assert hidden.source.published
    assert hidden.weights[0] == pytest.approx(0.003)
    assert all(d.source.note for d in PACK.synthetic.draws)


def test_some_children_come_back_unchanged_but_older(country: Rows) -> None:
    children, index, visits = np.unique(country["person_link"], return_inverse=True, return_counts=True)
    assert 0.05 < (visits > 1).mean() < 0.2
    assert visits.max() <= 4
    for fixed in ("sex", "ehr", "hospital_type"):
        pairs = np.unique(np.stack([index.astype(str), country[fixed]]), axis=1)
        assert pairs.shape[1] == children.size
    order = np.lexsort((country["visit_month"], index))
    same = np.diff(index[order]) == 0
    assert (np.diff(country["age_months"][order])[same] >= 0).all()


def test_refused_sizes_and_packs() -> None:
    for wrong in ({"visits": 0}, {"visits": 10**9}, {"seed": -1}, {"centre": -1}):
        with pytest.raises(OperatorError):
            generate(PACK, **({"seed": 1} | wrong))
    with pytest.raises(PackError, match=r"synthetic.toml: is missing"):
        generate(attrs.evolve(PACK, synthetic=None), seed=1)
