from __future__ import annotations

import random

import pytest
import trio
import trio.testing

from nskd.peers.lanes import Lane, Member
from nskd.peers.link import connection_fault
from nskd.peers.mesh import Mesh
from protocol import limits
from protocol.errors import Fault, LocalProtocolError, RemoteProtocolError
from protocol.messages import Bye, Ping, RequestNotice, encode_control
from protocol.noise import StaticKey

from .world import CHARTER, Network, Node, key_of, members_of, workshop

Clock = trio.testing.MockClock


def notice(text: str) -> RequestNotice:
    return RequestNotice(text.encode(), "a", b"signature")


async def test_three_centres_connect_on_all_lanes(autojump_clock: Clock) -> None:
    async with workshop("a", "b", "c") as (network, nodes):
        for node in nodes.values():
            for peer in node.mesh.status():
                assert peer.connected
                assert peer.last_error is None
        assert len(network.wires) == 9
        assert {(caller, callee) for caller, callee, *_ in network.wires} == {
            ("a", "b"),
            ("a", "c"),
            ("b", "c"),
        }
        assert nodes["b"].logged("warning") == []
        assert sorted(nodes["b"].logged("info")) == ["peer connected", "peer connected"]


async def test_control_messages_arrive_in_order_at_their_handler(autojump_clock: Clock) -> None:
    async with workshop("a", "b") as (_, nodes):
        got: list[tuple[str, bytes]] = []
        done = trio.Event()

        async def handler(peer: str, message: RequestNotice) -> None:
            await trio.sleep(1)
            got.append((peer, message.request))
            if len(got) == 100:
                done.set()

        nodes["b"].mesh.register(RequestNotice, handler)
        with pytest.raises(LocalProtocolError):
            nodes["b"].mesh.register(RequestNotice, handler)
        for index in range(100):
            await nodes["a"].mesh.send_control("b", notice(f"{index:03}"))
        await done.wait()
        assert got == [("a", f"{index:03}".encode()) for index in range(100)]
        assert nodes["a"].mesh.connected()  # a slow handler is no reason to call the peer dead


async def test_a_fault_in_a_control_message_ends_that_link_and_says_why(autojump_clock: Clock) -> None:
    async with workshop("a", "b") as (_, nodes):

        async def handler(peer: str, message: RequestNotice) -> None:
            raise RemoteProtocolError(Fault.SIGNATURE, "the request is not signed by a")

        nodes["b"].mesh.register(RequestNotice, handler)
        await nodes["a"].mesh.send_control("b", notice("x"))
        await trio.sleep(0.01)
        assert any("invalid-signature: the request is not signed by a" in line for line in nodes["a"].logged("warning"))
        assert nodes["a"].mesh.connected(lanes=[Lane.ONLINE, Lane.OFFLINE])
        await nodes["a"].mesh.wait_connected()


async def test_lost_connections_are_redialled_at_once_and_logged_once(autojump_clock: Clock) -> None:
    async with workshop("a", "b") as (network, nodes):
        await trio.sleep(5)
        before = trio.current_time()
        network.cut("a", "b")
        await trio.testing.wait_all_tasks_blocked()
        await nodes["a"].mesh.wait_connected()
        await nodes["b"].mesh.wait_connected()
        assert trio.current_time() - before < 0.001
        assert len([line for line in nodes["b"].logged("warning") if "lost" in line]) == 1


async def test_an_absent_peer_is_called_with_backoff_for_ever_and_reported_once(
    autojump_clock: Clock,
) -> None:
    network = Network()
    async with trio.open_nursery() as nursery:
        a = Node("a", "ab", network)
        await nursery.start(a.run)
        await trio.sleep(3600)
        times = [time for _, _, time in network.calls]
        gaps = sorted(later - earlier for earlier, later in zip(times[::3], times[3::3], strict=False))
        assert 3 * 120 < len(network.calls) < 3 * 300
        assert gaps[-1] <= limits.REDIAL_MAX_S
        assert len(a.logged("warning")) == 3  # one per lane
        (status,) = a.mesh.status()
        assert not status.connected
        assert status.last_error is not None
        assert "Connection refused" in status.last_error
        assert "check that nskd runs there" in status.last_error
        assert a.mesh.failed_calls == {"b": len(network.calls)}
        b = Node("b", "ab", network)
        await nursery.start(b.run)
        with trio.fail_after(limits.REDIAL_MAX_S + 1):
            await a.mesh.wait_connected(["b"])
        nursery.cancel_scope.cancel()


