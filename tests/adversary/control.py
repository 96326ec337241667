"""Messages between daemons: each type, each lie in it, sent over a real link by a centre of the charter.

The receiver is a daemon's own parts – mesh, sessions, notices, words of presence, heads – with ledger and audit log on
disk.  What the type says of each field is turned into lies; what is valid but false is written down by hand.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, get_args

import attrs
import msgspec
import numpy as np
import pytest
import trio

from nskd.analysis.populations import Populations
from nskd.control.events import EventBus
from nskd.daemon.auditor import Auditor
from nskd.daemon.heads import Heads
from nskd.daemon.history import History
from nskd.daemon.notices import Notices
from nskd.daemon.presence import PresenceKeeper
from nskd.daemon.relearning import Relearning
from nskd.daemon.wanted import Wanted
from nskd.daemon.workshop import Workshop
from nskd.governance.audit import _signed as signed_head
from nskd.governance.audit_file import AuditFile
from nskd.governance.ledger import Ledger
from nskd.governance.presence import Move, Word, sign_word
from nskd.governance.statement import Verdict
from nskd.governance.threaded import LedgerThread
from nskd.packs.pack import load_pack
from nskd.peers.lanes import Lane
from nskd.restore import Restored
from nskd.sessions.kinds import AgreedSession, Refusal
from nskd.sessions.manager import SessionManager
from nskd.sessions.proposal import Offer, Proposal, make_offer
from protocol import messages as m
from protocol.limits import SESSION_BYTES
from protocol.messages import CONTROL_SESSION, CONTROL_STEP, ControlMessage, encode_control
from protocol.wire import Message
from tests.nskd.governance import workshop as papers
from tests.nskd.governance.workshop import NOW
from tests.nskd.peers.world import Node, workshop

from .lies import Lie

RECEIVER, LIAR, THIRD = papers.NAMES
KINDS: Final[tuple[type[Any], ...]] = get_args(ControlMessage)
BEFORE: Final = NOW - 5000
SESSION: Final = bytes(range(SESSION_BYTES))
RESTORED_AT: Final = NOW - 100  # the receiver, from a backup; what was asked before and began it is told


@attrs.define(eq=False)
class Receiver:
    """A daemon without kernels: sessions are judged and refused."""

    node: Node
    liar: Node
    ledger: Ledger
    audit: AuditFile
    workshop: Workshop
    heads: Heads
    sessions: SessionManager
    judged: list[bytes] = attrs.field(factory=list)

    def state(self) -> tuple[Any, ...]:
        """All that a peer can change, but what is written about it."""
        entries = sorted(self.ledger.entries(), key=lambda entry: entry.request.digest)
        return (
            [(entry.request.digest, entry.state) for entry in entries],
            [approval.body for entry in entries for approval in self.ledger.approvals(entry.request.digest)],
            [word.body for word in self.ledger.presence(papers.CHARTER.workshop)],
            [each.what for each in self.workshop.attendance.absences],
            [(row.centre, row.state, row.sequence) for row in self.heads.rows()],
            [offer.session for offer in self.sessions.active()],
            list(self.judged),
        )

    def incidents(self) -> list[str]:
        """What the log says of faults of our own."""
        return [
            f"{entry['event']} {entry.get('exception', '')}"
            for entry in self.node.capture.entries
            if entry["log_level"] in ("exception", "critical") or entry.get("exc_info")
        ]


@asynccontextmanager
async def receiver(directory: Path) -> AsyncIterator[Receiver]:
    """Three meshes; the first has a daemon's parts, the second is the liar, the third only listens."""
    with ours(), contextlib.ExitStack() as stack:
        async with workshop(*papers.NAMES) as (_, nodes), trio.open_nursery() as nursery:
            node = nodes[RECEIVER]
            ledger = stack.enter_context(Ledger.open(directory / "ledger", now=NOW))
            sign = papers.signing_key(RECEIVER).sign
            audit = AuditFile.open(directory / "audit", centre=RECEIVER, sign=sign, now=NOW, entropy=bytes)
            stack.callback(audit.close)
            shop = Workshop(
                own=RECEIVER, charter=papers.CHARTER, pack=load_pack("nsk"), sign=sign, clock=lambda: NOW,
                ledger=LedgerThread(ledger), events=EventBus(), log=node.log,
                audit=Auditor(audit, charter=papers.CHARTER.digest, clock=lambda: NOW, log=node.log),
                restored_at=RESTORED_AT,
            )  # fmt: skip
            notices = Notices(shop, node.mesh, Wanted(), lambda: None)
            presence = PresenceKeeper(shop, node.mesh, notices.poke)
            await presence.recover()
            heads = Heads(workshop=shop, mesh=node.mesh)
            populations = Populations(directory / "populations", lambda label: sha256(label).digest())
            put_back = Restored(restored_at=RESTORED_AT, made_at=NOW)
            relearning = Relearning(shop, node.mesh, History(shop, populations), put_back)
            relearning._asked[LIAR] = NOW  # it is connected, and has been asked what began
            sessions = SessionManager(node.mesh, charter_digest=papers.CHARTER.digest, log=node.log)
            here = Receiver(node, nodes[LIAR], ledger, audit, shop, heads, sessions)
            here.ledger.add_request(known_request(), now=NOW)

            async def judge(offer: Offer) -> None:
                here.judged.append(offer.session)
                raise Refusal("not today")

            async def run(session: AgreedSession) -> None:
                raise AssertionError("it was refused")

            sessions.register("analysis", lane=Lane.ONLINE, judge=judge, run=run)
            await nursery.start(sessions.run)
            yield here
            nursery.cancel_scope.cancel()


