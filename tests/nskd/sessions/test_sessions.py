from __future__ import annotations

import itertools
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import attrs
import numpy as np
import pytest
import trio
import trio.testing

from nskd.errors import OperatorError
from nskd.peers.channel import SessionAborted
from nskd.peers.lanes import Lane
from nskd.peers.mesh import Mesh
from nskd.sessions.kinds import BUSY, AgreedSession, Refusal, SessionRefused
from nskd.sessions.manager import SessionManager
from nskd.sessions.proposal import Offer, Proposal, make_offer
from protocol import limits
from protocol.errors import Fault, LocalProtocolError, RemoteProtocolError
from protocol.messages import Abort, Accept, Propose, Refuse, Start
from protocol.wire import Message

from ..peers.world import CHARTER, Network, Node, workshop

Clock = trio.testing.MockClock
_nonces = itertools.count(1)


def proposal(coordinator: str = "a", parties: str = "abc", **changes: Any) -> Proposal:
    values: dict[str, Any] = {
        "kind": "analysis",
        "coordinator": coordinator,
        "nonce": next(_nonces).to_bytes(16, "big"),
        "charter": CHARTER,
        "parties": tuple(parties),
        "lane": Lane.ONLINE,
    }
    return Proposal(**(values | changes))


class Centre:
    """A session manager with a toy protocol: everybody sends a number, everybody returns the sum."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.name = node.name
        self.manager = SessionManager(node.mesh, charter_digest=CHARTER, log=node.log)
        self.judged: list[bytes] = []
        self.finished: list[tuple[bytes, BaseException | None]] = []
        self.results: list[int] = []
        self.judge: Callable[[Offer], Awaitable[None]] | None = None
        self.run: Callable[[AgreedSession], Awaitable[Any]] = self.add
        for kind, lane in (("analysis", Lane.ONLINE), ("generate", Lane.OFFLINE)):
            self.manager.register(kind, lane=lane, judge=self._judge, run=self._run, finished=self._finished)

    async def _judge(self, offer: Offer) -> None:
        await trio.lowlevel.checkpoint()
        self.judged.append(offer.session)
        try:
            if self.judge is not None:
                await self.judge(offer)
        except Refusal:
            self.judged.remove(offer.session)
            raise

    async def _run(self, session: AgreedSession) -> Any:
        return await self.run(session)

    async def _finished(self, offer: Offer, error: BaseException | None) -> None:
        await trio.sleep(0.001)
        self.finished.append((offer.session, error))

    async def add(self, session: AgreedSession) -> int:
        total = session.index + 1
        for index in range(3):
            total = await self.round(session, f"{index}.add", total)
        self.results.append(total)
        return total

    async def round(self, session: AgreedSession, step: str, value: int) -> int:
        peers = [k for k in range(len(session.parties)) if k != session.index]
        message = Message(session.session, step, (np.array([value], np.uint64),))
        received = await session.channel.exchange(dict.fromkeys(peers, message), peers)
        return value + sum(int(received[peer].parts[0][0]) for peer in peers)

    def idle(self) -> bool:
        return not self.manager.active() and not self.node.mesh._channels

    @property
    def only_error(self) -> BaseException | None:
        ((_, error),) = self.finished
        return error


@asynccontextmanager
async def centres(names: str = "abc") -> AsyncIterator[tuple[Network, dict[str, Centre]]]:
    """Managers at connected centres; at the end none is busy, and every judged offer was finished once."""
    async with workshop(*names) as (network, nodes), trio.open_nursery() as nursery:
        world = {name: Centre(node) for name, node in nodes.items()}
        for centre in world.values():
            await nursery.start(centre.manager.run)
        yield network, world
        await trio.sleep(1)
        for centre in world.values():
            assert centre.idle()
            assert sorted(session for session, _ in centre.finished) == sorted(centre.judged)
        nursery.cancel_scope.cancel()


async def test_a_session_runs_at_every_centre(autojump_clock: Clock) -> None:
    async with centres() as (_, world):
        for coordinator in "abc":
            assert await world[coordinator].manager.propose(proposal(coordinator)) == 54
            await trio.sleep(0.01)
        assert all(centre.results == [54] * 3 for centre in world.values())
        assert all([error for _, error in centre.finished] == [None] * 3 for centre in world.values())
        (line, *_) = [entry for entry in world["b"].node.capture.entries if entry["event"] == "session over"]
        assert line["outcome"] == "success"
        assert line["coordinator"] == "a"
        assert line["rounds"] == 4  # confirmation and three rounds
        assert line["ended"] == "done"
        for centre in world.values():  # one line for each session
            lines = [entry for entry in centre.node.capture.entries if entry["event"] == "session over"]
            assert len({entry["session"] for entry in lines}) == len(lines) == 3
            assert centre.manager.endings == {("analysis", "done"): 3}


async def test_a_party_takes_its_seat(autojump_clock: Clock) -> None:
    async with centres() as (_, world):
        coins: list[bytes] = []

        async def toss(session: AgreedSession) -> None:
            party = session.party(os.urandom, trio.to_thread.run_sync)
            coins.append(await party.coin("test"))

        for centre in world.values():
            centre.run = toss
        await world["b"].manager.propose(proposal("b"))
        await trio.sleep(0.01)
        assert len(coins) == 3
        assert len(set(coins)) == 1


async def test_some_parties_in_an_order_of_their_own(autojump_clock: Clock) -> None:
    async with centres() as (_, world):
        assert await world["a"].manager.propose(proposal(parties="ca")) == 12
        assert world["b"].judged == []


async def test_a_refusal_reaches_the_coordinator_and_frees_everybody(autojump_clock: Clock) -> None:
    async with centres() as (_, world):

        async def refuse(offer: Offer) -> None:
            raise Refusal("not approved here")

        world["c"].judge = refuse
        with pytest.raises(SessionRefused) as caught:
            await world["a"].manager.propose(proposal())
        assert caught.value.reasons == {"c": "not approved here"}
        assert not caught.value.busy
        await trio.sleep(0.01)
        assert world["c"].finished == []
        assert isinstance(world["b"].only_error, SessionAborted)
        assert world["b"].only_error.detail == "a stopped the session: c would not take part"
        for name, ended in {"a": "refused", "b": "stopped-by-peer", "c": "refused"}.items():
            assert world[name].manager.endings == {("analysis", ended): 1}
        world["c"].judge = None
        assert await world["a"].manager.propose(proposal()) == 54


async def test_our_own_refusal_asks_nobody(autojump_clock: Clock) -> None:
    async with centres() as (_, world):

        async def refuse(offer: Offer) -> None:
            raise Refusal("short of stock")

        world["a"].judge = refuse
        with pytest.raises(SessionRefused, match="a: short of stock"):
            await world["a"].manager.propose(proposal())
        assert world["b"].judged == []


@pytest.mark.parametrize("error", [ValueError("/secret/path"), OperatorError("full", where="/disk", remedy="x")])
async def test_a_judge_that_fails_refuses_without_saying_why(autojump_clock: Clock, error: Exception) -> None:
    async with centres() as (_, world):

        async def fail(offer: Offer) -> None:
            raise error

        world["c"].judge = fail
        with pytest.raises(SessionRefused) as caught:
            await world["a"].manager.propose(proposal())
        assert caught.value.reasons == {"c": "stopped by an error of its own; its log says which"}
        await trio.sleep(0.01)
        assert world["c"].only_error is error


async def test_a_judge_that_never_decides(autojump_clock: Clock) -> None:
    async with centres() as (_, world):

        async def ponder(offer: Offer) -> None:
            await trio.sleep_forever()

        world["c"].judge = ponder
        began = trio.current_time()
        with pytest.raises(SessionRefused, match="took too long"):
            await world["a"].manager.propose(proposal())
        assert trio.current_time() - began == pytest.approx(limits.SESSION_JUDGE_TIMEOUT_S, abs=0.1)


async def test_a_proposer_whose_own_judge_never_decides_is_told_so(autojump_clock: Clock) -> None:
    """An error that its drivers expect: the daemon goes on, and tries again."""
    async with centres() as (_, world):

        async def ponder(offer: Offer) -> None:
            await trio.sleep_forever()

        world["a"].judge = ponder
        with pytest.raises(OperatorError, match="could not be judged within 15 s"):
            await world["a"].manager.propose(proposal())
        assert world["b"].judged == []


async def test_an_abort_while_judging_stops_the_judge(autojump_clock: Clock) -> None:
    async with centres() as (_, world):

        async def ponder(offer: Offer) -> None:
            await trio.sleep_forever()

        world["c"].judge = ponder
        with trio.move_on_after(1):
            await world["a"].manager.propose(proposal())
        await trio.sleep(0.01)
        assert isinstance(world["c"].only_error, SessionAborted)
        assert "a stopped the session" in str(world["c"].only_error)
        assert isinstance(world["a"].only_error, trio.Cancelled)


async def test_an_abort_read_just_before_the_channel_is_open_is_not_lost(
    autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read when there was no channel to tell yet, its turn comes when there is one: c must not hold its slot."""
    monkeypatch.setattr(Mesh, "_take_abort", lambda *_: None)
    async with centres() as (_, world):

        async def refuse(offer: Offer) -> None:
            await trio.sleep(1)  # by then c has accepted
            raise Refusal("not today")

        world["b"].judge = refuse
        with pytest.raises(SessionRefused, match="not today"):
            await world["a"].manager.propose(proposal())
        await trio.sleep(0.01)
        assert world["c"].idle()
        assert isinstance(world["c"].only_error, SessionAborted)


