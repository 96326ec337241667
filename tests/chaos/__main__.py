"""``make chaos``: everything from one seed, which is printed, and a table in the end; exit 1 if anything is amiss."""

from __future__ import annotations

import argparse
import math
import secrets
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import trio

from tests.chaos import faults, invariants, workload
from tests.chaos.site import NAMES, STOCK, Site, site
from tests.chaos.storm import Storm, releases

EVERY_S: Final = 8.0  # between faults, in the mean


def main() -> int:
    """Run, check, and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos")
    parser.add_argument("--requests", type=int, default=300)
    parser.add_argument("--centres", type=int, choices=range(3, len(NAMES) + 1), default=len(NAMES))
    parser.add_argument("--seed", type=int, default=secrets.randbits(32))
    parser.add_argument("--every", type=float, default=EVERY_S, metavar="SECONDS", help="between faults, in the mean")
    parser.add_argument("--minutes", type=float, default=math.inf, help="ask nothing more after so long")
    parser.add_argument("--keep", type=Path, help="work in this new directory, and keep it")
    options = parser.parse_args()
    directory = options.keep or Path(tempfile.mkdtemp(prefix="nskd-chaos-"))
    directory.mkdir(parents=True, exist_ok=True)
    print(
        f"seed {options.seed}, {options.requests} requests, a fault every {options.every:g} s, in {directory}",
        flush=True,
    )
    with site(directory, options.seed, NAMES[: options.centres], stock=STOCK) as made:
        broken = trio.run(_until_told, made, options)
    if broken is None:
        print(f"stopped; all files are in {directory}", flush=True)
        return 130
    if broken:
        print(f"\n{len(broken)} things are not as they should be (all files are in {directory}):", flush=True)
        for sentence in broken:
            print(f"  {sentence}")
        return 1
    print("\nnothing lost, nothing released twice or wrongly, no stock used twice, every log in order", flush=True)
    if options.keep is None:
        shutil.rmtree(directory)
    return 0


async def _until_told(made: Site, options: argparse.Namespace) -> list[str] | None:
    """What is amiss in the end; None when it was told to stop before that."""
    broken: list[str] | None = None
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:

            async def obey() -> None:
                async for _ in signals:
                    nursery.cancel_scope.cancel()

            nursery.start_soon(obey)
            broken = await _chaos(made, options)
            nursery.cancel_scope.cancel()
    return broken


async def _chaos(made: Site, options: argparse.Namespace) -> list[str]:
    if made.without:
        print(f"no faults of the network: {made.without}", flush=True)
    items = list(workload.drawn(options.seed, options.centres, options.requests))
    drawn = faults.drawn(options.seed, options.centres, options.every, links=made.network is not None)
    storm = Storm(made, items, drawn, _teller(), 60 * options.minutes)
    await storm.run()
    broken = [*storm.account.broken, *[sentence async for sentence in _ill(made)]]
    asked = storm.items = [item for item in items if item.ending is not None or item.digest is not None]
    released = await releases(made.daemons, asked)
    peaks = {follower.daemon.name: follower.peak_kib for follower in storm.followers}
    for daemon in made.daemons:
        daemon.running.terminate()
        if (status := await trio.to_thread.run_sync(daemon.reap)) != 0:
            broken.append(f"{daemon.name} did not stop in good order: {status}")
    broken += _judged(made, storm, released, peaks)
    _table(storm, options.requests, released, peaks)
    return broken


async def _ill(made: Site) -> AsyncIterator[str]:
    """Every daemon is there, ready, and connected with all others."""
    for daemon in made.daemons:
        status = await daemon.call("status")
        if status["state"] != "ready" or status["peers_up"] != status["peers"]:
            yield f"{daemon.name} is not well in the end: {status}"


def _judged(
    made: Site, storm: Storm, released: Mapping[str, dict[str, Any]], peaks: Mapping[str, int]
) -> Iterator[str]:
    found = invariants.ends(made.daemons)
    audits = {daemon.name: invariants.audit_entries(daemon) for daemon in made.daemons}
    yield from invariants.nothing_lost(storm.items, found)
    yield from invariants.released_once(storm.items, found, audits)
    yield from invariants.audits_verify(made.workshop)
    yield from invariants.used_once(made.daemons, storm.book)
    yield from invariants.in_good_order(made.daemons, peaks)
    yield from invariants.released_rightly(made.workshop, storm.items, released)


def _table(storm: Storm, count: int, released: Mapping[str, dict[str, Any]], peaks: Mapping[str, int]) -> None:
    account = storm.account
    print()
    if len(storm.items) < count:
        print(f"only {len(storm.items)} of {count} requests were asked in the time given")
    _counts("requests, at the centre that asked", Counter(_ending(item) for item in storm.items))
    again = Counter({"asked again by an operator": sum(item.asked_again for item in storm.items)})
    again["releases checked against plain counting"] = len(released)
    again["cells shown"] = sum(cell["value"] is not None for each in released.values() for cell in each["cells"])
    _counts("of these", again)
    _counts("faults", account.faults)
    _counts("killed while at", account.phases)
    _counts("started again", account.restarts)
    _counts("most memory of a process, MiB", Counter({name: kib // 1024 for name, kib in peaks.items()}))
    _counts("time", Counter({"lulls, for want of progress": account.lulls, "seconds": round(account.seconds)}))


def _ending(item: workload.Item) -> str:
    reason = item.reason.partition(";")[0][:70]
    return item.ending + (f": {reason}" if reason and item.ending != "done" else "") if item.ending else "open"


def _counts(heading: str, counts: Mapping[str, int]) -> None:
    print(heading)
    for name, count in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])):
        print(f"  {count:>8,}  {name}")


def _teller() -> Callable[[str], None]:
    began_s = time.monotonic()
    return lambda words: print(f"{time.monotonic() - began_s:7.1f} s  {words}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
