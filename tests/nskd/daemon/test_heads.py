"""Heads of audit logs among real meshes: kept, proved, and a forger named by the others and by itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, cast

import attrs
import pytest
import structlog
import trio
import trio.testing

from nskd.control.events import EventBus, Subscription
from nskd.daemon.auditor import Auditor
from nskd.daemon.heads import Heads
from nskd.daemon.workshop import Workshop
from nskd.governance import limits
from nskd.governance.audit import Event
from nskd.governance.audit_check import kept_heads, verify_log
from nskd.governance.audit_file import AuditFile, lines_of, read_log
from protocol.errors import Fault, RemoteProtocolError
from protocol.messages import AuditHead, AuditProof, AuditQuery
from tests.nskd.governance.test_audit import opened
from tests.nskd.governance.workshop import CHARTER, NAMES, NOW, signing_key
from tests.nskd.peers.world import Node
from tests.nskd.peers.world import workshop as meshes

Moment = Callable[[], bool]


@attrs.define(eq=False)
class Seat:
    """One centre: its log, and what it holds of the others'."""

    name: str
    path: Path
    node: Node
    now: int = NOW
    file: AuditFile = attrs.field(init=False)
    audit: Auditor = attrs.field(init=False)
    heads: Heads = attrs.field(init=False)
    events: EventBus = attrs.field(init=False, factory=EventBus)

    def open(self) -> None:
        """As when its daemon starts."""
        self.file = opened(self.path, centre=self.name)
        self.audit = Auditor(self.file, charter=CHARTER.digest, clock=lambda: self.now, log=self.node.log)
        workshop = Workshop(
            own=self.name,
            charter=CHARTER,
            pack=cast(Any, None),
            sign=signing_key(self.name).sign,
            clock=lambda: self.now,
            ledger=cast(Any, None),
            audit=self.audit,
            events=self.events,
            log=self.node.log,
        )
        self.node.mesh._handlers.clear()
        self.heads = Heads(workshop=workshop, mesh=self.node.mesh)

    async def stop(self) -> None:
        """As when its daemon stops, once nothing is being written."""
        await self.audit._one.acquire()
        self.file.close()

    async def happens(self, event: Event = Event.EPOCH_FOUNDED) -> None:
        await self.audit.record(event)

    def kept(self) -> list[tuple[str | None, int]]:
        return [
            (entry.body.peer, int(entry.body.details["sequence"]))
            for entry in read_log(self.path)
            if entry.body.event is Event.HEAD_KEPT
        ]

    def events_on_record(self) -> list[Event]:
        return [entry.body.event for entry in read_log(self.path)]

    def stands(self, centre: str) -> str:
        return next(row.state for row in self.heads.rows() if row.centre == centre)


class World:
    """Three centres that all hear of each other."""

    def __init__(self, seats: dict[str, Seat]) -> None:
        self.seats = seats

    def all(self) -> tuple[Seat, ...]:
        return tuple(self.seats[name] for name in NAMES)

    def greet(self) -> None:
        for seat in self.seats.values():
            for other in self.seats:
                if other != seat.name:
                    seat.heads.greet(other)

    async def until(self, holds: Moment) -> None:
        with trio.fail_after(20):
            while not holds():
                await trio.testing.wait_all_tasks_blocked(0.001)  # what a thread writes wakes nobody here


@asynccontextmanager
async def world(directory: Path) -> AsyncIterator[World]:
    async with meshes(*NAMES) as (_, nodes):
        seats = {name: Seat(name, directory / f"{name}.ndjson", nodes[name]) for name in NAMES}
        for seat in seats.values():
            seat.open()
        with ExitStack() as stack:
            for seat in seats.values():
                stack.callback(lambda seat=seat: seat.file.close())
            yield World(seats)


