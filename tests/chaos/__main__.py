"""``make chaos``: everything from one seed, which is printed, and a table in the end; exit 1 if anything is amiss."""

from __future__ import annotations

import argparse
import resource
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
from tests.chaos.storm import FAULTS_LOG, Storm, releases

EVERY_S: Final = 6.0  # between faults, in the mean
MINUTES: Final = 120.0  # 300 requests take about half of that on two cores with nothing else to do


def main() -> int:
    """Run, check, and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos")
    parser.add_argument("--requests", type=int, default=300)
    parser.add_argument("--centres", type=int, choices=range(3, len(NAMES) + 1), default=len(NAMES))
    parser.add_argument("--seed", type=int, default=secrets.randbits(32))
    parser.add_argument("--every", type=float, default=EVERY_S, metavar="SECONDS", help="between faults, in the mean")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="give up after so long")
    parser.add_argument("--keep", type=Path, help="work in this new directory, and keep it")
    options = parser.parse_args()
    directory = options.keep or Path(tempfile.mkdtemp(prefix="nskd-chaos-"))
    directory.mkdir(parents=True, exist_ok=True)
    again = (
        f"python -m tests.chaos --seed {options.seed} --requests {options.requests} --centres {options.centres}"
        f" --every {options.every:g}"
    )
    print(f"{again}\nat most {options.minutes:g} minutes, in {directory}", flush=True)
    with site(directory, options.seed, NAMES[: options.centres], stock=STOCK) as made:
        broken = trio.run(_until_told, made, options)
    if broken is None:
        print(f"stopped; all files are in {directory}", flush=True)
        return 130
    if broken:
        print(f"\nFAILED: {len(broken)} things are not as they should be:", flush=True)
        for sentence in broken:
            print(f"  {sentence}")
        print(f"all files are in {directory}: {FAULTS_LOG}, and of each centre its `log` and `state`")
        print(f"the same requests and faults: {again}", flush=True)
        return 1
    print(
        "\nPASSED: nothing lost, nothing released twice or wrongly, every request done or refused with a reason, no"
        " stock used twice, every log in order",
        flush=True,
    )
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
    asked = [item for item in items if item.digest is not None]
    released = await releases(made.daemons, asked)
    storm.tell(f"checking {len(released)} releases against plain counting, and all logs")
    peaks = {follower.daemon.name: follower.peak_kib for follower in storm.followers}
    for daemon in made.daemons:
        daemon.running.terminate()
        if (status := await trio.to_thread.run_sync(daemon.reap)) != 0:
            broken.append(f"{daemon.name} did not stop in good order: {status}")
    broken += _judged(made, storm, released, peaks)
    _table(storm, released, peaks)
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


def _table(storm: Storm, released: Mapping[str, dict[str, Any]], peaks: Mapping[str, int]) -> None:
    account = storm.account
    print()
    _counts("requests, at the centre that asked", Counter(_ending(item) for item in storm.items))
    again = Counter({"asked again by an operator": sum(item.asked_again for item in storm.items)})
    again["withdrawn, and submitted once more"] = sum(item.withdrawn for item in storm.items)
    again["releases checked against plain counting"] = len(released)
    again["cells shown"] = sum(cell["value"] is not None for each in released.values() for cell in each["cells"])
    _counts("of these", again)
    _counts("faults", account.faults)
    _counts("killed while at", account.phases)
    _counts("started again", account.restarts)
    _counts("most memory of a process, MiB", Counter({name: kib // 1024 for name, kib in peaks.items()}))
    times = {"lulls, for want of progress": account.lulls, "seconds in all": round(account.seconds)}
    daemons = resource.getrusage(resource.RUSAGE_CHILDREN)  # those that have ended, as all have
    times["seconds of processor, daemons"] = round(daemons.ru_utime + daemons.ru_stime)
    times["seconds of processor, packets and checks"] = round(time.process_time())
    _counts("time", Counter(times))


def _ending(item: workload.Item) -> str:
    reason = item.reason.partition(";")[0][:70]
    if item.ending == "refused" and not item.withdrawn:
        return "refused by a steward"
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
