from __future__ import annotations

import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nskd.peers.dialer import Backoff, Pace
from nskd.peers.greeting import Greeter
from nskd.peers.lanes import PROTOCOL_VERSION, Hello, Lane, Member, is_centre_name, prologue, read_hello
from protocol import limits
from protocol.errors import Fault, LocalProtocolError, RemoteProtocolError

from .world import CHARTER, key_of, members_of


@pytest.mark.parametrize("lane", [*Lane, None])
def test_hello(lane: Lane | None) -> None:
    hello = Hello(PROTOCOL_VERSION, "a-centre", lane)
    assert read_hello(hello.encode(), from_dialer=lane is not None) == hello
    with pytest.raises(RemoteProtocolError):
        read_hello(hello.encode(), from_dialer=lane is None)


def test_the_longest_hello_fits() -> None:
    assert len(Hello(PROTOCOL_VERSION, "a" * 64, Lane.CONTROL).encode()) <= limits.HELLO_BYTES_MAX


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"version": 2}, Fault.VERSION),
        ({"version": 0}, Fault.VERSION),
        ({"version": 2, "extra": 1, "lane": ["of", "another", "kind"]}, Fault.VERSION),
        ({"version": "1"}, Fault.MALFORMED),
        ({"centre": ""}, Fault.MALFORMED),
        ({"centre": "a\n"}, Fault.MALFORMED),
        ({"centre": "a" * 65}, Fault.MALFORMED),
        ({"lane": "express"}, Fault.MALFORMED),
        ({"extra": 1}, Fault.MALFORMED),
        ({"centre": "a" * 600}, Fault.OVERSIZED),
    ],
)
def test_hellos_that_are_refused(fields: dict[str, object], fault: Fault) -> None:
    payload = msgspec.msgpack.encode({"version": 1, "centre": "a", "lane": "online"} | fields)
    with pytest.raises(RemoteProtocolError) as caught:
        read_hello(payload, from_dialer=True)
    assert caught.value.fault is fault


@given(st.binary(max_size=600))
def test_garbage_is_the_peers_fault(payload: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        read_hello(payload, from_dialer=True)


def test_names() -> None:
    assert all(map(is_centre_name, ["a", "umc-noord", "vt2", "a.b_c"]))
    assert not any(map(is_centre_name, ["", "-a", "a-", "A", "a b", "a/b", "ä", "a\n"]))


def test_the_prologue_binds_the_charter() -> None:
    assert prologue(bytes(32)) != prologue(CHARTER)
    assert prologue(CHARTER).endswith(CHARTER)
    with pytest.raises(LocalProtocolError):
        prologue(b"short")


def test_backoff_grows_to_its_bound_and_spreads() -> None:
    backoff = Backoff(random.Random(7).random, Pace())
    waits = [backoff.next_s() for _ in range(100)]
    assert limits.REDIAL_FIRST_S / 2 <= waits[0] <= limits.REDIAL_FIRST_S
    assert all(limits.REDIAL_MAX_S / 2 <= wait <= limits.REDIAL_MAX_S for wait in waits[10:])
    assert len(set(waits[10:])) == 90
    backoff.reset()
    assert backoff.next_s() <= limits.REDIAL_FIRST_S


@pytest.mark.parametrize(
    ("own", "members"),
    [
        ("z", members_of("ab")),
        ("a", members_of("aba")),
        ("a", [Member("a", key_of("a").public), Member("b", key_of("a").public)]),
        ("a", [Member("a", key_of("c").public), Member("b", key_of("b").public)]),
    ],
)
def test_charters_that_make_no_sense(own: str, members: list[Member]) -> None:
    with pytest.raises(LocalProtocolError):
        Greeter(own=own, static=key_of("a"), charter_digest=CHARTER, members=members)
