"""Each alert and each finding: a centre is brought into that state, and says so; in no other state does it.

Real ledger, audit log, attendance, epochs, generator, heads and objections; network, stock and disk are the test's.
"""

from __future__ import annotations

import datetime
import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, cast

import attrs
import pytest
import trio
import yaml

from nskd import backup
from nskd.backup import AUDIT
from nskd.control import answers, methods
from nskd.credentials import StorageKey
from nskd.daemon.backups import Backups
from nskd.daemon.epochs import Epochs
from nskd.daemon.generation import Generator
from nskd.daemon.heads import Heads
from nskd.daemon.health import Disk, Health, Parts
from nskd.daemon.key_watch import KeyWatch
from nskd.daemon.metrics import Clients, Metrics
from nskd.daemon.objections import Objections
from nskd.data.load import Dataset, LeftOut
from nskd.errors import OperatorError
from nskd.governance import limits as governance_limits
from nskd.governance.audit import AuditError, Event, Head
from nskd.governance.audit_file import AuditFile
from nskd.governance.audit_heads import Contradiction
from nskd.governance.charter import Purpose
from nskd.governance.database import LedgerError
from nskd.governance.ledger import Ledger
from nskd.keyring import Age
from nskd.monitor import limits
from nskd.monitor.findings import Name, verdict
from nskd.peers.lanes import Lane
from nskd.peers.mesh import PeerStatus
from nskd.sessions.attempt import OUTCOMES, outcome_of
from protocol.errors import Fault, RemoteProtocolError
from tests.promql import Scrape, evaluate

from .centres import CALL, MemoryMesh, Seat, World, world

ROOT: Final = Path(__file__).parents[3]
RULES: Final = yaml.safe_load((ROOT / "configs" / "alerts.yaml").read_text())["groups"][0]["rules"]
RUNBOOK: Final = (ROOT / "docs" / "operations.md").read_text()
DAY_S: Final = 86_400
MINUTE_S: Final = 60
GIGABYTE: Final = 1_000_000_000
LATE: Final = OperatorError("no space left", where="stock", remedy="Make room.")


class Network(MemoryMesh):
    """A mesh whose links are as the test says."""

    def __init__(self, own: str, names: tuple[str, ...], now: Callable[[], int]) -> None:
        super().__init__(own, lambda *_: True)
        self._names = tuple(name for name in names if name != own)
        self._now = now
        self.down: dict[str, int] = {}
        self.trips = dict.fromkeys(self._names, 0.01)
        self.queued = dict.fromkeys(self._names, 0)
        self.failed_calls: Counter[str] = Counter()
        self.failed_answers = self.strangers = 0

    def status(self) -> tuple[PeerStatus, ...]:
        return tuple(
            PeerStatus(
                name=name,
                lanes=() if name in self.down else tuple(Lane),
                since=datetime.datetime.fromtimestamp(self.down.get(name, 0), datetime.UTC),
                last_error="it is away" if name in self.down else None,
                round_trip_s=self.trips[name],
                stray_messages=0,
                queued=self.queued[name],
            )
            for name in self._names
        )

    def connected(self) -> bool:
        return not self.down

    def lose(self, *names: str) -> None:
        self.down.update(dict.fromkeys(names, self._now()))

    def post_control(self, name: str, message: object) -> bool:
        return name not in self.down


class Stock:
    """Levels that are what the test says; everything else of it does nothing."""

    def __init__(self) -> None:
        self.level = 150

    async def rows(self, rates: Mapping[str, float]) -> list[answers.StockRow]:
        return [answers.StockRow(kind="triple", level=self.level, low=100, high=200, per_second=rates.get("triple"))]

    async def __call__(self, *_: object) -> None:
        await trio.lowlevel.checkpoint()


