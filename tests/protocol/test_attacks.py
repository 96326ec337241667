"""Attacks that were found by looking for them: each of these once worked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace

import attrs
import numpy as np
import pytest
import trio
import trio.testing

from nskd.analysis.contribution import VENTURES_MAX, ContributionError, Contributions
from nskd.analysis.release import AlsoHide
from nskd.analysis.shape import TableShape
from nskd.analysis.suppression import derivable
from nskd.credentials import StorageKey
from nskd.daemon.epochs import Epochs
from nskd.daemon.turns import BATCH_PATIENCE_S, GivesWay, OutOfTurnError, Turns
from nskd.errors import OperatorError
from nskd.peers.channel import SessionAborted
from nskd.stockpile import Stockpile
from nskd.stockpile.errors import StockError
from protocol import field
from protocol.checking import Checker
from protocol.errors import Fault, RemoteProtocolError
from protocol.online.arithmetic import Evaluator
from protocol.online.disclosure import Release, disclosure_cost, release
from protocol.online.rules import Rules
from protocol.party import Party, octets
from protocol.prg import Prg
from protocol.wire import Message
from tests.cluster import Cluster, Inline, Outcome, change_part
from tests.dealer import Dealer

# --- the MAC key, learnt from a check that never ends ----------------------------------------------------------


async def _commit(party: Party, value: bytes) -> bytes:
    """The liar's part of a check up to everybody's commitments; what it committed with."""
    nonce = bytes(32)
    own = party._commitment("mac/sigma", party.index, nonce, value)
    await party.broadcast("mac/sigma/commit", octets(own))
    return nonce


async def _hang_up(party: Party, record: bytes, nonce: bytes, value: bytes) -> None:
    pass


async def _open_something_else(party: Party, record: bytes, nonce: bytes, value: bytes) -> None:
    party.rounds -= 1
    await party.exchange("mac/sigma/open", {0: [octets(record + nonce + bytes([1] + [0] * 7))]}, [])


async def _claim_another_record(party: Party, record: bytes, nonce: bytes, value: bytes) -> None:
    party.rounds -= 1
    await party.exchange("mac/sigma/open", {0: [octets(bytes(32) + nonce + value)]}, [])


async def _open_no_element(party: Party, record: bytes, nonce: bytes, value: bytes) -> None:
    party.rounds -= 1
    await party.exchange("mac/sigma/open", {0: [octets(record + nonce + value)]}, [])


Exit = Callable[[Party, bytes, bytes, bytes], Awaitable[None]]


@pytest.mark.parametrize(
    ("leave", "value", "fault"),
    [
        (_hang_up, bytes(8), Fault.DISCONNECTED),
        (_open_something_else, bytes(8), Fault.COMMITMENT),
        (_claim_another_record, bytes(8), Fault.EQUIVOCATION),
        (_open_no_element, b"\xff" * 8, Fault.MALFORMED),
    ],
    ids=lambda v: getattr(v, "__name__", ""),
)
async def test_who_learns_the_mac_key_and_leaves_has_put_it_at_stake(leave: Exit, value: bytes, fault: Fault) -> None:
    """Party 1 opens a wrong share, waits for party 0's part of the check, computes Δ from it, and breaks off.

    Party 0 sees an accident, or a fault that by itself ends no epoch.  Δ is known nevertheless.
    """
    dealer = Dealer(2, seed=3)
    shares = dealer.share(field.elements([5, 6, 7]))
    learnt: list[int] = []
    parties: dict[int, Party] = {}

    async def seat(party: Party) -> None:
        parties[party.index] = party
        checker = Checker(party, dealer.keys[party.index])
        if party.index == 0:
            await checker.open("x", shares[0])
            await checker.check()
            return
        wrong = field.add(shares[1].value, np.array([1, 0, 0], dtype=np.uint64))
        opening = await checker.open("x", attrs.evolve(shares[1], value=wrong))
        coefficients = Prg(await party.coin("mac"), "mac-check coefficients").elements(3)
        nonce = await _commit(party, value)
        record = party.transcript()
        heard = await party.exchange("mac/sigma/open", {}, [0])
        theirs = int.from_bytes(heard[0][0].tobytes()[-8:], "little")
        opened, macs = field.dots(coefficients, opening._values, shares[1].mac)
        own = macs - dealer.keys[1].delta * opened
        learnt.append(-(theirs + own) * pow(int(coefficients[0]), -1, field.P) % field.P)
        await leave(party, record, nonce, value)

    outcome = (await Cluster(2).outcomes(seat))[0]
    assert isinstance(outcome.error, RemoteProtocolError)
    assert outcome.error.fault is fault
    assert learnt == [dealer.delta], "the attack is worth what it claims"
    assert parties[0].at_stake


async def test_nothing_is_at_stake_before_our_part_is_out_nor_after_the_check() -> None:
    dealer = Dealer(2, seed=4)
    shares = dealer.share(field.elements([1, 2]))
    parties: dict[int, Party] = {}

    async def seat(party: Party, leave_at: str) -> None:
        parties[party.index] = party
        checker = Checker(party, dealer.keys[party.index])
        opening = await checker.open("x", shares[party.index])
        if party.index == 1 and leave_at == "open":
            return
        if party.index == 1 and leave_at == "coin":
            await party.coin("mac")
            return
        await checker.check()
        assert opening.released().tolist() == [1, 2]

    for leave_at in ("open", "coin"):
        outcomes = await Cluster(2).outcomes(lambda party, at=leave_at: seat(party, at))
        assert isinstance(outcomes[0].error, RemoteProtocolError)
        assert not parties[0].at_stake
    await Cluster(2).run(lambda party: seat(party, "never"))
    assert not parties[0].at_stake


def _keys() -> tuple[Epochs, list[object]]:
    """Keys of an epoch, and the list of what is asked of the stock."""
    asked: list[object] = []

    async def stock(method: object, *_: object) -> None:
        asked.append(method)

    async def note(*_: object, **__: object) -> None:
        return

    quiet = SimpleNamespace(error=lambda *_, **__: None, publish=lambda *_, **__: None, note=note)
    workshop = SimpleNamespace(log=quiet, events=quiet, audit=quiet, clock=lambda: 0)
    epochs = Epochs(workshop=workshop, stock=stock)  # type: ignore[arg-type]
    epochs._epoch = SimpleNamespace(epoch_id=bytes(32))  # type: ignore[assignment]
    return epochs, asked


@pytest.mark.parametrize(
    ("at_stake", "error", "destroyed"),
    [
        (True, RemoteProtocolError(Fault.DISCONNECTED, "gone"), True),
        (True, RemoteProtocolError(Fault.COMMITMENT, "changed"), True),
        (True, SessionAborted(Fault.TIMEOUT, "claimed"), True),
        (True, KeyboardInterrupt(), True),
        (False, RemoteProtocolError(Fault.DISCONNECTED, "gone"), False),
        (False, SessionAborted(Fault.MAC_CHECK, "claimed"), False),
        (False, RemoteProtocolError(Fault.DECRYPTION, "seen"), True),
        (False, OperatorError("x", where="y", remedy="z"), False),
    ],
)
async def test_an_epoch_ends_with_whatever_ended_a_check(at_stake: bool, error: BaseException, destroyed: bool) -> None:
    epochs, asked = _keys()
    await epochs.destroy_if_tested(SimpleNamespace(at_stake=at_stake), error, "a test")  # type: ignore[arg-type]
    assert (not epochs.current_id()) == destroyed
    assert asked == ([Stockpile.destroy_epoch] if destroyed else [])


def test_an_epoch_that_cannot_be_crossed_out_loses_its_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = StorageKey(bytes(32))
    with Stockpile.open(tmp_path, key) as stock:
        stock.begin_epoch(bytes(range(32)), b"keys")

        def full(*_: object) -> None:
            raise StockError("the disk is full", where="here", remedy="none")

        with monkeypatch.context() as context:
            context.setattr(stock._ledger, "writing", full)
            with pytest.raises(StockError):
                stock.destroy_epoch("a test")
    with Stockpile.open(tmp_path, key) as stock:
        assert stock.recovery.epoch_damaged
        assert stock.epoch() is None


# --- the MAC key, learnt beside a run that still uses it -------------------------------------------------------


async def test_no_batch_is_checked_beside_a_run(autojump_clock: trio.testing.MockClock) -> None:
    """A run at one of two centres puts the check off at both; a check under way keeps new runs waiting at both."""
    turns, events = [Turns(), Turns()], list[str]()
    may_end = trio.Event()

    async def batch(party: Party) -> None:
        async with turns[party.index].check(party):
            events.append("check begins")
            await may_end.wait()
            await party.confirm()
            events.append("check ends")

    async def run(index: int) -> None:
        async with turns[index].run():
            await turns[index].batch_over()
            events.append("run begins")
            await trio.sleep(2)
            events.append("run ends")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run, 1)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(Cluster(2).run, batch)
        with trio.move_on_after(3):  # the clock jumps when nothing else can happen
            await trio.sleep_forever()
        assert events == ["run begins", "run ends", "check begins", "check begins"]
        for index in (0, 1):
            nursery.start_soon(run, index)
        await trio.testing.wait_all_tasks_blocked()
        assert events[4:] == []
        may_end.set()
    assert events[4:6] == ["check ends"] * 2
    assert sorted(events[6:]) == ["run begins"] * 2 + ["run ends"] * 2


async def test_a_batch_gives_way_but_not_for_ever(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nskd.daemon.turns.ASKS_MAX", 3)
    turns = [Turns(), Turns()]

    async def batch(party: Party) -> None:
        async with turns[party.index].check(party):
            raise AssertionError("checked beside a run")

    async with turns[0].run():
        await turns[0].batch_over()
        outcomes = await Cluster(2).outcomes(batch)
    assert all(isinstance(outcome.error, OutOfTurnError) for outcome in outcomes)
    assert trio.current_time() == pytest.approx(3 * BATCH_PATIENCE_S)


async def test_nothing_is_checked_beside_a_check_nor_run_beside_a_run() -> None:
    """Whatever sessions were let in: the end of a second check must not let a run go on beside the first."""
    turns = [Turns(), Turns()]

    async def batch(party: Party) -> None:
        own = turns[party.index]
        async with own.check(party):
            with pytest.raises(OutOfTurnError, match="second check"):
                async with own.check(party):
                    raise AssertionError("checked beside a check")
            assert own._checking

    await Cluster(2).run(batch)
    async with turns[0].run():
        with pytest.raises(OutOfTurnError, match="second run"):
            async with turns[0].run():
                raise AssertionError("run beside a run")
        assert turns[0]._runs == 1


async def test_a_run_waits_for_a_check_only_so_long(autojump_clock: trio.testing.MockClock) -> None:
    turns = [Turns(), Turns()]

    async def batch(party: Party) -> None:
        own = turns[party.index]
        async with own.check(party), own.run():
            with pytest.raises(OutOfTurnError):
                await own.batch_over()
        async with own.run():
            await own.batch_over()

    await Cluster(2).run(batch)


async def test_a_batch_pauses_for_a_run_and_stops_with_its_epoch(autojump_clock: trio.testing.MockClock) -> None:
    turns, worker = Turns(), Inline()
    ended = False

    def still_wanted() -> None:
        if ended:
            raise OutOfTurnError("the epoch has ended", where="here", remedy="none")

    gives_way = GivesWay(worker, turns, still_wanted)
    begun = trio.current_time()

    async def run() -> None:
        async with turns.run():
            await trio.sleep(2)

    async def silence() -> str:
        return "nothing"

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        await trio.testing.wait_all_tasks_blocked()
        assert await gives_way(lambda: 5) == 5
        assert trio.current_time() - begun >= 2
        nursery.start_soon(run)
        await trio.testing.wait_all_tasks_blocked()
        assert await gives_way.alongside([lambda: 6], silence) == ([6], "nothing")
        assert trio.current_time() - begun >= 4
    ended = True
    with pytest.raises(OutOfTurnError):
        await gives_way(lambda: 7)


# --- other counts in every repetition ---------------------------------------------------------------------------


def test_two_patterns_of_one_request_would_show_an_unsafe_cell(tmp_path: Path) -> None:
    """A centre whose children one cell depends on has it closed in one run and open in the other.

    Another cell is suppressed each time to protect the same unsafe one, which follows from both tables together.
    """
    shape = TableShape(3, 3, margins=True)
    unsafe = shape.cell(0, 0)
    first = np.ones(shape.size, np.bool_)
    first[unsafe] = False
    second = first.copy()
    second[shape.cell(0, 2)] = False
    also_hide = AlsoHide(shape, np.zeros(shape.size, np.bool_))
    shown = also_hide(first), also_hide(second)
    for each in shown:
        assert not derivable(shape, ~each).any()
    assert derivable(shape, ~(shown[0] | shown[1]))[unsafe], "the attack is worth what it claims"

    contributions = Contributions(tmp_path, lambda label: bytes(32))
    assert contributions.hold_pattern(b"q" * 32, first)
    assert contributions.hold_pattern(b"q" * 32, first.copy())
    assert not contributions.hold_pattern(b"q" * 32, second)
    again = Contributions(tmp_path, lambda label: bytes(32))  # after a restart
    assert not again.hold_pattern(b"q" * 32, second)
    assert again.hold_pattern(b"r" * 32, second)


def test_patterns_are_not_shown_again_and_again(tmp_path: Path) -> None:
    pattern, other = np.array([True, False]), np.array([True, True])
    request = b"q" * 32
    for _ in range(3 * VENTURES_MAX):  # runs that succeed count for nothing
        contributions = Contributions(tmp_path, lambda label: bytes(32))
        contributions.venture(request)
        assert contributions.hold_pattern(request, pattern)
        contributions.end_venture(request)
    for attempt in range(VENTURES_MAX):
        contributions = Contributions(tmp_path, lambda label: bytes(32))
        contributions.venture(request)
        if attempt % 2:
            assert not contributions.hold_pattern(request, other)
    with pytest.raises(ContributionError):
        contributions.venture(request)
    contributions.venture(b"r" * 32)


async def _disclose(cluster: Cluster, counts: list[int], before: Callable[[Party], None]) -> list[Outcome]:
    dealer, rules = Dealer(cluster.parties, seed=1), Rules(threshold=3, insider=True)
    cost = disclosure_cost(rules, cluster.parties, 1)
    material = dealer.material(cost.triples, cost.bits, cost.masks)

    async def seat(party: Party) -> Release:
        evaluator = Evaluator(party, dealer.keys[party.index], material[party.index])
        own, children = np.array([1], dtype=np.uint64), np.array([3], dtype=np.uint64)
        if party.index == cluster.parties - 1:  # tells what it likes, past its own cap
            honest = evaluator.inputs

            async def inputs(mine: field.Elements, lengths: list[int]) -> object:
                return await honest(np.array([1, counts[0], 1], dtype=np.uint64), lengths)

            evaluator.inputs = inputs  # type: ignore[method-assign, assignment]
        return await release(evaluator, own, children, rules, lambda p: p, before_pattern=lambda: before(party))

    return await cluster.outcomes(seat)


async def test_a_pattern_is_announced_before_anybody_can_see_it() -> None:
    seen: list[str] = []

    def tamper(receiver: int, message: Message) -> Message:
        seen.append(message.step)
        return message

    outcomes = await _disclose(Cluster(3, liar=0, tamper=tamper), [3], lambda party: seen.append("announced"))
    assert all(o.error is None for o in outcomes)
    opened = next(k for k, step in enumerate(seen) if step.endswith(".pattern/0"))
    assert seen[:opened].count("announced") == 3


async def test_a_count_out_of_range_is_a_fault_of_somebody_else() -> None:
    """It was taken for an error of our own, and logged with a traceback."""
    for count in (10**6, field.P // 2, field.P - 5):
        for outcome in (await _disclose(Cluster(3), [count], lambda party: None))[:2]:
            if outcome.error is not None:
                assert isinstance(outcome.error, RemoteProtocolError)
                assert outcome.error.fault is Fault.CONTRIBUTION
            else:
                assert not outcome.value.shown.any()
    outcomes = await _disclose(Cluster(3), [10**6], lambda party: None)
    assert isinstance(outcomes[0].error, RemoteProtocolError)


# --- shapes nobody expects --------------------------------------------------------------------------------------

SHAPES = [(0, 3), (3, 0), (0,), (0, 0, 2)]


@pytest.mark.parametrize("shape", SHAPES)
async def test_an_array_without_elements_is_malformed_and_no_more(shape: tuple[int, ...]) -> None:
    """It raised a ``TypeError``, which the daemon of the coordinator did not survive."""

    def tamper(receiver: int, message: Message) -> Message:
        return change_part(message, 0, lambda part: np.empty(shape, dtype=part.dtype))

    outcomes = await Cluster(2, liar=1, tamper=tamper).outcomes(lambda party: party.coin("test"))
    assert isinstance(outcomes[0].error, RemoteProtocolError)

    async def tell(party: Party) -> None:
        await party.broadcast("test", octets(b"abc"))
        await party.confirm()

    outcomes = await Cluster(2, liar=1, tamper=tamper).outcomes(tell)
    assert isinstance(outcomes[0].error, RemoteProtocolError)


@pytest.mark.parametrize("step", range(1, 30, 3))
async def test_whatever_arrives_only_remote_faults_leave(step: int) -> None:
    rng = np.random.default_rng(step)
    odd = [
        np.empty((0, 3), np.uint8),
        np.empty((2, 0), np.uint64),
        np.zeros(1, np.uint32),
        np.zeros((1, 1, 1), np.uint8),
    ]

    def tamper(receiver: int, message: Message) -> Message:
        if int(message.step.split(".", 1)[0]) != step:
            return message
        count = int(rng.integers(0, 4))
        return attrs.evolve(message, parts=tuple(odd[int(rng.integers(0, len(odd)))] for _ in range(count)))

    for _ in range(6):
        for outcome in (await _disclose(Cluster(3, liar=2, tamper=tamper), [3], lambda party: None))[:2]:
            assert outcome.error is None or isinstance(outcome.error, RemoteProtocolError), repr(outcome.error)
