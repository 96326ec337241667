"""The control socket: lines to the server's reader and dispatcher, before a made-up daemon and before a real one."""

from __future__ import annotations

import atexit
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, Final

import msgspec
import trio

from nskd.control.codes import Code
from nskd.control.dispatch import Dispatcher
from nskd.control.lines import LineReader, LineTooLongError
from nskd.control.methods import METHODS
from nskd.control.roles import Credentials, Role
from tests.nskd.control.fake import DIGEST, FakeJournal, FakeService, Log
from tests.nskd.governance import workshop as papers
from tests.ports import free_ports

from .target import Check, Script, Target

LINE_BYTES_MAX: Final = 2048


def judge(answer: bytes, *, bug: bool) -> None:
    """One line, of JSON-RPC, with a code that is documented; ``bug``: the made-up daemon may have one."""
    said = msgspec.json.decode(answer)
    assert answer.endswith(b"\n") and answer.count(b"\n") == 1 and said["jsonrpc"] == "2.0"
    if "error" in said:
        code = Code(said["error"]["code"])
        assert code is not Code.INTERNAL or bug, said
        assert said["error"]["message"]


async def _lines(data: bytes) -> None:
    script, service, sent = Script(data), FakeService(), list[bytes]()
    service.finished.set()
    role = list(Role)[script.number(len(Role))]

    async def send(line: bytes) -> None:
        sent.append(line)

    dispatcher = Dispatcher(
        service, credentials=Credentials(pid=1, uid=0, gid=0), role=role, send=send,
        subscribe=lambda params: None, journal=FakeJournal(), log=Log(),  # type: ignore[arg-type]
    )  # fmt: skip
    reader, line = LineReader(LINE_BYTES_MAX), script.rest() + b"\n"
    for at in range(0, len(line), 97):
        reader.receive_data(line[at : at + 97])
        try:
            while (found := reader.next_line()) is not None:
                judge(await dispatcher.answer(found), bug=b"bad0" in found.lower() or b"\\u" in found)
        except LineTooLongError:
            return


def _fake(data: bytes) -> None:
    trio.run(_lines, data)


def _calls() -> Iterable[bytes]:
    params: dict[str, dict[str, Any]] = {
        "charter.sign": {"text": papers.OTHER_CHARTER.raw.decode()[:300]},
        "request.submit": {"text": papers.TEXT.decode(), "check": True},
        "request.statement": {"request": DIGEST, "verdict": "approve"},
        "result.wait": {"request": "abab", "timeout_s": 0.001},
        "document": {"kind": "dpia"},
        "result.show": {"request": "abab"},
        "audit.read": {"after": 0, "limit": 2},
        "subscribe": {"kinds": ["peer"]},
        "request.list": {"states": ["done"], "limit": 3},
    }
    decided = {"request": DIGEST, "statement": "said", "signature": "signed"}
    named: dict[str, dict[str, Any]] = {name: {"request": "abab"} for name in ("request.show", "request.run")}
    named |= {f"request.{verdict}": decided for verdict in ("approve", "refuse", "revoke")}
    for name in METHODS:
        call = {"jsonrpc": "2.0", "id": name, "method": name, "params": {**named, **params}.get(name, {})}
        yield msgspec.json.encode(call)


def _fake_seeds() -> Iterable[bytes]:
    calls = list(_calls())
    yield from (b"\x03" + call for call in calls)
    yield b"\x00" + calls[-1]
    yield b"\x03" + calls[0] + b"\r\n\n" + calls[1] + b"\n[" + calls[2] + b"]"


