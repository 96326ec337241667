from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import numpy as np
import pytest
import trio
import trio.testing

from nskd.peers.channel import SessionAborted, SessionChannel
from nskd.peers.lanes import Lane, Member
from nskd.peers.link import Link
from nskd.peers.mesh import Mesh
from nskd.peers.stream import MessageStream
from protocol import limits
from protocol.errors import Fault, LocalProtocolError, RemoteProtocolError
from protocol.messages import Abort
from protocol.wire import Message

from .world import CHARTER, SESSION, Network, Node, Wire, key_of, message, workshop

Clock = trio.testing.MockClock


@asynccontextmanager
async def session(
    names: str = "abc", lane: Lane = Lane.ONLINE
) -> AsyncIterator[tuple[Network, dict[str, Node], list[SessionChannel]]]:
    async with workshop(*names) as (network, nodes):
        channels = [nodes[name].mesh.open_session(SESSION, lane, tuple(names)) for name in names]
        yield network, nodes, channels


async def fault_of(
    channel: SessionChannel, outgoing: Sequence[int] = (), expected: Sequence[int] = ()
) -> tuple[Fault, int | str | None, float]:
    """Exchange, expecting a remote fault; returns it with the moment it was raised."""
    with pytest.raises(RemoteProtocolError) as caught:
        await channel.exchange({peer: message() for peer in outgoing}, expected)
    return caught.value.fault, caught.value.party, trio.current_time()


async def test_exchange_reaches_everybody_in_order(autojump_clock: Clock) -> None:
    async with session() as (_, _, channels), trio.open_nursery() as nursery:
        rounds: list[list[str]] = [[], [], []]

        async def play(me: int) -> None:
            peers = [k for k in range(3) if k != me]
            for index in range(20):
                await trio.sleep(me * 0.01)
                received = await channels[me].exchange(
                    {peer: message(f"{index} {me}>{peer}", 100) for peer in peers}, peers
                )
                rounds[me] += [received[peer].step for peer in peers]

        for me in range(3):
            nursery.start_soon(play, me)
    assert rounds[0] == [f"{index} {peer}>0" for index in range(20) for peer in (1, 2)]
    assert channels[0].stats.rounds == 20
    assert channels[0].stats.bytes_sent == 20 * 2 * 104  # padded to eight bytes
    assert channels[0].stats.bytes_received == 20 * 2 * 104


async def test_fifty_rounds_of_a_megabyte_do_not_deadlock() -> None:
    """Over real sockets, whose buffers are far smaller than the messages everybody sends at once."""
    names = "abc"
    listeners = {name: (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0] for name in names}
    members = [
        Member(name, key_of(name).public, "127.0.0.1", listeners[name].socket.getsockname()[1]) for name in names
    ]
    log = Node("b", "ab", Network()).log
    meshes = [
        Mesh(
            own=name,
            static=key_of(name),
            charter_digest=CHARTER,
            members=members,
            listeners=[listeners[name]],
            jitter=lambda: 0.5,
            log=log,
        )
        for name in names
    ]
    sums: list[int] = []

    async def play(mesh: Mesh, channel: SessionChannel, me: int) -> None:
        peers = [k for k in range(3) if k != me]
        value = np.full(1 << 17, me + 1, np.uint64)
        for index in range(50):
            received = await channel.exchange(
                {peer: Message(SESSION, f"{index}.add", (value,)) for peer in peers}, peers
            )
            value = value + received[peers[0]].parts[0] + received[peers[1]].parts[0]
            value %= np.uint64(1_000_003)
        sums.append(int(value[0]))

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            for mesh in meshes:
                await nursery.start(mesh.run)
            for mesh in meshes:
                await mesh.wait_connected()
            channels = [mesh.open_session(SESSION, Lane.ONLINE, tuple(names)) for mesh in meshes]
            async with trio.open_nursery() as players:
                for me in range(3):
                    players.start_soon(play, meshes[me], channels[me], me)
            nursery.cancel_scope.cancel()
    assert sums == [6 * pow(3, 49, 1_000_003) % 1_000_003] * 3