@pytest.mark.parametrize("culprit", "abc")
async def test_a_fault_at_one_centre_stops_all(autojump_clock: Clock, culprit: str) -> None:
    async with centres() as (_, world):
        accuser = world[culprit]

        async def accuse(session: AgreedSession) -> int:
            await accuser.round(session, "0.add", 1)
            raise RemoteProtocolError(Fault.MAC_CHECK, "the MACs do not add up", party=(session.index + 1) % 3)

        accuser.run = accuse
        blamed = {"a": "b", "b": "c", "c": "a"}[culprit]
        with pytest.raises(RemoteProtocolError) as caught:
            await world["a"].manager.propose(proposal())
        await trio.sleep(0.01)
        assert caught.value.fault is Fault.MAC_CHECK
        assert caught.value.party == (blamed if culprit == "a" else culprit)
        for name, centre in world.items():
            assert isinstance(centre.only_error, RemoteProtocolError)
            assert centre.only_error.fault is Fault.MAC_CHECK
            # What another only claims is not counted as seen.
            ended = "mac-check" if name == culprit else "stopped-by-peer"
            counted = centre.manager.counted()
            assert {key for key, count in counted.items() if count} == {("analysis", ended)}
            assert {kind for kind, _ in counted} == {"analysis", "generate"}
            if name != culprit:
                assert isinstance(centre.only_error, SessionAborted)
                assert centre.only_error.party == culprit
                assert f"{culprit} stopped the session: {blamed}: the MACs" in centre.only_error.detail


