"""What an authenticated peer says: control messages and the signed documents in them, session proposals, stock, logs.

Signatures are made here by the right keys, so that what lies behind them is reached: the sender is a centre that lies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, get_args

import attrs
import msgspec
import numpy as np

from nskd.daemon import modelling
from nskd.daemon.inventory import decode_inventory, encode_inventory
from nskd.governance import approval as approvals
from nskd.governance import request as requests
from nskd.governance import signing
from nskd.governance.attendance import Attendance
from nskd.governance.audit import Head
from nskd.governance.audit_heads import Contradiction, PeerLog, Query
from nskd.governance.presence import Move, receive_word, sign_word
from nskd.governance.request import receive_request
from nskd.governance.standing_policy import NAMESPACE
from nskd.governance.statement import Verdict
from nskd.governance.verification import receive_approval, review_approval
from nskd.peers.lanes import Lane
from nskd.sessions.proposal import Proposal, StockRange, check_offer, make_offer, read_offer
from protocol import messages as m
from protocol.errors import RemoteProtocolError
from protocol.limits import AUDIT_DIGESTS_MAX, SESSION_BYTES
from protocol.messages import CONTROL_SESSION, CONTROL_STEP, ControlMessage, decode_control, encode_control
from protocol.wire import Message
from tests.nskd.governance import workshop as papers
from tests.nskd.governance.workshop import NOW

from .target import Script, Target

CENTRE = "zuid"
_SIGN = papers.signing_key(CENTRE).sign


# --- the envelope -------------------------------------------------------------------------------------------------


def _control(data: bytes) -> None:
    message = Message(CONTROL_SESSION, CONTROL_STEP, (np.frombuffer(data, np.uint8),))
    try:
        control = decode_control(message)
    except RemoteProtocolError:
        return
    assert encode_control(control).parts[0].tobytes() == data, "a control message has two encodings"


def samples() -> tuple[ControlMessage, ...]:
    """One of each kind."""
    asked = papers.request()
    word = papers.approval(asked.digest, CENTRE)
    paused = sign_word(Move.PAUSE, number=5, now=NOW, centre=CENTRE, charter=papers.CHARTER, sign=_SIGN, reason="x")
    session = bytes(range(SESSION_BYTES))
    found = (
        m.RequestNotice(asked.body, asked.centre, asked.signature),
        m.ApprovalNotice(word.body, word.centre, word.signature),
        m.PresenceNotice(paused.body, paused.centre, paused.signature),
        m.Propose(make_offer(proposal()).body),
        m.Accept(session),
        m.Refuse(session, "busy"),
        m.Start(session),
        m.Abort(session, "mac-check", "the check failed"),
        m.AuditHead(CENTRE, 7, bytes(32), bytes(64)),
        m.AuditQuery(1, 9),
        m.AuditProof(1, bytes(64)),
        m.Ping(1),
        m.Pong(1),
        m.BegunQuery(),
        m.BegunNotice(asked.body, asked.centre, asked.signature, word.body, word.signature),
        m.Bye("stopping"),
    )
    assert {type(each) for each in found} == set(get_args(ControlMessage))
    return found


def _control_seeds() -> Iterable[bytes]:
    return (encode_control(each).parts[0].tobytes() for each in samples())


# --- sessions -----------------------------------------------------------------------------------------------------


def proposal(**changes: Any) -> Proposal:
    """One of a run."""
    fields = {
        "kind": "analysis",
        "coordinator": CENTRE,
        "nonce": bytes(16),
        "charter": papers.CHARTER.digest,
        "parties": papers.NAMES,
        "lane": Lane.ONLINE,
        "request": bytes(32),
        "epoch": bytes(32),
        "segments": {"triple": (StockRange(bytes(16), 0, 9), StockRange(bytes(16), 9, 20))},
        "extra": b"x",
    }
    return Proposal(**(fields | changes))


def _proposal(data: bytes) -> None:
    try:
        offer = read_offer(data, CENTRE)
        check_offer(offer, own="noord", charter_digest=papers.CHARTER.digest, members=papers.NAMES)
    except RemoteProtocolError:
        return
    assert len(offer.session) == SESSION_BYTES and CENTRE not in offer.others
    again = make_offer(offer.proposal)
    assert read_offer(again.body, CENTRE).proposal == offer.proposal


def _proposal_seeds() -> Iterable[bytes]:
    yield make_offer(proposal()).body
    yield make_offer(proposal(lane=Lane.OFFLINE, kind="generate", segments={}, request=b"", epoch=b"")).body
    yield make_offer(proposal(segments={f"mask/{k}": (StockRange(bytes([k]) * 16, k, 99),) for k in range(3)})).body


# --- documents ----------------------------------------------------------------------------------------------------


def _signed(label: str, *parts: bytes) -> bytes:
    return _SIGN(signing.framed(label, *parts))


def _request(data: bytes) -> None:
    """A request of a centre that signs anything: its body, or its text in a right body."""
    script = Script(data)
    whole, charter = script.number(4) == 0, papers.CHARTER
    body = script.rest()
    if not whole:
        body = msgspec.msgpack.encode(requests._Body("nskd request v1", CENTRE, charter.digest, NOW, bytes(16), body))
    signature = _signed("nskd request signature v1", CENTRE.encode(), charter.digest, body)
    try:
        received = receive_request(body, CENTRE, signature, charter=charter, now=NOW)
    except RemoteProtocolError:
        return
    assert received.body == body and received.digest != received.text_digest
    refused(received)


@cache
def _judge() -> Callable[[requests.SignedRequest], list[str]]:
    """What a daemon does with a request that it has verified: its own check, and the page that a steward reads."""
    from nskd.daemon.answers import _page
    from nskd.daemon.workshop import Workshop
    from nskd.packs.pack import load_pack

    pack = load_pack("nsk")
    nothing: Any = None
    workshop = Workshop(
        own="noord", charter=papers.CHARTER, pack=pack, sign=_SIGN, clock=lambda: NOW,
        ledger=nothing, audit=nothing, events=nothing, log=nothing,
    )  # fmt: skip

    def judge(request: requests.SignedRequest) -> list[str]:
        found = workshop.refusals(request)
        _page(workshop, request.table, request.centre, True, (), [])
        return found

    return judge


def refused(request: requests.SignedRequest) -> list[str]:
    """Why the check of a centre refuses it."""
    return _judge()(request)


def _request_seeds() -> Iterable[bytes]:
    from pathlib import Path

    yield b"\x00" + papers.request(centre=CENTRE).body
    yield b"\x01" + papers.TEXT
    for path in sorted((Path(__file__).parents[2] / "configs" / "requests").iterdir()):
        yield b"\x01" + path.read_bytes().replace(b"research", b"improvement")


def _approval(data: bytes) -> None:
    """An approval of a daemon, and a steward, that sign anything: body, statement, policy or signature edited."""
    script = Script(data)
    how = script.number(5)
    genuine = papers.policy_text(CENTRE)
    if how in (0, 3):
        base = papers.policy_approval(_asked().digest, genuine, CENTRE) if script.number(2) else _approved()
        fields = msgspec.msgpack.decode(base.body, type=approvals._Body)
    else:
        fields = msgspec.msgpack.decode(_approved().body, type=approvals._Body)
    match how:
        case 0:
            body = script.edited(base.body)
        case 1:
            said = script.edited(fields.statement)
            body = _encoded(fields, statement=said, signatures=(papers.signed_by(CENTRE, said),))
        case 2:
            policy = script.edited(genuine)
            stamp = papers.signed_by(CENTRE, policy, namespace=NAMESPACE)
            by = f"policy:{signing.digest('nskd standing policy v1', policy).hex()}"
            said = attrs.evolve(_approved().statement, by=by, name=_title(policy)).text()
            body = _encoded(fields, statement=said, policy=policy, signatures=(stamp,))
        case 3:
            body = _encoded(fields, signatures=(script.edited(fields.signatures[0]),))
        case _:
            body = script.rest()
    signature = _signed(approvals.SIGN_LABEL, body)
    try:
        received = receive_approval(body, CENTRE, signature, charter=papers.CHARTER, now=NOW)
    except RemoteProtocolError:
        return
    review_approval(received, charter=papers.CHARTER, request=_asked())


@cache
def _asked() -> requests.SignedRequest:
    return papers.request()


@cache
def _approved() -> approvals.SignedApproval:
    return papers.approval(_asked().digest, CENTRE)


def _title(policy: bytes) -> str:
    from nskd.governance.standing_policy import StandingPolicyError, parse_standing_policy

    try:
        return parse_standing_policy(policy).title
    except StandingPolicyError:
        return "x"


def _encoded(fields: Any, **changes: Any) -> bytes:
    return msgspec.msgpack.encode(msgspec.structs.replace(fields, **changes))


def _approval_seeds() -> Iterable[bytes]:
    for how in range(5):
        for kind in (b"\x00", b"\x01"):
            yield bytes([how]) + (kind if how in (0, 3) else b"") + b"\x00\x00\x00"
    yield b"\x04" + _approved().body
    yield b"\x04" + papers.policy_approval(_asked().digest, papers.policy_text(CENTRE), CENTRE).body
    yield b"\x04" + papers.approval(_asked().digest, CENTRE, verdict=Verdict.REFUSE).body
    yield b"\x02\x05\x00\x00\xe0" + papers.policy_text(CENTRE)[:224]


def _presence(data: bytes) -> None:
    """Words of a centre that signs anything: whatever their order, what they come to can be said."""
    script, words = Script(data), []
    for _ in range(1 + script.number(4)):
        genuine = sign_word(
            tuple(Move)[script.number(3)], number=1 + script.number(4), now=NOW, centre=CENTRE,
            charter=papers.CHARTER, sign=_SIGN,
        )  # fmt: skip
        body = script.edited(genuine.body)
        try:
            words.append(
                receive_word(body, CENTRE, _signed("nskd presence signature v1", body), charter=papers.CHARTER)
            )
        except RemoteProtocolError:
            assert body != genuine.body
    came_to = set()
    for order in (words, words[::-1]):
        attendance = Attendance("noord", papers.CHARTER)
        for word in order:
            attendance.put(word)
            attendance.standing(CENTRE).contradicts(word)
        came_to.add(tuple(each.what for each in attendance.absences))
    assert len(came_to) <= 1, "what a centre's words come to depends on their order"


def _presence_seeds() -> Iterable[bytes]:
    for number in range(3):
        yield bytes([0, number, 2, 0, 0, 0])
        yield bytes([3, number, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 1, 0, 0, 0])
        genuine = sign_word(
            tuple(Move)[number], number=3, now=NOW, centre=CENTRE, charter=papers.CHARTER, sign=_SIGN, reason="ill"
        )
        yield bytes([0, number, 2, 5, 0, 0]) + len(genuine.body).to_bytes(2, "little") + genuine.body


# --- the rest -----------------------------------------------------------------------------------------------------


def _inventory(data: bytes) -> None:
    script = Script(data)
    shape, dtype = script.number(3), (np.uint8, np.uint32, np.uint64)[script.number(3) if script.number(2) else 0]
    raw = script.rest()
    part = np.frombuffer(raw[: len(raw) - len(raw) % 8] if dtype is not np.uint8 else raw, dtype)
    part = part.reshape((-1,) if shape < 2 else (1, -1) if part.size else (0, 3))
    try:
        held = decode_inventory(part, 1)
    except RemoteProtocolError:
        return
    assert encode_inventory(held).tobytes() == part.tobytes()


def _inventory_seeds() -> Iterable[bytes]:
    yield bytes(2)
    yield bytes(2) + bytes(56) + b"\xff" * 56
    yield b"\x02\x00" + bytes(55)


def _log(data: bytes) -> None:
    """Signed heads and proofs of one log, true and false, in any order: a query, a contradiction, or nothing."""
    script = Script(data)
    log, hashes = PeerLog(), [bytes([number]) * 32 for number in range(4)]
    while script:
        sequence = 1 + script.number(6) * (1 + 4095 * (script.number(8) == 7))
        try:
            if script.number(2):
                after, count = script.number(8), script.number(5)
                outcome = log.take_proof(after, bytes(32) * count + bytes(script.number(3)))
            else:
                head = Head(CENTRE, sequence, hashes[script.number(4)], bytes(64))
                outcome = log.take(head, own_word=script.number(2) == 1)
        except RemoteProtocolError:
            return
        if isinstance(outcome, Query):
            assert 0 < outcome.until - outcome.after <= AUDIT_DIGESTS_MAX
        else:
            assert outcome is None or isinstance(outcome, Contradiction)


def _log_seeds() -> Iterable[bytes]:
    yield bytes([1, 0, 0, 0, 1]) * 2
    yield bytes([0, 0, 0, 0, 1, 3, 0, 0, 1, 1, 2, 0, 1, 1, 2, 0])
    yield bytes([0, 0, 0, 0, 1, 5, 7, 0, 1, 1, 0, 0, 1, 1, 0, 0])


def _model(data: bytes) -> None:
    """The model on record as another centre tells it, held against our own."""
    from nskd.analysis.regression import alike

    try:
        text = modelling._text(np.frombuffer(data, np.uint8), 1)
        found = modelling._decoded(text)
    except RemoteProtocolError:
        return
    for ours in _models():
        assert alike(ours, found) in (True, False)


@cache
def _models() -> tuple[dict[str, Any], ...]:
    row = {"name": "sex", "level": "V", "estimate": 0.2, "error": 0.1}
    fitted = {"coefficients": [row], "references": {"sex": "M"}, "freedom": 200, "likelihood_ratio": 12.5, "steps": 5}
    return (fitted, {"reason": "levels", "levels": [{"name": "sex", "level": "X"}]}, {})


def _model_seeds() -> Iterable[bytes]:
    yield from (modelling._encoded(model) for model in _models())
    yield b'{"status":"separated"}'


def _statement(data: bytes) -> None:
    from nskd.governance.statement import StatementError, read_statement

    try:
        found = read_statement(data)
    except StatementError:
        return
    assert found.text() == data, "a statement has two spellings"


def _statement_seeds() -> Iterable[bytes]:
    for verdict in Verdict:
        yield papers.statement(bytes(32), CENTRE, verdict=verdict).text()
    yield _approved().statement.text().replace(b"SHA256", b"policy")


def _sshsig(data: bytes) -> None:
    from nskd.governance import sshsig

    script = Script(data)
    how, raw = script.number(3), script.rest()
    try:
        match how:
            case 0:
                sshsig.read_signature(raw).holds(b"x", namespace="y")
            case 1:
                for each in sshsig.unarmoured(raw.decode("latin-1")):
                    sshsig.read_signature(each)
            case _:
                sshsig.parse_key(raw.decode("latin-1"))
    except sshsig.SshFormatError:
        return


def _sshsig_seeds() -> Iterable[bytes]:
    from nskd.governance import sshsig

    made = papers.signed_by(CENTRE, b"x")
    yield b"\x00" + made
    yield b"\x01" + sshsig.armoured(made).encode()
    yield b"\x02" + papers.steward(CENTRE).line.split()[1].encode()


TARGETS = (
    Target("envelope", lambda: _control, _control_seeds),
    Target("proposal", lambda: _proposal, _proposal_seeds),
    Target("request", lambda: _request, _request_seeds, mutations=40),
    Target("approval", lambda: _approval, _approval_seeds),
    Target("presence", lambda: _presence, _presence_seeds),
    Target("inventory", lambda: _inventory, _inventory_seeds),
    Target("log", lambda: _log, _log_seeds, bytes_max=256),
    Target("model", lambda: _model, _model_seeds),
    Target("statement", lambda: _statement, _statement_seeds, bytes_max=1500),
    Target("sshsig", lambda: _sshsig, _sshsig_seeds, bytes_max=1500),
)
