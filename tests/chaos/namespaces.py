"""A network of its own for each centre: a namespace with one TUN device, joined to the others by the router.

Needs root, ``ip`` and ``/dev/net/tun``; :func:`missing` says what is not there.  Nothing of it reaches the machine's
own network, and all of it is gone when the block ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import shutil
import socket
import struct
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import attrs

from tests.chaos.network import Place, Router

_TUNSETIFF: Final = 0x400454CA  # linux/if_tun.h
_IFF_TUN, _IFF_NO_PI = 0x0001, 0x1000
_SUBNET: Final = "10.213.0"
_MOVED: Final = 100  # added to the last part of an address when a centre moves
_QUEUE_PACKETS: Final = 10_000  # the router shares two cores with the daemons; it is slow, and loses nothing for it
MTU_JUMBO: Final = 9_000  # few packets, for bulk
MTU_ETHERNET: Final = 1_500


class NetworkError(Exception):
    """The network could not be made."""


def missing() -> str | None:
    """Why no namespaces can be made here, or None."""
    if os.geteuid() != 0:
        return "network namespaces take root"
    if shutil.which("ip") is None:
        return "there is no `ip`; install iproute2"
    if not Path("/dev/net/tun").exists():
        return "the kernel offers no /dev/net/tun"
    name = f"nskd-try-{os.getpid()}"
    try:
        _ip("netns", "add", name)
        _ip("netns", "del", name)
    except NetworkError as error:
        return f"no network namespace can be made: {error}"
    return None


@attrs.define(eq=False)
class Machine:
    """One centre's network: its namespace, where it is, and the name under which the others know it."""

    place: Place
    name: str
    namespace: str
    device: str
    descriptor: int
    mtu: int
    moved: bool = False

    @property
    def address(self) -> str:
        return f"{_SUBNET}.{self.place + 1 + self.moved * _MOVED}"

    @property
    def command(self) -> tuple[str, ...]:
        """To be put before a command that is to run there."""
        return ("ip", "netns", "exec", self.namespace)

    def configure(self) -> None:
        _ip("-n", self.namespace, "addr", "flush", "dev", self.device)
        _ip("-n", self.namespace, "addr", "add", f"{self.address}/24", "dev", self.device)


@attrs.define(eq=False)
class Network:
    """All machines and the router between them."""

    machines: list[Machine]
    router: Router

    def addresses(self) -> dict[bytes, Place]:
        return {socket.inet_aton(machine.address): machine.place for machine in self.machines}

    def move(self, place: Place, *, names: bool) -> None:
        """Give one machine another address, at once; ``names``: and have its name lead there."""
        machine = self.machines[place]
        machine.moved = not machine.moved
        machine.configure()
        self.router.readdress(self.addresses())
        if names:
            self.tell_names()

    def tell_names(self) -> None:
        """Have every machine find all others by name."""
        text = "127.0.0.1 localhost\n" + "".join(f"{each.address} {each.name}\n" for each in self.machines)
        for machine in self.machines:
            path = _hosts(machine.namespace)
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("r+" if path.exists() else "w") as file:  # in place: daemons have this very file before them
                file.write(text)
                file.truncate()


@contextlib.contextmanager
def network(names: Sequence[str], seed: int, *, mtu: int = MTU_JUMBO) -> Iterator[Network]:
    """A machine for each name, joined; ``seed`` decides which packets a lossy way loses."""
    with contextlib.ExitStack() as stack:
        machines = [stack.enter_context(_machine(place, name, mtu)) for place, name in enumerate(names)]
        router = Router({machine.place: machine.descriptor for machine in machines}, random.Random(seed))
        made = Network(machines, router)
        router.readdress(made.addresses())
        made.tell_names()
        router.start()
        stack.callback(router.close)
        yield made


@contextlib.contextmanager
def _machine(place: Place, name: str, mtu: int) -> Iterator[Machine]:
    namespace, device = f"nskd-{os.getpid()}-{place}", f"nk{os.getpid() % 10**7}-{place}"
    _ip("netns", "add", namespace)
    descriptor = -1
    try:
        descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
        fcntl.ioctl(descriptor, _TUNSETIFF, struct.pack("16sH22x", device.encode(), _IFF_TUN | _IFF_NO_PI))
        _ip("link", "set", device, "netns", namespace)
        machine = Machine(place, name, namespace, device, descriptor, mtu)
        _ip("-n", namespace, "link", "set", "lo", "up")
        _ip("-n", namespace, "link", "set", device, "mtu", str(mtu), "txqueuelen", str(_QUEUE_PACKETS), "up")
        machine.configure()
        yield machine
    finally:
        if descriptor >= 0:
            os.close(descriptor)  # the device goes with it
        _ip("netns", "del", namespace)
        shutil.rmtree(_hosts(namespace).parent, ignore_errors=True)


def _hosts(namespace: str) -> Path:
    return Path("/etc/netns") / namespace / "hosts"  # `ip netns exec` puts it before /etc/hosts


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise NetworkError(f"ip {' '.join(words)}: {done.stderr.strip()}")
