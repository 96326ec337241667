"""Hostile peers and clients against the bounds: each bound has a test that fails without it."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import attrs
import msgspec
import pytest
import structlog
import trio
import trio.testing

from nskd.control import jsonrpc
from nskd.control.codes import Code
from nskd.control.endpoint import EndpointError, control_endpoint
from nskd.control.limits import ID_CHARS_MAX, SUN_PATH_BYTES_MAX, Bounds
from nskd.peers.complaints import Complaints
from nskd.peers.greeting import Greeter
from nskd.peers.lanes import Lane
from nskd.sessions.attempt import sentence
from nskd.sessions.proposal import make_offer, read_offer
from protocol import limits
from protocol.errors import Fault, LocalProtocolError, RemoteProtocolError
from protocol.messages import AuditQuery, Ping, decode_control, encode_control
from protocol.party import Party
from protocol.wire import PREFIX, Decoder, Message
from tests.cluster import entropy_from
from tests.nskd.control.fake import serving
from tests.nskd.peers.world import CHARTER, Network, Node, key_of, members_of, workshop
from tests.nskd.sessions.test_sessions import centres, proposal

Clock = trio.testing.MockClock
ROOT: Final = Path(__file__).parents[1]
HERE: Final = "adversary/test_limits.py"
_CHANNEL, _MESH = "nskd/peers/test_channel.py", "nskd/peers/test_mesh.py"
_SESSIONS = "nskd/sessions/test_sessions.py"
_SERVER = "nskd/control/test_server.py"
_HEADS = "nskd/governance/test_audit_heads.py::test_what_is_held_is_bounded"

TESTED: Final = MappingProxyType(
    {
        "flush_s": "nskd/control/test_server.py::test_the_call_that_ends_the_daemon_is_answered",
        "PARTIES_MIN": f"{HERE}::test_seats_are_bounded",
        "PARTIES_MAX": f"{HERE}::test_seats_are_bounded",
        "NOISE_MESSAGE_BYTES_MAX": "nskd/peers/test_frames.py::test_forged_lengths",
        "NOISE_REKEY_MESSAGES": "protocol/test_noise_vectors.py::test_interoperates_with_noiseprotocol",
        "NOISE_NONCE_MAX": "protocol/test_noise_transport.py::test_the_channel_ends_before_its_nonces_do",
        "HEADER_BYTES_MAX": "protocol/test_wire.py::test_oversized_prefixes",
        "MESSAGE_PARTS_MAX": "protocol/test_wire.py::test_limits_are_inclusive",
        "MESSAGE_DIMENSIONS_MAX": "protocol/test_wire.py::test_the_largest_header_fits",
        "STEP_BYTES_MAX": "protocol/test_wire.py::test_limits_are_inclusive",
        "SESSION_BYTES": "protocol/test_messages.py::test_envelope",
        "CONTROL_MESSAGE_BYTES_MAX": "protocol/test_messages.py::test_envelope",
        "ONLINE_MESSAGE_BYTES_MAX": f"{HERE}::test_a_lane_takes_so_much_and_no_more",
        "OFFLINE_MESSAGE_BYTES_MAX": f"{HERE}::test_a_lane_takes_so_much_and_no_more",
        "OFFLINE_BATCH_CIPHERTEXTS_MAX": "protocol/test_offline.py::test_batches_are_bounded",
        "OFFLINE_SESSION_CIPHERTEXTS_MAX": "protocol/test_offline.py::test_batches_are_bounded",
        "HANDSHAKE_TIMEOUT_S": f"{_MESH}::test_slow_callers_are_dropped_and_keep_nobody_out",
        "ROUND_TIMEOUT_S": f"{_CHANNEL}::test_a_silent_party_is_named_after_the_round_timeout",
        "SESSION_ACCEPT_TIMEOUT_S": f"{_SESSIONS}::test_a_party_that_never_answers",
        "SESSION_QUEUE_MESSAGES_MAX": f"{_CHANNEL}::"
        "test_a_peer_that_runs_ahead_is_held_then_at_fault_for_that_session_only",
        "CENTRE_NAME_BYTES_MAX": "nskd/peers/test_lanes.py::test_names",
        "HELLO_BYTES_MAX": "nskd/test_stream.py::test_hello_is_bounded_on_both_sides",
        "CONNECT_TIMEOUT_S": f"{HERE}::test_a_dead_address_is_given_up",
        "UNAUTHENTICATED_CONNECTIONS_MAX": f"{_MESH}::test_slow_callers_are_dropped_and_keep_nobody_out",
        "REDIAL_FIRST_S": "nskd/peers/test_lanes.py::test_backoff_grows_to_its_bound_and_spreads",
        "REDIAL_MAX_S": f"{_MESH}::test_an_absent_peer_is_called_with_backoff_for_ever_and_reported_once",
        "LINK_SETTLED_S": f"{HERE}::test_a_peer_that_hangs_up_at_once_is_not_called_in_a_storm",
        "LINK_OUTBOX_MESSAGES_MAX": f"{_MESH}::test_a_peer_that_reads_nothing_loses_its_link",
        "LINK_FLUSH_S": "nskd/test_stream.py::test_closing_does_not_wait_for_a_peer_that_never_reads",
        "PING_INTERVAL_S": f"{_MESH}::test_silence_ends_all_lanes_on_both_sides",
        "LIVENESS_TIMEOUT_S": f"{_MESH}::test_silence_ends_all_lanes_on_both_sides",
        "CONTROL_QUEUE_MESSAGES_MAX": f"{HERE}::test_a_flood_of_control_messages_waits_outside",
        "FAULT_MEMORY": f"{HERE}::test_complaints_are_remembered_up_to_a_number",
        "SESSION_QUEUE_WAIT_S": f"{_CHANNEL}::test_a_peer_that_runs_ahead_is_held_then_at_fault_for_that_session_only",
        "SESSION_SLOT_WAIT_S": f"{_SESSIONS}::test_the_next_proposal_waits_for_those_who_are_still_tidying_up",
        "SESSION_LINKS_WAIT_S": f"{_SESSIONS}::test_a_centre_that_vanishes",
        "SESSION_JUDGE_TIMEOUT_S": f"{_SESSIONS}::test_a_judge_that_never_decides",
        "SESSION_START_TIMEOUT_S": f"{_SESSIONS}::test_a_coordinator_that_never_starts",
        "SESSION_CLEANUP_TIMEOUT_S": f"{_SESSIONS}::test_a_cleanup_that_fails_or_hangs_frees_the_slot",
        "SESSIONS_SEEN_MAX": f"{HERE}::test_sessions_are_remembered_up_to_a_number",
        "PROPOSAL_BYTES_MAX": "nskd/sessions/test_proposal.py::test_oversized",
        "PROPOSAL_EXTRA_BYTES_MAX": f"{HERE}::test_a_proposal_has_bounds_inside",
        "PROPOSAL_KINDS_MAX": f"{HERE}::test_a_proposal_has_bounds_inside",
        "PROPOSAL_SEGMENTS_MAX": f"{HERE}::test_a_proposal_has_bounds_inside",
        "STOCK_POSITION_MAX": f"{HERE}::test_a_proposal_has_bounds_inside",
        "REFUSAL_CHARACTERS_MAX": f"{HERE}::test_a_refusal_is_one_sentence",
        "AUDIT_SEQUENCE_MAX": f"{HERE}::test_numbers_of_entries_are_bounded",
        "AUDIT_DIGESTS_MAX": _HEADS,
        "AUDIT_HEADS_WAITING_MAX": _HEADS,
        "AUDIT_HASHES_HELD_MAX": _HEADS,
        "REGRESSION_SIZE_MAX": "protocol/test_regression.py::test_sizes_are_bounded",
        "REGRESSION_STEPS_MAX": "protocol/test_regression.py::test_the_cost_suffices_for_the_longest_way",
        "LINE_BYTES_MAX": f"{_SERVER}::test_an_oversized_line_ends_the_connection_only",
        "ID_CHARS_MAX": f"{HERE}::test_an_id_is_bounded",
        "SUN_PATH_BYTES_MAX": f"{HERE}::test_a_path_longer_than_the_kernel_takes",
        "connections": f"{_SERVER}::test_connections_are_bounded",
        "calls_per_connection": f"{_SERVER}::test_calls_of_one_client_overlap_up_to_the_bound",
        "events_queued": f"{_SERVER}::test_a_subscriber_that_does_not_read_loses_events_and_is_told",
        "idle_s": f"{HERE}::test_a_client_that_drips_a_line_is_let_go_as_an_idle_one",
        "send_s": f"{_SERVER}::test_a_client_that_takes_no_answer_is_let_go",
        "hangup_check_s": f"{_SERVER}::test_a_client_gone_ends_its_call",
    }
)
NO_BOUNDS: Final = {"KIB", "MIB", "READ_BYTES"}  # units, and the size of one read


def test_every_bound_has_its_test() -> None:
    names = {field.name for field in attrs.fields(Bounds)}
    for path in ("protocol/limits.py", "nskd/control/limits.py"):
        names |= set(re.findall(r"^([A-Z_]+): Final", (ROOT.parent / path).read_text(), flags=re.MULTILINE))
    assert names - NO_BOUNDS == set(TESTED)
    for name, test in TESTED.items():
        path, function = test.split("::")
        defined = {getattr(node, "name", "") for node in ast.parse((ROOT / path).read_text()).body}
        assert function in defined, (name, test)


# --- peers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lane", Lane)
def test_a_lane_takes_so_much_and_no_more(lane: Lane) -> None:
    """Judged by the twelve bytes that announce it."""
    decoder = Decoder(lane.message_bytes_max)
    decoder.receive_data(PREFIX.pack(10, lane.message_bytes_max))
    assert decoder.next_event() is None
    decoder = Decoder(lane.message_bytes_max)
    decoder.receive_data(PREFIX.pack(10, lane.message_bytes_max + 1))
    with pytest.raises(RemoteProtocolError) as caught:
        decoder.next_event()
    assert caught.value.fault is Fault.OVERSIZED
    assert Lane.ONLINE.message_bytes_max == limits.ONLINE_MESSAGE_BYTES_MAX
    assert Lane.OFFLINE.message_bytes_max == limits.OFFLINE_MESSAGE_BYTES_MAX


@pytest.mark.parametrize(("parties", "fits"), [(1, False), (2, True), (16, True), (17, False)])
def test_seats_are_bounded(parties: int, fits: bool) -> None:
    anything: Any = None
    given: dict[str, Any] = {"session": bytes(16), "index": 0, "parties": parties}
    rest: dict[str, Any] = {"channel": anything, "entropy": entropy_from(b""), "work": anything}
    if fits:
        assert Party(**given, **rest).parties == parties
    else:
        with pytest.raises(LocalProtocolError):
            Party(**given, **rest)


async def test_a_flood_of_control_messages_waits_outside(autojump_clock: Clock) -> None:
    """A handler is busy; so many wait for it, the rest with the sender, and none is lost or overtaken."""
    async with workshop("a", "b") as (_, nodes):
        heard, may_go_on = list[int](), trio.Event()

        async def slow(peer: str, message: AuditQuery) -> None:
            await may_go_on.wait()
            heard.append(message.until)

        nodes["b"].mesh.register(AuditQuery, slow)
        most = limits.CONTROL_QUEUE_MESSAGES_MAX
        link = await nodes["a"].mesh.wait_link("b", Lane.CONTROL)
        for number in range(3 * most):
            await link.send(encode_control(AuditQuery(0, number)))
        await trio.testing.wait_all_tasks_blocked()
        control = nodes["b"].mesh._peers["a"].control
        assert control is not None
        assert control._put.statistics().current_buffer_used == most
        may_go_on.set()
        await trio.testing.wait_all_tasks_blocked()
        assert heard == list(range(3 * most))
        assert nodes["b"].mesh.connected(["a"])


async def test_a_flood_of_pings_is_answered_or_the_link_given_up(autojump_clock: Clock) -> None:
    """What a peer does not read of our answers is bounded by the outbox; others go on."""
    async with workshop("a", "b", "c") as (network, nodes):
        for caller, callee, _, answering in network.wires:
            answering.stalled = (caller, callee) == ("a", "b")
        link = await nodes["a"].mesh.wait_link("b", Lane.CONTROL)
        for number in range(2 * limits.LINK_OUTBOX_MESSAGES_MAX):
            await link.send(encode_control(Ping(number)))
        await trio.testing.wait_all_tasks_blocked()
        assert any("does not read" in each for each in nodes["b"].logged("warning"))
        assert nodes["b"].mesh.connected(["c"])


async def test_a_storm_of_connections_of_a_member_leaves_one(autojump_clock: Clock) -> None:
    """It calls again and again, each time genuinely: each call takes the place of the last, and nobody else's."""
    network = Network()
    async with workshop("a", "b", "c", network=network) as (_, nodes):
        members = members_of("abc")
        greeter = Greeter(own="a", static=key_of("a"), charter_digest=CHARTER, members=members)
        streams = []
        for _ in range(40):
            stream = await network.connector("a")(members[1])
            await greeter.call(stream, members[1], Lane.ONLINE)
            streams.append(stream)
        await trio.sleep(limits.LINK_FLUSH_S + 1)
        theirs = [theirs for caller, callee, _, theirs in network.wires if (caller, callee) == ("a", "b")]
        assert sum(not each.closed for each in theirs) == len(Lane)
        assert nodes["b"].mesh._answerer.unauthenticated == 0
        assert nodes["b"].mesh.connected(["c"])
        for stream in streams:
            await stream.aclose()


