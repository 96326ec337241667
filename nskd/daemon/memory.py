"""Keep large buffers in the process instead of giving them back after each use.

A fresh megabyte costs more in page faults than in arithmetic: on the machines measured, an elementwise product into
newly mapped memory took ten times as long as into memory used before (``docs/architecture.md``, "Memory").
"""

from __future__ import annotations

import ctypes
import ctypes.util

_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4
_M_ARENA_MAX = -8
_TRIM_BYTES = 1 << 30


def keep_buffers() -> bool:
    """Ask glibc to serve large arrays from the heap and to keep it; False where the C library has no such knob."""
    name = ctypes.util.find_library("c")
    mallopt = getattr(ctypes.CDLL(name), "mallopt", None) if name else None
    if mallopt is None:
        return False
    # No mappings at all: a threshold for them may be 32 MiB at most, and a batch has arrays of 150.
    settings = ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, _TRIM_BYTES), (_M_ARENA_MAX, 1))
    taken = [mallopt(parameter, value) == 1 for parameter, value in settings]  # each, even when one is refused
    return all(taken)
