"""Every bound of the control socket, each with its reason."""

from __future__ import annotations

from typing import Final

import attrs

from protocol.limits import MIB

LINE_BYTES_MAX: Final = 1 * MIB  # a request text is 8 KiB, a release 512 KiB: room for both in one line
READ_BYTES: Final = 64 * 1024
ID_CHARS_MAX: Final = 128
SUN_PATH_BYTES_MAX: Final = 107  # the kernel's, less the closing zero


@attrs.frozen
class Bounds:
    """What the server holds and waits for; a test makes them small."""

    connections: int = 64  # people and scripts of one machine
    calls_per_connection: int = 8  # at once; more wait in the socket's own buffer
    events_queued: int = 256  # per subscriber; beyond it events are dropped and counted
    idle_s: float = 300.0  # a connection that asks nothing and waits for nothing
    send_s: float = 60.0  # a client that does not take its answer
    flush_s: float = 1.0  # for answers that are ready when the daemon ends
    hangup_check_s: float = 1.0  # how soon a client that left while its call waits is noticed
