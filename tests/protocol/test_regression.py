"""Joint regression against statsmodels on all rows, what it opens, what it refuses, and liars."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import attrs
import numpy as np
import pytest
import statsmodels.api as sm

from protocol import field
from protocol.errors import Fault, LocalProtocolError, RemoteProtocolError
from protocol.limits import REGRESSION_SIZE_MAX, REGRESSION_STEPS_MAX
from protocol.material import Cost
from protocol.online.arithmetic import Evaluator
from protocol.online.fixed_point import REACH, TAIL_MAX
from protocol.online.frame import Frame, Vector
from protocol.online.inverse import FRACTION
from protocol.online.regression import (
    CLOSE,
    FIGURE_BITS,
    FIGURE_FRACTION,
    GRADIENT_FRACTION,
    PEOPLE_FRACTION,
    STEP_FRACTION,
    Estimates,
    Sizes,
    Status,
    regression,
    regression_cost,
)
from protocol.party import Party
from protocol.shares import Shared
from protocol.wire import Message
from tests.cluster import Cluster, Outcome, change_part
from tests.dealer import Dealer
from tests.openings import false_share, falsify

UNIT = 64.0


@attrs.frozen
class Rows:
    """A logistic (or, with ``poisson``, a log-linear) model on rows in the clear: one centre's, or all."""

    x: np.ndarray
    y: np.ndarray
    poisson: bool = False

    def _mean(self, at: Vector) -> np.ndarray:
        eta = self.x @ np.array(at)
        return np.exp(eta) if self.poisson else 1.0 / (1.0 + np.exp(-eta))

    def normal(self, at: Vector) -> tuple[np.ndarray, np.ndarray]:
        mean = self._mean(at)
        weight = mean if self.poisson else mean * (1.0 - mean)
        return (self.x * weight[:, None]).T @ self.x, self.x.T @ (self.y - mean)

    def closing(self, at: Vector) -> tuple[np.ndarray, float]:
        residuals = self.y - self._mean(at)
        return np.array([residuals @ residuals / UNIT]), 0.0


@attrs.frozen
class Public:
    """What everybody knows: the rate, and how many rows have what, but not how these go together."""

    start: Vector
    lengths: np.ndarray

    weighed: bool = False

    @classmethod
    def of(cls, rows: Rows) -> Public:
        mean = rows.y.mean()
        start = np.zeros(rows.x.shape[1])
        start[0] = np.log(mean) if rows.poisson else np.log(mean / (1.0 - mean))
        weight = mean if rows.poisson else mean * (1.0 - mean)
        return cls(tuple(start.tolist()), weight * (rows.x**2).sum(axis=0))

    def expected(self, at: Vector) -> np.ndarray:
        return np.diag(self.lengths * (np.exp(-abs(at[0])) * 4 if self.weighed else 1.0))

    def reach(self, step: Vector) -> float:
        return float(np.abs(step).sum())


def rows(count: int, size: int, seed: int, poisson: bool = False, mix: float = 0.5) -> Rows:
    rng = np.random.default_rng(seed)
    hidden = rng.normal(size=count)
    columns = [np.ones(count)]
    for k in range(size - 1):
        one = mix * hidden + rng.normal(size=count)
        columns.append((one > 0.4).astype(float) if k % 2 else one / 2)
    x = np.stack(columns, axis=1)
    beta = rng.normal(size=size) * 0.5
    beta[0] = -1.0
    eta = x @ beta
    y = rng.poisson(np.exp(eta)) if poisson else (rng.random(count) < 1.0 / (1.0 + np.exp(-eta)))
    return Rows(x, y.astype(float), poisson)


def parts(pooled: Rows, parties: int) -> list[Rows]:
    """Unequal parts of the rows."""
    bounds = (np.linspace(0, 1, parties + 1) ** 1.5 * len(pooled.y)).astype(int)
    return [Rows(pooled.x[a:b], pooled.y[a:b], pooled.poisson) for a, b in pairwise(bounds)]


async def outcomes(
    own: list, model: object, sizes: Sizes, cluster: Cluster, lie: Callable[[Evaluator], None] = lambda e: None
) -> list[Outcome]:
    parties = len(own)
    dealer = Dealer(parties, seed=1)
    material = dealer.material(**attrs.asdict(regression_cost(sizes)))

    async def seat(party: Party) -> Estimates:
        evaluator = Evaluator(party, dealer.keys[party.index], material[party.index])
        if party.index == parties - 1:
            lie(evaluator)
        return await regression(evaluator, sizes, model, own[party.index])  # type: ignore[arg-type]

    return await cluster.outcomes(seat)


