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

from protocol._jit import inlined

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


def splat(builder: Any, kind: LanesType, value: Any) -> Any:
    """Eight copies of a number, while emitting a kernel."""
    nothing = ir.Constant(kind.vector, ir.Undefined)
    one = builder.insert_element(nothing, value, ir.Constant(_INDEX, 0))
    return builder.shuffle_vector(one, nothing, ir.Constant(ir.VectorType(_INDEX, LANES), [0] * LANES))


def widened(builder: Any, kind: Any, given: Sequence[Any], values: Sequence[Any]) -> list[Any]:
    """Arguments of a vector operation, numbers among them widened; unchanged if the operation is on numbers."""
    if not isinstance(kind, LanesType):
        return list(values)
    return [v if g == kind else splat(builder, kind, v) for g, v in zip(given, values, strict=True)]


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
            return getattr(builder, name)(*widened(builder, kind, given.args, values))

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


def fma(builder: Any, x: Any, y: Any, z: Any) -> Any:
    """x·y + z, rounded once, of float64 or of vectors of them, while emitting a kernel."""
    kind = x.type
    name = f"llvm.fma.v{LANES}f64" if isinstance(kind, ir.VectorType) else "llvm.fma.f64"
    return builder.call(_declare(builder.module, ir.FunctionType(kind, [kind] * 3), name), [x, y, z])


def address(context: Any, builder: Any, kind: LanesType, array: Any, value: Any, index: Any) -> Any:
    """Where a vector of an array begins, while emitting a kernel."""
    data = context.make_array(array)(context, builder, value).data
    return builder.bitcast(builder.gep(data, [index]), kind.vector.as_pointer())


def _of_array(array: Any) -> LanesType:
    return FLOAT_LANES if array.dtype == types.float64 else WORD_LANES


def _load(context: Any, array: Any, index: Any) -> Any:
    kind = _of_array(array)

    def generate(context: Any, builder: Any, given: Any, values: Any) -> Any:
        loaded = builder.load(address(context, builder, kind, given.args[0], *values))
        loaded.align = 8
        return loaded

    return kind(array, types.intp), generate


def _store(context: Any, array: Any, index: Any, value: Any) -> Any:
    kind = _of_array(array)

    def generate(context: Any, builder: Any, given: Any, values: Any) -> Any:
        stored = builder.store(values[2], address(context, builder, kind, given.args[0], *values[:2]))
        stored.align = 8
        return context.get_dummy_value()

    return types.void(array, types.intp, kind), generate