async def test_a_silent_party_is_named_after_the_round_timeout(autojump_clock: Clock) -> None:
    async with session() as (_, nodes, channels), trio.open_nursery() as nursery:
        began = trio.current_time()
        nursery.start_soon(channels[1].exchange, {0: message()}, [])
        fault, party, when = await fault_of(channels[0], [1, 2], [1, 2])
        assert (fault, party) == (Fault.TIMEOUT, 2)
        assert when - began == pytest.approx(limits.ROUND_TIMEOUT_S)
        assert await fault_of(channels[0], [1], [1]) == (Fault.TIMEOUT, 2, trio.current_time())
        assert nodes["a"].mesh.connected()


async def test_the_timeout_of_a_deaf_party_ends_its_link(autojump_clock: Clock) -> None:
    async with session("ab") as (_, nodes, channels):
        link = nodes["a"].mesh._peers["b"].links[Lane.ONLINE]
        stall(link)
        with pytest.raises(RemoteProtocolError, match="nothing came from b and b did not take our message") as caught:
            await channels[0].exchange({1: message()}, [1])
        assert (caught.value.fault, caught.value.party) == (Fault.TIMEOUT, 1)
        assert link.end is not None
        assert "half sent" in link.end.reason


async def test_link_loss_names_the_peer_at_once(autojump_clock: Clock) -> None:
    async with session() as (network, nodes, channels), trio.open_nursery() as nursery:
        other = nodes["a"].mesh.open_session(b"another session!", Lane.ONLINE, ("b", "a"))
        unrelated = nodes["a"].mesh.open_session(b"unrelated sessio", Lane.OFFLINE, ("a", "c"))
        faults = {}

        async def watch(name: str, channel: SessionChannel, peer: int) -> None:
            faults[name] = await fault_of(channel, [], [peer])

        nursery.start_soon(watch, "a", channels[0], 2)  # waits for c, but it is b that goes
        nursery.start_soon(watch, "b", channels[1], 0)
        nursery.start_soon(watch, "other", other, 0)
        await trio.sleep(1)
        network.cut("a", "b")
        await trio.testing.wait_all_tasks_blocked()
        now = trio.current_time()
        assert {name: fault[:2] for name, fault in faults.items()} == {
            "a": (Fault.DISCONNECTED, 1),
            "b": (Fault.DISCONNECTED, 0),
            "other": (Fault.DISCONNECTED, 0),
        }
        assert all(when - now < 0.001 for _, _, when in faults.values())
        assert channels[2].failure is None
        assert unrelated.failure is None
        nursery.cancel_scope.cancel()


async def test_what_a_peer_sent_before_it_left_still_counts(autojump_clock: Clock) -> None:
    async with session("ab") as (network, _, channels):
        await channels[1].exchange({0: message("last words")}, [])
        await trio.testing.wait_all_tasks_blocked()
        network.cut("a", "b")
        await trio.testing.wait_all_tasks_blocked()
        assert channels[0].failure is None
        assert (await channels[0].exchange({}, [1]))[1].step == "last words"
        assert (await fault_of(channels[0], [], [1]))[:2] == (Fault.DISCONNECTED, 1)


async def test_a_message_that_cannot_leave_names_the_peer_even_if_it_has_said_its_part(autojump_clock: Clock) -> None:
    async with session("ab") as (_, nodes, channels):
        await channels[1].exchange({0: message("last words")}, [])
        await trio.testing.wait_all_tasks_blocked()
        link = nodes["a"].mesh._peers["b"].links[Lane.ONLINE]

        def broken(_: Message) -> bool:
            raise RemoteProtocolError(Fault.DISCONNECTED, "the connection broke")

        link._pipe.start_send = broken  # type: ignore[method-assign]
        assert (await fault_of(channels[0], [1], [1]))[:2] == (Fault.DISCONNECTED, 1)


async def test_a_round_that_is_complete_as_the_clock_strikes_is_complete(autojump_clock: Clock) -> None:
    async with session("ab") as (_, _, channels), trio.open_nursery() as nursery:
        received: list[Message] = []

        async def wait() -> None:
            received.append((await channels[0].exchange({}, [1]))[1])

        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        scope = channels[0]._waiting
        assert scope is not None
        scope.cancel()  # the deadline, before the waiting task has had its turn
        await channels[0].deliver(1, message("just in time"))
    assert received[0].step == "just in time"


