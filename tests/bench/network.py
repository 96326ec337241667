"""Cost of the message path: ``python -m tests.bench.network [PARTIES …]``, about half a minute.

Real processes, one a party, over encrypted loopback connections, as daemons talk.  Processor time is that of all
processes together, in user and kernel mode, so it hardly depends on what else the machine does; times of rounds do.
"""

from __future__ import annotations

import multiprocessing
import sys
import time
from collections.abc import Collection
from multiprocessing.connection import Connection
from typing import Final

import attrs
import numpy as np
import structlog
import trio

from nskd.daemon.memory import keep_buffers
from nskd.peers.channel import SessionChannel
from nskd.peers.lanes import Lane, Member
from nskd.peers.mesh import Mesh
from protocol.limits import KIB, MIB
from protocol.noise import StaticKey
from protocol.wire import Message

SESSION: Final = b"a benchmark's id"
WARM_UP: Final = 8  # rounds that do not count


@attrs.frozen
class Measurement:
    """Rounds in which the first party (``one_way``), or everybody, sends ``size`` bytes to all others."""

    name: str
    size: int
    rounds: int
    one_way: bool = False


@attrs.frozen
class Result:
    """What one party saw: seconds of each round, processor seconds of all rounds, bytes it sent."""

    rounds_s: list[float]
    cpu_s: float
    bytes_sent: int


SMALL: Final = Measurement("round of 256 B", 256, 2000)
BULK: Final = tuple(
    Measurement(f"{label} {way}", size, rounds, one_way=way == "one way")
    for label, size, rounds in (("64 KiB", 64 * KIB, 2000), ("1 MiB", MIB, 400), ("64 MiB", 64 * MIB, 10))
    for way in ("one way", "both ways")
)
OPENINGS: Final = tuple(
    Measurement(f"opening of 10^{exponent}", 8 * 10**exponent, rounds)
    for exponent, rounds in ((3, 1000), (4, 500), (5, 100), (6, 20))
)


def measurements(parties: int) -> tuple[Measurement, ...]:
    """Name what is measured among ``parties``; every process goes through the same list."""
    return {2: (*BULK, SMALL), 3: (*OPENINGS, SMALL)}.get(parties, (SMALL,))


async def measure(channel: SessionChannel, index: int, what: Measurement) -> Result:
    """Go through one measurement in lockstep with the others."""
    peers = [k for k in range(len(channel.parties)) if k != index]
    to: Collection[int] = peers if not what.one_way or index == 0 else ()
    expected: Collection[int] = peers if not what.one_way else (() if index == 0 else (0,))
    array = np.arange(what.size // 8, dtype=np.uint64)
    outgoing = {peer: Message(SESSION, "1.bench", (array,)) for peer in to}
    together = dict.fromkeys(peers, Message(SESSION, "1.together"))
    for _ in range(WARM_UP):
        await channel.exchange(outgoing, expected)
    await channel.exchange(together, peers)
    times: list[float] = []
    began_cpu = time.process_time()
    for _ in range(what.rounds):
        began = time.perf_counter()
        await channel.exchange(outgoing, expected)
        times.append(time.perf_counter() - began)
    await channel.exchange(together, peers)
    return Result(times, time.process_time() - began_cpu, what.rounds * what.size * len(to))


async def take_part(index: int, parties: int, parent: Connection) -> None:
    """Be one party: connect to the others as a daemon does, measure, report each result to the parent."""
    listener, *_ = await trio.open_tcp_listeners(0, host="127.0.0.1")
    parent.send(listener.socket.getsockname()[1])
    keys = [StaticKey(bytes([k]) * 32) for k in range(parties)]
    members = [Member(f"party-{k}", keys[k].public, "127.0.0.1", port) for k, port in enumerate(parent.recv())]
    mesh = Mesh(
        own=members[index].name,
        static=keys[index],
        charter_digest=bytes(32),
        members=members,
        listeners=[listener],
        jitter=lambda: 0.5,
        log=structlog.wrap_logger(None, wrapper_class=structlog.make_filtering_bound_logger(50)),
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(mesh.run)
        await mesh.wait_connected()
        async with mesh.open_session(SESSION, Lane.OFFLINE, tuple(m.name for m in members)) as channel:
            parent.send(None)
            await trio.to_thread.run_sync(parent.recv)  # all have opened it
            for what in measurements(parties):
                parent.send(await measure(channel, index, what))
            await trio.to_thread.run_sync(parent.recv)  # all have finished
        nursery.cancel_scope.cancel()


def party(index: int, parties: int, parent: Connection) -> None:
    """Run one process."""
    keep_buffers()
    trio.run(take_part, index, parties, parent)


def bench(parties: int) -> None:
    """Start the processes and print what they measure."""
    context = multiprocessing.get_context("spawn")
    pipes = []
    for index in range(parties):
        ours, theirs = context.Pipe()
        context.Process(target=party, args=(index, parties, theirs), daemon=True).start()
        theirs.close()
        pipes.append(ours)
    for _ in ("ports", "readiness"):
        told = [pipe.recv() for pipe in pipes]
        for pipe in pipes:
            pipe.send(told)
    for what in measurements(parties):
        row(parties, what, [pipe.recv() for pipe in pipes])
    for pipe in pipes:
        pipe.send(None)


def row(parties: int, what: Measurement, results: list[Result]) -> None:
    """Print one line: the round as the last party saw it, processor time of all parties."""
    times_us = np.array(results[-1].rounds_s) * 1e6
    cpu_s = sum(result.cpu_s for result in results)
    sent = sum(result.bytes_sent for result in results)
    print(
        f"{parties:>7}  {what.name:<22}{np.median(times_us):>12.0f}{np.percentile(times_us, 95):>12.0f}"
        f"{cpu_s * 1e6 / what.rounds / parties:>14.0f}{cpu_s * 1e9 / sent:>12.2f}",
        flush=True,
    )


def main() -> None:
    """Print the table for the numbers of parties given, by default 2 to 5."""
    print(f"{'parties':>7}  {'':22}{'median µs':>12}{'p95 µs':>12}{'CPU µs/party':>14}{'CPU ns/B':>12}")
    for parties in map(int, sys.argv[1:] or "2345"):
        bench(parties)


if __name__ == "__main__":
    main()