@attrs.define(eq=False)
class Centre:
    """The parts under test, and what they have said until now."""

    here: World
    seat: Seat
    parts: Parts
    health: Health
    metrics: Metrics
    network: Network
    stock: Stock
    directory: Path
    ages: list[Age]
    free: int = 50 * GIGABYTE
    draining: bool = False
    answers: bool = True
    endings: Counter[tuple[str, str]] = attrs.field(factory=Counter)
    history: list[Scrape] = attrs.field(factory=list)

    async def scrape(self) -> None:
        """What a collector sees now, and a minute later."""
        for _ in range(2):
            text = await self.metrics.text() if self.answers else ""
            self.history.append(Scrape.of(text, self.here.now, up=float(self.answers)))
            self.here.now += MINUTE_S

    async def names(self) -> set[Name]:
        return {finding.name for finding in await self.health.findings()}

    def firing(self) -> set[str]:
        return {rule["alert"] for rule in RULES if evaluate(rule["expr"], self.history)}

    def restart(self) -> None:
        self.parts = attrs.evolve(self.parts, started_at=self.here.now)
        self.health = Health(self.parts)
        self.metrics = Metrics(self.parts, self.health, clients=lambda: Clients(1, 0), version="1")

    def use_purposes(self, *ends: datetime.date | None) -> None:
        """Have a charter with purposes that end then."""
        charter = self.parts.workshop.charter
        purposes = tuple(Purpose(f"p{number}", "x", valid_until=end) for number, end in enumerate(ends))
        workshop = attrs.evolve(self.parts.workshop, charter=attrs.evolve(charter, purposes=purposes))
        self.parts = attrs.evolve(self.parts, workshop=workshop)
        self.health = Health(self.parts)
        self.metrics = Metrics(self.parts, self.health, clients=lambda: Clients(1, 0), version="1")


@pytest.fixture
async def centre(tmp_path: Path) -> AsyncIterator[Centre]:
    async with world(tmp_path) as here:
        yield made(here, tmp_path)


def made(here: World, directory: Path) -> Centre:
    seat = here["noord"]
    workshop, stock = seat.workshop, Stock()
    network = Network("noord", here.charter.names, lambda: here.now)
    endings: Counter[tuple[str, str]] = Counter({("analysis", outcome): 0 for outcome in OUTCOMES})
    epochs = Epochs(workshop=workshop, stock=cast(Any, stock))
    rest: dict[str, Any] = {"sessions": None, "stock": stock, "needs": stock, "turns": None, "workers": None}
    ages: list[Age] = []
    opt_out = directory / "opt-out.csv"
    opt_out.write_text("person_link\np-1\n")
    dataset = cast(Dataset, SimpleNamespace(leave_out=lambda people: LeftOut(visits=len(people), people=len(people))))
    parts = Parts(
        workshop=workshop,
        mesh=cast(Any, network),
        sessions=cast(Any, SimpleNamespace(endings=endings, counted=lambda: dict(endings), active=lambda: ())),
        generator=Generator(workshop=workshop, mesh=cast(Any, network), epochs=epochs, **rest),
        epochs=epochs,
        runs=cast(Any, SimpleNamespace(running=0)),
        presence=seat.presence,
        objections=Objections(workshop=workshop, dataset=dataset, path=opt_out),
        heads=Heads(workshop=workshop, mesh=cast(Any, network)),
        key_watch=KeyWatch(ages, lambda: 730.0 * DAY_S, clock=lambda: here.now, log=workshop.log),
        own_policy=None,
        state=directory,
        started_at=here.now,
        draining=lambda: whole.draining,
        disk=lambda _: Disk(whole.free, 100 * GIGABYTE),
        disk_kept_s=0,
    )
    health = Health(parts)
    metrics = Metrics(parts, health, clients=lambda: Clients(1, 0), version="1")
    whole = Centre(here, seat, parts, health, metrics, network, stock, directory, ages, endings=endings)
    return whole


# --- how each state comes about ---------------------------------------------------------------------------------


async def daemon_down(centre: Centre) -> None:
    centre.answers = False


async def restarts(centre: Centre) -> None:
    for _ in range(3):
        centre.restart()
        await centre.scrape()


async def draining(centre: Centre) -> None:
    centre.draining = True


async def peer_down(centre: Centre) -> None:
    centre.network.lose("zuid")


async def no_peer(centre: Centre) -> None:
    centre.network.lose(*centre.network.peers)
    centre.here.now += limits.ALONE_S


async def link_slow(centre: Centre) -> None:
    centre.network.trips["zuid"] = 0.7


async def queue_long(centre: Centre) -> None:
    centre.network.queued["zuid"] = 40


async def strangers(centre: Centre) -> None:
    centre.network.failed_answers += 300


