"""What the control socket offers, carried out by the daemon's parts."""

from __future__ import annotations

import os
import platform
from collections.abc import Awaitable, Callable

import trio

from nskd.control import answers, methods
from nskd.control.codes import Code, ControlError
from nskd.control.service import Call
from nskd.daemon.answers import (
    audit_page,
    finding_row,
    pages,
    peer_row,
    permits_answer,
    request_detail,
    request_row,
    result_answer,
)
from nskd.daemon.backups import Backups
from nskd.daemon.bugreport import BugReporter
from nskd.daemon.charters import Charters
from nskd.daemon.decisions import Decisions
from nskd.daemon.documents import Documents
from nskd.daemon.epochs import Epochs
from nskd.daemon.generation import Generator
from nskd.daemon.heads import Heads
from nskd.daemon.health import Health
from nskd.daemon.history import History
from nskd.daemon.loglevel import LogLevel
from nskd.daemon.metrics import Metrics
from nskd.daemon.notices import Notices
from nskd.daemon.objections import Objections
from nskd.daemon.presence import PresenceKeeper
from nskd.daemon.requester import Requester
from nskd.daemon.runs import Runs
from nskd.daemon.workshop import Workshop
from nskd.governance import limits
from nskd.governance.audit import Event
from nskd.governance.ledger import ERASED, Entry, Ledger, UnknownRequestError
from nskd.governance.lifecycle import State
from nskd.governance.presence import check_reason
from nskd.governance.request import sign_request
from nskd.governance.request_text import parse_request
from nskd.governance.statement import Verdict
from nskd.monitor.findings import verdict
from nskd.peers.lanes import PROTOCOL_VERSION
from nskd.peers.mesh import Mesh
from protocol.lattice.machine import kernel_path

_ENDED = (State.DONE, State.REFUSED, State.FAILED, State.EXPIRED)
Reload = Callable[[bool], Awaitable[answers.ReloadAnswer]]


