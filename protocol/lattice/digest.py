"""SHA-256 of polynomials, sixteen streams side by side (``docs/protocol-lattice.md``, step L.5).

Hashing is a large part of a proof, and one stream of SHA-256 leaves vector registers empty.  Lane k of a packed
polynomial is its 4-byte little-endian words k, k + 16, k + 32 and so on; its digest is SHA-256 of these words written
big-endian.  The digests of all lanes, in order, stand for the polynomial wherever it is hashed further.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, cast

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from protocol._jit import kernel
from protocol.errors import LocalProtocolError
from protocol.lattice.machine import sha_instructions
from protocol.lattice.packing import PACKED_BYTES, Bytes
from protocol.lattice.sha256 import INITIAL, STREAMS, emit_instructions, emit_wide

DIGEST_BYTES: Final = 32 * STREAMS
_BLOCK_BYTES: Final = 64 * STREAMS

_State = npt.NDArray[np.uint32]
_INITIAL: Final = np.array([[word] * STREAMS for word in INITIAL], dtype=np.uint32)
_BY_INSTRUCTION: Final = sha_instructions()  # a constant, so that a kernel kept on disk for the other way is not taken


def _padding() -> Bytes:
    """The last block of every lane: a one, and the length in bits as 64 bits."""
    words = np.zeros((16, STREAMS), dtype="<u4")
    words[0], words[15] = 1 << 31, PACKED_BYTES // STREAMS * 8
    return words.reshape(-1).view(np.uint8)


_PADDING: Final = _padding()

if PACKED_BYTES % _BLOCK_BYTES:
    raise LocalProtocolError("a packed polynomial must be a whole number of blocks")


def _compress(context: Any, state: Any, data: Any, at: Any) -> Any:
    emit = emit_instructions if _BY_INSTRUCTION else emit_wide

    def generate(context: Any, builder: Any, given: Any, values: Any) -> Any:
        states, octets = (
            context.make_array(kind)(context, builder, value).data
            for kind, value in zip(given.args[:2], values[:2], strict=True)
        )
        block = builder.bitcast(builder.gep(octets, [values[2]]), ir.IntType(32).as_pointer())
        emit(builder, states, block)
        return context.get_dummy_value()

    return types.void(state, data, types.intp), generate


_block = cast(Callable[[_State, Bytes, int], None], intrinsic(_compress))


@kernel
def _absorb(packed: Bytes, padding: Bytes, initial: _State, states: _State) -> None:
    for k in range(packed.shape[0]):
        polynomial, state = packed[k], states[k].reshape(-1)
        state[:] = initial
        for at in range(0, polynomial.size, _BLOCK_BYTES):
            _block(state, polynomial, at)
        _block(state, padding, 0)


def digests(packed: Bytes) -> bytes:
    """The digests of packed polynomials' sixteen lanes, in order: uint8[k, PACKED_BYTES] to k·512 bytes."""
    states = np.empty((packed.shape[0], *_INITIAL.shape), dtype=np.uint32)
    _absorb(packed, _PADDING, _INITIAL.reshape(-1), states)
    return states.transpose(0, 2, 1).astype(">u4").tobytes()
