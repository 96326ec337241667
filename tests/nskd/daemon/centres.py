"""Five centres in one process: real ledgers, notices and decisions; messages go through their encoding, one by one.

Nothing happens but what a test does, and :meth:`World.settle` delivers what was said meanwhile.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

import attrs
import msgspec
import structlog
import trio

from nskd.analysis.contribution import Contributions
from nskd.control import methods
from nskd.control.events import EventBus, Subscription
from nskd.control.roles import Credentials, Role
from nskd.control.service import Call
from nskd.credentials import StorageKey
from nskd.daemon.auditor import Auditor
from nskd.daemon.backups import Backups
from nskd.daemon.decisions import Decisions
from nskd.daemon.notices import Notices, request_notice
from nskd.daemon.permits import PermitKeeper
from nskd.daemon.presence import PresenceKeeper, presence_notice
from nskd.daemon.wanted import Wanted
from nskd.daemon.workshop import Workshop
from nskd.governance import sshsig
from nskd.governance.approval import SignedApproval
from nskd.governance.audit_file import AuditFile
from nskd.governance.charter import Charter, parse_charter
from nskd.governance.ledger import Entry, Ledger
from nskd.governance.lifecycle import State
from nskd.governance.own_policy import OwnPolicy
from nskd.governance.permit import Permits
from nskd.governance.presence import Word
from nskd.governance.request import SignedRequest
from nskd.governance.standing_policy import NAMESPACE, parse_standing_policy
from nskd.governance.statement import Verdict
from nskd.governance.threaded import LedgerThread
from nskd.packs.pack import Pack, load_pack
from nskd.peers.mesh import Mesh
from protocol.messages import ApprovalNotice, ControlMessage, decode_control, encode_control
from tests.nskd.governance import workshop as papers
from tests.nskd.governance.workshop import NOW

NAMES = ("noord", "midden", "zuid", "oost", "west")
KEY = StorageKey(bytes(32))
CALL = Call(credentials=Credentials(pid=1, uid=0, gid=0), role=Role.ADMIN)


class MemoryMesh:
    """What notices need of a mesh: names, handlers, and a queue that the world empties."""

    def __init__(self, own: str, post: Callable[[str, str, ControlMessage], bool]) -> None:
        self.own = own
        self._post = post
        self.handlers: dict[type[Any], Callable[[str, Any], Awaitable[None]]] = {}

    @property
    def peers(self) -> tuple[str, ...]:
        return tuple(name for name in NAMES if name != self.own)

    def register(self, kind: type[Any], handler: Callable[[str, Any], Awaitable[None]]) -> None:
        self.handlers[kind] = handler

    def broadcast_control(self, message: ControlMessage) -> tuple[str, ...]:
        return tuple(name for name in self.peers if not self._post(self.own, name, message))

    def post_control(self, name: str, message: ControlMessage) -> bool:
        return self._post(self.own, name, message)

    async def send_control(self, name: str, message: ControlMessage) -> None:
        self._post(self.own, name, message)


@attrs.define(eq=False)
class Seat:
    """One centre."""

    workshop: Workshop
    ledger: Ledger
    notices: Notices
    wanted: Wanted
    decisions: Decisions
    mesh: MemoryMesh
    heard: list[dict[str, Any]]
    audit: AuditFile
    contributions: Contributions
    backups: Backups
    keeper: PermitKeeper
    presence: PresenceKeeper

    def entry(self, request: SignedRequest) -> Entry:
        return self.ledger.get(request.digest)

    def state(self, request: SignedRequest) -> State:
        return self.entry(request).state

    async def decide(
        self, request: SignedRequest, verdict: Verdict, *, person: str | None = None, **changes: Any
    ) -> State:
        """As ``nskctl`` does it: have the statement written, sign it, hand it in."""
        entry, who = self.entry(request), person or self.workshop.own
        asked = methods.StatementParams(
            request=request.digest.hex(), verdict=verdict.value, steward=papers.steward(who).name
        )
        said = (await self.decisions.statement(entry, asked)).statement
        return await self.hand_in(request, verdict, said, who, **changes)

    async def hand_in(
        self, request: SignedRequest, verdict: Verdict, said: str, person: str, *, check: bool = False
    ) -> State:
        params = methods.DecideParams(
            request=request.digest.hex(),
            statement=said,
            signature=sshsig.armoured(papers.signed_by(person, said.encode())),
            check=check,
        )
        return State((await self.decisions.decide(CALL, self.entry(request), params, verdict)).state)

    def rejected(self, kind: str = "approval.rejected") -> list[str]:
        """Why approvals, or words of another kind, were not taken, since last asked."""
        details = [event["detail"] for event in self.heard if event["kind"] == kind]
        self.heard.clear()
        return details


@attrs.define(eq=False)
class World:
    """All of them, and what is on its way."""

    charter: Charter
    pack: Pack
    now: int = NOW
    seats: dict[str, Seat] = attrs.field(factory=dict)
    deaf: set[str] = attrs.field(factory=set)
    under_way: deque[tuple[str, str, ControlMessage]] = attrs.field(factory=deque)

    def __getitem__(self, name: str) -> Seat:
        return self.seats[name]

    def others(self, name: str) -> list[Seat]:
        return [seat for other, seat in self.seats.items() if other != name]

    def post(self, sender: str, receiver: str, message: ControlMessage) -> bool:
        if receiver in self.deaf or sender in self.deaf:
            return False
        self.under_way.append((sender, receiver, decode_control(encode_control(message))))
        return True

    async def settle(self) -> None:
        """Deliver everything, and what it causes, until nobody has anything to say."""
        while self.under_way:
            sender, receiver, message = self.under_way.popleft()
            await self.seats[receiver].mesh.handlers[type(message)](sender, message)
            await self.seats[receiver].decisions.consider()

    async def submit(self, text: bytes = papers.TEXT, *, by: str = "noord", number: int = 0) -> SignedRequest:
        sent = papers.request(text, centre=by, nonce=bytes([number]) * 16, now=self.now, under=self.charter)
        self.seats[by].ledger.add_request(sent, now=self.now)
        await self.seats[by].notices.publish(sent, ())
        await self.seats[by].decisions.consider()
        await self.settle()
        return sent

    async def approve_all(self, request: SignedRequest, *, but: str | None = None) -> None:
        for name, seat in self.seats.items():
            if name != but and name not in self.deaf:
                await seat.decide(request, Verdict.APPROVE)
        await self.settle()

    async def tell(self, liar: str, approval: SignedApproval, *, centre: str | None = None) -> None:
        """What a cheating daemon tells everybody, beside anything its own code would say."""
        self.seats[liar].mesh.broadcast_control(
            ApprovalNotice(approval=approval.body, centre=centre or approval.centre, signature=approval.signature)
        )
        await self.settle()

    async def tell_word(self, liar: str, word: Word, *, centre: str | None = None) -> None:
        """The same of a word of presence."""
        self.seats[liar].mesh.broadcast_control(
            msgspec.structs.replace(presence_notice(word), centre=centre or word.centre)
        )
        await self.settle()

    async def greet(self, one: str, other: str) -> None:
        """What two centres tell each other when they connect."""
        for teller, told in ((one, other), (other, one)):
            await self.seats[teller].presence.tell_all(told)
            await self.seats[teller].notices.tell_all(told)
        await self.settle()

    async def tell_request(self, request: SignedRequest) -> None:
        self.seats[request.centre].mesh.broadcast_control(request_notice(request))
        await self.settle()

    def states(self, request: SignedRequest) -> set[State]:
        return {seat.state(request) for seat in self.seats.values()}


@contextlib.asynccontextmanager
async def world(
    directory: Path,
    *,
    policies: Mapping[str, bytes] | None = None,
    permits: Mapping[str, Permits] | None = None,
    **extra: str,
) -> AsyncIterator[World]:
    """Five centres; ``policies`` are standing policies by centre, ``extra`` are lines of a centre's charter entry."""
    charter = parse_charter(papers.charter_toml(names=NAMES, **extra))
    here = World(charter, await trio.to_thread.run_sync(load_pack, "nsk"))
    with contextlib.ExitStack() as stack:
        for name in NAMES:
            ledger = stack.enter_context(Ledger.open(directory / f"{name}.sqlite", now=here.now))
            sign = papers.signing_key(name).sign
            log = AuditFile.open(directory / f"{name}.ndjson", centre=name, sign=sign, now=here.now, entropy=bytes)
            stack.callback(log.close)
            known = (permits or {}).get(name, Permits())
            here.seats[name] = _seat(here, name, ledger, log, (policies or {}).get(name), known, directory)
            await here.seats[name].presence.recover()
        yield here


