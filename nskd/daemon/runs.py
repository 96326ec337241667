"""An analysis from approval to release (``docs/protocol.md``, section 12; ``docs/architecture.md``).

The requesting centre coordinates: once a request is approved by all and enough material is in stock, it proposes a
session.  Every centre judges the proposal by itself, reserves the same stock, adds its own local part, and takes part
in the joint part; what is released is compared by all before any of them records it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import trio

from nskd.analysis.contribution import Contributions
from nskd.analysis.release import AlsoHide, release_bytes
from nskd.analysis.table import TablePlan
from nskd.daemon.generation import Generator
from nskd.daemon.notices import Notices
from nskd.daemon.phases import Phase, Stopwatch
from nskd.daemon.retry import Attempts
from nskd.daemon.workers import Workers
from nskd.daemon.workshop import Workshop
from nskd.data.load import Dataset
from nskd.data.query import LocalTable, local_table
from nskd.errors import OperatorError
from nskd.governance.approval import approvals_complete
from nskd.governance.ledger import Entry, Ledger, UnknownRequestError, release_digest
from nskd.governance.lifecycle import State
from nskd.governance.request import SignedRequest
from nskd.peers.channel import SessionAborted
from nskd.peers.lanes import Lane
from nskd.peers.mesh import Mesh
from nskd.sessions.kinds import AgreedSession, Refusal
from nskd.sessions.manager import SessionManager
from nskd.sessions.proposal import NONCE_BYTES, Offer, Proposal, StockRange
from nskd.stockpile import Segment, SharedStockpile, Stockpile
from protocol.errors import Fault, ProtocolError, RemoteProtocolError
from protocol.material import Material
from protocol.online.arithmetic import Evaluator
from protocol.online.disclosure import Release, release
from protocol.party import Party, octets

ANALYSIS: Final = "analysis"
CONNECT_PATIENCE_S: Final = 60.0

# Faults that a crash or a bad line explains; anything else shows that somebody cheats or is broken.
_ACCIDENTS: Final = frozenset({Fault.DISCONNECTED, Fault.TIMEOUT, Fault.SESSION})


class Runs:
    """Proposes this centre's own requests, and takes part in everybody's."""

    def __init__(
        self,
        *,
        workshop: Workshop,
        mesh: Mesh,
        sessions: SessionManager,
        stock: SharedStockpile,
        generator: Generator,
        notices: Notices,
        dataset: Dataset | None,
        contributions: Contributions,
        workers: Workers,
    ) -> None:
        self._workshop = workshop
        self._mesh = mesh
        self._sessions = sessions
        self._stock = stock
        self._generator = generator
        self._notices = notices
        self._dataset = dataset
        self._contributions = contributions
        self._workers = workers
        self._attempts = Attempts()
        self._idle = trio.Event()
        self._idle.set()
        self.running = 0
        self.draining = False

    # --- for the control socket -----------------------------------------------------------------------------

    def will_retry(self, request: SignedRequest) -> bool:
        """Whether a failed run of this request is going to be repeated without anybody asking."""
        ours = request.centre == self._workshop.own
        return not self.draining and (not ours or self._attempts.left(request.digest))

    def forget_failures(self, request: bytes) -> None:
        """An operator wants it run again."""
        self._attempts.forget(request)

    def drain(self) -> None:
        """Begin nothing new."""
        self.draining = True

    async def wait_idle(self) -> None:
        """Wait until no run is under way."""
        await self._idle.wait()

    # --- proposing ------------------------------------------------------------------------------------------

    async def drive(self) -> None:
        """Run this centre's approved requests, one after another, for ever."""
        while True:
            changed = self._notices.changed
            entry = None if self.draining else await self._next_due()
            if entry is None:
                await changed.wait()
                continue
            await trio.sleep(self._attempts.pause_s(entry.request.digest))
            await self._attempt(entry)

    async def _next_due(self) -> Entry | None:
        workshop = self._workshop
        for entry in await workshop.ledger(Ledger.entries, states=(State.APPROVED, State.FAILED)):
            ours = entry.request.centre == workshop.own
            if not ours or not self._attempts.left(entry.request.digest):
                continue
            if entry.state is State.APPROVED or entry.retryable:
                return entry
        return None

    async def _attempt(self, entry: Entry) -> None:
        workshop, digest = self._workshop, entry.request.digest
        try:
            await self._ready(entry)
            need = workshop.need(workshop.check(entry.request.table, entry.request.centre))
            if not await self._stocked(digest, need):
                return
            with trio.move_on_after(CONNECT_PATIENCE_S):
                await self._mesh.wait_connected()
            segments = await self._stock(Stockpile.plan, need)
            await self._sessions.propose(self._proposal(digest, segments))
        except (OperatorError, ProtocolError) as error:
            self._attempts.failed(digest)
            workshop.log.warning("a run did not succeed", request=digest.hex(), reason=str(error))
            workshop.events.publish("run.failed", request=digest.hex(), reason=str(error))
        else:
            self._attempts.forget(digest)
        finally:
            self._notices.poke()

    async def _stocked(self, digest: bytes, need: Mapping[str, int]) -> bool:
        """Wait until there is material enough; False when the request has meanwhile come to another end."""
        ready = False
        async with trio.open_nursery() as nursery:

            async def watch_stock() -> None:
                nonlocal ready
                await self._stock.wait_for(need)
                ready = True
                nursery.cancel_scope.cancel()

            nursery.start_soon(watch_stock)
            while True:
                changed = self._notices.changed
                entry = await self._workshop.ledger(Ledger.get, digest)
                if entry.state is not State.APPROVED or self.draining:
                    nursery.cancel_scope.cancel()
                await changed.wait()
        return ready

    async def _ready(self, entry: Entry) -> None:
        if entry.state is State.FAILED:
            workshop = self._workshop
            await workshop.ledger(Ledger.retry, entry.request.digest, charter=workshop.charter, now=workshop.clock())

    def _proposal(self, digest: bytes, segments: Mapping[str, Sequence[Segment]]) -> Proposal:
        return Proposal(
            kind=ANALYSIS,
            coordinator=self._workshop.own,
            nonce=os.urandom(NONCE_BYTES),
            charter=self._workshop.charter.digest,
            parties=self._workshop.charter.names,
            lane=Lane.ONLINE,
            request=digest,
            epoch=self._generator.epoch_id(),
            segments={
                kind: tuple(StockRange(s.batch, s.start, s.stop) for s in ranges) for kind, ranges in segments.items()
            },
        )

    # --- judging --------------------------------------------------------------------------------------------

    async def judge(self, offer: Offer) -> None:
        """This centre's own decision to take part; reserves the stock.  Raises :class:`Refusal`."""
        if self.draining:
            raise Refusal("this centre is stopping")
        proposal = offer.proposal
        try:
            entry = await self._workshop.ledger(Ledger.get, proposal.request)
            if entry.request.centre != offer.sender:
                raise Refusal(f"only {entry.request.centre} may run its request")
            await self._approved(entry)
            plan = self._workshop.check(entry.request.table, entry.request.centre)
        except (OperatorError, ProtocolError) as error:
            raise Refusal(str(error)) from error
        if proposal.parties != self._workshop.charter.names:
            raise Refusal("the parties are not those of the charter, in its order")
        if proposal.epoch != self._generator.epoch_id():
            raise Refusal("our stock is of another epoch")
        segments = {
            kind: [Segment(part.batch, part.start, part.stop) for part in parts]
            for kind, parts in proposal.segments.items()
        }
        offered = {kind: sum(s.stop - s.start for s in ranges) for kind, ranges in segments.items()}
        if offered != self._workshop.need(plan):
            raise Refusal("the stock proposed is not what this request needs")
        try:
            await self._stock(Stockpile.reserve, offer.session, segments)
        except OperatorError as error:
            raise Refusal(str(error)) from error

    async def _approved(self, entry: Entry) -> None:
        workshop, digest = self._workshop, entry.request.digest
        state = entry.state
        if state is State.FAILED:
            state = await workshop.ledger(Ledger.retry, digest, charter=workshop.charter, now=workshop.clock())
        if state not in (State.APPROVED, State.DONE):
            raise Refusal(f"the request is {state.value} here")
        approvals = await workshop.ledger(Ledger.approvals, digest)
        if not approvals_complete(digest, approvals, workshop.charter, workshop.clock()):
            raise Refusal("not every centre has approved, as far as we can verify")

    async def finished(self, offer: Offer, _: BaseException | None) -> None:
        """Whatever became of a session we accepted: what it reserved is never used again."""
        await self._stock(Stockpile.burn, offer.session)
        self._generator.poke()

    # --- taking part ----------------------------------------------------------------------------------------

    async def run(self, session: AgreedSession) -> None:
        """This centre's side of an agreed run, from the local part to the recorded release."""
        workshop = self._workshop
        digest = session.proposal.request
        self.running += 1
        self._idle = trio.Event()
        watch = Stopwatch(
            time.monotonic, session.channel.stats, on_begin=self._publish_begin, on_phase=self._publish_phase
        )
        start_s = time.monotonic()
        outcome = "released"
        try:
            entry = await workshop.ledger(Ledger.get, digest)
            if entry.state is not State.DONE:
                entry = await workshop.ledger(
                    Ledger.start, digest, session.session, charter=workshop.charter, now=workshop.clock()
                )
            try:
                released = await self._compute(session, entry, watch)
                await workshop.ledger(Ledger.finish, digest, released, now=workshop.clock())
            except BaseException as error:
                outcome = "failed"
                if entry.state is not State.DONE:
                    await self._record_failure(digest, error)
                raise
        finally:
            self.running -= 1
            if not self.running:
                self._idle.set()
            workshop.log.info(
                "run",
                request=digest.hex(),
                session=session.session.hex(),
                outcome=outcome,
                seconds=round(time.monotonic() - start_s, 3),
                rounds=session.channel.stats.rounds,
                bytes_sent=session.channel.stats.bytes_sent,
                phases=[phase.as_fields() for phase in watch.phases],
            )
            self._notices.poke()

    async def _compute(self, session: AgreedSession, entry: Entry, watch: Stopwatch) -> bytes:
        workshop = self._workshop
        plan = workshop.plan(entry.request.table)
        with watch.phase("local part"):
            own = await trio.to_thread.run_sync(self._local_part, plan)
            self._contributions.hold(entry.request.digest, own.values, own.children)
        with watch.phase("take stock"):
            material = Material(await self._stock(Stockpile.take, session.session))
        party = session.party(os.urandom, self._workers)
        with watch.phase("joint part"):
            outcome = await self._joint(party, material, own, plan)
        with watch.phase("compare releases"):
            released = release_bytes(
                plan,
                outcome.shown,
                outcome.values,
                request=entry.request.digest,
                title=entry.request.table.title,
            )
            party.record("release", octets(release_digest(released)))
            await party.confirm()
        return released

    def _local_part(self, plan: TablePlan) -> LocalTable:
        if self._dataset is None:  # a centre that computes without contributing adds nothing
            return LocalTable(np.zeros(plan.size, np.uint64), np.zeros(plan.size, np.uint64))
        return local_table(self._dataset, plan)

    async def _joint(self, party: Party, material: Material, own: LocalTable, plan: TablePlan) -> Release:
        key = self._generator.mac_key()
        evaluator = Evaluator(party, key, material)
        try:
            return await release(evaluator, own.values, own.children, self._workshop.rules, AlsoHide(plan.shape))
        except RemoteProtocolError as error:
            if error.fault is Fault.MAC_CHECK and not isinstance(error, SessionAborted):
                await self._generator.destroy(f"a run ended with {error.fault.value}")
            raise

    async def _record_failure(self, digest: bytes, error: BaseException) -> None:
        workshop = self._workshop
        fault, detail, retryable = describe_failure(error)
        with trio.CancelScope(shield=True):
            try:
                await workshop.ledger(
                    Ledger.fail,
                    digest,
                    fault=fault,
                    detail=detail,
                    retryable=retryable,
                    charter=workshop.charter,
                    now=workshop.clock(),
                )
            except (OperatorError, UnknownRequestError) as ledger_error:
                workshop.log.error("a failure could not be recorded", request=digest.hex(), reason=str(ledger_error))
        workshop.events.publish("run.failed", request=digest.hex(), fault=fault, detail=detail)

    def _publish_begin(self, name: str) -> None:
        self._workshop.events.publish("run.begin", name=name)

    def _publish_phase(self, phase: Phase) -> None:
        self._workshop.events.publish("run.phase", **phase.as_fields())


def describe_failure(error: BaseException) -> tuple[str, str, bool]:
    """A failure's name, one sentence on it, and whether trying again makes sense."""
    if isinstance(error, RemoteProtocolError):
        return error.fault.value, error.detail, error.fault in _ACCIDENTS
    if isinstance(error, OperatorError):
        return "local-error", str(error), True
    if isinstance(error, trio.Cancelled):
        return "interrupted", "the session was stopped", True
    return "internal-error", f"{type(error).__name__}, see this centre's log", False