class DaemonService:
    """Implements :class:`nskd.control.service.Service`."""

    def __init__(
        self,
        *,
        workshop: Workshop,
        mesh: Mesh,
        generator: Generator,
        notices: Notices,
        runs: Runs,
        requester: Requester,
        history: History,
        epochs: Epochs,
        objections: Objections,
        heads: Heads,
        charters: Charters,
        documents: Documents,
        decisions: Decisions,
        presence: PresenceKeeper,
        backups: Backups,
        reload: Reload,
        health: Health,
        metrics: Metrics,
        log_level: LogLevel,
        bug_reporter: BugReporter,
        version: str,
        started_at: int,
        stop: trio.Event,
    ) -> None:
        self._workshop = workshop
        self._mesh = mesh
        self._generator = generator
        self._notices = notices
        self._runs = runs
        self._requester = requester
        self._history = history
        self._epochs = epochs
        self._objections = objections
        self._heads = heads
        self._charters = charters
        self._documents = documents
        self._decisions = decisions
        self._presence = presence
        self._backups = backups
        self._reload = reload
        self._health = health
        self._log_level = log_level
        self._bug_reporter = bug_reporter
        self._metrics = metrics
        self._stop = stop
        self._started_at = started_at
        self._version = version
        self._kernels = kernel_path()  # asks the processor: once

    # --- how things are -------------------------------------------------------------------------------------

    async def version(self, call: Call, params: methods.Params, /) -> answers.VersionAnswer:
        """Tell versions."""
        return answers.VersionAnswer(
            nskd=self._version, protocol=str(PROTOCOL_VERSION), python=platform.python_version()
        )

    async def status(self, call: Call, params: methods.Params, /) -> answers.StatusAnswer:
        """Tell how things are, at a glance, and what to do where they are not well."""
        workshop = self._workshop
        peers = self._mesh.status()
        counts = await workshop.ledger(Ledger.counts)
        findings = await self._health.findings()
        return answers.StatusAnswer(
            centre=workshop.own,
            workshop=workshop.charter.workshop,
            charter=workshop.charter.digest.hex(),
            version=self._version,
            state=self.state,
            uptime_s=workshop.clock() - self._started_at,
            peers_up=sum(peer.connected for peer in peers),
            peers=len(peers),
            epoch=self._epochs.name(),
            requests={state.value: count for state, count in counts.items()},
            kernels=self._kernels,
            notes=[str(finding) for finding in findings],
            health=verdict(findings).word,
            findings=[finding_row(finding) for finding in findings],
            log_level=self._log_level.threshold.level,
            log_configured=self._log_level.threshold.configured,
        )

    @property
    def state(self) -> str:
        """Ready, paused, left or draining."""
        if self._stop.is_set() or self._runs.draining:
            return "draining"
        own = self._workshop.attendance.own
        return "ready" if own is None else own.presence.value

    async def peers(self, call: Call, params: methods.Params, /) -> answers.PeersAnswer:
        """List the other centres."""
        return answers.PeersAnswer(peers=[peer_row(self._workshop, status) for status in self._mesh.status()])

    async def stock(self, call: Call, params: methods.Params, /) -> answers.StockAnswer:
        """Tell the stock of preprocessing."""
        return await self._generator.stock_answer()

    async def charter(self, call: Call, params: methods.CharterParams, /) -> answers.CharterAnswer:
        """Show the charter in force, or one before it, with the signatures under it."""
        return await self._charters.show(params.digest)

    async def charter_sign(self, call: Call, params: methods.CharterSignParams, /) -> answers.CharterAnswer:
        """Sign the version that follows the one in force."""
        return await self._charters.sign(call, params)

    async def permits(self, call: Call, params: methods.Params, /) -> answers.PermitsAnswer:
        """List the permits on file."""
        return permits_answer(self._workshop)

    # --- requests -------------------------------------------------------------------------------------------

    async def request_list(self, call: Call, params: methods.ListParams, /) -> answers.RequestList:
        """List requests, oldest first."""
        states = [State(state) for state in params.states] or list(State)
        entries = await self._workshop.ledger(
            Ledger.entries, states=states, limit=min(params.limit + 1, limits.LIST_MAX)
        )
        more = len(entries) > params.limit
        rows = [
            request_row(self._workshop, entry, await self._workshop.ledger(Ledger.approvals, entry.request.digest))
            for entry in entries[-params.limit :]
        ]
        return answers.RequestList(requests=rows, more=more)

    async def request_show(self, call: Call, params: methods.NamedParams, /) -> answers.RequestDetail:
        """One request."""
        entry = await self._find(params.request)
        approvals = await self._workshop.ledger(Ledger.approvals, entry.request.digest)
        return await request_detail(self._workshop, entry, approvals, opt_out=self._objections.configured)

    async def request_submit(self, call: Call, params: methods.SubmitParams, /) -> answers.SubmitAnswer:
        """Check by our own rules, sign, keep, send."""
        workshop = self._workshop
        self._refuse_when_draining()
        workshop.attendance.require_own()
        workshop.attendance.require_nobody_left()
        text = params.text.encode()
        table = parse_request(text)
        plan = workshop.check(table, workshop.own)
        await self._history.comparable(plan)
        words = await pages(workshop, table, workshop.own, opt_out=self._objections.configured)
        now = workshop.clock()
        request = sign_request(
            text,
            centre=workshop.own,
            charter=workshop.charter,
            sign=workshop.sign,
            now=now,
            nonce=os.urandom(limits.NONCE_BYTES),
        )
        twin = None if params.again else await workshop.ledger(Ledger.twin, request)
        if twin is not None:
            raise ControlError(
                Code.CONFLICT, f"the same request is open already: {twin.hex()[:12]}. Say --again to ask twice."
            )
        if params.check:
            return answers.SubmitAnswer(request=None, checked=True, pages=words)
        await workshop.audit.record(
            Event.REQUEST_SUBMITTED,
            uid=call.credentials.uid,
            user=call.user,
            purpose=table.purpose,
            request=request.digest,
        )
        await workshop.ledger(Ledger.add_request, request, now=now)
        workshop.log.info("request submitted", request=request.digest.hex(), user=call.user)
        workshop.publish_state(request.digest, State.SUBMITTED)
        await self._notices.publish(request, ())
        return answers.SubmitAnswer(request=request.digest.hex(), checked=False, pages=words)

    async def request_run(self, call: Call, params: methods.RunParams, /) -> answers.RunAnswer:
        """Let an approved request run, or a failed one run again."""
        self._refuse_when_draining()
        workshop = self._workshop
        entry = await self._find(params.request)
        if entry.request.centre != workshop.own:
            raise ControlError(
                Code.CONFLICT, f"only {entry.request.centre} can run this request: it asked. Ask its operator."
            )
        state = entry.state
        if state in (State.DONE, State.REFUSED, State.EXPIRED):
            raise ControlError(Code.CONFLICT, f"the request is {state.value}; nothing is left to run.")
        workshop.attendance.require_all()
        if not params.check:
            if state is State.FAILED:
                state = await workshop.ledger(
                    Ledger.retry, entry.request.digest, charter=workshop.charter, now=workshop.clock()
                )
            self._requester.forget_failures(entry.request.digest)
            self._notices.poke()
        return answers.RunAnswer(request=entry.request.digest.hex(), state=state.value, checked=params.check)

    async def request_statement(self, call: Call, params: methods.StatementParams, /) -> answers.StatementAnswer:
        """Write what a steward signs."""
        return await self._decisions.statement(await self._find(params.request), params)

    async def request_approve(self, call: Call, params: methods.DecideParams, /) -> answers.DecisionAnswer:
        """Approve for this centre: only what its own check passes."""
        return await self._decisions.decide(call, await self._find(params.request), params, Verdict.APPROVE)

    async def request_refuse(self, call: Call, params: methods.DecideParams, /) -> answers.DecisionAnswer:
        """Refuse for this centre."""
        return await self._decisions.decide(call, await self._find(params.request), params, Verdict.REFUSE)

    async def request_revoke(self, call: Call, params: methods.DecideParams, /) -> answers.DecisionAnswer:
        """Withdraw this centre's approval, until the run begins."""
        return await self._decisions.decide(call, await self._find(params.request), params, Verdict.WITHDRAW)

    # --- results --------------------------------------------------------------------------------------------

    async def result_show(self, call: Call, params: methods.NamedParams, /) -> answers.ResultAnswer:
        """Return what was released."""
        entry = await self._find(params.request)
        if await self._workshop.ledger(Ledger.result, entry.request.digest) is None:
            raise ControlError(Code.NOT_FOUND, _nothing_yet(entry))
        return await self._result(entry)

    async def result_wait(self, call: Call, params: methods.WaitParams, /) -> answers.ResultAnswer:
        """Wait until the request is done, refused, failed for good or expired."""
        entry = await self._find(params.request)
        with trio.move_on_after(params.timeout_s if params.timeout_s is not None else float("inf")):
            while True:
                changed = self._notices.changed  # taken before looking, so that no change is missed
                entry = await self._workshop.ledger(Ledger.get, entry.request.digest)
                if self._is_over(entry):
                    break
                await changed.wait()
        return await self._result(entry)

    async def _result(self, entry: Entry) -> answers.ResultAnswer:
        result = await self._workshop.ledger(Ledger.result, entry.request.digest)
        if result is None:
            return result_answer(entry, None)
        own_point = await self._history.own_point(entry.request)
        return result_answer(entry, result, own_point, self._runs.case_mix(entry.request.digest))

    def _is_over(self, entry: Entry) -> bool:
        # A failure that will be tried again on its own is not the end.
        return entry.state in _ENDED and not (
            entry.state is State.FAILED and entry.retryable and self._requester.will_retry(entry.request)
        )

    async def _find(self, name: str) -> Entry:
        try:
            return await self._workshop.ledger(Ledger.find, name)
        except UnknownRequestError as error:
            raise ControlError.of(error, Code.NOT_FOUND) from None

    async def document(self, call: Call, params: methods.DocumentParams, /) -> answers.DocumentAnswer:
        """Write a document about this centre."""
        return await self._documents.write(params.kind)

    async def audit_heads(self, call: Call, params: methods.Params, /) -> answers.HeadsAnswer:
        """What this centre holds of the others' audit logs."""
        return answers.HeadsAnswer(own=self._workshop.audit.head.sequence, heads=self._heads.rows())

    async def audit_read(self, call: Call, params: methods.AuditParams, /) -> answers.AuditPage:
        """A page of the audit log."""
        return await audit_page(self._workshop, params.after, params.limit, await self._charters.former_keys())

    # --- the daemon itself ----------------------------------------------------------------------------------

    async def pause(self, call: Call, params: methods.WithdrawParams, /) -> answers.PresenceAnswer:
        """Let nothing of this centre enter a run until it resumes."""
        return await self._presence.pause(call, params)

    async def resume(self, call: Call, params: methods.Changing, /) -> answers.PresenceAnswer:
        """Take part again."""
        return await self._presence.resume(call, params)

    async def leave(self, call: Call, params: methods.WithdrawParams, /) -> answers.PresenceAnswer:
        """Leave the workshop under its present charter."""
        return await self._presence.leave(call, params)

    async def epoch_end(self, call: Call, params: methods.EpochEndParams, /) -> answers.EpochEndAnswer:
        """Destroy this centre's keys of the epoch and its stock; the others end theirs at the next session."""
        check_reason(params.reason)
        epoch = self._epochs.name()
        if not params.check:
            await self._epochs.destroy(f"ended by {call.user}: {params.reason}" if params.reason else f"by {call.user}")
            self._generator.doubt()
        return answers.EpochEndAnswer(epoch=epoch, checked=params.check)

    async def backup(self, call: Call, params: methods.Changing, /) -> answers.BackupAnswer:
        """Write a sealed backup of everything but epoch and stock."""
        return await self._backups.make(check=params.check)

    async def reload(self, call: Call, params: methods.Changing, /) -> answers.ReloadAnswer:
        """Read the configuration anew."""
        return await self._reload(params.check)

    async def metrics(self, call: Call, params: methods.Params, /) -> answers.MetricsAnswer:
        """Tell the numbers."""
        return answers.MetricsAnswer(text=await self._metrics.text())

    async def bugreport(self, call: Call, params: methods.Params, /) -> answers.BugReport:
        """Put together what helps others to help."""
        return self._bug_reporter.write(
            version=await self.version(call, params),
            status=await self.status(call, params),
            peers=await self.peers(call, params),
            stock=await self.stock(call, params),
            metrics=await self._metrics.text(),
        )

    async def log_level(self, call: Call, params: methods.LogLevelParams, /) -> answers.LogLevelAnswer:
        """Log more or less, until the next restart."""
        return self._log_level.change(params)

    async def drain(self, call: Call, params: methods.DrainParams, /) -> answers.DrainAnswer:
        """Finish what runs, take on nothing new; returns once nothing runs, and then ends the daemon if asked to."""
        if params.check:
            state = "draining" if self._runs.draining else "ready"
            return answers.DrainAnswer(state=state, running=self._runs.running, checked=True)
        self._runs.drain()
        await self._runs.wait_idle()
        if params.exit:
            self._stop.set()  # this answer still goes out
        return answers.DrainAnswer(state="draining", running=self._runs.running, checked=False, ends=params.exit)

    def _refuse_when_draining(self) -> None:
        if self._runs.draining:
            raise ControlError(Code.DRAINING, "the daemon is stopping and takes on nothing new.")


def _nothing_yet(entry: Entry) -> str:
    name = entry.request.digest.hex()[:12]
    if entry.fault == ERASED:
        return f"request {name}: {entry.detail}."
    if entry.state is State.FAILED:
        return f"request {name}: nothing was released: {entry.fault}: {entry.detail}."
    return f"request {name}: nothing is released; it is {entry.state.value}."
