"""The chaos run judges rightly: its network does what it says, and its invariants see what they are there for."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path as File

import attrs
import numpy as np
import pytest

from nskd.analysis.pairs import corresponding
from nskd.analysis.population import Population, differences, population
from nskd.analysis.table import TablePlan, plan_request
from nskd.governance.request_text import parse_request
from nskd.packs.pack import load_pack
from tests.chaos import faults, invariants, workload
from tests.chaos.faults import Kind
from tests.chaos.invariants import End
from tests.chaos.namespaces import MTU_ETHERNET, Network, missing, network
from tests.chaos.network import CLEAR, Path
from tests.chaos.workload import Item
from tests.system.oracle import Members, members, near_earlier, write_centres
from tests.system.workshop import THRESHOLD

# --- the network ------------------------------------------------------------------------------------------------------

_ECHO = """
import socket
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as echo:
    echo.bind(("0.0.0.0", 7000))
    print(flush=True)
    while True:
        words, sender = echo.recvfrom(2000)
        echo.sendto(words, sender)
"""
_PROBE = """
import socket, sys, time
name, count, patience = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
    began, back = time.monotonic(), 0
    for _ in range(count):
        probe.sendto(bytes(1000), (socket.gethostbyname(name), 7000))
    probe.settimeout(patience)
    try:
        while back < count:
            probe.recv(2000)
            back += 1
    except TimeoutError:
        pass
    print(back, time.monotonic() - began)
"""


@pytest.fixture(scope="module")
def two() -> Iterator[Network]:
    """Two machines; the second sends back what it is sent."""
    without = missing()
    if without:
        pytest.skip(without)
    with network(("a.test", "b.test"), 1, mtu=MTU_ETHERNET) as made:
        echo = subprocess.Popen([*made.machines[1].command, sys.executable, "-c", _ECHO], stdout=subprocess.PIPE)
        assert echo.stdout is not None
        with echo, echo.stdout:
            echo.stdout.readline()
            yield made
            echo.kill()


def probe(two: Network, count: int, patience_s: float) -> tuple[int, float]:
    """Send so many packets; how many came back, and after how long the last."""
    words = [sys.executable, "-c", _PROBE, "b.test", str(count), str(patience_s)]
    done = subprocess.run([*two.machines[0].command, *words], capture_output=True, text=True, check=True)
    back, seconds = done.stdout.split()
    return int(back), float(seconds)


def test_packets_pass_are_delayed_lost_shaped_and_cut(two: Network) -> None:
    assert probe(two, 20, 2.0)[0] == 20
    two.router.set([(0, 1)], Path(delay_s=0.15))
    back, seconds = probe(two, 1, 2.0)
    assert back == 1 and seconds >= 0.15
    two.router.set([(0, 1)], Path(loss=0.5))
    assert 60 < probe(two, 200, 0.3)[0] < 140
    two.router.set([(0, 1)], Path(bytes_per_s=50_000))
    back, seconds = probe(two, 20, 2.0)
    assert back == 20 and seconds >= 0.3  # 20 kB and headers
    two.router.set([(0, 1)], CLEAR)
    two.router.set([(1, 0)], Path(up=False))
    assert probe(two, 2, 0.3)[0] == 0
    two.router.clear()
    assert probe(two, 2, 2.0)[0] == 2


def test_a_machine_moves_and_its_name_leads_to_it(two: Network) -> None:
    before = two.machines[1].address
    two.move(1, names=False)
    assert two.machines[1].address != before
    assert probe(two, 1, 0.3)[0] == 0  # where it was
    two.tell_names()
    assert probe(two, 1, 2.0)[0] == 1


# --- what is drawn ----------------------------------------------------------------------------------------------------


def test_faults_and_requests_follow_from_the_seed() -> None:
    def first(seed: int, *, links: bool = True) -> list[faults.Fault]:
        return list(itertools.islice(faults.drawn(seed, 5, 8.0, links=links), 300))

    assert first(1) == first(1) != first(2)
    assert {fault.kind for fault in first(1)} == set(Kind)
    assert {fault.kind for fault in first(1, links=False)} == {Kind.KILL}
    assert all(1 <= len(fault.places) <= 2 and max(fault.places) < 5 for fault in first(1))
    items, again = list(workload.drawn(1, 5, 300)), list(workload.drawn(1, 5, 300))
    assert [(item.text, item.asking, item.refused_by) for item in items] == [
        (item.text, item.asking, item.refused_by) for item in again
    ]
    assert sum(item.by_policy for item in items) <= 100
    assert any(item.refused_by is not None for item in items)


# --- the reference ----------------------------------------------------------------------------------------------------


def test_near_tables_are_those_that_the_guard_would_find(tmp_path: File) -> None:
    """Plain sets of children against the daemon's own comparison, on small hospitals that have much in common."""
    rng = np.random.default_rng(5)
    codebook = load_pack("nsk").codebook
    files = write_centres(tmp_path, rng, 3, 40)
    found = 0
    for old, new in itertools.pairwise(workload.drawn(3, 3, 5)):
        now, then = members(files, new.question), members(files, old.question)
        plan, before = (plan_request(codebook, parse_request(item.text.encode())) for item in (new, old))
        pairs = corresponding(plan, before)
        apart = np.array(
            [
                differences(people(now, plan, centre), plan.shape, people(then, before, centre), before.shape, pairs)
                for centre in range(3)
            ]
        )
        sums = apart.sum(axis=0) - apart
        near = np.any((sums > 0) & (sums < THRESHOLD), axis=0)
        expected = [bool(near[pairs[0] == cell].any()) for cell in range(plan.size)]
        assert near_earlier(new.question, now, [(old.question, then)], THRESHOLD) == expected
        found += sum(expected)
    assert found > 0


