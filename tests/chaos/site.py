"""Five centres on machines of their own, with a standing policy each, laid out and not yet started."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import attrs

from nskd.control import steward_key
from nskd.governance.own_policy import SIGNATURE_SUFFIX
from nskd.governance.standing_policy import NAMESPACE
from nskd.packs.pack import load_pack
from tests.chaos.namespaces import MTU_JUMBO, Network, missing, network
from tests.ports import free_ports
from tests.system.workshop import (
    NO_STOCK,
    THRESHOLD,
    Daemon,
    Plan,
    Seat,
    Workshop,
    charter_text,
    sign,
    write_config,
)

NAMES: Final = ("noord", "oost", "midden", "west", "zuid")
PORT: Final = 7443
VISITS: Final = 400  # of each centre
DIFFERENCING: Final = 1  # earlier table; each more costs some ten thousand bits a request
POLICY_PER_MONTH: Final = 100  # the most that a standing policy may approve
STOCK: Final = "".join(
    f'{kind} = {{ low = "{low}", high = "{high}" }}\n'
    for kind, low, high in (("triples", "25k", "75k"), ("bits", "100k", "300k"), ("masks", "1k", "10k"))
)


@attrs.define(eq=False)
class Site:
    """The workshop, and the network between its machines; without one they share the loopback address."""

    workshop: Workshop
    network: Network | None
    without: str | None  # why there is no network

    @property
    def daemons(self) -> list[Daemon]:
        return self.workshop.daemons

    @property
    def extracts(self) -> list[Path]:
        return [daemon.directory / "visits.csv" for daemon in self.daemons]


@contextlib.contextmanager
def site(
    directory: Path,
    seed: int,
    names: tuple[str, ...] = NAMES,
    *,
    visits: int = VISITS,
    stock: str = NO_STOCK,
    mtu: int = MTU_JUMBO,
) -> Iterator[Site]:
    """Keys, charter, policies, extracts and configuration on disk, and the network up; stops what was started in it."""
    without = missing()
    with contextlib.ExitStack() as stack:
        joined = None if without else stack.enter_context(network([_host(name) for name in names], seed, mtu=mtu))
        workshop = Workshop(directory, load_pack("nsk"))
        stack.callback(workshop.reap)
        ports = free_ports(len(names)) if joined is None else [PORT] * len(names)
        for place, (name, port) in enumerate(zip(names, ports, strict=True)):
            seat = Seat()
            if joined is not None:
                seat = Seat(_host(name), "0.0.0.0", joined.machines[place].command)
            daemon = workshop.add(Plan(name), port, visits=visits, seat=seat)
            policy = _standing_policy(daemon, names)
            governance = f'[governance]\nstanding_policy = "{policy}"\n'
            write_config(daemon, charter=workshop.charter, stock=stock, more=governance)
        text = charter_text(workshop.pack, workshop.daemons, rules=f"differencing = {DIFFERENCING}\n")
        workshop.charter.write_text(text)
        sign(workshop.charter, workshop.daemons)
        yield Site(workshop, joined, without)


def _host(name: str) -> str:
    return f"{name}.test"


def _standing_policy(daemon: Daemon, names: tuple[str, ...]) -> Path:
    """Covers every table without a filter, as many as a policy may in a month."""
    variables = sorted(load_pack("nsk").codebook.variables)
    path = daemon.directory / "standing-policy.toml"
    path.write_text(
        f'title = "Plain tables"\nworkshop = "test"\ncentre = "{daemon.name}"\nkinds = ["table"]\n'
        f'purposes = ["research", "improvement"]\nrequesters = {json.dumps(names)}\n'
        f"variables = {json.dumps(variables)}\nthreshold_min = {THRESHOLD}\nmargins = true\n"
        f"per_month = {POLICY_PER_MONTH}\nvalid_until = 2099-12-31\n"
    )
    signed = steward_key.sign(daemon.steward_key, path.read_bytes(), namespace=NAMESPACE)
    path.with_name(path.name + SIGNATURE_SUFFIX).write_text(signed)
    return path