@contextlib.contextmanager
def ours() -> Iterator[None]:
    """Meshes under the charter of the papers; no threads, whose work a clock that jumps would not wait for."""
    made = Node.__init__

    async def at_once(function: Callable[..., Any], *given: Any, **_: Any) -> Any:
        await trio.lowlevel.checkpoint()
        return function(*given)

    with pytest.MonkeyPatch.context() as patch:
        digest = papers.CHARTER.digest
        patch.setattr(Node, "__init__", lambda self, *given, **more: made(self, *given, charter=digest, **more))
        patch.setattr("trio.to_thread.run_sync", at_once)
        yield


def known_request() -> Any:
    """A request that is on record before anything is said."""
    return papers.request(centre=THIRD, nonce=b"k" * 16)


# --- honest messages, by which every lie is made ------------------------------------------------------------------


def _word(move: Move, number: int, *, signer: str = LIAR, centre: str = LIAR) -> Word:
    return sign_word(
        move, number=number, now=NOW, centre=centre, charter=papers.CHARTER, sign=papers.signing_key(signer).sign
    )


def _presence(word: Word) -> m.PresenceNotice:
    return m.PresenceNotice(word.body, word.centre, word.signature)


def _request(**changes: Any) -> m.RequestNotice:
    sent = papers.request(**({"centre": LIAR, "nonce": b"x" * 16} | changes))
    return m.RequestNotice(sent.body, sent.centre, sent.signature)


def _approval(**changes: Any) -> m.ApprovalNotice:
    word = papers.approval(known_request().digest, LIAR, **changes)
    return m.ApprovalNotice(word.body, word.centre, word.signature)


def _proposal(**changes: Any) -> m.Propose:
    fields: dict[str, Any] = {
        "kind": "analysis", "coordinator": LIAR, "nonce": bytes(16), "charter": papers.CHARTER.digest,
        "parties": papers.NAMES, "lane": Lane.ONLINE,
    }  # fmt: skip
    return m.Propose(make_offer(Proposal(**(fields | changes))).body)


def _head(sequence: int = 3, fill: int = 1, *, signer: str = LIAR, centre: str = LIAR) -> m.AuditHead:
    hashed = bytes([fill]) * 32
    return m.AuditHead(centre, sequence, hashed, papers.signing_key(signer).sign(signed_head(centre, sequence, hashed)))


def _begun(*, by: str = RECEIVER, of: bytes = b"z" * 16, now: int = BEFORE, **changes: Any) -> m.BegunNotice:
    """A request that began before the restore, with the approval that the receiver has forgotten."""
    sent = papers.request(centre=LIAR, nonce=b"z" * 16, now=now)
    other = papers.request(centre=LIAR, nonce=of, now=now)
    word = papers.approval(other.digest, by, now=now, **changes)
    return m.BegunNotice(sent.body, sent.centre, sent.signature, word.body, word.signature)


HONEST: Final = MappingProxyType(
    {
        m.RequestNotice: _request(),
        m.ApprovalNotice: _approval(),
        m.PresenceNotice: _presence(_word(Move.PAUSE, 5)),
        m.Propose: _proposal(),
        m.Accept: m.Accept(SESSION),
        m.Refuse: m.Refuse(SESSION, "no"),
        m.Start: m.Start(SESSION),
        m.Abort: m.Abort(SESSION, "mac-check", "seen"),
        m.AuditHead: _head(),
        m.AuditQuery: m.AuditQuery(0, 9),
        m.AuditProof: m.AuditProof(0, bytes(64)),
        m.BegunQuery: m.BegunQuery(),
        m.BegunNotice: _begun(),
        m.Ping: m.Ping(7),
        m.Pong: m.Pong(7),
        m.Bye: m.Bye("going"),
    }
)

