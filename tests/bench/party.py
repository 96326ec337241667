"""One party of an online benchmark, as a process of its own: ``python -m tests.bench.party``.

It stands in for a centre's daemon, which is not running, with all the daemon's parts but its governance: the centre's
keys and charter, its sealed stock and epoch, encrypted links to the others, agreed sessions.  There is no other way:
a daemon computes nothing that was not requested and approved.

Reads a :class:`Setup` from standard input; writes an :class:`Account` per exercise to standard output, a line each;
ends when its input does.
"""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path
from typing import Any, Final

import msgspec
import structlog
import trio

from nskd import keyring
from nskd.config import load_config
from nskd.credentials import CentreKeys, load_keys
from nskd.daemon.memory import keep_buffers
from nskd.daemon.workers import Workers
from nskd.governance.charter import Charter, load_charter
from nskd.peers.lanes import Lane, Member
from nskd.peers.mesh import Mesh
from nskd.sessions.kinds import AgreedSession, Refusal
from nskd.sessions.manager import SessionManager
from nskd.sessions.proposal import NONCE_BYTES, Offer, Proposal, StockRange
from nskd.stockpile import Segment, SharedStockpile, Stockpile
from protocol.material import Material
from protocol.offline.epoch import Epoch, unseal
from protocol.online.arithmetic import Evaluator
from tests.bench.exercises import Account, Exercise, dealt, perform

KIND: Final = "bench"


class Setup(msgspec.Struct, frozen=True):
    """Which centre to stand in for, where all of them are, in charter order, and what to do."""

    config: str
    credentials: str
    addresses: list[tuple[str, int]]
    exercises: list[Exercise]


class Seat:
    """The centre's side of one session per exercise."""

    def __init__(self, setup: Setup, stock: SharedStockpile, epoch: Epoch) -> None:
        self._exercises = setup.exercises
        self._stock = stock
        self._epoch = epoch
        self._workers = Workers(1)

    async def judge(self, offer: Offer) -> None:
        """Reserve what is proposed, as for an analysis."""
        segments = {
            kind: [Segment(part.batch, part.start, part.stop) for part in parts]
            for kind, parts in offer.proposal.segments.items()
        }
        if offer.proposal.epoch != self._epoch.epoch_id:
            raise Refusal("our stock is of another epoch")
        await self._stock(Stockpile.reserve, offer.session, segments)

    async def finished(self, offer: Offer, error: BaseException | None) -> None:
        """What was not used never is."""
        await self._stock(Stockpile.burn, offer.session)

    async def run(self, session: AgreedSession) -> None:
        """Take the stock, compute, and report."""
        number = int.from_bytes(session.proposal.extra, "big")
        exercise = self._exercises[number]
        party = session.party(os.urandom, self._workers)
        began_s = trio.current_time()
        material = Material(await self._stock(Stockpile.take, session.session))
        take_s = trio.current_time() - began_s
        key, renew = self._epoch.mac_key, None
        if exercise.dealt:
            key, renew = await trio.to_thread.run_sync(dealt, exercise, party.parties, party.index)
        stats = session.channel.stats
        evaluator = Evaluator(party, key, material)
        account = await perform(exercise, evaluator, renew, lambda: stats.bytes_sent)
        _tell(msgspec.structs.replace(account, exercise=number, take_s=take_s))


def _tell(account: Account) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(account) + b"\n")
    sys.stdout.buffer.flush()


async def coordinate(
    setup: Setup, charter: Charter, own: str, stock: SharedStockpile, epoch: Epoch, sessions: SessionManager
) -> None:
    """At the first centre: one session after another, with the stock that each takes."""
    for number, exercise in enumerate(setup.exercises):
        segments: dict[str, list[Segment]] = await stock(Stockpile.plan, exercise.stock.by_kind(len(charter.names)))
        await sessions.propose(
            Proposal(
                kind=KIND,
                coordinator=own,
                nonce=os.urandom(NONCE_BYTES),
                charter=charter.digest,
                parties=charter.names,
                lane=Lane.ONLINE,
                epoch=epoch.epoch_id,
                segments={
                    kind: tuple(StockRange(s.batch, s.start, s.stop) for s in ranges)
                    for kind, ranges in segments.items()
                },
                extra=number.to_bytes(4, "big"),
            )
        )


async def take_part(setup: Setup) -> None:
    """Connect to the others as the daemon does, and do what is to be done."""
    config = load_config(Path(setup.config))
    keys = load_keys(Path(setup.credentials))
    charter = load_charter(config.workshop.charter)
    own = config.centre.name
    ring = keyring.load(config.state.directory, keys.storage)
    assert ring is not None
    stock = await SharedStockpile.open(config.state.directory / "stock", ring.sealing[0])
    try:
        stored = await stock(Stockpile.epoch)
        if stored is None:
            raise RuntimeError("there is no epoch in stock")
        epoch = unseal(stored.state)
        mesh, log = await _mesh(setup, charter, own, keys)
        sessions = SessionManager(mesh, charter_digest=charter.digest, log=log)
        seat = Seat(setup, stock, epoch)
        sessions.register(KIND, lane=Lane.ONLINE, judge=seat.judge, run=seat.run, finished=seat.finished)
        async with trio.open_nursery() as nursery:
            await nursery.start(mesh.run)
            await nursery.start(sessions.run)
            await mesh.wait_connected()
            if charter.index(own) == 0:
                await coordinate(setup, charter, own, stock, epoch, sessions)
            await trio.lowlevel.wait_readable(sys.stdin)  # its end: all have reported
            nursery.cancel_scope.cancel()
    finally:
        await stock.aclose()


async def _mesh(setup: Setup, charter: Charter, own: str, keys: CentreKeys) -> tuple[Mesh, Any]:
    host, port = setup.addresses[charter.index(own)]
    log = structlog.wrap_logger(
        structlog.PrintLogger(sys.stderr), wrapper_class=structlog.make_filtering_bound_logger("warning")
    )
    mesh = Mesh(
        own=own,
        static=keys.noise.static_key(),
        charter_digest=charter.digest,
        members=[
            Member(centre.name, centre.noise_key, *address)
            for centre, address in zip(charter.centres, setup.addresses, strict=True)
        ],
        listeners=await trio.open_tcp_listeners(port, host=host),
        jitter=random.SystemRandom().random,
        log=log,
    )
    return mesh, log


def main() -> None:
    """Run one party."""
    setup = msgspec.json.decode(sys.stdin.buffer.readline(), type=Setup)
    keep_buffers()
    trio.run(take_part, setup)


if __name__ == "__main__":
    main()