async def paused(centre: Centre) -> None:
    await centre.seat.presence.pause(CALL, methods.WithdrawParams(reason="a reason"))


async def left(centre: Centre) -> None:
    await centre.seat.presence.leave(CALL, methods.WithdrawParams())


async def centre_absent(centre: Centre) -> None:
    await centre.here["zuid"].presence.pause(CALL, methods.WithdrawParams())
    await centre.here.settle()


async def check_failed(centre: Centre) -> None:
    """What a peer only claims is none."""
    epochs = centre.parts.epochs
    epochs._epoch = cast(Any, SimpleNamespace(epoch_id=bytes(16)))
    party = cast(Any, SimpleNamespace(at_stake=False))
    await epochs.destroy_if_tested(party, RemoteProtocolError(Fault.TIMEOUT, "late"), "a run")
    assert epochs.failed_at is None
    await epochs.destroy_if_tested(party, RemoteProtocolError(Fault.BATCH_CHECK, "a sum is off"), "a run")
    await epochs.destroy_if_tested(party, RemoteProtocolError(Fault.BATCH_CHECK, "told again"), "a run")
    assert (epochs.failed_checks["batch-check"], epochs.ended) == (1, 1)


async def runs_failing(centre: Centre) -> None:
    for error in (None, RemoteProtocolError(Fault.TIMEOUT, "late"), *[ValueError("ours")] * 3):
        centre.endings["analysis", outcome_of(error)] += 1


async def stock_low(centre: Centre) -> None:
    centre.stock.level = 99
    centre.here.now += limits.STOCK_PATIENCE_S


async def generation_held_up(centre: Centre) -> None:
    centre.parts.generator._fault(LATE)


async def opt_out_unreadable(centre: Centre) -> None:
    (centre.directory / "opt-out.csv").unlink()
    assert not await centre.parts.objections.readable()


async def opt_out_matches_nobody(centre: Centre) -> None:
    centre.parts.objections._dataset = cast(Any, SimpleNamespace(leave_out=lambda _: LeftOut(visits=0, people=0)))
    await centre.parts.objections.apply()


async def audit_not_written(centre: Centre) -> None:
    def full(*_: object, **__: object) -> None:
        raise AuditError("the disk is full", where="audit.ndjson", remedy="Make room.")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(AuditFile, "append", full)
        assert not await centre.parts.workshop.audit.note(Event.DAEMON_STOPPED)


async def own_audit_changed(centre: Centre) -> None:
    head = await signed_by_us_elsewhere(centre)
    await centre.parts.heads._compare_own("zuid", head)


async def signed_by_us_elsewhere(centre: Centre) -> Head:
    """A head of another log of ours, as long as this one."""
    head = centre.parts.workshop.audit.head
    return attrs.evolve(head, hash=bytes(32))


async def audit_contradicted(centre: Centre) -> None:
    head = centre.parts.workshop.audit.head
    centre.parts.heads._logs["zuid"].contradiction = Contradiction("cut", head, head)


async def audit_unproved(centre: Centre) -> None:
    centre.parts.heads._unproved_since["zuid"] = centre.here.now
    centre.here.now += governance_limits.AUDIT_PROOF_PATIENCE_S + 1


async def presence_not_kept(centre: Centre) -> None:
    def full(*_: object, **__: object) -> None:
        raise LedgerError("the disk is full", where="ledger", remedy="Make room.")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Ledger, "keep_presence", full)
        with pytest.raises(OperatorError):
            await paused(centre)


async def housekeeping_fails(centre: Centre) -> None:
    centre.health.housekeeping_problem = str(LATE)


async def disk_low(centre: Centre) -> None:
    centre.free = limits.DISK_LOW_BYTES - 1


async def disk_full(centre: Centre) -> None:
    centre.free = limits.DISK_FULL_BYTES - 1


def day(centre: Centre, after: int) -> datetime.date:
    return (datetime.datetime.fromtimestamp(centre.here.now, datetime.UTC) + datetime.timedelta(days=after)).date()


async def document_expiring(centre: Centre) -> None:
    centre.use_purposes(day(centre, 20), day(centre, 200), None)


async def key_due(centre: Centre) -> None:
    centre.ages.append(Age("storage", centre.here.now - 701 * DAY_S))


