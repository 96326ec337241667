"""A daemon as its unit runs it: what it tells the service manager, on a socket as that one's, from start to stop."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from tests.system.workshop import Daemon, lone

PATIENCE_S = 60.0
WATCHDOG_S = 3.0


@attrs.define(eq=False)
class Manager:
    """The end of ``$NOTIFY_SOCKET`` where a service manager listens: ``NotifyAccess=main``."""

    listener: socket.socket
    told: list[dict[str, str]] = attrs.field(factory=list)

    def until(self, key: str, *, of: int) -> dict[str, str]:
        """Take messages until one has that key; nobody but process ``of`` may send any."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            self.listener.settimeout(max(0.01, deadline - time.monotonic()))
            data, ancillary, _, _ = self.listener.recvmsg(4096, socket.CMSG_SPACE(12))
            (pid, _, _) = struct.unpack("iII", ancillary[0][2])
            assert pid == of, "another process spoke for the service"
            fields = dict(line.split("=", 1) for line in data.decode().split("\n"))
            self.told.append(fields)
            if key in fields:
                return fields


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", str(int(WATCHDOG_S * 1_000_000)))
        yield Manager(listener)


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    with lone(tmp_path / "w") as daemon:
        yield daemon


def levels(daemon: Daemon) -> int:
    """The high mark of triples in its configuration, as it tells it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(str(daemon.socket))
        connection.sendall(b'{"jsonrpc":"2.0","id":1,"method":"stock","params":{}}\n')
        with connection.makefile() as lines:
            answer = json.loads(lines.readline())["result"]
    (row,) = [row for row in answer["rows"] if row["kind"] == "triple"]
    return int(row["high"])


async def test_from_ready_to_stopping(daemon: Daemon, manager: Manager) -> None:
    daemon.start()
    pid = daemon.running.pid
    ready = manager.until("READY", of=pid)
    assert ready["STATUS"] == "noord in workshop test"
    assert any(fields.get("STATUS") == "testing the kernels" for fields in manager.told)  # nothing is ready before that

    # Fed at least twice within what the manager allows, and only after loop and store have answered.
    times = []
    for _ in range(4):
        manager.until("WATCHDOG", of=pid)
        times.append(time.monotonic())
    assert times[-1] - times[0] < 3 * WATCHDOG_S / 2
    with daemon.frozen():
        manager.listener.settimeout(0.0)
        with contextlib.suppress(BlockingIOError):  # what was on its way
            while True:
                manager.listener.recv(4096)
        manager.listener.settimeout(WATCHDOG_S / 2)
        with pytest.raises(TimeoutError):  # one that hangs feeds nobody
            manager.listener.recv(4096)

    # A reload is all of a file, or nothing, and says when it began by the manager's own clock.
    sound = daemon.config.read_text()
    assert levels(daemon) == 0
    for text, high in (
        (sound.replace("triples = { low = 0, high = 0 }", "triples = { low = 10, high = 70 }"), 70),
        (sound.replace("triples = { low = 0, high = 0 }", "triples = { low = 10, high = 90 }") + "[nonsense]\n", 70),
        (sound.replace("bits = { low = 0, high = 0 }", "bits = { low = 9, high = 3 }"), 70),
        (sound, 0),
    ):
        daemon.config.write_text(text)
        asked_us = time.monotonic_ns() // 1000
        os.kill(pid, signal.SIGHUP)
        reloading = manager.until("RELOADING", of=pid)
        assert asked_us <= int(reloading["MONOTONIC_USEC"]) <= time.monotonic_ns() // 1000
        manager.until("READY", of=pid)
        assert levels(daemon) == high
    assert daemon.words().count("reload refused") == 2

    daemon.running.terminate()
    manager.until("STOPPING", of=pid)
    assert daemon.reap() == 0
    assert "READY" not in manager.told[-1]