async def test_a_fault_inside_a_nursery_is_found(autojump_clock: Clock) -> None:
    async with centres() as (_, world):

        async def nested(session: AgreedSession) -> None:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(world["b"].round, session, "0.add", 1)
                nursery.start_soon(trio.sleep_forever)
                raise RemoteProtocolError(Fault.BATCH_CHECK, "no", party=0)

        world["b"].run = nested
        with pytest.raises(SessionAborted) as caught:
            await world["a"].manager.propose(proposal())
        assert caught.value.fault is Fault.BATCH_CHECK


@pytest.mark.parametrize("culprit", "ab")
async def test_an_error_of_ones_own_stops_all_but_not_the_daemon(autojump_clock: Clock, culprit: str) -> None:
    async with centres() as (_, world):

        async def stumble(session: AgreedSession) -> int:
            raise ZeroDivisionError("/secret/path")

        world[culprit].run = stumble
        with pytest.raises(ZeroDivisionError if culprit == "a" else SessionAborted) as caught:
            await world["a"].manager.propose(proposal())
        await trio.sleep(0.01)
        if culprit == "b":
            assert "/secret/path" not in str(caught.value)
        assert isinstance(world["c"].only_error, SessionAborted)
        assert world["c"].only_error.fault is Fault.DISCONNECTED
        assert world[culprit].manager.endings == {("analysis", "own-error"): 1}
        world[culprit].run = world[culprit].add
        assert await world["a"].manager.propose(proposal()) == 54


