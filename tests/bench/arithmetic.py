"""Rounds, products and comparisons by one process per party over encrypted loopback connections (:mod:`.party`)."""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec
import trio

from nskd.config import load_config
from nskd.governance.charter import load_charter
from nskd.sandbox.layout import CentreFiles
from protocol.material import Cost
from protocol.offline.factory import Product
from tests.bench.exercises import COMPARISON_BITS, ROUND_ELEMENTS, Account, Exercise
from tests.bench.figures import BenchError, Figure, Findings, Traffic
from tests.bench.party import Setup

NAMED_VECTOR: Final = 1_000_000  # the size whose figure has the plain name
NAMED_COMPARISONS: Final = 10_000
PATIENCE_S: Final = 300.0
_READ_BYTES: Final = 1 << 16

ROUND: Final = Exercise("round", ROUND_ELEMENTS, 1000)
VECTORS: Final = (
    Exercise("multiply", 10_000_000, 1, dealt=True),
    Exercise("multiply", 1_000_000, 3),
    Exercise("multiply", 100_000, 5),
    Exercise("multiply", 10_000, 20),
    Exercise("multiply", 1_000, 50),
)
COMPARISONS: Final = (
    Exercise("compare", 100_000, 1, dealt=True),
    Exercise("compare", 10_000, 4),
    Exercise("compare", 1_000, 5),
)
Taker = Callable[[Account], None]
_RATES: Final = {"multiply": "mults_per_s", "compare": "comparisons_online_per_s"}


def stock_for(exercises: Sequence[Exercise]) -> dict[Product, int]:
    """What has to be in stock before."""
    cost = sum((exercise.stock for exercise in exercises), Cost())
    need = {Product.TRIPLES: cost.triples, Product.BITS: cost.bits}
    return {product: count for product, count in need.items() if count}


def addresses(files: Sequence[CentreFiles]) -> list[tuple[str, int]]:
    """Where the centres listen, by their charter."""
    charter = load_charter(load_config(files[0].config).workshop.charter)
    return [(centre.address.host, centre.address.port) for centre in charter.centres]


async def measure(
    files: Sequence[CentreFiles],
    exercises: Sequence[Exercise],
    where: Sequence[tuple[str, int]],
    prefixes: Sequence[Sequence[str]] = (),
) -> list[list[Account]]:
    """Have the centres' stand-ins go through ``exercises``; returns the accounts of all parties for each.

    The daemons must not be running.  ``prefixes``, if given, are what each process is started with.
    """
    accounts: dict[int, list[Account]] = {number: [] for number in range(len(exercises))}
    reported = trio.Event()

    def take(account: Account) -> None:
        accounts[account.exercise].append(account)
        if all(len(told) == len(files) for told in accounts.values()):
            reported.set()

    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            for index, centre in enumerate(files):
                setup = Setup(str(centre.config), str(centre.credentials), list(where), list(exercises))
                prefix = prefixes[index] if prefixes else ()
                nursery.start_soon(_stand_in, centre, prefix, setup, take, reported)
    return list(accounts.values())


