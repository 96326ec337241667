"""The server driven by raw bytes over a real socket, as socat would."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from nskd.control import jsonrpc
from nskd.control.codes import Code, ControlError
from nskd.control.limits import LINE_BYTES_MAX, Bounds
from nskd.control.methods import METHODS, SUBSCRIBE, Changing
from nskd.control.roles import Role, RoleMap
from nskd.control.service import Service
from tests.nskd.governance import workshop as papers

from .fake import DIGEST, ROLES, Running, serving

SIGNED = {"statement": "said", "signature": "signed"}


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    async with serving(tmp_path) as server:
        yield server


def code(answer: dict[str, Any]) -> Code:
    return Code(answer["error"]["code"])


async def test_every_method_answers(running: Running) -> None:
    params: dict[str, dict[str, Any]] = {
        "charter.sign": {"text": papers.OTHER_CHARTER.raw.decode()},
        "document": {"kind": "dpia"},
        "request.show": {"request": DIGEST},
        "request.submit": {"text": "x"},
        "request.run": {"request": DIGEST},
        "request.statement": {"request": DIGEST, "verdict": "approve"},
        "request.approve": {"request": DIGEST, **SIGNED},
        "request.refuse": {"request": DIGEST, **SIGNED},
        "request.revoke": {"request": DIGEST, **SIGNED},
        "result.show": {"request": "abab"},
        "result.wait": {"request": "abab", "timeout_s": 0.001},
    }
    for name in METHODS:
        async with running.connect() as client:
            await client.send({"id": name, "method": name, "params": params.get(name, {})})
            while "method" in (answer := await client.line()):
                pass
            assert answer["id"] == name
            assert "result" in answer, answer


def test_every_method_has_its_coroutine() -> None:
    assert {method.handler for method in METHODS.values()} - {SUBSCRIBE} == {
        name for name in vars(Service) if not name.startswith("_")
    }


async def test_params_may_be_absent_and_ids_come_back(running: Running) -> None:
    async with running.connect() as client:
        await client.send('{"jsonrpc":"2.0","id":"abc","method":"version"}\n')
        assert (await client.line())["id"] == "abc"
        await client.send({"id": -7, "method": "version"})
        assert (await client.line())["id"] == -7


@pytest.mark.parametrize(
    ("line", "expected", "request_id"),
    [
        ("garbage", Code.PARSE_ERROR, None),
        ("\x00\x01", Code.PARSE_ERROR, None),
        (b"\xff\xfe", Code.PARSE_ERROR, None),
        ("{}", Code.INVALID_REQUEST, None),
        ("7", Code.INVALID_REQUEST, None),
        ('[{"jsonrpc":"2.0","id":1,"method":"status"}]', Code.INVALID_REQUEST, None),
        ('{"id":1,"method":"status"}', Code.INVALID_REQUEST, 1),
        ('{"jsonrpc":"1.0","id":1,"method":"status"}', Code.INVALID_REQUEST, 1),
        ('{"jsonrpc":"2.0","id":1,"method":7}', Code.INVALID_REQUEST, 1),
        ('{"jsonrpc":"2.0","id":1,"method":"status","parms":{}}', Code.INVALID_REQUEST, 1),
        ('{"jsonrpc":"2.0","id":1.5,"method":"status"}', Code.INVALID_REQUEST, None),
        ('{"jsonrpc":"2.0","id":null,"method":"status"}', Code.INVALID_REQUEST, None),
        ('{"jsonrpc":"2.0","method":"drain"}', Code.INVALID_REQUEST, None),
        ('{"jsonrpc":"2.0","id":"' + "x" * 200 + '","method":"status"}', Code.INVALID_REQUEST, None),
        ('{"jsonrpc":"2.0","id":1,"method":"statsu"}', Code.METHOD_NOT_FOUND, 1),
        ('{"jsonrpc":"2.0","id":1,"method":"__init__"}', Code.METHOD_NOT_FOUND, 1),
        ('{"jsonrpc":"2.0","id":1,"method":"status","params":[]}', Code.INVALID_PARAMS, 1),
        ('{"jsonrpc":"2.0","id":1,"method":"status","params":null}', Code.INVALID_PARAMS, 1),
        ('{"jsonrpc":"2.0","id":1,"method":"status","params":{"x":1}}', Code.INVALID_PARAMS, 1),
        ('{"jsonrpc":"2.0","id":1,"method":"request.show"}', Code.INVALID_PARAMS, 1),
        (
            '{"jsonrpc":"2.0","id":1,"method":"request.show","params":{"request":"zz"}}',
            Code.INVALID_PARAMS,
            1,
        ),
        (
            '{"jsonrpc":"2.0","id":1,"method":"request.show","params":{"request":"abcd\\n"}}',
            Code.INVALID_PARAMS,
            1,
        ),
        ('{"jsonrpc":"2.0","id":1,"method":"drain","params":{"check":"yes"}}', Code.INVALID_PARAMS, 1),
        (
            '{"jsonrpc":"2.0","id":1,"method":"result.wait","params":{"request":"abcd","timeout_s":-1}}',
            Code.INVALID_PARAMS,
            1,
        ),
        (
            '{"jsonrpc":"2.0","id":1,"method":"version","params":' + "[" * 5000 + "]" * 5000 + "}",
            Code.PARSE_ERROR,
            None,
        ),
        ('{"a":' * 5000, Code.PARSE_ERROR, None),
    ],
)
async def test_wrong_lines_get_their_code_and_the_connection_goes_on(
    running: Running, line: str | bytes, expected: Code, request_id: object
) -> None:
    async with running.connect() as client:
        await client.send((line if isinstance(line, bytes) else line.encode()) + b"\n")
        answer = await client.line()
        assert (code(answer), answer["id"]) == (expected, request_id), answer
        assert "result" in await client.ask("version")
    assert running.service.changed == []


async def test_unknown_methods_get_a_hint(running: Running) -> None:
    async with running.connect() as client:
        assert "did you mean 'status'" in (await client.ask("statsu"))["error"]["message"]


async def test_byte_by_byte_blank_lines_and_crlf(running: Running) -> None:
    async with running.connect() as client:
        for byte in b'\n\r\n  \n{"jsonrpc":"2.0","id":1,"method":"version"}\r\n':
            await client.send(bytes([byte]))
        assert (await client.line())["result"]["protocol"] == "1"


async def test_pipelined_calls_are_all_answered(running: Running) -> None:
    async with running.connect() as client:
        lines = [msgspec.json.encode({"jsonrpc": "2.0", "id": n, "method": "status"}) for n in range(100)]
        await client.send(b"\n".join(lines) + b"\n")
        assert {(await client.line())["id"] for _ in range(100)} == set(range(100))


async def test_a_partial_line_at_the_end_is_nobodys(running: Running) -> None:
    async with running.connect() as client:
        await client.send('{"jsonrpc":"2.0","id":1,"method":"drain"}')
        await client.stream.send_eof()
        assert await client.at_end()
    assert running.service.calls == []


async def test_half_closed_clients_get_their_answers(running: Running) -> None:
    async with running.connect() as client:
        await client.send({"id": 1, "method": "result.wait", "params": {"request": "abab"}})
        await client.stream.send_eof()
        for phase in ("triples", "opening"):
            assert (await client.line())["params"]["phase"] == phase
        running.service.finished.set()
        assert (await client.line())["result"]["state"] == "done"
        assert await client.at_end()


async def test_a_client_gone_ends_its_call(tmp_path: Path) -> None:
    async with serving(tmp_path, bounds=Bounds(hangup_check_s=0.01)) as running:
        async with running.connect() as client:
            await client.send({"id": 1, "method": "result.wait", "params": {"request": "abab"}})
            await client.line()
            await client.line()
        with trio.fail_after(5):
            while running.service.waiting:
                await trio.lowlevel.checkpoint()


@pytest.mark.parametrize("ending", [b"", b"\n"])
async def test_an_oversized_line_ends_the_connection_only(running: Running, ending: bytes) -> None:
    async with running.connect() as client, running.connect() as other:
        with contextlib.suppress(trio.BrokenResourceError):
            await client.send(b"x" * (LINE_BYTES_MAX + 100_000) + ending)
        assert code(await client.line()) is Code.TOO_LARGE
        assert await client.at_end()
        assert "result" in await other.ask("version")


async def test_the_largest_line_passes(running: Running) -> None:
    line = b'{"jsonrpc":"2.0","id":1,"method":"version"}'
    async with running.connect() as client:
        await client.send(line.ljust(LINE_BYTES_MAX) + b"\n")
        assert "result" in await client.line()


async def test_an_answer_too_large_for_a_line(running: Running) -> None:
    running.service.release = {"cells": ["x" * LINE_BYTES_MAX]}
    async with running.connect() as client:
        assert code(await client.ask("result.show", request=DIGEST)) is Code.TOO_LARGE


async def test_an_answer_that_is_no_json_is_an_incident(running: Running) -> None:
    running.service.release = {"cells": object()}
    async with running.connect() as client:
        assert code(await client.ask("result.show", request=DIGEST)) is Code.INTERNAL
    assert len(running.log.of("control.incident")) == 1


@pytest.mark.parametrize(
    ("name", "expected", "data"),
    [
        (
            "dead",
            Code.NOT_FOUND,
            {"where": "request dead", "remedy": "List them.", "what": "no such request here"},
        ),
        ("c0ff", Code.CONFLICT, {"where": "request c0ff"}),
        ("f00d", Code.REFUSED, {"rule": "purpose-not-in-charter"}),
        ("1111", Code.REFUSED, {"fault": "invalid-approval"}),
        ("2222", Code.DRAINING, {}),
    ],
)
async def test_refusals_have_codes_and_reasons(
    running: Running, name: str, expected: Code, data: dict[str, str]
) -> None:
    async with running.connect() as client:
        answer = await client.ask("request.approve", request=name, **SIGNED)
        assert code(answer) is expected
        assert data.items() <= answer["error"].get("data", {}).items()
    assert running.log.of("control.change")[0]["outcome"] == expected.name.lower()


async def test_a_bug_becomes_an_incident_without_details(running: Running) -> None:
    async with running.connect() as client:
        answer = await client.ask("request.approve", request="bad0", **SIGNED)
        assert code(answer) is Code.INTERNAL
        incident = answer["error"]["data"]["incident"]
        assert "secret" not in str(answer)
        assert "Traceback" not in str(answer)
        assert "result" in await client.ask("version")
    assert [line["incident"] for line in running.log.of("control.incident")] == [incident]


async def test_every_change_is_logged_with_its_caller_and_nothing_else_is(tmp_path: Path) -> None:
    async with serving(tmp_path, uid=103, roles=ROLES) as running:
        async with running.connect() as client:
            await client.ask("status")
            await client.ask("request.approve", request=DIGEST, **SIGNED)
            await client.ask("request.refuse", request=DIGEST, check=True, **SIGNED)
            await client.ask("request.approve", request="c0ff", **SIGNED)
            await client.ask("request.approve", request="f00d", **SIGNED)
        logged = running.log.of("control.change")
        assert [(line["method"], line["uid"], line["check"], line["outcome"]) for line in logged] == [
            ("request.approve", 103, False, "ok"),
            ("request.refuse", 103, True, "ok"),
            ("request.approve", 103, False, "conflict"),
            ("request.approve", 103, False, "refused"),
        ]
        assert logged[0]["request"] == DIGEST
        assert running.service.changed == ["request.approve"]
        assert running.journal.entries == [
            ("asked", 103, "request.approve", DIGEST),
            ("asked", 103, "request.approve", "c0ff"),
            ("refused", 103, "request.approve", "conflict"),
            ("asked", 103, "request.approve", "f00d"),
            ("refused", 103, "request.approve", "purpose-not-in-charter"),
        ]
        call = running.service.calls[1][1]
        assert (call.role, call.credentials.uid, call.user) == (Role.APPROVE, 103, "103")


@pytest.mark.parametrize("role", list(Role))
async def test_roles_reach_as_far_as_the_table_says(tmp_path: Path, role: Role) -> None:
    async with serving(tmp_path, uid=100 + role, roles=ROLES) as running:
        for method in METHODS.values():
            async with running.connect() as client:
                answer = await client.ask(method.name, nonsense=1)
                expected = Code.INVALID_PARAMS if role >= method.role else Code.FORBIDDEN
                assert code(answer) is expected, method.name
        assert running.service.calls == []
        beyond = [("forbidden", 100 + role, method.name, None) for method in METHODS.values() if role < method.role]
        assert running.journal.entries == beyond


async def test_roles_can_be_replaced_for_new_connections(tmp_path: Path) -> None:
    async with serving(tmp_path, uid=101, roles=ROLES) as running, running.connect() as before:
        assert code(await before.ask("drain", check=True)) is Code.FORBIDDEN
        running.server.roles = RoleMap(users={101: Role.ADMIN}, own_uid=4_000)
        async with running.connect() as after:
            assert "result" in await after.ask("drain", check=True)


async def test_strangers_are_turned_away(tmp_path: Path) -> None:
    async with serving(tmp_path, uid=999, roles=ROLES) as running:
        async with running.connect() as client:
            assert code(await client.line()) is Code.FORBIDDEN
            assert await client.at_end()
        assert running.log.of("control.stranger")[0]["uid"] == 999
        assert running.journal.entries == [("forbidden", 999, "", None)]


async def test_connections_are_bounded(tmp_path: Path) -> None:
    async with serving(tmp_path, bounds=Bounds(connections=2)) as running:
        async with running.connect() as one, running.connect() as two:
            assert "result" in await one.ask("version")
            assert "result" in await two.ask("version")
            async with running.connect() as three:
                assert code(await three.line()) is Code.BUSY
                assert await three.at_end()
            assert "result" in await one.ask("version")
        with trio.fail_after(5):
            while True:
                async with running.connect() as again:
                    if "result" in await again.ask("version"):
                        break


async def test_the_idle_are_let_go_but_not_those_who_wait(tmp_path: Path) -> None:
    async with (
        serving(tmp_path, bounds=Bounds(idle_s=0.02)) as running,
        running.connect() as waiter,
        running.connect() as subscriber,
        running.connect() as idle,
    ):
        await subscriber.ask(SUBSCRIBE)
        await waiter.send({"id": 1, "method": "result.wait", "params": {"request": "abab"}})
        await waiter.line()
        await waiter.line()
        assert await idle.at_end()
        running.service.finished.set()
        assert "result" in await waiter.line()
        running.events.publish("peer.up", name="zuid")
        assert (await subscriber.line())["params"] == {"kind": "peer.up", "name": "zuid"}


async def test_concurrent_clients(running: Running) -> None:
    done: list[int] = []

    async def client(number: int) -> None:
        async with running.connect() as raw:
            for n in range(20):
                assert (await raw.ask("status", number * 100 + n))["id"] == number * 100 + n
        done.append(number)

    async with trio.open_nursery() as nursery:
        for number in range(12):
            nursery.start_soon(client, number)
    assert len(done) == 12


async def test_calls_of_one_client_overlap_up_to_the_bound(tmp_path: Path) -> None:
    async with (
        serving(tmp_path, bounds=Bounds(calls_per_connection=3)) as running,
        running.connect() as client,
    ):
        for n in range(5):
            await client.send({"id": n, "method": "result.wait", "params": {"request": "abab"}})
        for _ in range(6):  # two of progress for each of three
            assert (await client.line())["method"] == "progress"
        running.service.finished.set()
        answered = [line["id"] for line in [await client.line() for _ in range(9)] if "result" in line]
        assert sorted(answered) == [0, 1, 2, 3, 4]
        assert running.service.waiting_most == 3


# --- events -------------------------------------------------------------------------


async def test_subscribers_get_what_they_asked_for(running: Running) -> None:
    async with running.connect() as everything, running.connect() as peers:
        assert (await everything.ask(SUBSCRIBE))["result"] == {"subscribed": True, "kinds": []}
        await peers.ask(SUBSCRIBE, kinds=["peer"])
        running.events.publish("run.phase", phase="sum")
        running.events.publish("peerage")
        running.events.publish("peer.down", name="zuid")
        assert [(await everything.line())["params"]["kind"] for _ in range(3)] == [
            "run.phase",
            "peerage",
            "peer.down",
        ]
        answer = await peers.line()
        assert (answer["method"], answer["params"]) == ("event", {"kind": "peer.down", "name": "zuid"})
        assert "result" in await peers.ask("version")
        await peers.ask(SUBSCRIBE, kinds=["run"])
        running.events.publish("peer.down", name="zuid")
        running.events.publish("run.phase", phase="sum")
        assert (await peers.line())["params"]["kind"] == "run.phase"
        assert len(running.events) == 2
    with trio.fail_after(5):
        while len(running.events):
            await trio.lowlevel.checkpoint()
            running.events.publish("tick")


async def test_a_subscriber_that_does_not_read_loses_events_and_is_told(tmp_path: Path) -> None:
    async with (
        serving(tmp_path, bounds=Bounds(events_queued=10)) as running,
        running.connect() as sleeper,
        running.connect() as other,
    ):
        await sleeper.ask(SUBSCRIBE)
        sent = 400
        for n in range(sent):
            running.events.publish("big", n=n, filling="x" * 20_000)
            await trio.lowlevel.checkpoint()
        assert "result" in await other.ask("version")  # nobody else is held up
        got, dropped = 0, 0
        while got + dropped < sent:
            event = (await sleeper.line())["params"]
            if event["kind"] == "dropped":
                dropped += event["count"]
            else:
                got += 1
        assert dropped > 300
        assert got >= 10
        running.events.publish("after")
        assert (await sleeper.line())["params"] == {"kind": "after"}


async def test_a_client_that_takes_no_answer_is_let_go(tmp_path: Path) -> None:
    async with serving(tmp_path, bounds=Bounds(send_s=0.05)) as running, running.connect() as sleeper:
        await sleeper.ask(SUBSCRIBE)
        with trio.fail_after(5):
            while len(running.events):
                running.events.publish("big", filling="x" * 50_000)
                await trio.lowlevel.checkpoint()


async def test_the_call_that_ends_the_daemon_is_answered(tmp_path: Path) -> None:
    """As are all whose answers are ready by then."""
    for _ in range(20):  # whichever task comes first
        async with trio.open_nursery() as nursery, serving(tmp_path) as running, running.connect() as client:

            async def end(running: Running) -> None:
                await running.service.ended.wait()
                running.cancel()

            nursery.start_soon(end, running)
            await client.send({"id": 1, "method": "version"})
            await client.send({"id": 2, "method": "drain", "params": {"exit": True}})
            with trio.fail_after(5):
                assert {(await client.line())["id"] for _ in range(2)} == {1, 2}
                assert await client.at_end()


# --- pure parts ---------------------------------------------------------------------


@given(st.one_of(st.binary(max_size=100), st.text(max_size=100).map(str.encode)))
def test_any_line_decodes_or_gives_an_error(line: bytes) -> None:
    read = jsonrpc.decode_request(line)
    if isinstance(read, tuple):
        assert isinstance(read[1], ControlError)
        assert msgspec.json.decode(jsonrpc.error_line(*read))["error"]["code"] in set(Code)


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(max_size=9),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["jsonrpc", "id", "method", "params", "x"]), inner, max_size=5)
        ),
        max_leaves=9,
    )
)
def test_any_json_decodes_or_gives_an_error(value: object) -> None:
    import json

    read = jsonrpc.decode_request(json.dumps(value).encode())
    assert isinstance(read, (jsonrpc.Request, tuple))


def test_changing_methods_take_check() -> None:
    for method in METHODS.values():
        assert method.changes == issubclass(method.params, Changing)
        # The audit log names colleagues, a bug report tells how this centre is set up.
        assert method.changes == (method.role > Role.READ) or method.name in ("audit.read", "bugreport")


async def test_raw_credentials_come_from_the_kernel(tmp_path: Path) -> None:
    import os

    from nskd.control.roles import peer_credentials

    ours, theirs = socket.socketpair(socket.AF_UNIX)
    with ours, theirs:
        credentials = peer_credentials(ours)
    assert (credentials.pid, credentials.uid, credentials.gid) == (os.getpid(), os.getuid(), os.getgid())


async def test_what_cannot_be_put_on_record_is_not_done(tmp_path: Path) -> None:
    async with serving(tmp_path, uid=103, roles=ROLES) as running, running.connect() as client:
        running.journal.full = True
        answer = await client.ask("request.approve", request=DIGEST, **SIGNED)
        assert "No space left on device" in answer["error"]["message"]
        assert running.service.calls == []
        assert "result" in await client.ask("status")
