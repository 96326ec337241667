"""Openings, short and spread, against plain sums and against liars (``docs/protocol.md``, step 5.7)."""

from __future__ import annotations

import numpy as np
import pytest

from protocol import field
from protocol.checking import Checker
from protocol.errors import Fault, LocalProtocolError, RemoteProtocolError
from protocol.opening import SPREAD_MIN, open_values
from protocol.party import Party
from protocol.wire import Message
from tests.cluster import Cluster, Tamper, lie_at
from tests.dealer import Dealer


@pytest.mark.parametrize("parties", [2, 3, 5])
@pytest.mark.parametrize("count", [1, SPREAD_MIN - 1, SPREAD_MIN, SPREAD_MIN + 7])
async def test_an_opening_is_the_sum_of_all_shares(parties: int, count: int) -> None:
    rng = np.random.default_rng(count + parties)
    shares = [rng.integers(0, field.P, count, dtype=np.uint64) for _ in range(parties)]
    expected = (np.sum([share.astype(object) for share in shares], axis=0) % field.P).astype(np.uint64)
    rounds = set()

    async def seat(party: Party) -> np.ndarray:
        values = await open_values(party, "x", shares[party.index])
        rounds.add(party.rounds)
        await party.confirm()
        return values

    for values in await Cluster(parties).run(seat):
        np.testing.assert_array_equal(values, expected)
    assert rounds == {2 if parties > 2 and count >= SPREAD_MIN else 1}


async def test_spreading_sends_fewer_bytes() -> None:
    sent: dict[bool, int] = {}
    for spread in (False, True):
        count = SPREAD_MIN - (not spread)
        total = 0

        def weigh(receiver: int, message: Message) -> Message:
            nonlocal total
            total += sum(part.nbytes for part in message.parts)
            return message

        shares = np.ones(count, dtype=np.uint64)
        await Cluster(5, liar=4, tamper=weigh).run(lambda party: open_values(party, "x", shares))  # noqa: B023
        sent[spread] = total // count
    assert sent == {False: 8 * 4, True: 16 * 4 // 5}


def add_one(array: np.ndarray) -> np.ndarray:
    array[0] = (array[0] + np.uint64(1)) % np.uint64(field.P)
    return array


def too_short(array: np.ndarray) -> np.ndarray:
    return array[:-1].copy()


def beyond_p(array: np.ndarray) -> np.ndarray:
    array[-1] = np.uint64(field.P)
    return array


@pytest.mark.parametrize(
    ("tamper", "fault"),
    [
        (lie_at("x", add_one, to=0), Fault.MAC_CHECK),  # a false share: party 0 adds it up for everybody
        (lie_at("x/sums", add_one, to=0), Fault.EQUIVOCATION),  # a false sum told to one
        (lie_at("x/sums", add_one), Fault.EQUIVOCATION),  # … to all, but not to itself: see below
        (lie_at("x", too_short), Fault.MALFORMED),
        (lie_at("x", beyond_p), Fault.MALFORMED),
        (lie_at("x/sums", too_short), Fault.MALFORMED),
        (lie_at("x/sums", beyond_p), Fault.MALFORMED),
    ],
)
async def test_a_lie_in_a_spread_opening_is_named(tamper: Tamper, fault: Fault) -> None:
    dealer = Dealer(3, seed=5)
    shares = dealer.share(np.arange(SPREAD_MIN, dtype=np.uint64))

    async def seat(party: Party) -> np.ndarray:
        checker = Checker(party, dealer.keys[party.index])
        opening = await checker.open("x", shares[party.index])
        await checker.check()
        return opening.released()

    outcomes = (await Cluster(3, seed=5, liar=2, tamper=tamper).outcomes(seat))[:2]
    assert all(outcome.value is None for outcome in outcomes)
    seen = {outcome.error.fault for outcome in outcomes if isinstance(outcome.error, RemoteProtocolError)}
    assert fault in seen
    assert seen <= {fault, Fault.DISCONNECTED}


@pytest.mark.parametrize("position", [0, SPREAD_MIN - 1], ids=["another's segment", "its own segment"])
async def test_a_false_value_told_alike_to_everybody_fails_the_mac_check(position: int) -> None:
    """In its own segment this is a false sum that the liar goes on computing with."""
    dealer = Dealer(3, seed=6)
    shares = dealer.share(np.arange(SPREAD_MIN, dtype=np.uint64))
    shares[2].value[position] ^= np.uint64(1)

    async def seat(party: Party) -> None:
        checker = Checker(party, dealer.keys[party.index])
        await checker.open("x", shares[party.index])
        await checker.check()

    for outcome in await Cluster(3, seed=6).outcomes(seat):
        assert isinstance(outcome.error, RemoteProtocolError)
        assert outcome.error.fault is Fault.MAC_CHECK


async def test_what_nothing_masks_is_not_opened_before_what_led_to_it_is_checked() -> None:
    dealer = Dealer(2)
    shares = dealer.share(field.elements([1, 2]))

    async def seat(party: Party) -> list[int]:
        checker = Checker(party, dealer.keys[party.index])
        await checker.open_masked("masked", shares[party.index])
        with pytest.raises(LocalProtocolError, match="has been checked"):
            await checker.open("plain", shares[party.index])
        await checker.check("before")
        opening = await checker.open("plain", shares[party.index])
        await checker.check("after")
        return opening.released().tolist()

    assert await Cluster(2).run(seat) == [[1, 2], [1, 2]]