async def back_up(centre: Centre) -> None:
    (centre.directory / AUDIT).hardlink_to(centre.directory / f"{centre.parts.workshop.own}.ndjson")
    await Backups(centre.parts.workshop, centre.directory, StorageKey(bytes(32))).make(check=False)


async def backup_old(centre: Centre) -> None:
    await back_up(centre)
    assert "nskd_backup_timestamp_seconds 0" not in await centre.metrics.text()
    centre.here.now += limits.BACKUP_OLD_S - 1
    assert await centre.names() == set()
    centre.here.now += 1


async def backup_removed(centre: Centre) -> None:
    await back_up(centre)
    backup.remove_all(centre.directory)


async def no_purpose_left(centre: Centre) -> None:
    centre.use_purposes(day(centre, -40))


@attrs.frozen
class Case:
    """The alert that has to fire, the finding if it is one, and what else then fires of necessity."""

    bring_about: Callable[[Centre], Awaitable[None]]
    alert: str
    finding: Name | None = None
    besides: frozenset[str] = frozenset()


CASES: Final = (
    Case(daemon_down, "NskdDown"),
    Case(restarts, "NskdRestarts"),
    Case(draining, "NskdDraining", Name.DRAINING),
    Case(peer_down, "NskdPeerDown", Name.PEER_DOWN),
    Case(no_peer, "NskdNoPeer", Name.NO_PEER, frozenset({"NskdPeerDown", "NskdNotWorking"})),
    Case(disk_full, "NskdNotWorking", Name.DISK_FULL, frozenset({"NskdDiskLow", "NskdDiskFull"})),
    Case(link_slow, "NskdRoundTripSlow"),
    Case(queue_long, "NskdQueueLong"),
    Case(strangers, "NskdStrangers"),
    Case(paused, "NskdPaused", Name.PAUSED),
    Case(left, "NskdLeft", Name.LEFT, frozenset({"NskdNotWorking"})),
    Case(centre_absent, "NskdCentreAbsent", Name.CENTRE_ABSENT),
    Case(check_failed, "NskdCheckFailed", Name.CHECK_FAILED),
    Case(runs_failing, "NskdRunsFailing"),
    Case(stock_low, "NskdStockLow", Name.STOCK_LOW),
    Case(generation_held_up, "NskdGenerationHeldUp", Name.GENERATION_HELD_UP),
    Case(opt_out_unreadable, "NskdOptOutUnreadable", Name.OPT_OUT_UNREADABLE, frozenset({"NskdNotWorking"})),
    Case(opt_out_matches_nobody, "NskdOptOutMatchesNobody", Name.OPT_OUT_MATCHES_NOBODY),
    Case(audit_not_written, "NskdAuditNotWritten", Name.AUDIT_NOT_WRITTEN, frozenset({"NskdNotWorking"})),
    Case(own_audit_changed, "NskdOwnAuditChanged", Name.OWN_AUDIT_CHANGED, frozenset({"NskdNotWorking"})),
    Case(audit_contradicted, "NskdAuditContradicted", Name.AUDIT_CONTRADICTED),
    Case(audit_unproved, "NskdAuditUnproved", Name.AUDIT_UNPROVED),
    Case(presence_not_kept, "NskdPresenceNotKept", Name.PRESENCE_NOT_KEPT, frozenset({"NskdPaused"})),
    Case(housekeeping_fails, "NskdHousekeepingFails", Name.HOUSEKEEPING_FAILS, frozenset({"NskdNotWorking"})),
    Case(disk_low, "NskdDiskLow", Name.DISK_LOW),
    Case(disk_full, "NskdDiskFull", Name.DISK_FULL, frozenset({"NskdDiskLow", "NskdNotWorking"})),
    Case(document_expiring, "NskdDocumentExpiring", Name.DOCUMENT_EXPIRING),
    Case(key_due, "NskdKeyDue", Name.KEY_DUE),
    Case(backup_old, "NskdBackupOld", Name.BACKUP_OLD),
    Case(backup_removed, "NskdBackupOld", Name.BACKUP_OLD),
    Case(no_purpose_left, "NskdNoPurposeLeft", Name.NO_PURPOSE_LEFT, frozenset({"NskdNotWorking"})),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.alert}-{case.bring_about.__name__}")