async def test_a_reconnected_lane_does_not_resurrect_a_session(autojump_clock: Clock) -> None:
    async with session("ab") as (network, nodes, channels):
        await trio.sleep(2)
        network.cut("a", "b")
        await trio.testing.wait_all_tasks_blocked()
        for node in nodes.values():
            await node.mesh.wait_connected()
        assert (await fault_of(channels[0], [1], []))[:2] == (Fault.DISCONNECTED, 1)
        nodes["b"].mesh._peers["a"].links[Lane.ONLINE].submit(message("from the grave"))
        await trio.sleep(0.001)
        (status,) = nodes["a"].mesh.status()
        assert status.stray_messages == 1
        for channel in channels:
            channel.close()
        fresh = [nodes[name].mesh.open_session(b"a later session!", Lane.ONLINE, ("a", "b")) for name in "ab"]
        async with trio.open_nursery() as nursery:
            for me in (0, 1):
                nursery.start_soon(fresh[me].exchange, {1 - me: message(session=b"a later session!")}, [1 - me])


async def test_a_peer_that_runs_ahead_is_held_then_at_fault_for_that_session_only(
    autojump_clock: Clock,
) -> None:
    async with session("ab") as (_, nodes, channels), trio.open_nursery() as nursery:
        others = [nodes[name].mesh.open_session(b"another session!", Lane.ONLINE, ("a", "b")) for name in "ab"]
        for _ in range(limits.SESSION_QUEUE_MESSAGES_MAX + 1):
            await channels[1].exchange({0: message()}, [])
        await others[1].exchange({0: message("patience", session=b"another session!")}, [])
        await trio.testing.wait_all_tasks_blocked()
        assert channels[0].failure is None
        began = trio.current_time()
        received = await others[0].exchange({}, [1])
        assert received[1].step == "patience"
        assert trio.current_time() - began == pytest.approx(limits.SESSION_QUEUE_WAIT_S)
        assert (await fault_of(channels[0], [], [1]))[:2] == (Fault.UNEXPECTED, 1)
        assert others[0].failure is None
        nursery.cancel_scope.cancel()


async def test_a_queue_that_is_emptied_in_time_loses_nothing(autojump_clock: Clock) -> None:
    async with session("ab") as (_, _, channels), trio.open_nursery() as nursery:

        async def send() -> None:
            for index in range(40):
                await channels[1].exchange({0: message(str(index))}, [])

        nursery.start_soon(send)
        got = []
        for _ in range(40):
            await trio.sleep(1)
            got.append((await channels[0].exchange({}, [1]))[1].step)
        assert got == [str(index) for index in range(40)]


async def test_leaving_a_session_releases_the_reader(autojump_clock: Clock) -> None:
    async with session("ab") as (_, nodes, channels):
        for _ in range(limits.SESSION_QUEUE_MESSAGES_MAX + 5):
            await channels[1].exchange({0: message()}, [])
        await trio.testing.wait_all_tasks_blocked()
        channels[0].close()
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(LocalProtocolError):
            await channels[0].exchange({}, [1])
        (status,) = nodes["a"].mesh.status()
        assert status.stray_messages == 4
        assert nodes["a"].mesh.connected()


async def test_an_abort_reaches_every_waiting_party(autojump_clock: Clock) -> None:
    async with session() as (_, nodes, channels), trio.open_nursery() as nursery:
        errors: list[RemoteProtocolError] = []

        async def wait(channel: SessionChannel) -> None:
            with pytest.raises(SessionAborted) as caught:
                await channel.exchange({}, [2])
            errors.append(caught.value)

        nursery.start_soon(wait, channels[0])
        nursery.start_soon(wait, channels[1])
        await trio.sleep(1)
        nodes["c"].mesh.broadcast_control(Abort(SESSION, "mac-check", "the MACs do not add up"))
        await trio.testing.wait_all_tasks_blocked()
        assert [(error.fault, error.party) for error in errors] == [(Fault.MAC_CHECK, 2)] * 2
        assert "c stopped the session: the MACs do not add up" in str(errors[0])