async def fitted(pooled: Rows, parties: int = 3, model: object = None, people: float | None = None) -> Estimates:
    sizes = Sizes(pooled.x.shape[1], 1, people)
    found = await outcomes(parts(pooled, parties), model or Public.of(pooled), sizes, Cluster(parties))
    for each in found:
        if each.error is not None:
            raise each.error
        assert each.value == found[0].value
    return found[0].value


@pytest.mark.parametrize("poisson", [False, True])
@pytest.mark.parametrize(("parties", "size"), [(2, 1), (3, 4), (3, 9), (5, 3)])
async def test_the_joint_fit_is_that_of_all_rows(poisson: bool, parties: int, size: int) -> None:
    pooled = rows(2000, size, size, poisson)
    found = await fitted(pooled, parties)
    assert found.status is Status.CONVERGED
    family = sm.families.Poisson() if poisson else sm.families.Binomial()
    exact = sm.GLM(pooled.y, pooled.x, family=family).fit(tol=1e-12)
    np.testing.assert_allclose(np.array(found.path[-1]), exact.params, atol=1e-4 * exact.bse.min(), rtol=1e-5)
    np.testing.assert_allclose(np.array(found.errors), exact.bse, rtol=2e-5)
    assert found.figures[0] * UNIT == pytest.approx(((pooled.y - exact.mu) ** 2).sum(), rel=1e-4)
    assert len(found.path) <= 8


async def test_figures_per_row_know_the_true_number_of_rows() -> None:
    pooled = rows(2000, 2, 3)
    sizes, parties = Sizes(2, 1, people=2002.0), 3

    @attrs.frozen
    class Counting:
        rows: Rows

        def normal(self, at: Vector) -> tuple[np.ndarray, np.ndarray]:
            return self.rows.normal(at)

        def closing(self, at: Vector) -> tuple[np.ndarray, float]:
            return self.rows.closing(at)[0], len(self.rows.y) / 2002.0

    own = [Counting(part) for part in parts(pooled, parties)]
    found = (await outcomes(own, Public.of(pooled), sizes, Cluster(parties)))[0].value
    plain = await fitted(pooled)
    assert found.figures[0] == pytest.approx(plain.figures[0] * 2002 / 2000, rel=2e-6)


@pytest.mark.parametrize("mix", [3.0, 6.0])
async def test_correlated_covariates(mix: float) -> None:
    """With variance inflation of up to about 30 what is expected of the information is far from what it is."""
    pooled = rows(3000, 5, 11, mix=mix)
    found = await fitted(pooled)
    exact = sm.GLM(pooled.y, pooled.x, family=sm.families.Binomial()).fit(tol=1e-12)
    np.testing.assert_allclose((np.array(found.path[-1]) - exact.params) / exact.bse, 0.0, atol=1e-3)
    np.testing.assert_allclose(np.array(found.errors), exact.bse, rtol=1e-4)


async def test_collinear_columns_are_told_and_nothing_is_shown() -> None:
    pooled = rows(500, 3, 5)
    doubled = attrs.evolve(pooled, x=np.column_stack([pooled.x, pooled.x[:, 1] + pooled.x[:, 2]]))
    found = await fitted(doubled)
    assert found == Estimates(Status.SINGULAR, (Public.of(doubled).start,))


async def test_what_is_opened_without_an_inverse_is_nothing() -> None:
    pooled = rows(300, 3, 5)
    doubled = attrs.evolve(pooled, x=np.column_stack([pooled.x, pooled.x[:, 1] + pooled.x[:, 2]]))
    opened: list[dict[str, np.ndarray]] = []

    def spy(evaluator: Evaluator) -> None:
        original = evaluator.reveal

        async def reveal(label: str, results: dict[str, Shared]) -> dict[str, np.ndarray]:
            told = await original(label, results)
            if label != "masks":
                opened.append(told)
            return told

        evaluator.reveal = reveal  # type: ignore[method-assign, assignment]

    await outcomes(parts(doubled, 3), Public.of(doubled), Sizes(4, 1), Cluster(3), spy)
    (only,) = opened
    assert only["condition"].tolist() == [0]
    assert only["values"].tolist() == [0] * 4


async def test_separation_ends_without_numbers() -> None:
    rng = np.random.default_rng(2)
    x = np.column_stack([np.ones(600), rng.integers(0, 2, 600), rng.integers(0, 2, 600)]).astype(float)
    y = ((x[:, 1] == 1) & (x[:, 2] == 1) & (rng.random(600) < 0.7)).astype(float)
    found = await fitted(Rows(x, y))
    assert found.status is not Status.CONVERGED
    assert found.errors == ()
    assert found.figures == ()