def people(found: Members, plan: TablePlan, centre: int) -> Population:
    interior = found[: plan.shape.interior]
    rows = [(k, child, visits) for k, cell in enumerate(interior) for child, visits in cell[centre].items()]
    return population(rows, bytes(32))


# --- the invariants ---------------------------------------------------------------------------------------------------

DONE = End("done", "", False, b"r")


def item(number: int) -> Item:
    made = next(workload.drawn(number, 3, 1))
    made.number, made.digest = number, f"{number:02x}"
    return made


def lost(end: End | None, refused_by: int | None = None) -> list[str]:
    """What is said where one of three centres has a request so."""
    found = {"a": {"01": DONE}, "b": {"01": DONE}, "c": {} if end is None else {"01": end}}
    asked = item(1)
    asked.refused_by = refused_by
    return list(invariants.nothing_lost([asked], found))


def test_requests_that_are_lost_are_seen() -> None:
    assert lost(DONE) == []
    assert lost(End("refused", "refused by c", False, None), refused_by=2) == []
    assert "no steward was to refuse it" in lost(End("refused", "refused by c", False, None))[0]
    assert "no reason" in lost(End("refused", "", False, None), refused_by=2)[0]
    assert "failed at c: disconnected: west is gone" in lost(End("failed", "disconnected: west is gone", True, None))[0]
    assert "not known at c" in lost(None)[0]
    for state in ("submitted", "approved", "running"):
        assert f"still {state} at c" in lost(End(state, "", False, None))[0]
    assert "nobody says why" in lost(End("failed", "", False, None))[0]
    assert "without a result" in lost(End("done", "", False, None))[0]
    refused, stopped = End("refused", "refused by a", False, None), item(1)
    stopped.refused_by = 0
    assert list(invariants.nothing_lost([stopped], {"a": {"01": refused}, "b": {"01": refused}, "c": {}})) == []
    assert list(invariants.nothing_lost([stopped], {"a": {}, "b": {}})) == [
        f"{stopped.title} is not known at {name}" for name in "ab"
    ]
    asked = item(2)
    asked.digest = None
    assert "neither taken nor turned away" in next(invariants.nothing_lost([asked], {}))
    assert "nobody asked for" in next(invariants.nothing_lost([], {"a": {"03": DONE}}))


def test_results_that_differ_are_seen() -> None:
    def said(*results: str, held: bytes | None = b"r") -> list[str]:
        """One centre's audit log tells of these, and its ledger holds that."""
        entries = [{"event": "run.released", "request": "01", "result": result} for result in results]
        return list(invariants.released_once([item(1)], {"a": {"01": attrs.evolve(DONE, result=held)}}, {"a": entries}))

    here, other = b"r".hex(), b"s".hex()
    assert said(here) == said(here, here) == []  # repeated for a centre that lacked it
    assert "2 versions" in said(here, other)[0]
    assert "knows nothing" in said(other)[0]
    assert "knows nothing" in said()[0]
