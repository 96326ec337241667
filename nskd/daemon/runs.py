"""A run at one centre, from the agreed session to the recorded release (``docs/protocol.md``, section 12).

Every centre has judged the proposal by itself and reserved the same stock (``run_judge``); it adds its own local part,
and takes part in the joint part; what is released is compared by all before any of them records it.
"""

from __future__ import annotations

import os
import time
from typing import Final

import trio

from nskd.analysis.contribution import Contributions
from nskd.analysis.impossible import impossible_cells
from nskd.analysis.populations import Populations, Record, split
from nskd.analysis.regression import CaseMix
from nskd.analysis.release import release_bytes
from nskd.daemon.epochs import Epochs
from nskd.daemon.failures import Failures
from nskd.daemon.generation import Generator
from nskd.daemon.history import History, pairs_of
from nskd.daemon.joint import Job, JointPart
from nskd.daemon.localpart import Contribution, LocalPart
from nskd.daemon.modelling import settled
from nskd.daemon.notices import Notices
from nskd.daemon.objections import Objections
from nskd.daemon.phases import Phase, Stopwatch
from nskd.daemon.run_judge import RunJudge
from nskd.daemon.turns import Turns
from nskd.daemon.wanted import Wanted
from nskd.daemon.workers import Workers
from nskd.daemon.workshop import Workshop
from nskd.data.load import Dataset
from nskd.data.query import check_values
from nskd.errors import OperatorError
from nskd.governance.audit import Event
from nskd.governance.ledger import Entry, Ledger, release_digest
from nskd.governance.lifecycle import State
from nskd.sessions.kinds import AgreedSession
from nskd.sessions.proposal import Offer
from nskd.stockpile import SharedStockpile, Stockpile
from protocol.material import Material
from protocol.party import octets

ANALYSIS: Final = "analysis"


