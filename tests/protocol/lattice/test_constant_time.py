"""What the compiler made of the kernels that touch secrets: nothing read from memory decides a branch or an address.

Kernels are looked at with all that they call.  Everything a kernel reads from an array counts as secret, public tables
too.  What depends on it is followed through the optimised code, from operand to result.  Left to trust are the back end
and the processor: that blends stay blends.  Not here: :func:`proof_kernels.combine`, whose indices are the public
challenge, and :func:`digest.digests`, which has no branch but its loop over blocks.
"""

from __future__ import annotations

import re
from typing import Any

import llvmlite.binding
import numba
import numpy as np
import pytest

from protocol.lattice import (
    encryption,
    kernels,
    keys,
    packing,
    proof,
    proof_kernels,
    rehearsal,
    sampling,
    selftest,
    slots,
    transform,
)

KERNELS: list[Any] = [
    transform.forward,
    transform.inverse,
    slots._to_slots,
    slots._to_coefficients,
    slots.negate,
    sampling._digits,
    sampling._binomial,
    keys._centre,
    keys._public,
    encryption._open,
    kernels.encrypt,
    kernels.evaluate,
    kernels.evaluate_constant,
    kernels.multiply,
    kernels.switch,
    kernels.phase,
    kernels.decode,
    packing.pack,
    packing._unpack,
    proof._respond,
    proof_kernels.subtract_from_encryption,
]
DIVISIONS = {"udiv", "sdiv", "urem", "srem", "fdiv", "frem"}


@pytest.fixture(scope="module", autouse=True)
def _compiled() -> None:
    selftest()
    rehearsal.rehearse()


def _offences(function: Any) -> list[str]:
    """Instructions of an optimised function that let what it read decide a branch, an address or a division."""
    instructions = [i for block in function.blocks for i in block.instructions]
    tainted: set[str] = set()
    grown = True
    while grown:  # to a fixed point, for what goes round a loop
        grown = False
        for i in instructions:
            # a pointer read from memory is where an array lies
            source = i.opcode == "load" and str(i.type) != "ptr"
            if (source or any(str(o) in tainted for o in i.operands)) and str(i) not in tainted:
                tainted.add(str(i))
                grown = True
    return [str(i).strip() for i in instructions if any(str(o) in tainted for o in _decisive(i))]


def _decisive(instruction: Any) -> list[Any]:
    """Operands that show in the time an instruction takes, or in what follows it."""
    operands = list(instruction.operands)
    if instruction.opcode in {"br", "switch", "indirectbr"}:
        return operands[:1]
    if instruction.opcode == "store":
        return operands[1:]
    return operands if instruction.opcode in {"getelementptr", "load"} | DIVISIONS else []


def _compiled_offences(dispatcher: Any, signature: Any) -> list[str]:
    """The same for a kernel compiled here and now: what comes from the cache on disk cannot be looked into."""
    fresh: Any = numba.njit(nogil=True, error_model="numpy")(dispatcher.py_func)
    fresh.compile(signature)
    (code,), (machine_code,) = fresh.inspect_llvm().values(), fresh.inspect_asm().values()
    # besides the kernel and what it calls there are wrappers, which take arguments apart, and the runtime
    module = llvmlite.binding.parse_assembly(code)
    package = dispatcher.py_func.__module__.split(".")[0]
    prefix = f"_ZN{len(package)}{package}"
    functions = [f for f in module.functions if not f.is_declaration and f.name.startswith(prefix)]
    assert any(dispatcher.py_func.__name__ in f.name for f in functions)
    found = [offence for f in functions for offence in _offences(f)]
    return found + re.findall(r"\ti?div[bwlq]?\t", machine_code)


@pytest.mark.parametrize("dispatcher", KERNELS, ids=lambda k: f"{k.py_func.__module__}.{k.py_func.__name__}")
def test_nothing_read_decides_a_branch_or_an_address(dispatcher: Any) -> None:
    assert _compiled_offences(dispatcher, dispatcher.signatures[0]) == []


@numba.njit
def _branches(x: np.ndarray, out: np.ndarray) -> None:
    for i in range(x.size):
        if x[i] > 5:
            out[i] = 1
            out[i + 1] = x[i]


@numba.njit
def _looks_up(x: np.ndarray, out: np.ndarray) -> None:
    for i in range(x.size):
        out[i] = x[x[i]]


@numba.njit
def _divides(x: np.ndarray, out: np.ndarray) -> None:
    for i in range(x.size):
        out[i] = x[i] // np.uint64(i + 7)


@pytest.mark.parametrize("dispatcher", [_branches, _looks_up, _divides], ids=lambda k: k.py_func.__name__)
def test_a_kernel_that_does_is_noticed(dispatcher: Any) -> None:
    words = numba.types.uint64[::1]
    assert _compiled_offences(dispatcher, (words, words))
