"""The sd_notify protocol, against a datagram socket as systemd's."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from nskd.notify import Notifier, NotifyError


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "notify"))
        receiver.setblocking(False)
        yield receiver


def receive(receiver: socket.socket) -> dict[str, str]:
    """Read one message the way the manager does: lines of KEY=VALUE."""
    return dict(line.split("=", 1) for line in receiver.recv(4096).decode().split("\n"))


def connect(receiver: socket.socket, **more: str) -> Notifier:
    name = receiver.getsockname()
    return Notifier.from_environment({"NOTIFY_SOCKET": name, **more}, clock_ns=lambda: 123_456_789_000)


def test_the_messages(systemd: socket.socket) -> None:
    notifier = connect(systemd)
    assert notifier.enabled
    assert notifier.ready("3 peers")
    assert receive(systemd) == {"READY": "1", "STATUS": "3 peers"}
    assert notifier.ready()
    assert receive(systemd) == {"READY": "1"}
    assert notifier.status("line 1\nREADY=1\x00")
    assert receive(systemd) == {"STATUS": "line 1 READY=1 "}
    assert notifier.status("é" * 1000)
    assert len(receive(systemd)["STATUS"]) == 200
    assert notifier.reloading()
    assert receive(systemd) == {"RELOADING": "1", "MONOTONIC_USEC": "123456789"}
    assert notifier.watchdog()
    assert receive(systemd) == {"WATCHDOG": "1"}
    assert notifier.stopping("draining")
    assert receive(systemd) == {"STOPPING": "1", "STATUS": "draining"}
    notifier.close()
    notifier.close()
    assert not notifier.ready()


def test_an_abstract_socket() -> None:
    name = f"nskd-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind("\0" + name)
        notifier = Notifier.from_environment({"NOTIFY_SOCKET": "@" + name})
        assert notifier.ready()
        assert receive(receiver) == {"READY": "1"}
        notifier.close()


def test_without_systemd() -> None:
    notifier = Notifier.from_environment({})
    assert not notifier.enabled
    assert notifier.watchdog_s is None
    assert not notifier.ready("nobody hears")
    notifier.close()


@pytest.mark.parametrize(
    ("environment", "watchdog_s"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "60000000"}, 30.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_watchdog(systemd: socket.socket, environment: dict[str, str], watchdog_s: float | None) -> None:
    notifier = connect(systemd, **environment)
    assert notifier.watchdog_s == watchdog_s
    notifier.close()


@pytest.mark.parametrize("address", ["relative", "@", "vsock:2:1234", "/nonexistent/notify"])
def test_an_address_that_cannot_be(address: str) -> None:
    with pytest.raises(NotifyError, match=r"\$NOTIFY_SOCKET"):
        Notifier.from_environment({"NOTIFY_SOCKET": address})


def test_a_manager_that_does_not_read_stops_nobody(systemd: socket.socket) -> None:
    notifier = connect(systemd)
    sent = 0
    while notifier.watchdog():
        sent += 1
    assert sent > 0
    systemd.close()
    assert not notifier.ready()
    notifier.close()