async def test_an_abort_of_an_outsider_or_of_an_unknown_word(autojump_clock: Clock) -> None:
    async with workshop("a", "b", "c") as (_, nodes):
        channel = nodes["a"].mesh.open_session(SESSION, Lane.ONLINE, ("a", "b"))
        nodes["c"].mesh.broadcast_control(Abort(SESSION, "mac-check", "none of my business"))
        await trio.testing.wait_all_tasks_blocked()
        assert channel.failure is None
        nodes["b"].mesh.broadcast_control(Abort(SESSION, "weather", "it rains"))
        await trio.testing.wait_all_tasks_blocked()
        assert channel.failure is not None
        assert channel.failure.fault is Fault.DISCONNECTED


async def test_a_cancelled_exchange_leaves_the_connection_whole(autojump_clock: Clock) -> None:
    async with session("ab") as (network, nodes, channels):
        with trio.CancelScope() as scope, trio.testing.assert_checkpoints():
            scope.cancel()
            await channels[0].exchange({1: message("x", 100_000)}, [1])
        await trio.testing.wait_all_tasks_blocked()
        assert nodes["a"].mesh.connected()
        assert len(network.wires) == 3
        await channels[0].exchange({1: message("after")}, [])
        steps = [(await channels[1].exchange({}, [0]))[0].step]
        if steps == ["x"]:  # it had begun, and was finished
            steps = [(await channels[1].exchange({}, [0]))[0].step]
        assert steps == ["after"]


async def test_misuse_is_our_own_fault(autojump_clock: Clock) -> None:
    async with session("ab") as (_, nodes, channels), trio.open_nursery() as nursery:
        nursery.start_soon(channels[0].exchange, {}, [1])
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(LocalProtocolError, match="two exchanges"):
            await channels[0].exchange({}, [1])
        with pytest.raises(LocalProtocolError, match="no peer 1"):
            await channels[1].exchange({1: message()}, [])
        with pytest.raises(LocalProtocolError, match="twice"):
            await channels[1].exchange({}, [0, 0])
        with pytest.raises(LocalProtocolError, match="another session"):
            await channels[1].exchange({0: message(session=bytes(16))}, [])
        with pytest.raises(LocalProtocolError, match="do not travel"):
            await channels[1].exchange({0: Message(SESSION, "x", (np.zeros(1),))}, [])
        with pytest.raises(LocalProtocolError, match="used once"):
            nodes["a"].mesh.open_session(SESSION, Lane.ONLINE, ("a", "b"))
        with pytest.raises(LocalProtocolError, match="data lane"):
            nodes["a"].mesh.open_session(bytes(16), Lane.CONTROL, ("a", "b"))
        assert nodes["a"].mesh.connected()
        nursery.cancel_scope.cancel()


async def test_what_a_cancelled_exchange_has_not_sent_is_taken_back(autojump_clock: Clock) -> None:
    """One message is stuck halfway, the other still waits behind it."""
    async with session("ab") as (_, nodes, channels):
        other = nodes["a"].mesh.open_session(b"another session!", Lane.ONLINE, ("a", "b"))
        link = nodes["a"].mesh._peers["b"].links[Lane.ONLINE]
        stall(link)
        began = trio.current_time()
        with trio.move_on_after(1):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(channels[0].exchange, {1: message("first", 10)}, [])
                await trio.testing.wait_all_tasks_blocked()
                nursery.start_soon(other.exchange, {1: message("second", 10, b"another session!")}, [])
                await trio.testing.wait_all_tasks_blocked()
                (first, second) = link._outbox
        assert trio.current_time() - began == pytest.approx(1 + limits.LINK_FLUSH_S)
        assert not first.sent
        assert not second.sent
        assert link.end is not None
        assert "half sent" in link.end.reason


def stall(link: Link) -> None:
    pipe = link._pipe
    assert isinstance(pipe, MessageStream)
    wire = pipe.stream.transport_stream
    assert isinstance(wire, Wire)
    wire.stalled = True