async def test_a_restarted_peer_is_found_again(autojump_clock: Clock) -> None:
    async with workshop("a", "b") as (network, nodes), trio.open_nursery() as nursery:
        for victim, other in (("b", "a"), ("a", "b")):
            nodes[victim].scope.cancel()
            await trio.sleep(10)
            (status,) = nodes[other].mesh.status()
            assert status.lanes == ()
            if victim == "a":
                assert status.last_error == "the peer said goodbye: this centre is shutting down"
            nodes[victim] = Node(victim, "ab", network)
            await nursery.start(nodes[victim].run)
            with trio.fail_after(limits.REDIAL_MAX_S + 1):
                await nodes["a"].mesh.wait_connected()
                await nodes["b"].mesh.wait_connected()
        nursery.cancel_scope.cancel()


async def test_a_peer_that_lost_power_and_is_back_at_once_is_called_on_all_lanes(autojump_clock: Clock) -> None:
    """Its machine answers the next ping with a reset; the other lanes are idle, and nobody would ever say so there."""
    network = Network()
    async with trio.open_nursery() as nursery:
        nodes = {name: Node(name, "ab", network) for name in "ab"}
        for node in nodes.values():
            await nursery.start(node.run)
        await nodes["a"].mesh.wait_connected()
        lost = list(network.between("a", "b"))
        for wire in lost:
            wire.silent = True  # the former b goes on, unheard
        nodes["b"] = Node("b", "ab", network)
        await nursery.start(nodes["b"].run)
        control = nodes["a"].mesh._peers["b"].links[Lane.CONTROL]
        control.finish(connection_fault(trio.BrokenResourceError("reset")))
        with trio.fail_after(limits.REDIAL_MAX_S):
            await nodes["b"].mesh.wait_connected()
            await nodes["a"].mesh.wait_connected()
        nursery.cancel_scope.cancel()


async def test_another_charter_cannot_connect_and_the_log_says_what_to_do(autojump_clock: Clock) -> None:
    network = Network()
    async with trio.open_nursery() as nursery:
        a = Node("a", "ab", network)
        b = Node("b", "ab", network, charter=bytes(32))
        await nursery.start(a.run)
        await nursery.start(b.run)
        await trio.sleep(600)
        assert not a.mesh.connected()
        assert len(a.logged("warning")) == 3
        assert "its charter or version of nskd differs" in a.logged("warning")[0]
        assert CHARTER.hex()[:16] in a.logged("warning")[0]
        assert len(b.logged("warning")) == 1
        assert "charter" in b.logged("warning")[0]
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("older", ["a", "b"])
async def test_another_version_is_named_at_both_ends_and_called_ever_more_slowly(
    autojump_clock: Clock, older: str
) -> None:
    network = Network()
    async with trio.open_nursery() as nursery:
        nodes = {name: Node(name, "ab", network, version=6 if name == older else 7) for name in "ab"}
        for node in nodes.values():
            await nursery.start(node.run)
        await trio.sleep(600)
        for name, node in nodes.items():
            said = node.logged("warning")
            versions = (7, 6) if name == older else (6, 7)
            behind = "this centre" if name == older else "that centre"
            expected = f"speaks version {versions[0]} of the protocol, and this centre version {versions[1]}: {behind}"
            assert all(f"{expected} has to upgrade nskd" in line for line in said)
            assert len(said) == (3 if name == "a" else 1)  # once a lane by who calls, not once an attempt
            (status,) = node.mesh.status()
            assert not status.connected and status.last_error is not None
            assert f"{behind} has to upgrade nskd" in status.last_error
        late = [at for _, _, at in network.calls if at > 300]
        assert 3 <= len(late) <= 3 * 300 / (limits.REDIAL_MAX_S / 2)  # ten a minute at most, in place of a storm
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("stranger", ["a", "b"])
async def test_a_key_the_charter_does_not_list(autojump_clock: Clock, stranger: str) -> None:
    network = Network()
    async with trio.open_nursery() as nursery:
        nodes = {
            name: Node(name, "ab", network, key=StaticKey(b"s" * 32) if name == stranger else None) for name in "ab"
        }
        for node in nodes.values():
            await nursery.start(node.run)
        await trio.sleep(600)
        assert not nodes["a"].mesh.connected()
        assert not nodes["b"].mesh.connected()
        if stranger == "b":
            assert "does not hold the key that the charter gives to b" in nodes["a"].logged("warning")[0]
        else:
            assert "its log says why" in nodes["a"].logged("warning")[0]
            assert "not one we know" in nodes["b"].logged("warning")[0]
        assert len(nodes["a"].logged("warning")) == 3
        assert len(nodes["b"].logged("warning")) == 1
        nursery.cancel_scope.cancel()


