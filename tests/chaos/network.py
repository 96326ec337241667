"""How packets fare between centres: a router in user space between TUN devices, which delays, drops and shapes.

Whole IP packets of the kernel's own TCP pass through it, so a partition is silence, a loss is a retransmission, and a
narrow link queues and then drops, as on a real network.  It needs no traffic shaper in the kernel.
"""

from __future__ import annotations

import contextlib
import heapq
import os
import random
import selectors
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import attrs

QUEUE_BYTES: Final = 256 << 10  # what waits in front of a narrow link before it drops: a small office router
PACKET_BYTES_MAX: Final = 65_535
_TURN: Final = 64  # packets of one device before the others have a turn
_DESTINATION: Final = slice(16, 20)  # in an IPv4 header
_VERSION_4: Final = 4

Place = int  # a centre, by its place
Way = tuple[Place, Place]  # from, to


@attrs.frozen
class Path:
    """How packets fare one way: ``loss`` is the share that is dropped, ``bytes_per_s`` the width (None: any)."""

    up: bool = True
    delay_s: float = 0.0
    loss: float = 0.0
    bytes_per_s: float | None = None


CLEAR: Final = Path()


@attrs.define
class Count:
    """Packets of one way, by what became of them."""

    passed: int = 0
    dropped: int = 0


class Router:
    """Carries packets between devices until it is closed; ``devices`` are TUN descriptors by place."""

    def __init__(self, devices: Mapping[Place, int], rng: random.Random) -> None:
        self._devices = dict(devices)
        self._addresses: dict[bytes, Place] = {}
        self._rng = rng
        self._paths: dict[Way, Path] = {}
        self._free_at: dict[Way, float] = {}
        self._waiting: list[tuple[float, int, Place, bytes]] = []
        self._number = 0
        self.counts: dict[Way, Count] = {}
        self._wake, self._awake = os.pipe()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="router", daemon=True)
        for device in self._devices.values():
            os.set_blocking(device, False)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._closed = True
        os.write(self._awake, b".")
        self._thread.join()
        os.close(self._wake)
        os.close(self._awake)

    # --- what is set from outside; each is one assignment, so the thread sees all of it or nothing -----------------

    def set(self, ways: Iterable[Way], path: Path) -> None:
        """From now on packets fare so on these ways."""
        self._paths = {**self._paths, **dict.fromkeys(ways, path)}

    def clear(self) -> None:
        """Nothing is in the way of anything any more."""
        self._paths = {}

    def readdress(self, addresses: Mapping[bytes, Place]) -> None:
        """These are where they are now; what is sent to any other address is lost."""
        self._addresses = dict(addresses)

    # --- the thread -----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector:
            for place, device in self._devices.items():
                selector.register(device, selectors.EVENT_READ, place)
            selector.register(self._wake, selectors.EVENT_READ)
            while not self._closed:
                patience = None if not self._waiting else max(0.0, self._waiting[0][0] - time.monotonic())
                for key, _ in selector.select(patience):
                    if key.data is not None:
                        self._read(key.data, key.fd)
                self._deliver_due()

    def _read(self, place: Place, device: int) -> None:
        for packet in _packets(device):
            if packet[0] >> 4 != _VERSION_4:
                continue  # the kernel looking for IPv6 neighbours
            to = self._addresses.get(packet[_DESTINATION])
            if to is not None:
                self._forward((place, to), packet)

    def _forward(self, way: Way, packet: bytes) -> None:
        path = self._paths.get(way, CLEAR)
        count = self.counts.setdefault(way, Count())
        now = time.monotonic()
        at = now
        dropped = not path.up or (path.loss > 0 and self._rng.random() < path.loss)
        if path.bytes_per_s is not None and not dropped:
            at = max(now, self._free_at.get(way, 0.0))
            dropped = (at - now) * path.bytes_per_s > QUEUE_BYTES
            if not dropped:
                at += len(packet) / path.bytes_per_s
                self._free_at[way] = at
        if dropped:
            count.dropped += 1
            return
        count.passed += 1
        at += path.delay_s
        if at <= now and not self._waiting:
            self._deliver(way[1], packet)
        else:
            self._number += 1  # keeps the order of packets that are due at once
            heapq.heappush(self._waiting, (at, self._number, way[1], packet))

    def _deliver_due(self) -> None:
        now = time.monotonic()
        while self._waiting and self._waiting[0][0] <= now:
            _, _, to, packet = heapq.heappop(self._waiting)
            self._deliver(to, packet)

    def _deliver(self, to: Place, packet: bytes) -> None:
        with contextlib.suppress(OSError):  # its queue is full, or the device is down: lost, as anywhere
            os.write(self._devices[to], packet)


def _packets(device: int) -> Iterator[bytes]:
    for _ in range(_TURN):
        try:
            packet = os.read(device, PACKET_BYTES_MAX)
        except OSError:
            return
        if not packet:
            return
        yield packet
