"""The process keeps its memory to itself: no core dump, no debugger of the same user.

The unit says ``LimitCORE=0``, but a daemon is also started by hand, and a core pattern that pipes into a program is
served whatever the limit is.  A process that is not dumpable (prctl(2)) writes no core at all, and others of its own
user can neither attach to it nor read its memory under ``/proc``; it can still read its own.
"""

from __future__ import annotations

import contextlib
import ctypes
import resource
import sys
from typing import Final

_PR_GET_DUMPABLE: Final = 3
_PR_SET_DUMPABLE: Final = 4


def keep_memory_private() -> bool:
    """Turn core dumps off, for good; False where the kernel has no word for it, as on a developer's other machine."""
    if resource.getrlimit(resource.RLIMIT_CORE) != (0, 0):  # the unit says so already, and lets nobody change limits
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if not sys.platform.startswith("linux"):
        return False
    return _prctl(_PR_SET_DUMPABLE, 0) == 0 and is_private()


def is_private() -> bool:
    """Whether this process can leave no core dump."""
    return (
        resource.getrlimit(resource.RLIMIT_CORE)[0] == 0
        and sys.platform.startswith("linux")
        and _prctl(_PR_GET_DUMPABLE, 0) == 0
    )


def _prctl(option: int, value: int) -> int:
    return int(ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0))
