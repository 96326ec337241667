"""Passes of a transform: three or four stages on vectors held in registers (``docs/protocol-lattice.md``, step L.4).

A pass loads 8 or 16 vectors, carries out all butterflies between them, and stores the results, so that memory is
touched once for several stages.  The operations are emitted by loops at compile time; these loops also carry a bound
of every vector, in units of q, and reduce one exactly when a bound demands it.  So what is emitted stays in the exact
range by construction, and the bounds in the document are read off here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any, Final, cast

import attrs
import numpy.typing as npt
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from protocol.errors import LocalProtocolError
from protocol.lattice.arithmetic import emit_centre, emit_product
from protocol.lattice.lanes import FLOAT_LANES, LANES, address, emit_transpose, splat
from protocol.lattice.params import CENTRED, FACTOR_MAX, product_size

RATIOS: Final = 256  # a root that serves a whole vector has its quotient root/q this far behind it in the table
COLUMN: Final = 16  # from one vector of roots to that of the next butterfly
WIDE: Final = 4  # stages of a pass over rows that are far apart: one root a butterfly
NARROW: Final = 3  # stages of a pass over transposed rows: a vector of roots a butterfly
SPREAD_INPUT: Final = Fraction(1)
GATHER_INPUT: Final = Fraction(2)  # two of these still make a factor

_Array = npt.NDArray[Any]
Pass = Callable[[_Array, int, int, _Array, int, int, _Array, int, float, float], None]


@attrs.frozen
class Row:
    """A vector in a register and a bound of its magnitude in units of q."""

    value: Any
    size: Fraction


@attrs.frozen
class Root:
    """A root and root/q, or its inverse; ``exact`` if root/q was rounded once."""

    value: Any
    ratio: Any
    exact: bool


class Residues:
    """Arithmetic on rows modulo q.  Without a builder nothing is emitted and only bounds are computed."""

    def __init__(self, builder: Any = None, q: Any = None, q_inverse: Any = None) -> None:
        self._builder, self._q, self._q_inverse = builder, q, q_inverse

    def add(self, x: Row, y: Row) -> Row:
        """X + y."""
        return Row(self._builder and self._builder.fadd(x.value, y.value), x.size + y.size)

    def subtract(self, x: Row, y: Row) -> Row:
        """X − y."""
        return Row(self._builder and self._builder.fsub(x.value, y.value), x.size + y.size)

    def centre(self, x: Row) -> Row:
        """X mod q, nearest to zero."""
        return Row(self._builder and emit_centre(self._builder, x.value, self._q, self._q_inverse), CENTRED)

    def times(self, x: Row, root: Root) -> Row:
        """x·root mod q; refuses to emit what would not be exact."""
        if x.size > FACTOR_MAX:
            raise LocalProtocolError("a butterfly leaves the exact range")
        value = self._builder and emit_product(self._builder, x.value, root.value, root.ratio, self._q)
        return Row(value, product_size(x.size, exact=root.exact))

    def within(self, x: Row, size: Fraction) -> Row:
        """The same row, reduced if it may exceed a size."""
        return x if x.size <= size else self.centre(x)


Roots = Callable[[int, int], Root]  # by stage of the pass, and group of butterflies in the stage


def spread(residues: Residues, rows: list[Row], roots: Roots) -> None:
    """Stages of butterflies (a + w·b, a − w·b), operands half the rows apart at first."""
    half, stage = len(rows) // 2, 0
    while half:
        for i in (i for i in range(len(rows)) if not i & half):
            product = residues.times(rows[i + half], roots(stage, i // (2 * half)))
            near = residues.within(rows[i], FACTOR_MAX - product.size)
            rows[i], rows[i + half] = residues.add(near, product), residues.subtract(near, product)
        half, stage = half // 2, stage + 1


def gather(residues: Residues, rows: list[Row], roots: Roots, scale: Root | None = None) -> None:
    """The same backwards: (a + b, (a − b)·w); the last stage multiplies its sums by ``scale``, if that is given."""
    half, stage = 1, len(rows).bit_length() - 2
    while half < len(rows):
        for i in (i for i in range(len(rows)) if not i & half):
            near, far = rows[i], rows[i + half]
            if near.size + far.size > FACTOR_MAX:
                near = residues.within(near, FACTOR_MAX - min(far.size, CENTRED))
                far = residues.within(far, FACTOR_MAX - near.size)
            total = residues.add(near, far)
            rows[i] = residues.times(total, scale) if scale is not None and stage == 0 else total
            rows[i + half] = residues.times(residues.subtract(near, far), roots(stage, i // (2 * half)))
        half, stage = 2 * half, stage - 1
    if scale is None:
        rows[:] = [residues.within(row, GATHER_INPUT) for row in rows]


def _bound(rows: int, size: Fraction, exact: bool, *, forward: bool, scaled: bool = False) -> Fraction:
    """The largest result of a pass."""
    root = Root(None, None, exact)
    sizes = [Row(None, size)] * rows
    if forward:
        spread(Residues(), sizes, lambda _stage, _group: root)
    else:
        gather(Residues(), sizes, lambda _stage, _group: root, root if scaled else None)
    return max(row.size for row in sizes)


class _Memory:
    """Loads and stores of a pass that is being emitted."""

    def __init__(self, context: Any, builder: Any) -> None:
        self._context, self._builder = context, builder

    def vector(self, array: Any, value: Any, index: Any) -> Any:
        loaded = self._builder.load(address(self._context, self._builder, FLOAT_LANES, array, value, index))
        loaded.align = 8
        return loaded

    def number(self, array: Any, value: Any, index: Any) -> Any:
        data = self._context.make_array(array)(self._context, self._builder, value).data
        return splat(self._builder, FLOAT_LANES, self._builder.load(self._builder.gep(data, [index])))

    def store(self, array: Any, value: Any, index: Any, row: Any) -> None:
        place = address(self._context, self._builder, FLOAT_LANES, array, value, index)
        self._builder.store(row, place).align = 8


def _after(builder: Any, start: Any, *steps: tuple[Any, int]) -> Any:
    """Start + Σ step·count."""
    for step, count in steps:
        start = builder.add(start, builder.mul(step, step.type(count)))
    return start


def _pass(stages: int, size: Fraction, *, forward: bool, turn: bool = False, scaled: bool = False) -> Pass:
    """A pass over rows ``step`` apart from x[at] on, to rows ``out_step`` apart from y[to] on.

    ``turn``: rows become columns, going forward as they are stored and backward as they are loaded.  ``scaled``: root 0
    multiplies the sums of the last stage, the first stage's of the whole transform.
    """
    count = 1 << stages

    def typed(
        context: Any, x: Any, at: Any, step: Any, y: Any, to: Any, out_step: Any, table: Any, root: Any, q: Any, qi: Any
    ) -> Any:
        def generate(context: Any, builder: Any, given: Any, values: Any) -> Any:
            x, at, step, y, to, out_step, table, root, q, qi = values
            source, _, _, target, _, _, kind, *_ = given.args
            memory = _Memory(context, builder)
            one = ir.Constant(at.type, 1)
            q, qi = splat(builder, FLOAT_LANES, q), splat(builder, FLOAT_LANES, qi)

            def wide(stage: int, group: int) -> Root:
                index = _after(builder, builder.shl(root, root.type(stage)), (one, group))
                ratio = memory.number(kind, table, _after(builder, index, (one, RATIOS)))
                return Root(memory.number(kind, table, index), ratio, exact=True)

            def narrow(stage: int, group: int) -> Root:
                value = memory.vector(kind, table, _after(builder, root, (one, ((1 << stage) - 1 + group) * COLUMN)))
                return Root(value, builder.fmul(value, qi), exact=False)

            def place(base: Any, stride: Any, turned: bool, k: int) -> Any:
                """Where vector k goes, or row k mod LANES of the square that holds it."""
                if turned:
                    return _after(builder, base, (stride, k % LANES), (one, k - k % LANES))
                return _after(builder, base, (stride, k))

            def turned(vectors: Sequence[Any]) -> list[Any]:
                squares = [list(vectors[k : k + LANES]) for k in range(0, count, LANES)]
                return [row for square in squares for row in emit_transpose(builder, square)]

            vectors = [memory.vector(source, x, place(at, step, turn and not forward, k)) for k in range(count)]
            if turn and not forward:
                vectors = turned(vectors)
            rows = [Row(vector, size) for vector in vectors]
            residues, roots = Residues(builder, q, qi), wide if stages == WIDE else narrow
            if forward:
                spread(residues, rows, roots)
            else:
                factor, ratio = (memory.number(kind, table, root.type(k)) for k in (0, RATIOS))
                gather(residues, rows, roots, Root(factor, ratio, exact=True) if scaled else None)
            vectors = [row.value for row in rows]
            if turn and forward:
                vectors = turned(vectors)
            for k, vector in enumerate(vectors):
                memory.store(target, y, place(to, out_step, turn and forward, k), vector)
            return context.get_dummy_value()

        return types.void(x, at, step, y, to, out_step, table, root, q, qi), generate

    return cast(Pass, intrinsic(typed))


_S1: Final = _bound(16, SPREAD_INPUT, True, forward=True)
_S2: Final = _bound(16, _S1, True, forward=True)
_S3: Final = _bound(8, _S2, False, forward=True)
SPREAD_OUTPUT: Final = _bound(8, _S3, False, forward=True)
GATHER_OUTPUT: Final = _bound(16, GATHER_INPUT, True, forward=False, scaled=True)

spread_far = _pass(WIDE, SPREAD_INPUT, forward=True)
spread_block = _pass(WIDE, _S1, forward=True, turn=True)
spread_rows = _pass(NARROW, _S2, forward=True)
spread_last = _pass(NARROW, _S3, forward=True)
gather_rows = _pass(NARROW, GATHER_INPUT, forward=False)
gather_block = _pass(WIDE, GATHER_INPUT, forward=False, turn=True)
gather_far = _pass(WIDE, GATHER_INPUT, forward=False, scaled=True)