async def test_what_is_opened_is_the_path_the_results_and_whether_there_are_any() -> None:
    pooled = rows(1000, 3, 8)
    revealed: list[tuple[str, dict[str, int]]] = []

    def spy(evaluator: Evaluator) -> None:
        original = evaluator.reveal

        async def reveal(label: str, results: dict[str, Shared]) -> dict[str, np.ndarray]:
            if label != "masks":
                revealed.append((label, {name: len(each) for name, each in results.items()}))
            return await original(label, results)

        evaluator.reveal = reveal  # type: ignore[method-assign, assignment]

    found = (await outcomes(parts(pooled, 3), Public.of(pooled), Sizes(3, 1), Cluster(3), spy))[0].value
    steps = len(found.path) - 1
    assert revealed == [("step", {"condition": 1, "values": 3})] * steps + [("closing", {"condition": 1, "values": 4})]


async def test_a_step_that_does_not_shrink_ends_it() -> None:
    """A centre that leads the others from place to place would learn their gradients there."""

    class Leader(Rows):
        def normal(self, at: Vector) -> tuple[np.ndarray, np.ndarray]:
            information, gradient = super().normal(at)
            return information, gradient + 40.0

    pooled = rows(1000, 2, 8)
    own = parts(pooled, 3)
    found = await outcomes([*own[:2], Leader(own[2].x, own[2].y)], Public.of(pooled), Sizes(2, 1), Cluster(3))
    assert found[0].value.status in (Status.NOT_CONVERGED, Status.CONVERGED)

    class Wanderer(Rows):
        def normal(self, at: Vector) -> tuple[np.ndarray, np.ndarray]:
            information, gradient = super().normal(at)
            return information, gradient + np.random.default_rng(int(abs(at[1]) * 1e6)).normal(size=2) * 200

    found = await outcomes([*own[:2], Wanderer(own[2].x, own[2].y)], Public.of(pooled), Sizes(2, 1), Cluster(3))
    assert found[0].value.status is Status.NOT_CONVERGED
    assert len(found[0].value.path) <= 7 < REGRESSION_STEPS_MAX


async def test_a_step_moves_no_predictor_far() -> None:
    pooled = rows(1000, 3, 8)
    model = attrs.evolve(Public.of(pooled), start=(8.0, 0.0, 0.0), weighed=True)
    found = await fitted(pooled, model=model)
    moves = np.abs(np.diff(np.array(found.path), axis=0)).sum(axis=1)
    assert moves.max() <= 4.0 + 1e-9


async def test_numbers_out_of_range_never_leave() -> None:
    pooled = rows(300, 2, 8)

    class Huge:
        def normal(self, at: Vector) -> tuple[np.ndarray, np.ndarray]:
            return np.eye(2), np.array([1e15, 0.0])

    own = [*parts(pooled, 2), Huge()]
    model = Public.of(pooled)
    found = await outcomes(own, model, Sizes(2, 1), Cluster(3))
    assert isinstance(found[2].error, LocalProtocolError)


@pytest.mark.parametrize("size", [0, 33])
def test_sizes_are_bounded(size: int) -> None:
    with pytest.raises(LocalProtocolError):
        Sizes(size, 1)


# --- liars ----------------------------------------------------------------------------------------------------

LABELS = ["tail", "below", "beaver", "masks/0", "step/0", "step/1", "closing/0", "closing/1"]


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("row", ["value", "mac"])
async def test_a_false_share_is_caught_before_anything_more_is_opened(label: str, row: str) -> None:
    pooled = rows(200, 2, 1)
    lied: list[int] = []

    def lie(evaluator: Evaluator) -> None:
        def once(step: str, shared: Shared) -> Shared:
            if step != label or lied:
                return shared
            lied.append(1)
            return false_share(label, row)(step, shared)

        falsify(evaluator, once)

    found = await outcomes(parts(pooled, 3), Public.of(pooled), Sizes(2, 1), Cluster(3), lie)
    assert lied
    for outcome in found[:2]:
        assert isinstance(outcome.error, RemoteProtocolError)
        assert outcome.error.fault is Fault.MAC_CHECK


def _tampered(label: str, change: Callable[[np.ndarray], np.ndarray], to: int | None) -> tuple[list[int], Cluster]:
    seen: list[int] = []

    def tamper(receiver: int, message: Message) -> Message:
        if message.step.split(".", 1)[1] != label or (to is not None and receiver != to):
            return message
        seen.append(receiver)
        return change_part(message, 0, change)

    return seen, Cluster(3, liar=2, tamper=tamper)


def _plus_one(part: np.ndarray) -> np.ndarray:
    return np.where(np.arange(part.size) == 0, (part + np.uint64(1)) % np.uint64(field.P), part)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda part: part[:-1], Fault.MALFORMED),
        (lambda part: part.astype(np.uint32), Fault.MALFORMED),
        (lambda part: np.full_like(part, field.P), Fault.MALFORMED),
        (_plus_one, Fault.EQUIVOCATION),
    ],
)
async def test_inputs_told_wrongly_or_in_two_ways(change: Callable, fault: Fault) -> None:
    pooled = rows(200, 2, 1)
    seen, cluster = _tampered("input", change, to=0)
    found = await outcomes(parts(pooled, 3), Public.of(pooled), Sizes(2, 1), cluster)
    assert seen
    assert isinstance(found[0].error, RemoteProtocolError)
    assert found[0].error.fault is fault
    assert all(each.error is not None for each in found)


