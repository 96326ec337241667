"""A kernel's cache entry knows everything the kernel was made of."""

from __future__ import annotations

import os
import subprocess
import sys
from types import FunctionType
from typing import cast

import numpy as np
import pytest

from protocol import field
from protocol._jit import fingerprint
from protocol.lattice import arithmetic, butterflies, kernels, packing, params, transform

rounding = cast(FunctionType, kernels.rounding.py_func)  # type: ignore[attr-defined]


def test_a_fingerprint_is_stable() -> None:
    assert fingerprint(rounding) == fingerprint(rounding)
    assert fingerprint(rounding) != fingerprint(cast(FunctionType, kernels.expand.py_func))  # type: ignore[attr-defined]


_TELL = """
from protocol._jit import fingerprint
from protocol.lattice import kernels, transform
for kernel in (transform.forward, transform.inverse, kernels.encrypt_limb, kernels.rounding):
    print(fingerprint(kernel.py_func))
"""


def test_it_is_the_same_in_every_process() -> None:
    """Or each daemon would compile its kernels anew at every start."""
    told = {
        subprocess.run(
            [sys.executable, "-c", _TELL],
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(told) == 1


def test_a_constant_of_another_file_changes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    before = fingerprint(rounding)
    monkeypatch.setattr(arithmetic, "_MASK_52", np.uint64(5))
    assert fingerprint(rounding) != before
    monkeypatch.undo()
    assert fingerprint(rounding) == before


def test_a_helper_of_another_file_changes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    before = fingerprint(rounding)
    helper = arithmetic.lift.py_func  # type: ignore[attr-defined]
    monkeypatch.setattr(helper, "__code__", (lambda x, q: x - q).__code__)
    assert fingerprint(rounding) != before


def test_what_emits_a_kernel_changes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    forward = cast(FunctionType, transform.forward.py_func)  # type: ignore[attr-defined]
    before = fingerprint(forward)
    monkeypatch.setattr(butterflies.Residues, "centre", lambda self, x: x)
    assert fingerprint(forward) != before
    monkeypatch.undo()
    monkeypatch.setattr(butterflies, "FACTOR_MAX", params.FACTOR_MAX - 1)
    assert fingerprint(forward) != before


def test_what_a_kernel_does_not_reach_leaves_it(monkeypatch: pytest.MonkeyPatch) -> None:
    before = fingerprint(rounding)
    monkeypatch.setattr(packing, "_3", np.uint64(7))
    monkeypatch.setattr(field, "_MASK_40", np.uint64(7))
    assert fingerprint(rounding) == before


def test_the_cache_is_keyed_by_it() -> None:
    index = kernels.rounding._cache._cache_file  # type: ignore[attr-defined]
    assert index._source_stamp[-1] == fingerprint(rounding)