def _seat(
    here: World,
    name: str,
    ledger: Ledger,
    audit: AuditFile,
    policy: bytes | None,
    permits: Permits,
    directory: Path,
) -> Seat:
    events, heard = EventBus(), []  # type: ignore[var-annotated]
    subscription = Subscription(("approval", "presence"), 1000, lambda: heard.append(subscription.take()))
    events.attach(subscription)
    log = structlog.get_logger()
    workshop = Workshop(
        own=name,
        charter=here.charter,
        pack=here.pack,
        sign=papers.signing_key(name).sign,
        clock=lambda: here.now,
        ledger=LedgerThread(ledger),
        events=events,
        log=log,
        permits=permits,
        audit=Auditor(audit, charter=here.charter.digest, clock=lambda: here.now, log=log),
    )
    mesh = MemoryMesh(name, here.post)
    wanted = Wanted()
    notices = Notices(workshop, cast(Mesh, mesh), wanted, lambda: None)
    own = None
    if policy is not None:
        own = OwnPolicy(parse_standing_policy(policy), (papers.signed_by(name, policy, namespace=NAMESPACE),))
    contributions = Contributions(directory / f"{name}-contributions", lambda label: sha256(label).digest())
    backups = Backups(workshop, directory, KEY)
    keeper = PermitKeeper(workshop, contributions, backups)
    return Seat(
        workshop,
        ledger,
        notices,
        wanted,
        Decisions(workshop, notices, own),
        mesh,
        heard,
        audit,
        contributions,
        backups,
        keeper,
        PresenceKeeper(workshop, cast(Mesh, mesh), notices.poke),
    )