async def test_a_peer_that_hangs_up_at_once_is_not_called_in_a_storm(autojump_clock: Clock) -> None:
    """A link that did not live for ``LINK_SETTLED_S`` earns no call at once."""
    network = Network()
    async with workshop("a", "b", network=network) as (_, nodes):
        await trio.sleep(limits.LINK_SETTLED_S + 1)
        del network.calls[:]
        began = trio.current_time()

        async def hang_up() -> None:
            while True:
                for lane in list(nodes["b"].mesh._peers["a"].links.values()):
                    lane.close("not you")
                await trio.sleep(0.01)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(hang_up)
            await trio.sleep(60)
            nursery.cancel_scope.cancel()
        assert trio.current_time() - began == pytest.approx(60)
        assert 3 < len(network.calls) < 3 * 30


async def test_a_dead_address_is_given_up(autojump_clock: Clock) -> None:
    """A connection that is never made or refused holds the dialer no longer than ``CONNECT_TIMEOUT_S``."""
    network = Network()
    calls: list[float] = []

    async def into_nothing(member: object) -> trio.abc.Stream:
        calls.append(trio.current_time())
        await trio.sleep_forever()
        raise AssertionError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(network, "connector", lambda caller: into_nothing)
        node = Node("a", "ab", network)
    async with trio.open_nursery() as nursery:
        await nursery.start(node.run)
        await trio.sleep(limits.CONNECT_TIMEOUT_S + 1)
        assert len(calls) == 2 * len(Lane)
        assert calls[-1] - calls[0] <= limits.CONNECT_TIMEOUT_S + 1
        nursery.cancel_scope.cancel()