async def test_a_cancelled_coordinator_aborts_everywhere(autojump_clock: Clock) -> None:
    async with centres() as (_, world):

        async def dawdle(session: AgreedSession) -> None:
            await trio.sleep_forever()

        world["a"].run = dawdle
        with trio.move_on_after(5):
            await world["a"].manager.propose(proposal())
        await trio.sleep(0.01)
        assert isinstance(world["b"].only_error, SessionAborted)
        assert world["b"].idle()
        assert world["a"].manager.endings == {("analysis", "cancelled"): 1}


async def test_a_manager_that_is_stopped_aborts_its_sessions(autojump_clock: Clock) -> None:
    async with centres() as (_, world), trio.open_nursery() as nursery:

        async def dawdle(session: AgreedSession) -> None:
            await trio.sleep_forever()

        world["c"].run = dawdle
        failures: list[RemoteProtocolError] = []

        async def propose() -> None:
            with pytest.raises(SessionAborted) as caught:
                await world["a"].manager.propose(proposal())
            failures.append(caught.value)

        nursery.start_soon(propose)
        await trio.sleep(1)
        assert world["c"].manager._nursery is not None
        world["c"].manager._nursery.cancel_scope.cancel()
        await trio.sleep(1)
        assert failures[0].party == "c"
        with pytest.raises(SessionRefused, match="takes part in no sessions"):
            await world["a"].manager.propose(proposal())


async def test_one_session_per_lane_at_a_time(autojump_clock: Clock) -> None:
    async with centres() as (_, world), trio.open_nursery() as nursery:
        release = trio.Event()

        async def wait(session: AgreedSession) -> int:
            await release.wait()
            return await world["b"].add(session)

        world["b"].run = wait
        nursery.start_soon(world["a"].manager.propose, proposal())
        await trio.sleep(1)
        for coordinator in "abc":
            with pytest.raises(SessionRefused) as caught:
                await world[coordinator].manager.propose(proposal(coordinator))
            assert caught.value.busy
            assert caught.value.reasons == {coordinator: BUSY}
        world["b"].run = world["b"].add
        assert await world["c"].manager.propose(proposal("c", kind="generate", lane=Lane.OFFLINE)) == 54
        assert not world["a"].manager.has_room(Lane.ONLINE)
        release.set()


@pytest.mark.parametrize("tidying_s", [1, limits.SESSION_SLOT_WAIT_S + 1])
async def test_the_next_proposal_waits_for_those_who_are_still_tidying_up(
    autojump_clock: Clock, tidying_s: float
) -> None:
    async with centres() as (_, world), trio.open_nursery() as nursery:

        async def tidy(session: AgreedSession) -> None:
            await world["b"].add(session)
            await trio.sleep(tidying_s)

        world["b"].run = tidy
        await world["a"].manager.propose(proposal())
        await trio.sleep(0.1)
        if tidying_s > limits.SESSION_SLOT_WAIT_S:
            with pytest.raises(SessionRefused) as caught:
                await world["a"].manager.propose(proposal())
            assert caught.value.reasons == {"b": BUSY}
            await trio.sleep(tidying_s)
            return
        nursery.start_soon(world["a"].manager.propose, proposal())
        await trio.sleep(0.1)
        refused = record(world["c"], Refuse)  # one may wait, not more
        world["c"].node.mesh.post_control("b", Propose(make_offer(proposal("c")).body))
        await trio.sleep(5)
        assert [refusal.reason for _, refusal in refused] == [BUSY]
        assert world["b"].results == [54, 54]


