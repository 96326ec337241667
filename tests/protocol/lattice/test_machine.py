"""Every vector path gives the committed bytes, and is named for what it is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import llvmlite.binding
import pytest
from numba.core import config

from protocol.lattice import machine
from protocol.lattice.machine import PORTABLE, kernel_path
from tests.vectors.make_lattice import HERE

GOOD = json.loads((HERE / "lattice_good.json").read_text(encoding="utf-8"))
HOST = {name for name, present in llvmlite.binding.get_host_cpu_features().items() if present}
X86 = llvmlite.binding.get_process_triple().startswith("x86")
RUN = """
import json
from protocol.lattice.machine import kernel_path
from tests.vectors.make_lattice import describe, run
print(json.dumps([kernel_path(), describe(run(constant=True))]))
"""
KEYS = """
import json
from protocol.lattice import keygen
from protocol.lattice.machine import kernel_path
from tests.vectors.make_lattice import EPOCH, seed, sha
_, public = keygen(EPOCH, seed("key"))
described = {"public_key_sha256": sha(public.to_array()), "public_key_digest": public.digest.hex()}
print(json.dumps([kernel_path(), described]))
"""
HASH = """
import hashlib, json
import numpy as np
from protocol.lattice import digest, machine
packed = np.arange(3 * digest.PACKED_BYTES, dtype=np.uint32).view(np.uint8)[: 3 * digest.PACKED_BYTES]
found = digest.digests(packed.reshape(3, -1))
print(json.dumps([machine.sha_instructions(), hashlib.sha256(found).hexdigest()]))
"""


@pytest.fixture
def program(at_length: bool) -> str:
    """All kernels, whose compilation takes a minute; or those that make a key: sampling, a transform, packing."""
    return RUN if at_length else KEYS


def _elsewhere(program: str, cache: Path, **environment: str) -> Any:
    """What another process computes with kernels of its own."""
    variables = {k: v for k, v in os.environ.items() if not k.startswith("NUMBA_")}
    return json.loads(
        subprocess.run(
            [sys.executable, "-c", program],
            env=variables | {"NUMBA_CACHE_DIR": str(cache)} | environment,
            check=True,
            capture_output=True,
            timeout=240,
        ).stdout
    )


@pytest.mark.skipif(not X86, reason="fused multiply-add belongs to every such processor")
def test_the_portable_path_gives_the_same_bytes(tmp_path: Path, program: str) -> None:
    path, described = _elsewhere(program, tmp_path, NUMBA_CPU_NAME="generic")
    assert path == PORTABLE
    assert described and described.items() <= GOOD["constant"].items()


@pytest.mark.skipif("avx512f" not in HOST, reason="this machine has no wider registers to leave out")
def test_the_avx2_path_gives_the_same_bytes(tmp_path: Path, program: str) -> None:
    path, described = _elsewhere(program, tmp_path, NUMBA_CPU_FEATURES="-avx512f")
    assert path == "AVX2 + FMA, 4 lanes a register"
    assert described and described.items() <= GOOD["constant"].items()


@pytest.mark.skipif("sha" not in HOST, reason="this machine has one way to hash")
def test_both_ways_of_hashing_give_the_same_bytes(tmp_path: Path) -> None:
    (one, by_instruction), (other, wide) = (
        _elsewhere(HASH, tmp_path / change, NUMBA_CPU_FEATURES=change) for change in ("+sha,-avx512f", "-sha")
    )
    assert (one, other) == (True, False)
    assert by_instruction == wide


@pytest.mark.skipif(not X86, reason="names of x86 features")
@pytest.mark.parametrize(
    ("name", "features", "path"),
    [
        ("generic", "", PORTABLE),
        ("generic", "+avx2,+fma", "AVX2 + FMA, 4 lanes a register"),
        ("generic", "+avx2", PORTABLE),
        ("generic", "+avx2,+fma,+avx512f", "AVX-512, 8 lanes a register"),
        (None, "-avx512f,-fma", PORTABLE),
    ],
)
def test_the_environment_decides(monkeypatch: pytest.MonkeyPatch, name: str | None, features: str, path: str) -> None:
    monkeypatch.setattr(config, "CPU_NAME", name)
    monkeypatch.setattr(config, "CPU_FEATURES", features)
    assert kernel_path() == path


def test_other_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine._binding, "get_process_triple", lambda: "aarch64-unknown-linux-gnu")
    assert kernel_path() == "NEON, 2 lanes a register"