async def test_a_name_that_is_not_the_keys_is_turned_away(autojump_clock: Clock) -> None:
    network = Network()
    async with trio.open_nursery() as nursery:
        b = Node("b", "abc", network)
        await nursery.start(b.run)
        mallory = Mesh(  # holds a's key, but calls itself c
            own="c",
            static=key_of("a"),
            charter_digest=CHARTER,
            members=[Member("c", key_of("a").public), *members_of("b")],
            listeners=[],
            jitter=random.Random(1).random,
            connect=network.connector("c"),
            log=Node("b", "ab", Network()).log,
        )
        await nursery.start(mallory.run)
        await trio.sleep(60)
        assert not any(peer.lanes for peer in b.mesh.status())
        assert [line for line in b.logged("warning") if "turned away" in line] == [
            "a was turned away: calls itself 'c', but the charter gives its key to 'a': "
            "check the name in its configuration"
        ]
        (status,) = mallory.status()
        assert status.last_error is not None
        assert "calls itself 'c', but the charter gives its key to 'a'" in status.last_error
        nursery.cancel_scope.cancel()


async def test_the_later_centre_may_not_call(autojump_clock: Clock) -> None:
    network = Network()
    async with trio.open_nursery() as nursery:
        a = Node("a", "ab", network)
        await nursery.start(a.run)
        network.listeners["b"] = network.listeners.pop("a")
        reversed_b = Mesh(  # thinks the order is b, a
            own="b",
            static=key_of("b"),
            charter_digest=CHARTER,
            members=members_of("ba"),
            listeners=[],
            jitter=random.Random(1).random,
            connect=lambda member: network.connector("b")(Member("b", b"")),
            log=a.log,
        )
        await nursery.start(reversed_b.run)
        await trio.sleep(60)
        (status,) = reversed_b.status()
        assert status.lanes == ()
        assert status.last_error is not None
        assert "a comes first in the charter" in status.last_error
        nursery.cancel_scope.cancel()


async def test_a_second_connection_replaces_the_first_only_when_authenticated(autojump_clock: Clock) -> None:
    async with workshop("a", "b") as (network, nodes), trio.open_nursery() as nursery:
        raw = await network.connector("nobody")(members_of("ab")[1])
        await raw.send_all(b"\x00\x20" + bytes(32))
        await trio.sleep(limits.HANDSHAKE_TIMEOUT_S + 1)
        assert nodes["b"].mesh.connected()
        await raw.aclose()
        links = dict(nodes["b"].mesh._peers["a"].links)
        twin = Node("a", "ab", network)  # the same centre, started again before its death was noticed
        for _, _, ours, _ in network.wires:
            ours.silent = True
        await nursery.start(twin.run)
        with trio.fail_after(1):
            await twin.mesh.wait_connected()
        assert all(link.end is not None for link in links.values())
        assert nodes["b"].mesh.connected()
        nodes["a"].scope.cancel()
        await trio.sleep(1)
        assert nodes["b"].mesh.connected()
        nursery.cancel_scope.cancel()


async def test_silence_ends_all_lanes_on_both_sides(autojump_clock: Clock) -> None:
    async with workshop("a", "b") as (network, nodes):
        await trio.sleep(100)
        (status,) = nodes["a"].mesh.status()
        assert status.connected
        assert status.round_trip_s is not None
        for wire in network.between("a", "b"):
            wire.silent = True
        await trio.sleep(limits.LIVENESS_TIMEOUT_S + 2 * limits.PING_INTERVAL_S)
        assert all("nothing was heard" in "".join(node.logged("warning")) for node in nodes.values())
        await nodes["a"].mesh.wait_connected()
        assert len(network.wires) == 6


async def test_a_peer_that_reads_nothing_loses_its_link(autojump_clock: Clock) -> None:
    async with workshop("a", "b") as (network, nodes):
        for wire in network.between("a", "b"):
            wire.stalled = True
        for _ in range(limits.LINK_OUTBOX_MESSAGES_MAX + 1):
            nodes["a"].mesh.post_control("b", notice("x"))
        await trio.testing.wait_all_tasks_blocked()
        assert "does not read" in nodes["a"].logged("warning")[0]