def test_complaints_are_remembered_up_to_a_number() -> None:
    """One line for each caller as long as it is remembered, however many there are."""
    with structlog.testing.capture_logs() as lines:
        complaints = Complaints(structlog.get_logger())
        for number in range(3 * limits.FAULT_MEMORY):
            complaints.report(("answer", f"a caller from {number}"), "no")
            complaints.report(("answer", f"a caller from {number}"), "no")
        assert len(complaints._current) == limits.FAULT_MEMORY
    assert len(lines) == 3 * limits.FAULT_MEMORY


# --- sessions -------------------------------------------------------------------------------------------------------


async def test_sessions_are_remembered_up_to_a_number(autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SESSIONS_SEEN_MAX", 2)
    async with centres("ab") as (_, world):
        for _ in range(4):
            await world["a"].manager.propose(proposal(parties="ab"))
            await trio.sleep(0.01)
        assert all(len(centre.manager._seen) == 2 for centre in world.values())


@pytest.mark.parametrize(
    ("changes", "fits"),
    [
        ({"extra": bytes(limits.PROPOSAL_EXTRA_BYTES_MAX)}, True),
        ({"extra": bytes(limits.PROPOSAL_EXTRA_BYTES_MAX + 1)}, False),
        ({"segments": {f"mask/{k}": [] for k in range(limits.PROPOSAL_KINDS_MAX)}}, True),
        ({"segments": {f"mask/{k}": [] for k in range(limits.PROPOSAL_KINDS_MAX + 1)}}, False),
        ({"segments": {"bit": [(bytes(16), k, k + 1) for k in range(limits.PROPOSAL_SEGMENTS_MAX)]}}, True),
        ({"segments": {"bit": [(bytes(16), k, k + 1) for k in range(limits.PROPOSAL_SEGMENTS_MAX + 1)]}}, False),
        ({"segments": {"bit": [(bytes(16), 0, limits.STOCK_POSITION_MAX)]}}, True),
        ({"segments": {"bit": [(bytes(16), 0, limits.STOCK_POSITION_MAX + 1)]}}, False),
        ({"parties": [f"c{k}" for k in range(15)] + ["a"]}, True),
        ({"parties": [f"c{k}" for k in range(16)] + ["a"]}, False),
    ],
    ids=str,
)
def test_a_proposal_has_bounds_inside(changes: dict[str, Any], fits: bool) -> None:
    fields = msgspec.msgpack.decode(make_offer(proposal()).body)
    body = msgspec.msgpack.encode(fields | changes)
    if fits:
        assert read_offer(body, "a").proposal
    else:
        with pytest.raises(RemoteProtocolError) as caught:
            read_offer(body, "a")
        assert caught.value.fault is Fault.MALFORMED


def test_a_refusal_is_one_sentence() -> None:
    long = "a line\nand\x1b[31m " * 1000
    assert len(sentence(long)) == limits.REFUSAL_CHARACTERS_MAX
    assert sentence(long).isprintable()


def test_numbers_of_entries_are_bounded() -> None:
    assert decode_control(encode_control(AuditQuery(0, limits.AUDIT_SEQUENCE_MAX))) is not None
    with pytest.raises(LocalProtocolError):
        encode_control(AuditQuery(0, limits.AUDIT_SEQUENCE_MAX + 1))
    honest: Message = encode_control(AuditQuery(0, limits.AUDIT_SEQUENCE_MAX))
    raw = honest.parts[0].copy()
    raw[-1] += 1  # its lowest byte
    with pytest.raises(RemoteProtocolError):
        decode_control(attrs.evolve(honest, parts=(raw,)))


# --- clients --------------------------------------------------------------------------------------------------------


def test_an_id_is_bounded() -> None:
    for length in (ID_CHARS_MAX, ID_CHARS_MAX + 1):
        read = jsonrpc.decode_request(b'{"jsonrpc":"2.0","method":"status","id":"' + b"x" * length + b'"}')
        assert isinstance(read, tuple) == (length > ID_CHARS_MAX)


def test_a_path_longer_than_the_kernel_takes(tmp_path: Path) -> None:
    path = tmp_path / ("s" * (SUN_PATH_BYTES_MAX + 1 - len(str(tmp_path)) - 1))
    assert len(str(path)) == SUN_PATH_BYTES_MAX + 1
    with pytest.raises(EndpointError, match="longer than"), control_endpoint(path):
        raise AssertionError("it listens")


async def test_a_client_that_drips_a_line_is_let_go_as_an_idle_one(tmp_path: Path) -> None:
    """A byte now and then is not a call: sixty-four such clients would keep everybody else out for ever."""
    async with serving(tmp_path, bounds=Bounds(idle_s=0.2)) as running, running.connect() as client:
        assert "result" in await client.ask("version")
        with trio.fail_after(10):
            with pytest.raises((trio.BrokenResourceError, trio.ClosedResourceError)):
                while True:
                    await client.send(b"{")
                    with trio.move_on_after(0.02):
                        assert await client.at_end()
                        raise trio.BrokenResourceError


async def test_a_reconnect_storm_at_the_socket_ends_with_its_clients(tmp_path: Path) -> None:
    """Hundreds connect, say nothing or half a line, and go: the next one is served."""
    async with serving(tmp_path, bounds=Bounds(connections=8)) as running:
        for number in range(300):
            async with running.connect() as client:
                if number % 3:
                    await client.send(b'{"jsonrpc"' if number % 2 else b"\n")
        with trio.fail_after(10):
            while True:
                async with running.connect() as client:
                    answer = await client.ask("version")
                    if "result" in answer:
                        break
                    assert Code(answer["error"]["code"]) is Code.BUSY
        with trio.fail_after(10):
            while running.server._connections:
                await trio.lowlevel.checkpoint()