class Daemon:
    """A real one in a thread of this process: two centres in its charter, of which the other is never there."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "control.sock"
        self._directory = directory
        self._error: BaseException | None = None
        threading.Thread(target=self._serve, daemon=True).start()
        deadline = time.monotonic() + 120
        while True:
            if self._error is not None:
                raise RuntimeError("the daemon did not start") from self._error
            try:
                self._client = socket.socket(socket.AF_UNIX)
                self._client.connect(str(self.path))
                break
            except OSError:
                self._client.close()
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)  # it is another thread's start, which nothing announces
        self._client.settimeout(20)
        self._answers = self._client.makefile("rb")

    def _serve(self) -> None:
        from contextlib import contextmanager

        from nskd import logs
        from nskd.config import parse_config
        from nskd.credentials import load_keys
        from nskd.daemon import serve as program
        from nskd.notify import Notifier

        @contextmanager
        def no_signals(*_: object):  # type: ignore[no-untyped-def]
            class Never:
                def __aiter__(self):  # type: ignore[no-untyped-def]
                    return self

                async def __anext__(self) -> int:
                    await trio.sleep_forever()
                    raise StopAsyncIteration

            yield Never()

        try:
            config_path = _laid_out(self._directory)
            config = parse_config(config_path.read_bytes(), str(config_path))
            keys = load_keys(self._directory / "keys")
            logging = logs.configure(level="critical", format="auto", stream=sys.stderr)
            setattr(trio, "open_signal_receiver", no_signals)  # noqa: B010 - only the main thread is sent any
            trio.run(program.serve, config, config_path, keys, Notifier.from_environment({}), logging)
        except BaseException as error:
            self._error = error
            raise

    def ask(self, line: bytes) -> bytes:
        """Send a line that has an answer; return it."""
        self._client.sendall(line + b"\n")
        while True:
            answer = self._answers.readline()
            assert answer, f"the connection ended: {self._error!r}"
            if "method" not in msgspec.json.decode(answer):  # else one of the events somebody subscribed to
                return answer


def _laid_out(directory: Path) -> Path:
    from nskd.credentials import generate, load_keys
    from nskd.governance.charter import load_charter
    from nskd.governance.charter_signatures import CharterSignatures, Signer, sign_charter, signatures_path
    from tests.nskd.data.extracts import visit, write_csv

    path = directory / "charter.toml"
    public = generate(directory / "keys")
    entry = public.charter_entry(name="noord", address="127.0.0.1:1", stewards=[papers.steward("noord").line])
    head = papers.HEAD + "[disclosure]\ncentres_min = 2\n"
    path.write_bytes(papers.charter_toml(head, names=("zuid",)) + entry.encode())
    charter = load_charter(path)
    signers = {"zuid": papers.signing_key("zuid").sign, "noord": load_keys(directory / "keys").signing.signer()}
    made = [sign_charter(charter, Signer(c.name, c.signing_key), signers[c.name]) for c in charter.centres]
    signatures_path(path).write_text(CharterSignatures(charter.digest, tuple(made)).text())
    write_csv(directory / "visits.csv", [visit(number) for number in range(1, 40)])
    config = directory / "nskd.toml"
    (port,) = free_ports(1)
    config.write_text(
        f'[centre]\nname = "noord"\n[workshop]\ncharter = "{path}"\n[network]\nlisten = "127.0.0.1:{port}"\n'
        f'[data]\nsource = "{directory}/visits.csv"\n[state]\ndirectory = "{directory}/state"\n'
        f'[control]\nsocket = "{directory}/control.sock"\n[log]\nlevel = "error"\n'
    )
    return config


@cache
def _daemon() -> Daemon:
    place = tempfile.TemporaryDirectory(prefix="nskd-fuzz-")
    atexit.register(place.cleanup)
    return Daemon(Path(place.name))


def _real(data: bytes) -> None:
    """One line, if it is one.  What would end the daemon, or wait, is asked with ``check`` or not at all."""
    line = data.replace(b"\n", b" ").strip()
    try:
        said = msgspec.json.decode(line)
    except (ValueError, RecursionError):
        said = None
    if not line or (isinstance(said, dict) and said.get("method") in ("leave", "drain", "result.wait")):
        return
    judge(_daemon().ask(line), bug=False)


def _start() -> Check:
    _daemon()
    return _real


TARGETS = (
    Target("socket", lambda: _fake, _fake_seeds, bytes_max=LINE_BYTES_MAX, mutations=80),
    Target("daemon", _start, _calls, bytes_max=LINE_BYTES_MAX, mutations=0, seconds_max=20),
)