async def test_slow_callers_are_dropped_and_keep_nobody_out(autojump_clock: Clock) -> None:
    network = Network()
    async with trio.open_nursery() as nursery:
        b = Node("b", "ab", network)
        await nursery.start(b.run)
        strangers = [
            await network.connector("nobody")(members_of("ab")[1])
            for _ in range(3 * limits.UNAUTHENTICATED_CONNECTIONS_MAX)
        ]
        await trio.testing.wait_all_tasks_blocked()
        assert b.mesh._answerer.unauthenticated == limits.UNAUTHENTICATED_CONNECTIONS_MAX
        a = Node("a", "ab", network)
        await nursery.start(a.run)
        with trio.fail_after(1):
            await a.mesh.wait_connected()
        for trickle in strangers[-3:]:
            nursery.start_soon(_drip, trickle)
        await trio.sleep(limits.HANDSHAKE_TIMEOUT_S + 1)
        assert b.mesh._answerer.unauthenticated == 0
        assert len(b.logged("warning")) == 2
        for stranger in strangers:
            await stranger.aclose()
        nursery.cancel_scope.cancel()


async def _drip(stream: trio.abc.Stream) -> None:
    """One byte a second: each alone is progress."""
    try:
        for byte in b"\x04\xd0" + bytes(1232):
            await stream.send_all(bytes([byte]))
            await trio.sleep(1)
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        pass


async def test_a_connection_lost_at_every_step_of_the_handshake(autojump_clock: Clock) -> None:
    """Cut after each write in turn; the next attempt succeeds and nothing stays behind."""
    for cut_after in range(1, 12):
        network = Network()
        async with workshop("a", "b", network=network, wait=False) as (_, nodes):
            await _cut_after(network, cut_after)
            with trio.fail_after(60):
                await nodes["a"].mesh.wait_connected()
                await nodes["b"].mesh.wait_connected()


async def _cut_after(network: Network, writes: int) -> None:
    for _ in range(writes):
        await trio.lowlevel.checkpoint()
        await trio.lowlevel.checkpoint()
    network.cut("a", "b")


async def test_garbage_at_the_door(autojump_clock: Clock) -> None:
    network = Network()
    async with trio.open_nursery() as nursery:
        b = Node("b", "ab", network)
        await nursery.start(b.run)
        for garbage in (
            b"",
            b"GET / HTTP/1.1\r\n\r\n",
            b"\xff\xff",
            b"\x00\x00",
            bytes(5000),
            b"\x00\x20" + b"x" * 32,
        ):
            stream = await network.connector("nobody")(members_of("ab")[1])
            await stream.send_all(garbage)
            stream.cut()
            await trio.sleep(1)
            await stream.aclose()
        await trio.sleep(limits.HANDSHAKE_TIMEOUT_S)
        assert b.mesh.strangers == 0
        assert b.mesh.failed_answers == 6
        nursery.cancel_scope.cancel()


async def test_a_control_message_on_a_data_lane_is_a_fault(autojump_clock: Clock) -> None:
    async with workshop("a", "b") as (_, nodes):
        link = nodes["a"].mesh._peers["b"].links[Lane.ONLINE]
        link.submit(encode_control(Ping(1)))
        await trio.sleep(0.001)
        assert "unexpected-message" in nodes["b"].logged("warning")[0]
        await nodes["a"].mesh.wait_connected()


async def test_sending_to_the_absent_and_to_strangers(autojump_clock: Clock) -> None:
    network = Network()
    async with trio.open_nursery() as nursery:
        a = Node("a", "ab", network)
        await nursery.start(a.run)
        with pytest.raises(RemoteProtocolError) as caught:
            await a.mesh.send_control("b", Bye("x"))
        assert caught.value.fault is Fault.DISCONNECTED
        assert caught.value.party == "b"
        assert a.mesh.broadcast_control(Bye("x")) == ("b",)
        with pytest.raises(LocalProtocolError):
            await a.mesh.send_control("z", Bye("x"))
        with pytest.raises(RemoteProtocolError):
            a.mesh.open_session(bytes(16), Lane.ONLINE, ("a", "b"))
        nursery.cancel_scope.cancel()


async def test_loopback_tcp() -> None:
    """Real sockets, real clock granularity; a leaked socket is a ResourceWarning, which is an error."""
    names = "abc"
    listeners = {name: (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0] for name in names}
    members = [
        Member(name, key_of(name).public, "127.0.0.1", listeners[name].socket.getsockname()[1]) for name in names
    ]
    meshes = [
        Mesh(
            own=name,
            static=key_of(name),
            charter_digest=CHARTER,
            members=members,
            listeners=[listeners[name]],
            jitter=random.Random(1).random,
            log=Node("b", "ab", Network()).log,
        )
        for name in names
    ]
    async with trio.open_nursery() as nursery:
        for mesh in meshes:
            await nursery.start(mesh.run)
        for mesh in meshes:
            await mesh.wait_connected()
        nursery.cancel_scope.cancel()