async def test_an_old_message_told_again_is_noticed() -> None:
    kept: list[Message] = []

    def tamper(receiver: int, message: Message) -> Message:
        if not message.step.endswith(".input") or receiver:
            return message
        kept.append(message)
        return kept[0]

    pooled = rows(200, 2, 1)
    found = await outcomes(parts(pooled, 3), Public.of(pooled), Sizes(2, 1), Cluster(3, liar=2, tamper=tamper))
    assert isinstance(found[0].error, RemoteProtocolError)
    assert found[0].error.fault is Fault.UNEXPECTED


# --- costs and frames ------------------------------------------------------------------------------------------


async def test_the_cost_suffices_for_the_longest_way() -> None:
    """Steps that halve and no more take as many as there are, and one restart."""

    class Slow:
        def __init__(self) -> None:
            self.calls = 0

        def normal(self, at: Vector) -> tuple[np.ndarray, np.ndarray]:
            self.calls += 1
            length = 3.0 * 0.48**self.calls if self.calls < REGRESSION_STEPS_MAX else CLOSE / 10
            turned = np.array([[1.0, 0.9], [0.9, 1.0]]) if self.calls >= 5 else np.array([[1.0, -0.9], [-0.9, 1.0]])
            return turned / 2, turned @ np.array([length, 0.0]) / 2

        def closing(self, at: Vector) -> tuple[np.ndarray, float]:
            return np.array([1.0]), 0.5

    @attrs.frozen
    class Plain:
        start: Vector = (0.0, 0.0)

        def expected(self, at: Vector) -> np.ndarray:
            return np.eye(2)

        def reach(self, step: Vector) -> float:
            return max(map(abs, step))

    sizes = Sizes(2, 1, people=10.0)
    found = await outcomes([Slow(), Slow()], Plain(), sizes, Cluster(2))
    assert found[0].value.status is Status.CONVERGED, found[0].error
    assert len(found[0].value.path) == REGRESSION_STEPS_MAX + 1
    assert found[0].value.figures[0] == pytest.approx(2.0, abs=1e-5)


def test_the_cost_of_the_largest_regression() -> None:
    cost = regression_cost(Sizes(25, 1))
    assert cost == Cost(triples=cost.triples, bits=cost.bits, masks=cost.masks)
    assert cost.triples < 1_200_000
    assert cost.bits < 2_000_000


def test_every_sum_of_products_fits_below_what_a_tail_can_be_cut_from() -> None:
    """The bounds of steps 18.5, 18.9 and 18.12, from the constants that the code computes with."""
    largest = REACH.bit_length() - 1  # numbers below 2^58 fit, whatever their sign
    entry_bits = 10  # of V: eigenvalues of A above 2^−10, 2^−7 of what is expected
    assert 2 * FRACTION + entry_bits <= largest
    step_bits = 14  # 5,792 standard errors, as V·T'g is 2^1.5 times longer
    assert FRACTION + GRADIENT_FRACTION + step_bits <= largest
    assert largest >= FIGURE_FRACTION + FIGURE_BITS + PEOPLE_FRACTION + 1
    for tail in (FRACTION, PEOPLE_FRACTION, FRACTION + GRADIENT_FRACTION - STEP_FRACTION):
        assert 0 < tail <= TAIL_MAX
    assert (
        REGRESSION_SIZE_MAX**0.5 * 2.0**-STEP_FRACTION < CLOSE
    )  # what is cut off is shorter than the last step may be


def test_a_frame_makes_what_is_expected_the_identity() -> None:
    rng = np.random.default_rng(1)
    root = rng.normal(size=(6, 6))
    expected = root @ root.T + np.eye(6)
    frame = Frame.of(expected)
    np.testing.assert_allclose(frame.information(expected), np.eye(6) / 8, atol=1e-12)
    step = tuple(rng.normal(size=6).tolist())
    moved = np.array(frame.back(step))
    assert frame.length(step) == pytest.approx(np.sqrt(moved @ expected @ moved))
    variances = [u * u * 8 * np.square(d).sum() for u, d in zip(frame.units, frame.directions, strict=True)]
    np.testing.assert_allclose(variances, np.diag(np.linalg.inv(expected)))
    for bad in (np.zeros((2, 2)), -np.eye(2), np.array([[1.0, 2.0], [2.0, 1.0]]), np.full((1, 1), np.nan)):
        with pytest.raises(LocalProtocolError):
            Frame.of(bad)
