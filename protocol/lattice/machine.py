"""What the kernels are compiled for, in words.

numba asks LLVM for this machine's name and features unless ``NUMBA_CPU_NAME`` or ``NUMBA_CPU_FEATURES`` say otherwise;
this module reads the same sources, so it tells what runs and not what could.  Every path gives the same bytes.
"""

from __future__ import annotations

from typing import Any, Final

import llvmlite.binding
from numba.core import config

PORTABLE: Final = "portable (no fused multiply-add in hardware)"
_ARM: Final = ("aarch64", "arm64")
_AVX_512: Final = "avx512f"
_binding: Any = llvmlite.binding  # without annotations
_config: Any = config  # numba sets its configuration at run time


def kernel_path() -> str:
    """The vector instructions that the lattice kernels use, for people: "AVX-512, 8 lanes a register" and so on."""
    if _binding.get_process_triple().startswith(_ARM):
        return "NEON, 2 lanes a register"
    features = _features()
    if _AVX_512 in features:
        return "AVX-512, 8 lanes a register"
    if {"avx2", "fma"} <= features:
        return "AVX2 + FMA, 4 lanes a register"
    return PORTABLE


def sha_instructions() -> bool:
    """Whether the instructions for SHA-256 are there and better: with AVX-512, sixteen streams side by side are."""
    return {"sha", "ssse3"} <= (features := _features()) and _AVX_512 not in features


def _features() -> set[str]:
    """The features numba compiles for: this machine's, or those the environment asks for.

    Of a processor that is named but is not this one, only features that are listed with it count.
    """
    features: set[str] = set()
    if _config.CPU_FEATURES is None or _config.CPU_NAME in (None, _binding.get_host_cpu_name()):
        features = {name for name, present in _binding.get_host_cpu_features().items() if present}
    for change in (_config.CPU_FEATURES or "").split(","):
        if change.startswith("+"):
            features.add(change[1:])
        else:
            features.discard(change[1:])
    return features