class Runs:
    """Takes part in runs that this centre has agreed to."""

    def __init__(
        self,
        *,
        workshop: Workshop,
        stock: SharedStockpile,
        epochs: Epochs,
        generator: Generator,
        turns: Turns,
        notices: Notices,
        wanted: Wanted,
        failures: Failures,
        dataset: Dataset | None,
        objections: Objections,
        contributions: Contributions,
        populations: Populations,
        history: History,
        workers: Workers,
        judge: RunJudge,
    ) -> None:
        self._workshop = workshop
        self._stock = stock
        self._epochs = epochs
        self._generator = generator
        self._turns = turns
        self._notices = notices
        self._wanted = wanted
        self._failures = failures
        self._local_part = LocalPart(dataset, populations.person_key, history.find)
        self._objections = objections
        self._contributions = contributions
        self._joint_part = JointPart(workshop, epochs, contributions)
        self._populations = populations
        self._history = history
        self._workers = workers
        self._judge = judge
        self._idle = trio.Event()
        self._idle.set()
        self.running = 0
        self.draining = False

    # --- for the control socket -----------------------------------------------------------------------------

    def drain(self) -> None:
        """Begin nothing new."""
        self.draining = True

    async def wait_idle(self) -> None:
        """Wait until no run is under way."""
        await self._idle.wait()

    def case_mix(self, request: bytes) -> CaseMix | None:
        """What a model said of this centre's own rows, if it did: for this centre's eyes."""
        return self._contributions.case_mix(request)

    # --- taking part ----------------------------------------------------------------------------------------

    async def finished(self, offer: Offer, error: BaseException | None) -> None:
        """Whatever became of a session we accepted: what it reserved is never used again."""
        if error is not None:
            self._generator.doubt()
        await self._stock(Stockpile.burn, offer.session)
        self._generator.poke()

    async def run(self, session: AgreedSession) -> None:
        """This centre's side of an agreed run, from the local part to the recorded release."""
        workshop = self._workshop
        digest = session.proposal.request
        self.running += 1
        self._idle = trio.Event()
        watch = Stopwatch(
            time.monotonic, session.channel.stats, on_begin=self._publish_begin, on_phase=self._publish_phase
        )
        session.channel.on_round = self._publish_round
        start_s = time.monotonic()
        outcome = "failed"
        lacking = self._wanted.take(digest)
        try:
            entry = await workshop.ledger(Ledger.get, digest)
            if entry.state is State.DONE:
                self._judge.repeated(digest)
            else:
                entry = await workshop.ledger(
                    Ledger.start, digest, session.session, charter=workshop.charter, now=workshop.clock()
                )
                workshop.publish_state(digest, State.RUNNING)
            try:
                await self._record_beginning(session, entry)
                async with self._turns.run():
                    released = await self._compute(session, entry, watch)
                self._wanted.take(digest)  # all have it: who lacked it until now says so anew, should it not keep it
                await workshop.audit.record(  # on record before anybody here can see it
                    Event.RUN_RELEASED,
                    peer=entry.request.centre,
                    purpose=entry.request.table.purpose,
                    request=digest,
                    result=release_digest(released),
                    details={"session": session.session},
                )
                await workshop.ledger(
                    Ledger.finish, digest, released, now=workshop.clock(), erase_at=self._erase_at(entry)
                )
            except BaseException as error:
                if entry.state is not State.DONE:
                    await self._failures.note(entry.request, error)
                raise
            outcome = "released"
            workshop.publish_state(digest, State.DONE)
        finally:
            if outcome == "failed":
                self._wanted.note(digest, lacking)
                self._judge.came_to_nothing(session.proposal.coordinator)
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

    def _erase_at(self, entry: Entry) -> int | None:
        """When the permit of a request demands that its result be erased; None without a permit."""
        permit = self._workshop.permits.find(entry.request.table.permit or "")
        return None if permit is None else permit.erase_at

    async def _record_beginning(self, session: AgreedSession, entry: Entry) -> None:
        """On whose word our data is about to enter."""
        await self._workshop.audit.record(
            Event.RUN_BEGUN,
            peer=entry.request.centre,
            purpose=entry.request.table.purpose,
            request=entry.request.digest,
            approvals=await self._workshop.ledger(Ledger.approvals, entry.request.digest),
            details={"session": session.session, "repeated": int(entry.state is State.DONE)},
        )

    async def _compute(self, session: AgreedSession, entry: Entry, watch: Stopwatch) -> bytes:
        workshop = self._workshop
        plan = workshop.plan(entry.request.table)
        with watch.phase("local part"):
            await self._objections.apply()  # before anything else looks at a row
            listed = split(session.proposal.extra) or ()
            earlier = await self._history.earlier(listed)
            own = await trio.to_thread.run_sync(self._local_part.contribution, plan, earlier)
            check_values(own.table, plan, len(workshop.charter.centres))
            self._hold(entry.request.digest, listed, own)
        await self._turns.batch_over()
        with watch.phase("take stock"):
            material = Material(await self._stock(Stockpile.take, session.session))
            workshop.log.info(
                "stock taken",
                session=session.session.hex(),
                epoch=self._epochs.name(),
                segments={
                    kind: [[part.batch.hex(), part.start, part.stop] for part in parts]
                    for kind, parts in session.proposal.segments.items()
                },
            )
        party = session.party(os.urandom, self._workers)
        # What is withdrawn from here on comes too late for this run; what has expired by its end does not count then.
        approvals = await workshop.ledger(Ledger.approvals, entry.request.digest)
        self._joint_part.recheck(entry, approvals)
        with watch.phase("joint part"):
            self._joint_part.require(session.proposal.epoch)
            impossible = await trio.to_thread.run_sync(impossible_cells, plan)
            hospitals = workshop.hospitals(plan, pairs_of(workshop, plan, earlier))
            job = Job(entry, approvals, session.proposal.epoch, plan, impossible, own, hospitals)
            outcome = await self._joint_part.run(party, material, job)
        with watch.phase("compare releases"):
            further = outcome.further
            if "model" in further:
                recorded = await workshop.ledger(Ledger.result, entry.request.digest)
                model = await settled(party, further["model"], None if recorded is None else recorded.release)
                further = {"model": model}
            released = release_bytes(
                plan,
                outcome.counts.shown,
                outcome.counts.values,
                impossible,
                rounding=workshop.charter.disclosure.rounding,
                request=entry.request.digest,
                title=entry.request.table.title,
                further=further,
            )
            await self._check_same(entry, released)
            party.record("release", octets(release_digest(released)))
            await party.confirm()
            # A model made again comes out alike whatever the steps on its way have told: such a run stays counted.
            if "model" not in outcome.further or entry.state is not State.DONE:
                self._contributions.end_venture(entry.request.digest)
            for case_mix in outcome.case_mix:
                self._contributions.keep_case_mix(entry.request.digest, case_mix)
        return released

    async def _check_same(self, entry: Entry, released: bytes) -> None:
        """What was released once stays: a repeated run that gives anything else is stopped before it counts."""
        recorded = await self._workshop.ledger(Ledger.result, entry.request.digest)
        if recorded is not None and recorded.digest != release_digest(released):
            raise OperatorError(
                "this run gives another table than the one on record here; some centre's contribution has changed",
                where=f"request {entry.request.digest.hex()[:12]}",
                remedy="Settle with the other centres whose data has changed, then submit the request anew.",
            )

    def _hold(self, request: bytes, listed: tuple[bytes, ...], own: Contribution) -> None:
        """Before anything of it leaves: fixed for all runs of this request, and for the tables that come later."""
        rows = () if own.patterns is None else own.patterns.vectors()
        self._contributions.hold(request, own.table.values, own.table.children, own.differences.children, *rows)
        record = Record(self._workshop.charter.contributors, listed, own.population)
        self._populations.hold(request, record)

    def _publish_round(self, step: str) -> None:
        self._workshop.events.publish("run.round", step=step)

    def _publish_begin(self, name: str) -> None:
        self._workshop.events.publish("run.begin", name=name)

    def _publish_phase(self, phase: Phase) -> None:
        self._workshop.events.publish("run.phase", **phase.as_fields())
