"""Joint regression: nobody sees a centre's gradient, information or residuals, nor the joint ones (section 18).

The estimates on the way are opened, because every centre has to compute with them on its own rows.  Each gives its
information and its gradient there as secret inputs; the step, information⁻¹ · gradient, is computed on shares.  What a
model is, and what a centre makes of its rows, is not known here: see :class:`Model` and :class:`Own`.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable
from typing import Final, Protocol

import attrs
import numpy as np
import numpy.typing as npt

from protocol.errors import Fault, LocalProtocolError, RemoteProtocolError
from protocol.field import Elements
from protocol.limits import REGRESSION_SIZE_MAX, REGRESSION_STEPS_MAX
from protocol.material import Cost
from protocol.online.arithmetic import Evaluator
from protocol.online.fixed_point import FieldMasks, from_fixed, masks_cost, to_fixed, without_tail
from protocol.online.frame import Frame, Vector
from protocol.online.inverse import (
    FRACTION,
    Need,
    approximate_inverse,
    mirrored,
    refined,
    refinement_need,
    start_need,
    times_vector,
    triangle_size,
    upper,
)
from protocol.shares import Shared, concatenate, split, total

Array = npt.NDArray[np.float64]

RESTARTS_MAX: Final = 1
FREE_STEPS: Final = 4  # from the next one on each has to be half as long as the one before, or shorter
CLOSE: Final = 2.0**-12  # standard errors: the step after which there is none
PREDICTOR_STEP: Final = 4.0  # how far a step may move any linear predictor
GRADIENT_FRACTION: Final = 20
STEP_FRACTION: Final = 16
FIGURE_FRACTION: Final = 18
FIGURE_BITS: Final = 14  # before the point, of one figure in its unit, all centres together
PEOPLE_FRACTION: Final = 24
# Bits by which an inverse has to be right before its last refinement: made anew, where a singular matrix leaves an
# error of 1; from the step before; and for the results.
_ANEW, _WARM, _EXACT = 1, 0, 10


class Model(Protocol):
    """What everybody knows of a model."""

    @property
    def start(self) -> Vector:
        """The coefficients to begin with."""
        ...

    def expected(self, at: Vector) -> Array:
        """About the joint information at these coefficients, float64[p, p], positive definite, from public counts."""
        ...

    def reach(self, step: Vector) -> float:
        """The most by which the step moves the linear predictor of anybody."""
        ...


class Own(Protocol):
    """What one centre computes on its own rows; all of it is secret."""

    def normal(self, at: Vector) -> tuple[Array, Array]:
        """Information float64[p, p] and gradient float64[p] of its rows at these coefficients."""
        ...

    def closing(self, at: Vector) -> tuple[Array, float]:
        """Its part of every closing figure, in their units, and how many its rows are, over ``Sizes.people``."""
        ...


@attrs.frozen
class Sizes:
    """The public sizes of a regression.

    ``coefficients``; ``figures``: how many sums over rows are opened at the end, each below 2^:data:`FIGURE_BITS`.
    ``people``: with it figures are divided by the true number of rows over this one, which is near (to first order).
    """

    coefficients: int
    figures: int
    people: float | None = None

    def __attrs_post_init__(self) -> None:
        if not 1 <= self.coefficients <= REGRESSION_SIZE_MAX:
            raise LocalProtocolError(
                f"a regression has 1 to {REGRESSION_SIZE_MAX} coefficients, not {self.coefficients}"
            )


class Status(enum.Enum):
    """How a regression ended."""

    CONVERGED = "converged"
    SINGULAR = "singular"  # the information has no inverse that could be computed with
    NOT_CONVERGED = "not-converged"


@attrs.frozen
class Estimates:
    """What is opened, and so public: the coefficients on the way and, if it ended well, the results.

    ``errors``: square roots of the diagonal of the inverse information.  ``figures``: in their units.
    """

    status: Status
    path: tuple[Vector, ...]
    errors: Vector = ()
    figures: Vector = ()


def regression_need(sizes: Sizes) -> Need:
    """The most that :func:`regression` takes, masks of :class:`FieldMasks` apart."""
    size = sizes.coefficients
    step = Need(Cost(masks=triangle_size(size) + size, triples=size * size + size), size)
    closing = sizes.figures + (sizes.people is not None)
    last = Need(Cost(masks=triangle_size(size) + closing, triples=size + 2 * sizes.figures), size + sizes.figures)
    steps = step.times(REGRESSION_STEPS_MAX) + refinement_need(size).times(REGRESSION_STEPS_MAX + RESTARTS_MAX)
    steps += Need(Cost(triples=size * size + size), size).times(RESTARTS_MAX)
    return start_need(size).times(1 + RESTARTS_MAX) + steps + refinement_need(size).times(2) + last


def regression_cost(sizes: Sizes) -> Cost:
    """The most that :func:`regression` consumes; what is left over is not used again."""
    need = regression_need(sizes)
    return need.cost + masks_cost(need.masks)


async def regression(
    evaluator: Evaluator, sizes: Sizes, model: Model, own: Own, *, before_step: Callable[[], None] = lambda: None
) -> Estimates:
    """Fit the model to the rows of all centres (steps 18.8 to 18.13).

    ``before_step`` is called before anything of this centre's rows is told anew, and may raise.
    """
    masks = await FieldMasks.prepare(evaluator, regression_need(sizes).masks)
    fitting, work = _Fitting(evaluator, masks, sizes), evaluator.party.work
    at, path, before = tuple(model.start), [tuple(model.start)], math.inf
    for count in range(1, REGRESSION_STEPS_MAX + 1):
        before_step()
        try:
            frame = Frame.of(model.expected(at))
        except LocalProtocolError:  # so far away that no weight is left: a matter of opened numbers alone
            return Estimates(Status.SINGULAR, tuple(path))
        step = await fitting.step(frame, await work(own.normal, at))
        if step is None:
            return Estimates(Status.SINGULAR, tuple(path))
        length = frame.length(step)
        if count > FREE_STEPS and length > before / 2.0:
            break
        move = frame.back(step)
        part = min(1.0, PREDICTOR_STEP / max(model.reach(move), PREDICTOR_STEP))
        at = tuple(b + part * m for b, m in zip(at, move, strict=True))
        path.append(at)
        if length <= CLOSE:
            before_step()
            frame = Frame.of(model.expected(at))
            information, _ = await work(own.normal, at)
            return await fitting.close(frame, information, await work(own.closing, at), tuple(path))
        before = length
    return Estimates(Status.NOT_CONVERGED, tuple(path))


class _Fitting:
    """Shares that live from one step to the next."""

    def __init__(self, evaluator: Evaluator, masks: FieldMasks, sizes: Sizes) -> None:
        self._evaluator = evaluator
        self._masks = masks
        self._sizes = sizes
        self._inverse: Shared | None = None
        self._restarts = RESTARTS_MAX

    async def step(self, frame: Frame, normal: tuple[Array, Array]) -> Vector | None:
        """The step in the coordinates of the frame, or None where the information has no inverse."""
        information, gradient = normal
        size = self._sizes.coefficients
        given = [
            to_fixed(frame.information(information)[upper(size)], FRACTION),
            to_fixed(frame.gradient(gradient), GRADIENT_FRACTION),
        ]
        triangle, slope = split(await self._sum(np.concatenate(given)), [triangle_size(size), size])
        matrix = mirrored(triangle, size)
        anew = self._inverse is None
        opened = await self._opened_step(matrix, slope)
        if opened is None and not anew and self._restarts:
            self._restarts -= 1
            self._inverse = None
            opened = await self._opened_step(matrix, slope)
        return opened

    async def _opened_step(self, matrix: Shared, slope: Shared) -> Vector | None:
        evaluator, size = self._evaluator, self._sizes.coefficients
        self._inverse, fine = await self._refined(matrix, _ANEW if self._inverse is None else _WARM)
        product = await times_vector(evaluator, self._inverse, slope, size)
        tail = FRACTION + GRADIENT_FRACTION - STEP_FRACTION
        step = await without_tail(evaluator, self._masks, product, tail)
        opened = await self._reveal_if("step", fine, step)
        return None if opened is None else tuple(from_fixed(opened, STEP_FRACTION).tolist())

    async def close(
        self, frame: Frame, information: Array, closing: tuple[Array, float], path: tuple[Vector, ...]
    ) -> Estimates:
        """The results: standard errors and closing figures (step 18.12)."""
        sizes, size = self._sizes, self._sizes.coefficients
        figures, rows = closing
        given = [to_fixed(frame.information(information)[upper(size)], FRACTION), to_fixed(figures, FIGURE_FRACTION)]
        if sizes.people is not None:
            given.append(to_fixed(np.array([rows]), PEOPLE_FRACTION))
        together = await self._sum(np.concatenate(given))
        triangle, sums, people = split(together, [triangle_size(size), sizes.figures, int(sizes.people is not None)])
        matrix = mirrored(triangle, size)
        self._inverse, _ = await self._refined(matrix, _WARM)
        self._inverse, fine = await self._refined(matrix, _EXACT)
        spread = await self._spread(frame, self._inverse)
        if sizes.people is not None:
            sums = await self._per_row(sums, people)
        opened = await self._reveal_if("closing", fine, concatenate([spread, sums]))
        if opened is None:
            return Estimates(Status.SINGULAR, path)
        variances = from_fixed(opened[:size], FRACTION)
        if not np.all(variances > 0.0):
            raise RemoteProtocolError(Fault.CONTRIBUTION, "a variance is negative: somebody's information is none")
        errors = tuple(u * math.sqrt(v) for u, v in zip(frame.units, variances.tolist(), strict=True))
        return Estimates(Status.CONVERGED, path, errors, tuple(from_fixed(opened[size:], FIGURE_FRACTION).tolist()))

    async def _refined(self, matrix: Shared, error_bits: int) -> tuple[Shared, Shared]:
        size = self._sizes.coefficients
        if self._inverse is None:
            self._inverse = await approximate_inverse(self._evaluator, self._masks, matrix, size)
        return await refined(self._evaluator, self._masks, matrix, self._inverse, size, error_bits)

    async def _spread(self, frame: Frame, inverse: Shared) -> Shared:
        """⟨t'Vt⟩ for the directions t of the frame: variances in its units."""
        size = self._sizes.coefficients
        rows, columns = upper(size)
        triangle = inverse[rows * size + columns]
        t = np.array(frame.directions)
        weights = t[:, rows] * t[:, columns] * np.where(rows == columns, 1.0, 2.0)
        terms = triangle[np.tile(np.arange(rows.size), size)].times(to_fixed(weights, FRACTION))
        sums = total([terms[k :: rows.size] for k in range(rows.size)])
        return await without_tail(self._evaluator, self._masks, sums, FRACTION)

    async def _per_row(self, sums: Shared, people: Shared) -> Shared:
        """⟨sum · (2 − people)⟩, which is sum / people but for (1 − people)²."""
        key = self._evaluator.key
        factor = people.scale(-1).plus(to_fixed(np.array([2.0]), PEOPLE_FRACTION), key)
        product = await self._evaluator.multiply(sums, factor[np.zeros(len(sums), dtype=np.int64)])
        return await without_tail(self._evaluator, self._masks, product, PEOPLE_FRACTION)

    async def _sum(self, told: Elements) -> Shared:
        """Everybody's, added up."""
        return total(await self._evaluator.inputs(told, [told.size] * self._evaluator.party.parties))

    async def _reveal_if(self, label: str, condition: Shared, values: Shared) -> Elements | None:
        """Open the condition and, if it is 1, the values (steps 9.3 and 18.9)."""
        evaluator = self._evaluator
        held = await evaluator.multiply(condition[np.zeros(len(values), dtype=np.int64)], values)
        opened = await evaluator.reveal(label, {"condition": condition, "values": held})
        return opened["values"] if int(opened["condition"][0]) else None