async def test_crossing_proposals_are_both_busy_and_leave_nothing(autojump_clock: Clock) -> None:
    async with centres("ab") as (_, world):
        outcomes: list[bool] = []

        async def propose(name: str) -> None:
            try:
                await world[name].manager.propose(proposal(name, "ab"))
            except SessionRefused as refused:
                outcomes.append(refused.busy)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(propose, "a")
            nursery.start_soon(propose, "b")
        assert outcomes == [True, True]
        await trio.sleep(0.1)
        assert await world["b"].manager.propose(proposal("b", "ab")) == 12


async def test_a_replayed_proposal_is_refused(autojump_clock: Clock) -> None:
    async with centres("ab") as (_, world):
        once = proposal(parties="ab")
        await world["a"].manager.propose(once)
        await trio.sleep(0.1)
        with pytest.raises(SessionRefused, match="has been made before"):
            await world["a"].manager.propose(once)
        refusals = record(world["a"], Refuse)
        world["a"].node.mesh.post_control("b", Propose(make_offer(once).body))
        await trio.sleep(0.1)
        assert [refusal.reason for _, refusal in refusals] == ["this proposal has been made before"]
        assert len(world["b"].judged) == 1


def record(centre: Centre, kind: type[Any]) -> list[tuple[str, Any]]:
    """Take over one kind of control message of a centre, to play its part by hand."""
    got: list[tuple[str, Any]] = []

    async def note(peer: str, message: Any) -> None:
        await trio.lowlevel.checkpoint()
        got.append((peer, message))

    centre.node.mesh._handlers[kind] = note
    return got


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"coordinator": "b"}, "another centre as its coordinator"),
        ({"charter": b"c" * 32}, "another charter"),
        ({"version": 9}, "protocol version 9"),
        ({"parties": ("a", "c")}, "does not list this centre"),
        ({"parties": ("a", "b", "z")}, "not in the charter"),
        ({"kind": "gossip"}, "unknown here"),
    ],
)
async def test_proposals_that_are_refused_unjudged(autojump_clock: Clock, changes: dict[str, Any], why: str) -> None:
    async with centres() as (_, world):
        refusals = record(world["a"], Refuse)
        world["a"].node.mesh.post_control("b", Propose(make_offer(proposal(**changes)).body))
        world["a"].node.mesh.post_control("b", Propose(b"garbage"))
        await trio.sleep(0.1)
        assert why in refusals[0][1].reason
        assert "cannot be read" in refusals[1][1].reason
        assert world["b"].judged == []
        assert world["a"].node.mesh.connected()


async def test_two_stories_make_two_sessions_without_parties(autojump_clock: Clock) -> None:
    """a shows b and c different proposals: each waits in a session of its own until it gives up."""
    async with centres() as (_, world):
        accepts = record(world["a"], Accept)
        offers = {name: make_offer(proposal()) for name in "bc"}
        for name, offer in offers.items():
            world["a"].node.mesh.post_control(name, Propose(offer.body))
        await trio.sleep(1)
        assert {peer: accept.session for peer, accept in accepts} == {n: o.session for n, o in offers.items()}
        for name, offer in offers.items():
            world["a"].node.mesh.post_control(name, Start(offer.session))
        await trio.sleep(limits.ROUND_TIMEOUT_S + 1)
        for name in "bc":
            assert isinstance(world[name].only_error, RemoteProtocolError)
            assert world[name].results == []


