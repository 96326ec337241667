"""Typed seams to numba: the one place where an untyped decorator touches our code.

``kernel``
    compiled on first call, cached on disk, runs without the GIL.  Never ``fastmath``: the transforms rely on
    strict IEEE arithmetic (``docs/protocol.md``, lattice layer).
``inlined``
    a scalar helper that disappears into the kernels that call it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

_F = TypeVar("_F", bound=Callable[..., Any])


def kernel(function: _F) -> _F:
    """Compile a kernel: disk-cached, releases the GIL, numpy's error model (no branch on division)."""
    return cast(_F, numba.njit(cache=True, nogil=True, error_model="numpy")(function))


def inlined(function: _F) -> _F:
    """Compile a scalar helper that LLVM always inlines into its caller."""
    return cast(_F, numba.njit(forceinline=True, nogil=True, error_model="numpy")(function))