async def test_heads_are_kept_proved_and_hold_against_the_logs(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        noord, midden, zuid = here.all()
        here.greet()
        await here.until(lambda: all(len(seat.kept()) == 2 for seat in here.all()))
        for _ in range(5):
            await noord.happens()
        await noord.heads.refresh()
        await here.until(lambda: {row.sequence for row in midden.heads.rows()} >= {noord.audit.head.sequence})
        assert midden.stands("noord") == "in order"
        before = [len(seat.events_on_record()) for seat in here.all()]
        for _ in range(3):  # nothing new: nothing is told, nothing written
            for seat in here.all():
                await seat.heads.refresh()
        assert [len(seat.events_on_record()) for seat in here.all()] == before
        midden.now += limits.AUDIT_HEAD_KEPT_EVERY_S
        await midden.heads.refresh()
        assert ("noord", noord.audit.head.sequence) in midden.kept()
        assert all(not seat.heads.findings() for seat in here.all())
        for seat in (midden, zuid):
            key = signing_key("noord").public_key().public_bytes_raw()
            kept = list(kept_heads(read_log(seat.path), "noord"))
            assert verify_log(lines_of(noord.path), (key,), kept).confirmed == len(kept) >= 1


async def test_a_log_rewritten_by_its_own_centre_is_named_by_all(tmp_path: Path) -> None:
    """noord cuts its log off and goes on differently, with its own key; the others, and noord itself, say so."""
    async with world(tmp_path) as here:
        noord, midden, zuid = here.all()
        for _ in range(4):
            await noord.happens()
        here.greet()
        await here.until(lambda: all(seat.stands("noord") == "in order" for seat in (midden, zuid)))
        await noord.stop()
        lines = noord.path.read_bytes().splitlines(keepends=True)
        noord.path.write_bytes(b"".join(lines[:3]))
        noord.open()
        for _ in range(6):
            await noord.happens(Event.EPOCH_ENDED)
        heard = Subscription([], 100, lambda: None)
        midden.events.attach(heard)
        here.greet()
        await here.until(lambda: all(Event.HEAD_CONTRADICTED in seat.events_on_record() for seat in here.all()))
        for seat in (midden, zuid):
            assert seat.stands("noord") == "contradicted"
            assert any("the audit log of noord is not what it was" in note.what for note in seat.heads.findings())
            assert "an audit log is not what it was" in seat.node.logged("error")
        assert any(
            "this centre's own audit log was cut off, changed or put back" in n.what for n in noord.heads.findings()
        )
        events = iter(heard.take, None)
        assert any(event["kind"] == "audit.contradicted" and event["centre"] == "noord" for event in events)
        await midden.stop()
        midden.open()  # it is not forgotten, and not said again
        assert midden.stands("noord") == "contradicted"
        count = len(midden.events_on_record())
        here.greet()
        await here.until(lambda: midden.stands("zuid") == "in order")
        assert len(midden.events_on_record()) == count


async def test_two_stories_for_two_centres_meet(tmp_path: Path) -> None:
    """noord tells midden one story and zuid another, each proved in itself; the two tell each other what they hold."""
    async with world(tmp_path) as here:
        noord, midden, zuid = here.all()
        await noord.happens()
        here.greet()
        await here.until(lambda: all(seat.stands("noord") == "in order" for seat in (midden, zuid)))
        common = noord.path.read_bytes()
        for name, event in (("midden", Event.EPOCH_FOUNDED), ("zuid", Event.EPOCH_ENDED)):
            await noord.stop()
            noord.path.write_bytes(common)
            noord.open()
            await noord.happens(event)
            noord.heads.greet(name)
            listener, number = here.seats[name], noord.audit.head.sequence
            await here.until(
                lambda listener=listener, number=number: any(
                    row.centre == "noord" and row.sequence == number for row in listener.heads.rows()
                )
            )
        assert midden.stands("noord") == zuid.stands("noord") == "in order"
        midden.heads.greet("zuid")
        await here.until(lambda: zuid.stands("noord") == "contradicted")
        zuid.heads.greet("midden")
        await here.until(lambda: midden.stands("noord") == "contradicted")


async def test_forged_heads_are_the_senders_fault(tmp_path: Path) -> None:
    """By the mesh's rule each ends the link it came by; nothing of it is kept."""
    async with world(tmp_path) as here:
        noord, midden, _ = here.all()
        here.greet()
        await here.until(lambda: midden.stands("noord") == "in order")
        head = noord.audit.head
        good = {"centre": "noord", "sequence": head.sequence, "hash": head.hash, "signature": head.signature}
        for change in (
            {"sequence": head.sequence + 1},
            {"hash": bytes(32)},
            {"centre": "zuid"},
            {"centre": "midden"},
            {"centre": "nobody"},
            {"signature": bytes(64)},
            {"signature": b"s"},
            {"sequence": 0},
        ):
            with pytest.raises(RemoteProtocolError) as caught:
                await midden.heads._take_head("noord", AuditHead(**{**good, **change}))
            assert caught.value.fault is Fault.SIGNATURE and caught.value.party == "noord"
        await midden.heads._take_proof("noord", AuditProof(after=0, digests=b"x" * 32))  # late, or nobody's: ignored
        await midden.heads._take_head("zuid", AuditHead(**good))  # passed on, and in order
        await here.until(lambda: midden.stands("noord") == "in order")
        assert Event.HEAD_CONTRADICTED not in midden.events_on_record()


async def test_a_centre_that_shows_nothing_is_noted(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        noord, midden, _ = here.all()
        here.greet()
        await here.until(lambda: midden.stands("noord") == "in order")
        await noord.happens()
        asked: list[AuditQuery] = []

        async def silent(peer: str, message: AuditQuery) -> None:
            asked.append(message)

        noord.node.mesh._handlers[AuditQuery] = silent
        await noord.heads.refresh()
        await here.until(lambda: bool(asked) and midden.stands("noord") == "unproved")
        assert midden.heads.findings() == []
        midden.now += limits.AUDIT_PROOF_PATIENCE_S + 1
        assert any("noord has not shown that its audit log only grew" in note.what for note in midden.heads.findings())


async def test_what_a_peer_can_make_us_write_is_bounded(tmp_path: Path) -> None:
    with opened(tmp_path / "log") as file:
        now = NOW
        audit = Auditor(file, charter=CHARTER.digest, clock=lambda: now, log=structlog.get_logger())
        for _ in range(200):
            await audit.note_of_peer("zuid", Event.APPROVAL_REJECTED, details={"fault": "invalid-approval"})
        await audit.note_of_peer("midden", Event.APPROVAL_REJECTED)
        now += 60
        await audit.note_of_peer("zuid", Event.APPROVAL_REJECTED)
        for _ in range(limits.AUDIT_PEER_ENTRIES_BURST + 5):  # a user of this machine, not of that name's allowance
            await audit.note_of_user(1004, Event.CONTROL_FORBIDDEN)
    written = [entry.body for entry in read_log(tmp_path / "log")][1:]
    assert [body.uid for body in written].count(1004) == limits.AUDIT_PEER_ENTRIES_BURST
    written = [body for body in written if body.uid is None]
    assert len(written) == limits.AUDIT_PEER_ENTRIES_BURST + 2
    assert written[-1].details == {"left_out": 200 - limits.AUDIT_PEER_ENTRIES_BURST}


async def test_what_cannot_be_written_is_logged_or_raised(tmp_path: Path) -> None:
    capture = structlog.testing.LogCapture()
    log = structlog.wrap_logger(None, processors=[capture], wrapper_class=structlog.make_filtering_bound_logger(0))
    with opened(tmp_path / "log") as file:
        audit = Auditor(file, charter=CHARTER.digest, clock=lambda: NOW, log=log)
        file._broken = True
        assert not await audit.note(Event.DAEMON_STOPPED)
        assert capture.entries[0]["event"] == "not put on record"
        file._broken = False
        await audit.record(Event.RUN_FAILED, user="a\nb\u202e" + "c" * 300, details={"why": "x\x1b" * 600, "none": ""})
    body = list(read_log(tmp_path / "log"))[-1].body
    assert body.user is not None and body.user.startswith("a?b?c") and len(body.user) == 200
    assert str(body.details["why"]).startswith("x?x?")