async def test_colliding_session_ids_are_found_out_by_the_digest(
    autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nskd.sessions.proposal.session_id", lambda body: b"the same session")
    async with centres() as (_, world):
        record(world["a"], Accept)
        for name in "bc":
            world["a"].node.mesh.post_control(name, Propose(make_offer(proposal()).body))
        await trio.sleep(1)
        for name in "bc":
            world["a"].node.mesh.post_control(name, Start(b"the same session"))
        channel = world["a"].node.mesh.open_session(b"the same session", Lane.ONLINE, ("a", "b", "c"))
        confirmations = await channel.exchange({}, [1, 2])
        await channel.exchange(
            {k: Message(b"the same session", "session/confirm", confirmations[k].parts) for k in (1, 2)},
            [],
        )
        await trio.sleep(1)
        channel.close()
        faults = [world[name].only_error for name in "bc"]
        assert {fault.fault for fault in faults if isinstance(fault, RemoteProtocolError)} == {Fault.SESSION}
        assert any(not isinstance(fault, SessionAborted) for fault in faults)


async def test_a_coordinator_that_never_starts(autojump_clock: Clock) -> None:
    async with centres("ab") as (_, world):
        accepts = record(world["a"], Accept)
        world["a"].node.mesh.post_control("b", Propose(make_offer(proposal(parties="ab")).body))
        await trio.sleep(limits.SESSION_START_TIMEOUT_S - 1)
        assert len(accepts) == 1
        assert not world["b"].idle()
        await trio.sleep(2)
        assert world["b"].idle()
        assert isinstance(world["b"].only_error, RemoteProtocolError)
        assert world["b"].only_error.fault is Fault.TIMEOUT


async def test_a_party_that_never_answers(autojump_clock: Clock) -> None:
    async with centres() as (_, world):
        record(world["c"], Propose)
        began = trio.current_time()
        with pytest.raises(RemoteProtocolError) as caught:
            await world["a"].manager.propose(proposal())
        assert (caught.value.fault, caught.value.party) == (Fault.TIMEOUT, "c")
        assert trio.current_time() - began == pytest.approx(limits.SESSION_ACCEPT_TIMEOUT_S, abs=0.1)


async def test_a_late_acceptance_is_told_that_it_is_over(autojump_clock: Clock) -> None:
    async with centres("ab") as (_, world):
        aborts = record(world["b"], Abort)
        world["b"].node.mesh.post_control("a", Accept(b"nobody knows it!"))
        world["b"].node.mesh.post_control("a", Refuse(b"nobody knows it!", "x"))
        world["b"].node.mesh.post_control("a", Start(b"nobody knows it!"))
        await trio.sleep(0.1)
        assert [abort.session for _, abort in aborts] == [b"nobody knows it!"]


async def test_a_start_nobody_waited_for(autojump_clock: Clock) -> None:
    async with centres() as (_, world):

        async def ponder(offer: Offer) -> None:
            await trio.sleep_forever()

        world["b"].judge = ponder
        offer = make_offer(proposal())
        world["a"].node.mesh.post_control("b", Propose(offer.body))
        await trio.sleep(0.1)
        world["c"].node.mesh.post_control("b", Start(offer.session))
        await trio.sleep(0.1)
        assert not world["b"].idle()  # only the coordinator starts
        world["a"].node.mesh.post_control("b", Start(offer.session))
        await trio.sleep(0.1)
        assert isinstance(world["b"].only_error, RemoteProtocolError)
        assert world["b"].only_error.fault is Fault.UNEXPECTED


@pytest.mark.parametrize("victim", "ab")
@pytest.mark.parametrize("moment", ["judging", "accepted", "running"])
async def test_a_centre_that_vanishes(autojump_clock: Clock, victim: str, moment: str) -> None:
    """Its machine dies at one moment; the others stop within seconds, and it may come back and try again."""
    async with centres() as (network, world), trio.open_nursery() as nursery:
        reached = trio.Event()

        async def hold(_: object) -> Any:
            reached.set()
            await trio.sleep(5)

        if moment == "judging":
            world["b"].judge = hold
        elif moment == "accepted":
            world["c"].judge = hold  # b has accepted by then
        else:
            world["b"].run = hold

        async def propose() -> None:
            with pytest.raises((RemoteProtocolError, SessionRefused)):
                await world["a"].manager.propose(proposal())

        nursery.start_soon(propose)
        await reached.wait()
        await trio.sleep(0.1)
        for other in sorted(set("abc") - {victim}):
            network.cut(victim, other)
        await trio.testing.wait_all_tasks_blocked()
        await trio.sleep(limits.SESSION_LINKS_WAIT_S + 6)
        assert all(centre.idle() for centre in world.values())
        for centre in world.values():
            centre.judge, centre.run = None, centre.add
            await centre.node.mesh.wait_connected()
        assert await world["a"].manager.propose(proposal()) == 54


async def test_an_absent_party(autojump_clock: Clock) -> None:
    async with centres() as (_, world):
        world["c"].node.scope.cancel()
        await trio.sleep(1)
        with pytest.raises(SessionRefused, match="not connected to c"):
            await world["a"].manager.propose(proposal())
        assert world["a"].judged == []
        assert await world["a"].manager.propose(proposal(parties="ab")) == 12


async def test_a_cleanup_that_fails_or_hangs_frees_the_slot(autojump_clock: Clock) -> None:
    async with workshop("a", "b") as (_, nodes), trio.open_nursery() as nursery:
        world = {name: Centre(node) for name, node in nodes.items()}
        kinds = {name: centre.manager._kinds for name, centre in world.items()}

        async def fail(offer: Offer, error: BaseException | None) -> None:
            raise OSError("disk full")

        async def hang(offer: Offer, error: BaseException | None) -> None:
            await trio.sleep_forever()

        for name, finished in (("a", fail), ("b", hang)):
            old = kinds[name].pop("analysis")
            world[name].manager.register("analysis", lane=old.lane, judge=old.judge, run=old.run, finished=finished)
            await nursery.start(world[name].manager.run)
        assert await world["a"].manager.propose(proposal(parties="ab")) == 12
        await trio.sleep(limits.SESSION_CLEANUP_TIMEOUT_S + 1)
        assert all(centre.idle() for centre in world.values())
        assert "cleaning up after the session failed" in nodes["a"].logged("error")
        assert "cleaning up after the session took too long" in nodes["b"].logged("error")
        nursery.cancel_scope.cancel()


async def test_misuse_is_our_own_fault(autojump_clock: Clock) -> None:
    async with centres("ab") as (_, world):
        manager = world["a"].manager
        with pytest.raises(LocalProtocolError, match="only the coordinator"):
            await manager.propose(proposal("b", "ab"))
        with pytest.raises(LocalProtocolError, match="can be made"):
            await manager.propose(proposal(parties="a"))
        with pytest.raises(LocalProtocolError, match="an owner already"):
            manager.register("analysis", lane=Lane.ONLINE, judge=world["a"]._judge, run=world["a"]._run)


@pytest.mark.parametrize(("kind", "lane"), [("analysis", Lane.OFFLINE), ("generate", Lane.ONLINE)])
async def test_a_kind_of_session_keeps_to_its_lane(autojump_clock: Clock, kind: str, lane: Lane) -> None:
    """Else a proposer could have two at once of what must never be beside each other (step 5.9)."""
    async with centres() as (_, world):
        for admits in (world["a"].manager, None):
            if admits is None:  # a proposer that does not mind: the others do
                own = world["a"].manager._kinds
                own[kind] = attrs.evolve(own[kind], lane=lane)
            with pytest.raises(SessionRefused, match="take place on the") as caught:
                await world["a"].manager.propose(proposal(kind=kind, lane=lane))
            assert ("a" in caught.value.reasons) is (admits is not None)
        assert not world["b"].judged and not world["c"].judged
