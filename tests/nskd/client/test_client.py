"""The client against a fake daemon on a real socket."""

from __future__ import annotations

import socket
import threading
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from nskd.client import Client, RefusedError, Table, UnansweredError
from nskd.client.progress import step_of
from nskd.control.client import UnreachableError
from nskd.control.codes import Code
from nskd.errors import OperatorError
from tests.nskd.control.fake import DIGEST, RELEASE, Running, serving

STATE = "request.state"


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    async with serving(tmp_path) as server:
        yield server


def request(client: Client) -> Table:
    return client.table(rows="sex").titled("T").for_purpose("research")


async def aside(call: Callable[..., Any], *args: Any, **options: Any) -> Any:
    return await trio.to_thread.run_sync(partial(call, *args, **options), abandon_on_cancel=True)


async def test_a_check_shows_what_it_means_and_submits_nothing(running: Running) -> None:
    client = Client(running.path)
    checked = await aside(client.check, request(client))
    params = running.service.calls[-1][2]
    assert params.check
    assert params.text == request(client).text
    assert running.service.changed == []
    assert repr(checked) == "in order; nothing was submitted\n\nWhat is asked\n- Question: age"
    assert "<li>Question: age</li>" in checked._repr_html_()
    dutch = await aside(Client(running.path, language="nl").check, request(client))
    assert "Vraag: leeftijd" in repr(dutch)
    assert "\x1b" not in repr(dutch) + dutch._repr_html_()


async def test_submitted_followed_and_read(running: Running) -> None:
    client = Client(running.path)
    submitted = await aside(client.submit, request(client), again=True)
    assert running.service.changed == ["request.submit"]
    assert running.service.calls[-1][2].again
    assert submitted.request == DIGEST
    assert repr(submitted) == f"<request {DIGEST[:12]}>"
    assert await aside(lambda: submitted.state) == "submitted"
    lines: list[str] = []
    told = trio.Event()
    token = trio.lowlevel.current_trio_token()

    def progress(line: str) -> None:
        lines.append(line)
        if line.startswith("computing"):
            token.run_sync_soon(told.set)

    async with trio.open_nursery() as nursery:
        results: list[Any] = []

        async def wait() -> None:
            results.append(await aside(submitted.wait, progress=progress))

        nursery.start_soon(wait)
        while not running.service.waiting:  # subscribed before it calls, and the call has come
            await trio.testing.wait_all_tasks_blocked()
        running.events.publish(STATE, request="cd" * 32, state="refused")
        running.events.publish(STATE, request=DIGEST, state="submitted", centre="zuid")
        running.events.publish(STATE, request=DIGEST, state="approved", centre="noord")
        running.events.publish("generation.round", step="x")
        running.events.publish("run.begin", name="cells\x1b[31m")
        running.events.publish("run.begin", name="cells\x1b[31m")
        await told.wait()
        running.service.finished.set()
    assert lines == [
        "the request is submitted, approved by 1 of 3",
        "zuid has decided, the request is submitted",
        "noord has decided, the request is approved",
        "computing: cells [31m",
    ]
    (result,) = results
    assert result.release == RELEASE
    assert result.request == DIGEST
    assert result.digest == "12" * 32
    assert (await aside(client.submitted, "abab")).request == DIGEST


async def test_the_rules_come_from_the_daemons_own_page(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    from nskd.control.answers import PageSection
    from tests.nskd.control import fake

    rules = PageSection(key="rules", title="Which rules protect", sentences=["Ten children at least."])
    monkeypatch.setitem(fake.PAGES, "en", [*fake.PAGES["en"], rules])
    running.service.finished.set()
    result = await aside(partial((await aside(Client(running.path).submitted, "abab")).wait, progress=None))
    assert result.rules == ("Ten children at least.",)
    assert "- Ten children at least." in repr(result)


async def test_an_iterator_tells_the_same_steps(running: Running) -> None:
    submitted = await aside(Client(running.path).submitted, "abab")
    running.service.finished.set()
    steps = await aside(lambda: list(submitted.follow()))
    assert [step.kind for step in steps] == [STATE]
    assert steps[0].event["state"] == "submitted"


def test_what_events_mean() -> None:
    def text(**event: Any) -> str | None:
        step = step_of(event, DIGEST)
        return None if step is None else step.text

    assert text(kind=STATE, request="cd" * 32, state="done") is None
    assert text(kind=STATE, request=DIGEST, state="done") == "the request is done"
    assert (
        text(kind="run.failed", request=DIGEST, fault="timeout", detail="zuid was silent")
        == "a run failed: zuid was silent"
    )
    assert text(kind="run.failed", request=DIGEST, reason="no stock") == "a run failed: no stock"
    assert text(kind="generation.begin", name="triples") == "making material: triples"
    assert text(kind="dropped", count=3) == "3 events were not told"
    assert text(kind="peer.up", peer="zuid") is None


async def test_no_result_is_said_in_a_sentence(running: Running) -> None:
    submitted = await aside(Client(running.path).submitted, "abab")
    running.service.release = None
    with pytest.raises(UnansweredError, match=r"request abababababab: it is failed, timeout\. Run it again"):
        await aside(submitted.wait, timeout_s=0.01, progress=None)
    with pytest.raises(UnansweredError):
        await aside(submitted.result)
    running.service.release = RELEASE
    assert (await aside(submitted.result)).release == RELEASE  # asked for at once, though nothing is waited for


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("dead", Code.NOT_FOUND, "request dead: no such request here. List them."),
        ("c0ff", Code.CONFLICT, "request c0ff: it is done. Submit it again."),
        ("f00d", Code.REFUSED, "the charter has no purpose"),
        ("1111", Code.REFUSED, "an approval is forged"),
        ("2222", Code.DRAINING, "the daemon is stopping"),
        ("bad0", Code.INTERNAL, ""),
        ("no", Code.INVALID_PARAMS, ""),
    ],
)
async def test_a_daemons_no_is_a_sentence(running: Running, name: str, code: Code, words: str) -> None:
    with pytest.raises(RefusedError) as caught:
        await aside(Client(running.path).submitted, name)
    assert caught.value.code == code
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "secret detail" not in str(caught.value)
    assert caught.value._render_traceback_() == [str(caught.value)]


async def test_a_daemons_no_while_waiting_is_one_too(running: Running) -> None:
    submitted = await aside(Client(running.path).submitted, "abab")
    running.service._name = lambda *_: (_ for _ in ()).throw(OperatorError("no", where="here", remedy="Go."))  # type: ignore[method-assign]
    running.service.finished.set()
    with pytest.raises(RefusedError, match=r"here: no\. Go\."):
        await aside(submitted.wait, progress=None)


def test_nobody_there(tmp_path: Path) -> None:
    client = Client(tmp_path / "none.sock")
    for call in (client.check, client.submit):
        with pytest.raises(UnreachableError, match="cannot be reached"):
            call(request(client))
    client.rehearse(request(client), visits=20)  # takes no daemon


def test_something_else_answers(tmp_path: Path) -> None:
    path = tmp_path / "odd.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(b'{"jsonrpc":"2.0","id":1,"result":{"request":7}}\n')

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(UnreachableError, match="in another shape"):
            Client(path).submitted("abab")
        thread.join()
