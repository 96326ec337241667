from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nskd.peers.lanes import Lane
from nskd.sessions.proposal import Proposal, StockRange, check_offer, make_offer, read_offer, session_id
from protocol import limits
from protocol.errors import Fault, LocalProtocolError, RemoteProtocolError

CHARTER = bytes(32)


def proposal(**changes: Any) -> Proposal:
    values: dict[str, Any] = {
        "kind": "analysis",
        "coordinator": "a",
        "nonce": bytes(16),
        "charter": CHARTER,
        "parties": ("a", "b", "c"),
        "lane": Lane.ONLINE,
        "request": b"r" * 32,
        "epoch": b"e" * 32,
        "segments": {
            "triple": (StockRange(b"t" * 16, 0, 10), StockRange(b"u" * 16, 5, 6)),
            "bit": (StockRange(b"b" * 16, 3, 4),),
        },
        "extra": b"more",
    }
    return Proposal(**(values | changes))


def test_what_is_read_is_what_was_proposed() -> None:
    offer = make_offer(proposal())
    again = read_offer(offer.body, "a")
    assert again.proposal == proposal()
    assert again.session == session_id(offer.body) == offer.digest[:16]
    assert offer.others == ("b", "c")


def test_the_encoding_does_not_depend_on_the_order_of_kinds() -> None:
    one = proposal()
    other = proposal(segments=dict(reversed(one.segments.items())))
    assert make_offer(one).body == make_offer(other).body


def test_every_byte_is_in_the_session_id() -> None:
    body = make_offer(proposal()).body
    ids = {session_id(body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]) for at in range(len(body))}
    assert len(ids | {session_id(body)}) == len(body) + 1


@pytest.mark.parametrize(
    "changes",
    [
        {"parties": ("a",)},
        {"parties": ("a", "b", "a")},
        {"parties": ("b", "c")},
        {"parties": ("a", "b\n")},
        {"parties": tuple(f"a{index}" for index in range(17))},
        {"nonce": bytes(15)},
        {"charter": bytes(31)},
        {"request": bytes(16)},
        {"epoch": bytes(33)},
        {"lane": Lane.CONTROL},
        {"kind": "An analysis"},
        {"kind": ""},
        {"extra": bytes(limits.PROPOSAL_EXTRA_BYTES_MAX + 1)},
        {"format": 2},
        {"segments": {"triple": (StockRange(b"t" * 16, 4, 4),)}},
        {"segments": {"triple": (StockRange(b"t" * 16, -1, 4),)}},
        {"segments": {"triple": (StockRange(b"t" * 16, 0, 1 << 60),)}},
        {"segments": {"triple": (StockRange(b"t" * 15, 0, 1),)}},
        {"segments": {"triple": (StockRange(b"t" * 16, 0, 5), StockRange(b"t" * 16, 4, 6))}},
        {"segments": {"triple": (StockRange(b"t" * 16, 0, 5),), "bit": (StockRange(b"t" * 16, 0, 1),)}},
        {"segments": {"bit": tuple(StockRange(b"t" * 16, i, i + 1) for i in range(4097))}},
        {"segments": {f"k{index}": () for index in range(65)}},
    ],
)
def test_what_cannot_be_proposed(changes: dict[str, Any]) -> None:
    body = msgspec.msgpack.encode(msgspec.structs.asdict(proposal()) | changes)
    with pytest.raises(RemoteProtocolError):
        read_offer(body, "a")
    with pytest.raises(LocalProtocolError):
        make_offer(proposal(**changes))


@given(st.binary(max_size=300))
def test_garbage_is_the_peers_fault(body: bytes) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        read_offer(body, "a")
    assert caught.value.fault is Fault.MALFORMED


@given(st.data())
def test_a_damaged_proposal_is_the_peers_fault_or_another_session(data: st.DataObject) -> None:
    body = make_offer(proposal()).body
    at = data.draw(st.integers(0, len(body) - 1))
    damaged = body[:at] + data.draw(st.binary(max_size=3)) + body[at + 1 :]
    try:
        offer = read_offer(damaged, "a")
    except RemoteProtocolError:
        return
    assert damaged == body or offer.session != session_id(body)


def test_oversized() -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        read_offer(bytes(limits.PROPOSAL_BYTES_MAX + 1), "a")
    assert caught.value.fault is Fault.OVERSIZED


@pytest.mark.parametrize(
    ("changes", "sender", "why"),
    [
        ({}, "b", "another centre as its coordinator"),
        ({"version": 2}, "a", "protocol version 2"),
        ({"charter": b"c" * 32}, "a", "another charter"),
        ({"parties": ("a", "c")}, "a", "does not list this centre"),
        ({"parties": ("a", "b", "z")}, "a", "not in the charter"),
    ],
)
def test_what_is_not_for_us(changes: dict[str, Any], sender: str, why: str) -> None:
    offer = read_offer(make_offer(proposal(**changes)).body, sender)
    with pytest.raises(RemoteProtocolError, match=why) as caught:
        check_offer(offer, own="b", charter_digest=CHARTER, members="abc")
    assert caught.value.fault is Fault.SESSION