# Valid in form, genuinely signed where a signature is due, and false.  None of them may change anything.
FALSE: Final = MappingProxyType(
    {
        m.RequestNotice: (
            _request(under=papers.OTHER_CHARTER),
            _request(now=NOW - 400 * 86_400),
            _request(now=NOW + 86_400),
            msgspec.structs.replace(_request(), centre=THIRD),
            msgspec.structs.replace(_request(), signature=_request(nonce=b"y" * 16).signature),
            msgspec.structs.replace(_request(), centre="nobody"),
        ),
        m.ApprovalNotice: (
            _approval(signer=THIRD),
            _approval(key=THIRD),
            _approval(under=papers.OTHER_CHARTER),
            _approval(now=NOW - 10_000),
            _approval(now=NOW + 86_400),
            _approval(validity_s=10**9),
            msgspec.structs.replace(_approval(), centre=THIRD),
            m.ApprovalNotice((unknown := papers.approval(bytes(32), LIAR)).body, unknown.centre, unknown.signature),
        ),
        m.PresenceNotice: (
            _presence(_word(Move.PAUSE, 5, signer=THIRD)),
            _presence(_word(Move.RESUME, 5, signer=LIAR, centre=RECEIVER)),
            msgspec.structs.replace(_presence(_word(Move.PAUSE, 5)), centre=RECEIVER),
        ),
        m.Propose: (
            _proposal(coordinator=THIRD),
            _proposal(charter=bytes(32)),
            _proposal(parties=(LIAR, THIRD)),
            _proposal(parties=(LIAR, RECEIVER, "fourth")),
            _proposal(kind="other"),
            _proposal(lane=Lane.OFFLINE),
            _proposal(version=2),
        ),
        m.Accept: (m.Accept(bytes(16)),),
        m.Refuse: (m.Refuse(bytes(16), "no"),),
        m.Start: (m.Start(bytes(16)),),
        m.Abort: (m.Abort(bytes(16), "mac-check", "x"), m.Abort(bytes(16), "no-such-fault", "x")),
        m.AuditHead: (
            _head(signer=THIRD),
            _head(centre=THIRD),
            _head(sequence=0),
            _head(centre=RECEIVER),
            msgspec.structs.replace(_head(), sequence=4),
        ),
        m.AuditQuery: (m.AuditQuery(9, 0), m.AuditQuery(1 << 40, 1 << 48), m.AuditQuery(0, 1 << 48)),
        m.AuditProof: (m.AuditProof(0, bytes(31)), m.AuditProof(1 << 48, b""), m.AuditProof(0, bytes(32 * 4096))),
        m.BegunQuery: (),
        m.BegunNotice: (
            _begun(by=LIAR),
            _begun(of=b"y" * 16),
            _begun(signer=LIAR),
            _begun(key=LIAR),
            _begun(verdict=Verdict.REFUSE),
            _begun(under=papers.OTHER_CHARTER),
            _begun(now=NOW + 10_000),
            msgspec.structs.replace(_begun(), approval=None, approval_signature=None),
            msgspec.structs.replace(_begun(), signature=_request(nonce=b"y" * 16).signature),
            msgspec.structs.replace(_begun(), centre=THIRD),
        ),
        m.Ping: (),
        m.Pong: (m.Pong(0), m.Pong((1 << 63) - 1)),
        m.Bye: (),
    }
)