def _octets(width: int) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Eight little-endian numbers of ``width`` bytes, from byte ``at`` of an array on."""
    narrow = ir.VectorType(ir.IntType(8 * width), LANES)

    def place(context: Any, builder: Any, array: Any, value: Any, at: Any) -> Any:
        data = context.make_array(array)(context, builder, value).data
        return builder.bitcast(builder.gep(data, [at]), narrow.as_pointer())

    def read(context: Any, array: Any, at: Any) -> Any:
        def generate(context: Any, builder: Any, given: Any, values: Any) -> Any:
            loaded = builder.load(place(context, builder, given.args[0], *values))
            loaded.align = 1
            return builder.zext(loaded, WORD_LANES.vector)

        return WORD_LANES(array, types.intp), generate

    def write(context: Any, array: Any, at: Any, words: Any) -> Any:
        def generate(context: Any, builder: Any, given: Any, values: Any) -> Any:
            cut = builder.trunc(values[2], narrow)
            builder.store(cut, place(context, builder, given.args[0], *values[:2])).align = 1
            return context.get_dummy_value()

        return types.void(array, types.intp, WORD_LANES), generate

    return intrinsic(read), intrinsic(write)


def _float_from_word(context: Any, x: Any) -> Any:
    kind: Any = FLOAT_LANES if x == WORD_LANES else types.float64

    def generate(_context: Any, builder: Any, _given: Any, values: Any) -> Any:
        return builder.uitofp(values[0], kind.vector if x == WORD_LANES else ir.DoubleType())

    return kind(x), generate


def _where_negative(context: Any, x: Any, then: Any, otherwise: Any) -> Any:
    kind = _kind((then, otherwise)) or then
    if isinstance(x, LanesType) and not isinstance(kind, LanesType):
        kind = FLOAT_LANES if kind == types.float64 else WORD_LANES

    def generate(_context: Any, builder: Any, given: Any, values: Any) -> Any:
        zero = ir.Constant(values[0].type, None)
        real = x in (FLOAT_LANES, types.float64)
        negative = builder.fcmp_ordered("<", values[0], zero) if real else builder.icmp_signed("<", values[0], zero)
        both = widened(builder, kind, given.args[1:], values[1:]) if isinstance(kind, LanesType) else values[1:]
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


def emit_transpose(builder: Any, rows: list[Any]) -> list[Any]:
    """Eight vectors to the eight columns of the square they form: squares of 2, 4 and 8 swap two of their quarters."""
    rows, side = list(rows), 1
    while side < LANES:
        low = [k if not k & side else LANES + k - side for k in range(LANES)]
        high = [k + side if not k & side else LANES + k for k in range(LANES)]
        orders = [ir.Constant(ir.VectorType(_INDEX, LANES), order) for order in (low, high)]
        for i in (i for i in range(LANES) if not i & side):
            a, b = rows[i], rows[i + side]
            rows[i], rows[i + side] = (builder.shuffle_vector(a, b, order) for order in orders)
        side *= 2
    return rows


def _transpose(context: Any, source: Any, at: Any, step: Any, target: Any, to: Any, out_step: Any) -> Any:
    kind = _of_array(source)

    def generate(context: Any, builder: Any, given: Any, values: Any) -> Any:
        x, at, step, y, to, out_step = values

        def place(array: Any, data: Any, base: Any, stride: Any, row: int) -> Any:
            return address(
                context, builder, kind, array, data, builder.add(base, builder.mul(stride, stride.type(row)))
            )

        rows = [builder.load(place(given.args[0], x, at, step, k)) for k in range(LANES)]
        for row in rows:
            row.align = 8
        for k, column in enumerate(emit_transpose(builder, rows)):
            builder.store(column, place(given.args[3], y, to, out_step, k)).align = 8
        return context.get_dummy_value()

    return types.void(source, types.intp, types.intp, target, types.intp, types.intp), generate


def _times_32(context: Any, x: Any, y: Any) -> Any:
    kind = _kind((x, y)) or types.uint64

    def generate(_context: Any, builder: Any, given: Any, values: Any) -> Any:
        if isinstance(kind, LanesType):
            values = widened(builder, kind, given.args, values)
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
# the float64 nearest to a word
float_from_word = cast(Callable[[np.uint64], float], intrinsic(_float_from_word))
float_from_bits = cast(Callable[[np.uint64], float], intrinsic(_float_from_bits))
bits_from_float = cast(Callable[[float], np.uint64], intrinsic(_bits_from_float))

_Read = Callable[[npt.NDArray[np.uint8], int], np.uint64]
_Write = Callable[[npt.NDArray[np.uint8], int, np.uint64], None]
# load_4(bytes, at) is eight words of four bytes each; store_4(bytes, at, words) keeps the low four bytes
load_4, store_4 = cast(tuple[_Read, _Write], _octets(4))
load_2, store_2 = cast(tuple[_Read, _Write], _octets(2))
load_1, store_1 = cast(tuple[_Read, _Write], _octets(1))


def aligned(*shape: int, dtype: Any = np.float64) -> Any:
    """A fresh array that begins on a cache line; a vector that straddles two costs as much as two."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    memory = np.empty(size + _ALIGNMENT, dtype=np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    return memory[start : start + size].view(dtype).reshape(shape)


@inlined
def local(count: int) -> npt.NDArray[np.float64]:
    """The same inside a kernel: float64[count]."""
    memory = np.empty(count + LANES)
    start = (-memory.ctypes.data % _ALIGNMENT) // 8
    return memory[start : start + count]