async def _stand_in(
    centre: CentreFiles, prefix: Sequence[str], setup: Setup, take: Taker, reported: trio.Event
) -> None:
    log = centre.directory / "party.log"
    with log.open("ab") as errors:
        process = await trio.lowlevel.open_process(
            [*prefix, sys.executable, "-m", "tests.bench.party"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            process_group=0,  # Ctrl-C is for the benchmark, which then ends its parties
        )
    assert process.stdin is not None and process.stdout is not None
    try:
        await process.stdin.send_all(msgspec.json.encode(setup) + b"\n")
        told = 0
        pending = b""
        while told < len(setup.exercises):
            data = await process.stdout.receive_some(_READ_BYTES)
            if not data:
                raise BenchError(
                    f"a party ended early: {_last_line(log)}",
                    where=f"centre {centre.name}",
                    remedy="Correct that and run the benchmark again.",
                )
            *lines, pending = (pending + data).split(b"\n")
            for line in lines:
                take(msgspec.json.decode(line, type=Account))
                told += 1
        await reported.wait()
        await process.stdin.aclose()
        await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            with trio.CancelScope(shield=True):
                await process.wait()


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it left no log"


def note(exercises: Sequence[Exercise], accounts: Sequence[Sequence[Account]], findings: Findings) -> None:
    """Add the figures of all exercises, and the traffic of those that have plain names."""
    for exercise, told in zip(exercises, accounts, strict=True):
        traffic = traffic_of(exercise, told)
        if exercise.kind == "round":
            findings.figures.append(_round_figure(exercise, told))
            continue
        findings.figures.append(_rate_figure(exercise, told, traffic))
        if exercise.count in (NAMED_VECTOR, NAMED_COMPARISONS) and "@" not in traffic.name:
            findings.figures.append(msgspec.structs.replace(findings.figures[-1], name=traffic.name))
            findings.traffic.append(traffic)


def seconds_of(told: Sequence[Account]) -> float:
    """One repeat of an exercise at the slowest party, the MAC check spread over all repeats."""
    return max((sum(account.seconds) + account.check_s) / len(account.seconds) for account in told)


def traffic_of(exercise: Exercise, told: Sequence[Account]) -> Traffic:
    """One repeat; under its plain name at the size that is named so."""
    name = _RATES.get(exercise.kind, "round_ms")
    named = {"multiply": NAMED_VECTOR, "compare": NAMED_COMPARISONS, "round": exercise.count}[exercise.kind]
    rounds = max(account.rounds for account in told) // exercise.repeats
    sent = max(account.bytes_sent for account in told) // exercise.repeats
    label = name if exercise.count == named else f"{name}@{exercise.count}"
    return Traffic(label, len(told), exercise.count, seconds_of(told), rounds, sent)


def _rate_figure(exercise: Exercise, told: Sequence[Account], traffic: Traffic) -> Figure:
    take_s = max(account.take_s for account in told) / exercise.repeats
    source = "dealt material" if exercise.dealt else f"stock, taken beforehand in {take_s:.2g} s"
    what = {"multiply": "a vector", "compare": f"{COMPARISON_BITS}-bit, at once"}[exercise.kind]
    said = (
        f"{exercise.count:,} {what}: {traffic.seconds * 1e3:.3g} ms, {traffic.rounds} rounds,"
        f" {traffic.bytes_sent / exercise.count:.3g} B each sent by a party; MAC check included; {source}"
    )
    name = f"{_RATES[exercise.kind]}@{exercise.count}"
    return Figure(name, len(told), exercise.count / traffic.seconds, "1/s", said)


def _round_figure(exercise: Exercise, told: Sequence[Account]) -> Figure:
    median = max(statistics.median(account.seconds) for account in told)
    p95 = max(statistics.quantiles(account.seconds, n=20)[-1] for account in told)
    said = f"median of {exercise.repeats} openings of {exercise.count} elements; 19 of 20 within {p95 * 1e3:.2f} ms"
    return Figure("round_ms", len(told), median * 1e3, "ms", said)


def with_offline(findings: Findings, parties: int, offline: Cost) -> list[Figure]:
    """Comparisons per second when making their material is counted: the parts' times, one after the other."""
    online = findings.value("comparisons_online_per_s", parties)
    triples, bits = (findings.value(f"{kind}_per_s", parties) for kind in ("triples", "bits"))
    if online is None or triples is None or bits is None:
        return []
    each = offline.triples / NAMED_COMPARISONS, offline.bits / NAMED_COMPARISONS
    seconds = each[0] / triples + each[1] / bits + 1 / online
    said = f"{COMPARISON_BITS}-bit: {each[0]:.0f} triples and {each[1]:.0f} bits each, at the rates above, and online"
    return [Figure("comparisons_per_s", parties, 1 / seconds, "1/s", said)]
