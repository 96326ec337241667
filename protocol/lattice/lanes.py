"""Vectors of eight float64 or uint64 inside a kernel (``docs/protocol-lattice.md``, step L.4).

A butterfly is a chain of some fifteen dependent operations.  A loop that works on four numbers at a time leaves the
arithmetic units idle, since a processor looks ahead too little to overlap such chains; eight numbers give it
two chains side by side on AVX2, one on AVX-512, four on NEON.  The compiler cuts a vector to what the machine
has, so one source serves all.

To the type checker a vector is a number: ``float`` or ``np.uint64``.  A number meets a vector by standing for
eight copies of itself.  Nothing here checks bounds.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar, cast

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing import templates
from numba.extending import intrinsic, lower_builtin, models, register_model

LANES: Final = 8
_ALIGNMENT: Final = 64  # bytes: a cache line

_X = TypeVar("_X", np.uint64, float)
_Y = TypeVar("_Y", np.uint64, float)
_infer_global: Any = templates.infer_global  # numba has annotations in few places
_signature: Any = templates.signature
_lower: Any = lower_builtin
_declare: Any = cgutils.get_or_insert_function
_HALF: Final = (1 << 32) - 1
_INDEX = ir.IntType(32)


class LanesType(types.Type):
    """Eight numbers of one type."""

    def __init__(self, element: Any, vector: ir.VectorType) -> None:
        super().__init__(name=f"Lanes({element})")
        self.element = element
        self.vector = vector


FLOAT_LANES: Final = LanesType(types.float64, ir.VectorType(ir.DoubleType(), LANES))
WORD_LANES: Final = LanesType(types.uint64, ir.VectorType(ir.IntType(64), LANES))


@register_model(LanesType)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: LanesType) -> None:
        super().__init__(manager, kind, kind.vector)  # type: ignore[no-untyped-call]


def _splat(builder: Any, kind: LanesType, value: Any) -> Any:
    nothing = ir.Constant(kind.vector, ir.Undefined)
    one = builder.insert_element(nothing, value, ir.Constant(_INDEX, 0))
    return builder.shuffle_vector(one, nothing, ir.Constant(ir.VectorType(_INDEX, LANES), [0] * LANES))


def _widened(builder: Any, kind: LanesType, given: Sequence[Any], values: Sequence[Any]) -> list[Any]:
    return [v if g == kind else _splat(builder, kind, v) for g, v in zip(given, values, strict=True)]


def _kind(given: Sequence[Any]) -> LanesType | None:
    """The vector type among arguments that are this vector or its numbers, if there is one."""
    for kind in (FLOAT_LANES, WORD_LANES):
        if kind in given and all(g in (kind, kind.element) for g in given):
            return kind
    return None


def _operator(function: Any, names: dict[LanesType, str]) -> None:
    @_infer_global(function)
    class _Template(templates.AbstractTemplate):
        def generic(self, args: tuple[Any, ...], kws: dict[str, Any]) -> Any:
            kind = _kind(args)
            return _signature(kind, *args) if kind in names and len(args) == 2 else None

    def lower(kind: LanesType, name: str) -> Callable[..., Any]:
        def generate(_context: Any, builder: Any, given: Any, values: Any) -> Any:
            return getattr(builder, name)(*_widened(builder, kind, given.args, values))

        return generate

    for kind, name in names.items():
        for left, right in ((kind, kind), (kind, kind.element), (kind.element, kind)):
            _lower(function, left, right)(lower(kind, name))


_operator(operator.add, {FLOAT_LANES: "fadd", WORD_LANES: "add"})
_operator(operator.sub, {FLOAT_LANES: "fsub", WORD_LANES: "sub"})
_operator(operator.mul, {FLOAT_LANES: "fmul", WORD_LANES: "mul"})
_operator(operator.and_, {WORD_LANES: "and_"})
_operator(operator.or_, {WORD_LANES: "or_"})
_operator(operator.rshift, {WORD_LANES: "lshr"})
_operator(operator.lshift, {WORD_LANES: "shl"})


@_infer_global(operator.neg)
class _Negative(templates.AbstractTemplate):
    def generic(self, args: tuple[Any, ...], kws: dict[str, Any]) -> Any:
        return _signature(FLOAT_LANES, *args) if args == (FLOAT_LANES,) else None


_lower(operator.neg, FLOAT_LANES)(lambda _context, builder, _given, values: builder.fneg(*values))


def call(name: str, builder: Any, kind: Any, given: Sequence[Any], values: Sequence[Any]) -> Any:
    """An LLVM intrinsic of float64, or of vectors of them, by its name without the type."""
    if kind == types.float64:
        result, suffix = ir.DoubleType(), "f64"
    else:
        result, suffix, values = kind.vector, f"v{LANES}f64", _widened(builder, kind, given, values)
    function = ir.FunctionType(result, [result] * len(values))
    return builder.call(_declare(builder.module, function, f"llvm.{name}.{suffix}"), values)


def _address(context: Any, builder: Any, kind: LanesType, array: Any, value: Any, index: Any) -> Any:
    data = context.make_array(array)(context, builder, value).data
    return builder.bitcast(builder.gep(data, [index]), kind.vector.as_pointer())


def _of_array(array: Any) -> LanesType:
    return FLOAT_LANES if array.dtype == types.float64 else WORD_LANES


def _load(context: Any, array: Any, index: Any) -> Any:
    kind = _of_array(array)

    def generate(context: Any, builder: Any, given: Any, values: Any) -> Any:
        loaded = builder.load(_address(context, builder, kind, given.args[0], *values))
        loaded.align = 8
        return loaded

    return kind(array, types.intp), generate


def _store(context: Any, array: Any, index: Any, value: Any) -> Any:
    kind = _of_array(array)

    def generate(context: Any, builder: Any, given: Any, values: Any) -> Any:
        stored = builder.store(values[2], _address(context, builder, kind, given.args[0], *values[:2]))
        stored.align = 8
        return context.get_dummy_value()

    return types.void(array, types.intp, kind), generate


def _where_negative(context: Any, x: Any, then: Any, otherwise: Any) -> Any:
    kind = _kind((then, otherwise)) or then
    if isinstance(x, LanesType) and not isinstance(kind, LanesType):
        kind = FLOAT_LANES if kind == types.float64 else WORD_LANES

    def generate(_context: Any, builder: Any, given: Any, values: Any) -> Any:
        zero = ir.Constant(values[0].type, None)
        real = x in (FLOAT_LANES, types.float64)
        negative = builder.fcmp_ordered("<", values[0], zero) if real else builder.icmp_signed("<", values[0], zero)
        both = _widened(builder, kind, given.args[1:], values[1:]) if isinstance(kind, LanesType) else values[1:]
        return builder.select(negative, *both)

    return kind(x, then, otherwise), generate


def _float_from_bits(context: Any, x: Any) -> Any:
    kind: Any = FLOAT_LANES if x == WORD_LANES else types.float64

    def generate(_context: Any, builder: Any, _given: Any, values: Any) -> Any:
        return builder.bitcast(values[0], kind.vector if x == WORD_LANES else ir.DoubleType())

    return kind(x), generate


def _bits_from_float(context: Any, x: Any) -> Any:
    kind: Any = WORD_LANES if x == FLOAT_LANES else types.uint64

    def generate(_context: Any, builder: Any, _given: Any, values: Any) -> Any:
        return builder.bitcast(values[0], kind.vector if x == FLOAT_LANES else ir.IntType(64))

    return kind(x), generate


def _transpose(context: Any, source: Any, at: Any, step: Any, target: Any, to: Any, out_step: Any) -> Any:
    """An 8 by 8 square, as four of 4 by 4: pairs within 128 bits first, then halves."""
    scalar = ir.DoubleType() if source.dtype == types.float64 else ir.IntType(64)
    four = ir.VectorType(scalar, 4)

    def generate(context: Any, builder: Any, given: Any, values: Any) -> Any:
        x, at, step, y, to, out_step = values
        read = context.make_array(given.args[0])(context, builder, x).data
        write = context.make_array(given.args[3])(context, builder, y).data

        def place(data: Any, base: Any, stride: Any, row: int, column: int) -> Any:
            index = builder.add(base, builder.add(builder.mul(stride, stride.type(row)), base.type(column)))
            return builder.bitcast(builder.gep(data, [index]), four.as_pointer())

        def mix(a: Any, b: Any, order: list[int]) -> Any:
            return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(_INDEX, 4), order))

        for r in (0, 4):
            for c in (0, 4):
                rows = [builder.load(place(read, at, step, r + k, c)) for k in range(4)]
                for row in rows:
                    row.align = 8
                a, b = mix(rows[0], rows[1], [0, 4, 2, 6]), mix(rows[0], rows[1], [1, 5, 3, 7])
                d, e = mix(rows[2], rows[3], [0, 4, 2, 6]), mix(rows[2], rows[3], [1, 5, 3, 7])
                low, high = [0, 1, 4, 5], [2, 3, 6, 7]
                for k, column in enumerate((mix(a, d, low), mix(b, e, low), mix(a, d, high), mix(b, e, high))):
                    builder.store(column, place(write, to, out_step, c + k, r)).align = 8
        return context.get_dummy_value()

    return types.void(source, types.intp, types.intp, target, types.intp, types.intp), generate


def _times_32(context: Any, x: Any, y: Any) -> Any:
    kind = _kind((x, y)) or types.uint64

    def generate(_context: Any, builder: Any, given: Any, values: Any) -> Any:
        if isinstance(kind, LanesType):
            values = _widened(builder, kind, given.args, values)
        mask = ir.Constant(values[0].type, [_HALF] * LANES if isinstance(kind, LanesType) else _HALF)
        return builder.mul(*(builder.and_(value, mask) for value in values))

    return kind(x, y), generate


load = cast(Callable[[npt.NDArray[Any], int], Any], intrinsic(_load))
store = cast(Callable[[npt.NDArray[Any], int, Any], None], intrinsic(_store))
transpose = cast(Callable[[npt.NDArray[Any], int, int, npt.NDArray[Any], int, int], None], intrinsic(_transpose))
# where_negative(x, then, otherwise): a blend, never a branch; words count as signed
where_negative = cast(Callable[[_X, _Y, _Y], _Y], intrinsic(_where_negative))
times_32 = cast(
    Callable[[np.uint64, np.uint64], np.uint64], intrinsic(_times_32)
)  # the product of two words' low halves
float_from_bits = cast(Callable[[np.uint64], float], intrinsic(_float_from_bits))
bits_from_float = cast(Callable[[float], np.uint64], intrinsic(_bits_from_float))


def aligned(*shape: int, dtype: Any = np.float64) -> Any:
    """A fresh array that begins on a cache line; a vector that straddles two costs as much as two."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    memory = np.empty(size + _ALIGNMENT, dtype=np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    return memory[start : start + size].view(dtype).reshape(shape)
