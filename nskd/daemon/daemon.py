"""One daemon: its parts, and what each does from start to stop."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import AsyncIterator, Callable
from importlib.metadata import version
from pathlib import Path
from typing import Final

import structlog
import trio

from nskd import config as configuration
from nskd.analysis.contribution import Contributions
from nskd.analysis.populations import Populations
from nskd.config import Config
from nskd.control import answers
from nskd.control.endpoint import control_endpoint
from nskd.control.events import EventBus
from nskd.control.roles import RoleMap, user_name
from nskd.control.server import ControlServer
from nskd.daemon.auditor import Auditor
from nskd.daemon.backups import Backups
from nskd.daemon.bugreport import BugReporter
from nskd.daemon.charters import Charters
from nskd.daemon.decisions import Decisions
from nskd.daemon.demand import Policy, Watermarks, marks_by_kind
from nskd.daemon.documents import Documents
from nskd.daemon.endings import end_requests
from nskd.daemon.epochs import Epochs
from nskd.daemon.failures import Failures
from nskd.daemon.generation import GENERATE, Generator
from nskd.daemon.heads import Heads
from nskd.daemon.health import Health, Parts
from nskd.daemon.history import History
from nskd.daemon.journal import Journal
from nskd.daemon.key_watch import KeyWatch
from nskd.daemon.loglevel import LogLevel
from nskd.daemon.metrics import Clients, Metrics
from nskd.daemon.needs import Needs
from nskd.daemon.notices import Notices
from nskd.daemon.objections import Objections
from nskd.daemon.permits import PermitKeeper
from nskd.daemon.presence import PresenceKeeper
from nskd.daemon.relearning import Relearning
from nskd.daemon.requester import Requester
from nskd.daemon.run_judge import RunJudge
from nskd.daemon.runs import ANALYSIS, Runs
from nskd.daemon.service import DaemonService
from nskd.daemon.start import Papers, charter_store
from nskd.daemon.turns import Turns
from nskd.daemon.wanted import Wanted
from nskd.daemon.workers import Workers
from nskd.daemon.workshop import Workshop
from nskd.data.load import Dataset
from nskd.errors import OperatorError
from nskd.governance.audit import Event
from nskd.governance.audit_file import AuditFile
from nskd.governance.charter import Charter
from nskd.governance.ledger import Ledger
from nskd.governance.lifecycle import State
from nskd.governance.threaded import LedgerThread
from nskd.keyring import Keyring
from nskd.logs import Logging
from nskd.monitor.endpoint import MetricsEndpoint
from nskd.notify import Notifier
from nskd.peers.dialer import Pace
from nskd.peers.lanes import PROTOCOL_VERSION, Lane, Member
from nskd.peers.link import Link
from nskd.peers.mesh import Mesh
from nskd.restore import Restored
from nskd.sessions.manager import SessionManager
from nskd.stockpile import SharedStockpile

HOUSEKEEPING_S: Final = 60.0


class Daemon:
    """The parts of a running daemon, put together from what :func:`nskd.daemon.serve.serve` has opened."""

    def __init__(
        self,
        papers: Papers,
        *,
        config_path: Path,
        dataset: Dataset | None,
        ledger: LedgerThread,
        audit: AuditFile,
        stock: SharedStockpile,
        ring: Keyring,
        restored: Restored | None,
        listeners: list[trio.SocketListener],
        scrapes: list[trio.SocketListener],
        logging: Logging,
        clock: Callable[[], int],
        log: structlog.typing.FilteringBoundLogger,
    ) -> None:
        config, charter = papers.config, papers.charter
        self._config = config
        self._charter_in_force = papers.in_force
        self._config_path = config_path
        self._log = log
        self._dataset = dataset
        self.stop = trio.Event()
        self.events = EventBus()
        workers = Workers(config.limits.worker_threads or os.cpu_count() or 1)
        self.workshop = Workshop(
            own=config.centre.name,
            charter=charter,
            pack=papers.pack,
            sign=papers.keys.signing.signer(),
            clock=clock,
            ledger=ledger,
            audit=Auditor(audit, charter=charter.digest, clock=clock, log=log),
            events=self.events,
            log=log,
            permits=papers.permits,
            restored_at=None if restored is None else restored.restored_at,
            former=papers.former,
        )
        populations = Populations(config.state.directory / "populations", ring.digests, ring.seals)
        history = History(self.workshop, populations)
        self.mesh = Mesh(
            own=config.centre.name,
            static=papers.keys.noise.static_key(),
            charter_digest=charter.digest,
            members=[
                Member(centre.name, centre.noise_key, centre.address.host, centre.address.port)
                for centre in charter.centres
            ],
            listeners=listeners,
            jitter=random.SystemRandom().random,
            pace=Pace(config.network.connect_timeout, config.network.redial_first, config.network.redial_max),
            log=log,
        )
        self.sessions = SessionManager(self.mesh, charter_digest=charter.digest, log=log)
        wanted = Wanted()
        turns = Turns()
        self.epochs = Epochs(workshop=self.workshop, stock=stock)
        self.generator = Generator(
            workshop=self.workshop,
            mesh=self.mesh,
            sessions=self.sessions,
            stock=stock,
            needs=Needs(
                workshop=self.workshop, stock=stock, wanted=wanted, policy=_policy(config, charter), history=history
            ),
            epochs=self.epochs,
            turns=turns,
            workers=workers,
        )
        self.relearning = Relearning(self.workshop, self.mesh, history, restored)
        self.heads = Heads(workshop=self.workshop, mesh=self.mesh)
        self.notices = Notices(self.workshop, self.mesh, wanted, self.generator.poke)
        self.presence = PresenceKeeper(self.workshop, self.mesh, self.notices.poke)
        self.decisions = Decisions(self.workshop, self.notices, papers.own_policy)
        self.failures = Failures(self.workshop, self.notices)
        self.charters = Charters(self.workshop, papers.signatures, charter_store(config))
        self.objections = Objections(workshop=self.workshop, dataset=dataset, path=config.data.opt_out)
        contributions = Contributions(config.state.directory / "contributions", ring.digests, ring.seals)
        self.key_watch = KeyWatch(ring.ages, lambda: self._config.keys.rotate_after, clock=clock, log=log)
        backups = Backups(self.workshop, config.state.directory, papers.keys.storage)
        self.permits = PermitKeeper(self.workshop, contributions, backups)
        judge = RunJudge(
            workshop=self.workshop,
            stock=stock,
            epochs=self.epochs,
            failures=self.failures,
            objections=self.objections,
            history=history,
            doubt=self.generator.doubt,
            draining=lambda: self.runs.draining,
        )
        self.runs = Runs(
            workshop=self.workshop,
            stock=stock,
            epochs=self.epochs,
            generator=self.generator,
            turns=turns,
            notices=self.notices,
            wanted=wanted,
            failures=self.failures,
            dataset=dataset,
            objections=self.objections,
            contributions=contributions,
            populations=populations,
            history=history,
            workers=workers,
            judge=judge,
        )
        self.requester = Requester(
            workshop=self.workshop,
            mesh=self.mesh,
            sessions=self.sessions,
            stock=stock,
            epochs=self.epochs,
            notices=self.notices,
            wanted=wanted,
            runs=self.runs,
            history=history,
        )
        self.sessions.register(GENERATE, lane=Lane.OFFLINE, judge=self.generator.judge, run=self.generator.run)
        self.sessions.register(
            ANALYSIS, lane=Lane.ONLINE, judge=judge.judge, run=self.runs.run, finished=self.runs.finished
        )
        program = version("nskd")  # reads files: once
        started_at = clock()
        self.parts = Parts(
            workshop=self.workshop,
            mesh=self.mesh,
            sessions=self.sessions,
            generator=self.generator,
            epochs=self.epochs,
            runs=self.runs,
            presence=self.presence,
            objections=self.objections,
            heads=self.heads,
            key_watch=self.key_watch,
            own_policy=papers.own_policy,
            state=config.state.directory,
            started_at=started_at,
            draining=lambda: self.stop.is_set() or self.runs.draining,
        )
        self.health = Health(self.parts)
        metrics = Metrics(
            self.parts,
            self.health,
            clients=lambda: Clients(self.server.connections, len(self.events)),
            version=program,
        )
        service = DaemonService(
            workshop=self.workshop,
            mesh=self.mesh,
            generator=self.generator,
            notices=self.notices,
            runs=self.runs,
            requester=self.requester,
            history=history,
            epochs=self.epochs,
            objections=self.objections,
            heads=self.heads,
            charters=self.charters,
            documents=Documents(self.workshop, lambda: self._config, None if dataset is None else dataset.rows),
            decisions=self.decisions,
            presence=self.presence,
            backups=backups,
            reload=self.reload,
            health=self.health,
            metrics=metrics,
            log_level=LogLevel(logging.threshold, log),
            bug_reporter=BugReporter(clock=clock, config=lambda: self._config, recent=logging.recent),
            version=program,
            started_at=started_at,
            stop=self.stop,
        )
        self.server = ControlServer(
            service,
            roles=RoleMap.parse(config.control.roles.principals()),
            events=self.events,
            journal=Journal(self.workshop.audit),
            log=log,
        )
        self._scrapes = scrapes
        self._endpoint = MetricsEndpoint(metrics.text, log=log)

    async def run(self, notifier: Notifier) -> None:
        """Serve until told to stop; sessions under way are then given up, and their stock burnt."""
        await self._record_start()
        if not self._charter_in_force:
            await self.charters.take_up()
        await self.presence.recover()  # before anything else: nothing may begin that a pause forbids
        await self.epochs.recover()
        await end_requests(self.workshop)
        await self.objections.readable()  # so that a broken list is known before the first run stumbles over it
        with (
            # Before the socket is there: whoever can reach the daemon may also ask it to end in good order.
            trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as arriving,
            control_endpoint(self._config.control.socket) as endpoint,
        ):
            async with trio.open_nursery() as nursery:
                await nursery.start(self.server.serve, endpoint)
                await nursery.start(self.mesh.run)
                await nursery.start(self.sessions.run)
                if self._scrapes:
                    await nursery.start(trio.serve_listeners, self._endpoint.handle, self._scrapes)
                nursery.start_soon(self.generator.drive)
                nursery.start_soon(self.requester.drive)
                nursery.start_soon(self.failures.drive)
                nursery.start_soon(self.decisions.drive)
                nursery.start_soon(self._housekeeping)
                nursery.start_soon(self._signals, arriving, notifier)
                nursery.start_soon(self._watchdog, notifier)
                for peer in self.mesh.peers:
                    nursery.start_soon(self._greet, peer)
                self._log.info(
                    "ready",
                    centre=self.workshop.own,
                    workshop=self.workshop.charter.workshop,
                    charter=self.workshop.charter.digest.hex(),
                    pack=self.workshop.pack.digest.hex(),
                    epoch=self.epochs.name(),
                )
                notifier.ready(f"{self.workshop.own} in workshop {self.workshop.charter.workshop}")
                await self.stop.wait()
                notifier.stopping()
                self._log.info("stopping")
                await self.workshop.audit.note(Event.DAEMON_STOPPED)
                nursery.cancel_scope.cancel()

    async def _record_start(self) -> None:
        """Which program, keys, pack and data answer for what follows."""
        audit = self.workshop.audit
        await audit.record(
            Event.DAEMON_STARTED,
            uid=os.geteuid(),
            user=user_name(os.geteuid()),
            details={
                "nskd": version("nskd"),
                "protocol": PROTOCOL_VERSION,
                "pack": self.workshop.pack.digest,
                "signing_key": self.workshop.charter.centres[self.workshop.index].signing_key,
            },
        )
        if self._dataset is not None:
            await audit.record(
                Event.DATA_LOADED,
                details={
                    "file": self._dataset.origin.name,
                    "sha256": self._dataset.digest,
                    "visits": self._dataset.rows,
                },
            )

    async def _greet(self, peer: str) -> None:
        known: Link | None = None
        while True:
            known = await self.mesh.wait_link(peer, Lane.CONTROL, known)
            self.generator.doubt()
            self.heads.greet(peer)
            self.relearning.greet(peer)
            await self.presence.tell_all(peer)
            try:
                await self.notices.tell_all(peer)
            except OperatorError as error:
                self._log.error("a peer could not be told what is open here", peer=peer, reason=str(error))
            self.notices.poke()

    async def _housekeeping(self) -> None:
        """Apply the clock to requests: approvals lapse, old requests expire."""
        while True:
            changed: list[tuple[bytes, State]] = []
            try:
                if await end_requests(self.workshop):
                    self.notices.poke()
                changed = await self.workshop.ledger(
                    Ledger.refresh, charter=self.workshop.charter, now=self.workshop.clock()
                )
                await self.presence.refresh()
                if await self.permits.apply():
                    self.notices.poke()
                await self.notices.tell_again()
                await self.heads.refresh()
                self.relearning.ask_again()
                await self.health.findings()  # so that it is known since when, though nobody asks
                self.health.housekeeping_problem = None
                self.key_watch.remind()
            except OperatorError as error:  # a full disk passes
                self.health.housekeeping_problem = str(error)
                self._log.error("the ledger could not be brought up to date", reason=str(error))
            for digest, state in changed:
                self.workshop.publish_state(digest, state)
            if changed:
                self.notices.poke()
            await trio.sleep(HOUSEKEEPING_S)

    async def _watchdog(self, notifier: Notifier) -> None:
        """Tell the service manager that loop and store are alive, by having both do something."""
        if notifier.watchdog_s is None:
            return
        while True:
            await self.workshop.ledger(Ledger.counts)
            notifier.watchdog()
            await trio.sleep(notifier.watchdog_s / 3)

    async def _signals(self, arriving: AsyncIterator[int], notifier: Notifier) -> None:
        async for number in arriving:
            if number != signal.SIGHUP:
                self.stop.set()
                return
            notifier.reloading()
            try:
                await self.reload(False)
            except OperatorError as error:
                self._log.error("reload refused", reason=str(error))
            notifier.ready()

    async def reload(self, check: bool) -> answers.ReloadAnswer:
        """Read the configuration anew; all of it takes effect, or nothing."""
        fresh = await trio.to_thread.run_sync(configuration.load_config, self._config_path)
        changed, restart_needed = configuration.differences(self._config, fresh)
        if not check:
            roles = RoleMap.parse(fresh.control.roles.principals())
            self.server.use_roles(roles)
            self.generator.use_policy(_policy(fresh, self.workshop.charter))
            self._config = fresh
            self._log.info("configuration reloaded", changed=changed, restart_needed=restart_needed)
        return answers.ReloadAnswer(changed=changed, restart_needed=restart_needed, checked=check)


def _policy(config: Config, charter: Charter) -> Policy:
    stock = config.stock
    triples, squares, bits, masks = (
        Watermarks(each.low, each.high) for each in (stock.triples, stock.squares, stock.bits, stock.masks)
    )
    return Policy(marks_by_kind(triples, squares, bits, masks, len(charter.centres)), stock.history_max)