async def test_each_alert_fires_in_its_state_and_no_other_does(centre: Centre, case: Case) -> None:
    await centre.parts.workshop.audit.record(Event.DAEMON_STARTED)
    await centre.scrape()
    assert (centre.firing(), await centre.names()) == (set(), set())
    await case.bring_about(centre)
    await centre.scrape()
    assert centre.firing() == {case.alert, *case.besides}
    assert case.finding is None or case.finding in await centre.names()
    health = verdict(await centre.health.findings())
    assert (health.name == "NOT_WORKING") == ("NskdNotWorking" in centre.firing())


def test_every_alert_has_a_case_and_every_finding_an_alert() -> None:
    assert {case.alert for case in CASES} == {rule["alert"] for rule in RULES}
    assert {case.finding for case in CASES} - {None} == set(Name)
    for case in CASES:
        (rule,) = (rule for rule in RULES if rule["alert"] == case.alert)
        assert case.finding is None or rule["annotations"]["runbook"] == case.finding or case.alert == "NskdNotWorking"


def test_the_runbook_has_an_entry_for_each_alert_and_each_finding_and_no_other() -> None:
    entries = re.findall(r"^#### ([a-z-]+)$", RUNBOOK, flags=re.MULTILINE)
    assert len(entries) == len(set(entries))
    assert set(entries) == {rule["annotations"]["runbook"] for rule in RULES} | {name.value for name in Name}
    for entry in entries:
        text = RUNBOOK.split(f"#### {entry}\n", 1)[1].split("\n#", 1)[0]
        assert all(f"**{part}**" in text for part in ("Means.", "Look at.", "Do.")), entry


def test_the_alerts_and_the_findings_go_by_the_same_levels() -> None:
    by_name = {rule["alert"]: rule["expr"] for rule in RULES}
    assert float(by_name["NskdDiskLow"].split("<")[1]) == limits.DISK_LOW_BYTES
    assert float(by_name["NskdDiskFull"].split("<")[1]) == limits.DISK_FULL_BYTES
    assert by_name["NskdDocumentExpiring"].count(f"{limits.EXPIRY_NOTICE_S // DAY_S} * {DAY_S}") == 2
    for rule in RULES:
        assert re.fullmatch(r"\d+[mhd]", rule.get("for", "1m"))
        assert rule["labels"]["severity"] in ("page", "ticket")


async def test_the_table_of_numbers_has_them_all(centre: Centre) -> None:
    centre.use_purposes(day(centre, 20))
    centre.parts.generator._rates["triple"] = 1.0
    told = set(re.findall(r"^# TYPE (nskd_[a-z_]+) ", await centre.metrics.text(), flags=re.MULTILINE))
    table = RUNBOOK.split("\n## Metrics\n")[1].split("\n## Alerts\n")[0]
    assert told == set(re.findall(r"`(nskd_[a-z_]+)`", table))


async def test_since_when_and_over_again(centre: Centre) -> None:
    centre.free = limits.DISK_LOW_BYTES - 1
    began = centre.here.now
    await centre.health.findings()
    centre.here.now += 500
    (finding,) = await centre.health.findings()
    assert finding.since == began
    centre.free = 50 * GIGABYTE
    assert await centre.health.findings() == []


async def test_what_holds_generation_up_elsewhere_is_not_short_stock_here(centre: Centre) -> None:
    """Nothing can be made while somebody is away, and a batch takes its time."""
    centre.stock.level = 1
    assert await centre.names() == set()
    centre.here.now += limits.STOCK_PATIENCE_S
    assert await centre.names() == {Name.STOCK_LOW}
    centre.network.lose("zuid")
    assert await centre.names() == {Name.PEER_DOWN}


async def test_a_label_names_a_centre_a_kind_or_an_outcome(centre: Centre) -> None:
    """Nothing that a person, a query or a stranger chose becomes a label."""
    request = await centre.here.submit()
    await runs_failing(centre)
    text = await centre.metrics.text()
    allowed = "centre|document|fault|kernels|kind|name|outcome|protocol|python|state|version"
    assert all(re.fullmatch(allowed, label) for label in re.findall(r"[{,]([a-z]+)=", text))
    assert request.digest.hex()[:8] not in text
    assert "Positive by age" not in text
    assert re.search(r'^nskd_requests{state="submitted"} 1$', text, flags=re.MULTILINE)
