"""Typed seams to numba: the one place where an untyped decorator touches our code.

``kernel``
    compiled on first call, cached on disk, runs without the GIL.  Never ``fastmath``: the transforms rely on
    strict IEEE arithmetic (``docs/protocol.md``, lattice layer).
``inlined``
    a scalar helper that disappears into the kernels that call it.

numba keys its cache by the file that a kernel stands in, so a changed helper or constant from another file would live
on inside machine code from the disk.  So a kernel's cache entry also carries a fingerprint of all it is made
of: the bytecode of every function and class of this package it reaches, and the values of the globals they read.
"""

from __future__ import annotations

import builtins
import hashlib
import inspect
from collections.abc import Callable, Iterator
from fractions import Fraction
from types import CodeType, FunctionType, ModuleType
from typing import Any, Final, TypeVar, cast

import numba

_F = TypeVar("_F", bound=Callable[..., Any])


def kernel(function: _F) -> _F:
    """Compile a kernel: disk-cached, releases the GIL, numpy's error model (no branch on division)."""
    dispatcher = numba.njit(cache=True, nogil=True, error_model="numpy")(function)
    index: Any = getattr(getattr(dispatcher, "_cache", None), "_cache_file", None)
    if index is not None:  # None where numba is told not to compile
        index._source_stamp = (index._source_stamp, fingerprint(function))
    return cast(_F, dispatcher)


_PACKAGE: Final = __name__.partition(".")[0]


def fingerprint(function: Callable[..., Any]) -> str:
    """A digest of a kernel: its bytecode, that of the functions of this package it reaches, and their constants.

    What it reaches must be defined before it.
    """
    digest = hashlib.sha256()
    for part in _parts(cast(FunctionType, function), set()):
        digest.update(part.encode() + b"\0")
    return digest.hexdigest()


def _parts(function: FunctionType, seen: set[int]) -> Iterator[str]:
    if id(function) in seen:
        return
    seen.add(id(function))
    yield f"{function.__module__}.{function.__qualname__}"
    names: set[str] = set()
    for code in _codes(function.__code__):
        yield code.co_code.hex()
        yield repr([constant for constant in code.co_consts if not isinstance(constant, CodeType)])
        names.update(code.co_names)
    values = [(name, function.__globals__[name]) for name in sorted(names) if name in function.__globals__]
    values += [(f"cell {at}", cell.cell_contents) for at, cell in enumerate(function.__closure__ or ())]
    for name, value in values:
        yield name
        # a helper's dispatcher and an intrinsic keep the function they were made of
        inner = getattr(value, "py_func", getattr(value, "_defn", value))
        if isinstance(inner, FunctionType):
            if inner.__module__.partition(".")[0] == _PACKAGE:
                yield from _parts(inner, seen)
        elif isinstance(inner, type) and inner.__module__.partition(".")[0] == _PACKAGE:
            yield repr(sorted(inspect.get_annotations(inner).items()))
            for method in vars(inner).values():
                # Methods that attrs generates follow from the fields; their constants differ between processes.
                if isinstance(method, FunctionType) and not method.__code__.co_filename.startswith("<"):
                    yield from _parts(method, seen)
        elif hasattr(inner, "tobytes"):  # an array, or a number of numpy's
            yield f"{type(inner)} {inner.tobytes().hex()}"
        elif isinstance(inner, (bool, int, float, str, bytes, tuple, Fraction)):
            yield f"{type(inner)} {inner!r}"
        elif not isinstance(inner, ModuleType) and not hasattr(builtins, name):
            yield str(type(inner))


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def inlined(function: _F) -> _F:
    """Compile a scalar helper that LLVM always inlines into its caller."""
    return cast(_F, numba.njit(forceinline=True, nogil=True, error_model="numpy")(function))