_EXPLAINED: Final = "tests/nskd/sessions/test_sessions.py"
NOT_HERE: Final[MappingProxyType[type[Any], dict[Lie, str]]] = MappingProxyType(
    {
        m.RequestNotice: {Lie.MISSING: "nobody waits for one; who has it tells it again every minute"},
        m.ApprovalNotice: {Lie.MISSING: "without it nothing runs, which is what it is for"},
        m.PresenceNotice: {Lie.MISSING: "14.6: a pause depends on nobody's hearing of it"},
        m.Propose: {Lie.MISSING: "nobody waits for a proposal"},
        m.Accept: {Lie.MISSING: f"{_EXPLAINED}::test_silence_between_accept_and_start_is_bounded"},
        m.Refuse: {Lie.MISSING: "as for Accept: the same wait of the same coordinator"},
        m.Start: {Lie.MISSING: f"{_EXPLAINED}::test_a_coordinator_that_never_starts"},
        m.Abort: {Lie.MISSING: "the next message of the session is missing instead: steps.py, MISSING"},
        m.AuditHead: {Lie.MISSING: "a head nobody tells is a log nobody vouches for; tests/nskd/daemon/test_heads.py"},
        m.AuditQuery: {Lie.MISSING: "nobody waits to be asked"},
        m.AuditProof: {Lie.MISSING: "tests/nskd/daemon/test_heads.py::test_a_centre_that_shows_nothing_is_noted"},
        m.BegunQuery: {
            Lie.MISSING: "nobody waits to be asked",
            Lie.LENGTH: "it has no fields",
            Lie.FALSE: "it says nothing; whom it is answered is bounded: tests/nskd/daemon/test_relearning.py",
        },
        m.BegunNotice: {Lie.MISSING: "12.13: what one centre does not tell, another does; one honest one is enough"},
        m.Ping: {
            Lie.MISSING: "each side sends its own",
            Lie.FALSE: "a number that comes back; no number is false",
        },
        m.Pong: {Lie.MISSING: "tests/nskd/peers/test_mesh.py::test_silence_ends_all_lanes_on_both_sides"},
        m.Bye: {
            Lie.MISSING: "the connection ends without one, as by a cut",
            Lie.FALSE: "who says goodbye and stays has ended its own link",
        },
    }
)
# Why those lies are not made of single messages of any type.
NOT_OF_THESE: Final = {
    Lie.LATE: "control messages have no turn: what each means does not depend on when it comes, REORDERED shows that,"
    " but for answers within a session, whose waits are bounded (sessions) or ignored once over (REPLAYED)",
    Lie.EQUIVOCATED: "each is signed, and the signed word is compared (14.3, 13.3), or makes a session of its own"
    " (12.1): tests/nskd/daemon/test_presence.py::test_two_stories_come_to_the_same_once_they_meet,"
    " tests/nskd/daemon/test_heads.py::test_two_stories_for_two_centres_meet,"
    " tests/nskd/sessions/test_sessions.py::test_two_stories_make_two_sessions_without_parties",
}


# --- lies that follow from the type ---------------------------------------------------------------------------------


def envelope(data: bytes) -> Message:
    """Bytes as a control message carries them."""
    return Message(CONTROL_SESSION, CONTROL_STEP, (np.frombuffer(data, np.uint8),))


def _fields(honest: ControlMessage) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.msgpack.decode(msgspec.msgpack.encode(honest))
    return found


def raw_lies(honest: ControlMessage) -> Iterator[tuple[Lie, str, Message]]:
    """What no encoder of ours would make of this type."""
    fields, encode = _fields(honest), msgspec.msgpack.encode
    whole = encode(honest)
    yield Lie.MALFORMED, "cut off", envelope(whole[:-1])
    yield Lie.MALFORMED, "a byte more", envelope(whole + b"\0")
    yield Lie.MALFORMED, "a field more", envelope(encode({**fields, "more": 1}))
    yield (
        Lie.MALFORMED,
        "its kind twice",
        envelope(bytes([whole[0] + 1]) + whole[1:] + encode("kind") + encode(fields["kind"])),
    )
    yield Lie.MALFORMED, "another order", envelope(encode(dict(reversed(fields.items()))))
    yield Lie.MALFORMED, "no text at all", envelope(whole.replace(encode("kind"), b"\xa4\xff\xfe\xfd\xfc"))
    two = attrs.evolve(envelope(whole), parts=(np.frombuffer(whole, np.uint8),) * 2)
    yield Lie.MALFORMED, "in two arrays", two
    yield Lie.TYPE, "as numbers of 64 bits", attrs.evolve(envelope(b""), parts=(np.zeros(8, np.uint64),))
    yield Lie.OVERSIZED, "a field of a mebibyte less one", envelope(encode({**fields, "more": bytes((1 << 20) - 200)}))
    for name, value in fields.items():
        if name == "kind":
            continue
        rest = {key: each for key, each in fields.items() if key != name}
        yield Lie.MALFORMED, f"without {name}", envelope(encode(rest))
        for other in (None, [value], {"x": value}, 1.5, True):
            yield Lie.TYPE, f"{name} is {type(other).__name__}", envelope(encode({**fields, name: other}))
        for lie, what, false in _out_of_bounds(value):
            yield lie, f"{name} is {what}", envelope(encode({**fields, name: false}))


def _out_of_bounds(value: object) -> Iterator[tuple[Lie, str, Any]]:
    match value:
        case bytes():
            yield Lie.LENGTH, "one byte longer", value + b"\0" * (1 << 19)
            yield Lie.LENGTH, "much too long", value * 20_000 + b"\0"
        case str():
            yield Lie.LENGTH, "too long", "x" * 70_000
            yield Lie.TYPE, "not to be printed", "\x1b[31m"
            yield Lie.TYPE, "written backwards", "a\u202eb"
        case int():
            yield Lie.LENGTH, "below nought", -1
            yield Lie.LENGTH, "beyond 63 bits", (1 << 64) - 1


def sent(honest: ControlMessage) -> Message:
    """A message as it leaves."""
    return encode_control(honest)
