"""Free ports on the loopback address, which stay free while nobody listens.

A daemon that is killed comes back to its port.  So ports are taken below those that a system gives to outgoing
connections and to whoever asks for any, are given once, and each worker of the suite has its own.
"""

from __future__ import annotations

import os
import random
import socket
from typing import Final

_FIRST, _END = 16_384, 32_768  # below the range of Linux
_WORKERS_MAX: Final = 16
_WORKER: Final = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _WORKERS_MAX
_left = list(range(_FIRST + _WORKER, _END, _WORKERS_MAX))
random.SystemRandom().shuffle(_left)  # another suite may run on this machine


def free_ports(count: int) -> list[int]:
    """Ports nobody uses at this moment, and that were not given before."""
    found: list[int] = []
    while len(found) < count:
        port = _left.pop()
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        found.append(port)
    return found
