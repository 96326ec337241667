"""``make soak``: simulated hours of whole workshops, seed after seed, until there are enough or a rule is broken."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from functools import partial
from itertools import count

from tests.simulation.run import Report, Setting, simulate

MEMORY_BYTES_MAX = 2 << 30  # of one process, however many seeds it has run
SHOW_EVERY_S = 60.0


def main() -> int:
    """Parse, run, print."""
    given = _arguments()
    if os.environ.get("PYTHONHASHSEED") != "0":  # the order of sets is part of what a seed decides
        os.environ["PYTHONHASHSEED"] = "0"
        os.execv(sys.executable, [sys.executable, "-m", "tests.simulation", *sys.argv[1:]])
    began_s = time.monotonic()
    total = Total()
    if given.seed is not None:
        total.add(simulate(_setting(given, given.seed), print))
    else:
        try:
            for report in _reports(given, began_s):
                total.add(report)
                total.show_now_and_then()
                if report.problems or total.hours >= given.hours:
                    break
        except KeyboardInterrupt:
            print("stopped: the seeds under way do not count", flush=True)
    return total.conclude(given, time.monotonic() - began_s)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--hours", type=float, default=200.0, help="simulated workshop-hours in all")
    parser.add_argument("--seconds", type=float, help="begin no seed after so many seconds of real time")
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--seed", type=int, help="replay this one alone, with its event log")
    parser.add_argument("--span", type=float, default=10.0, help="hours of work and faults per seed; calm follows")
    parser.add_argument("--requests", type=float, default=1.0, help="per hour")
    parser.add_argument("--faults", type=float, default=6.0, help="per hour")
    parser.add_argument("--centres", type=int, choices=(3, 4, 5), help="by default as the seed has it, 3 or 4")
    parser.add_argument("--jobs", type=int, default=max(1, (os.cpu_count() or 1)), help="processes")
    return parser.parse_args()


def _setting(given: argparse.Namespace, seed: int) -> Setting:
    return Setting(
        seed,
        given.span,
        given.requests,
        given.faults,
        centres=given.centres,
    )


def _reports(given: argparse.Namespace, began_s: float) -> Iterator[Report]:
    """Seed after seed, as many at once as there are processes."""
    seeds = count(given.first_seed)
    spawning = multiprocessing.get_context("spawn")  # a fresh interpreter, so that nothing is inherited
    deaf = partial(signal.signal, signal.SIGINT, signal.SIG_IGN)  # a keyboard's goes to all of them
    with ProcessPoolExecutor(given.jobs, mp_context=spawning, initializer=deaf) as pool:
        under_way: set[Future[Report]] = set()
        try:
            while True:
                while len(under_way) < given.jobs and not _over(given, began_s):
                    under_way.add(pool.submit(simulate, _setting(given, next(seeds))))
                if not under_way:
                    return
                done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
        except KeyboardInterrupt:  # nobody who stops it wants to wait for what is under way
            for process in multiprocessing.active_children():
                process.terminate()
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _over(given: argparse.Namespace, began_s: float) -> bool:
    return given.seconds is not None and time.monotonic() - began_s > given.seconds


class Total:
    """What all seeds together have seen."""

    def __init__(self) -> None:
        self.hours = 0.0
        self.counts: Counter[str] = Counter()
        self.failed: list[Report] = []
        self._seeds = 0
        self._began_s = self._shown_s = time.monotonic()

    def add(self, report: Report) -> None:
        """One more."""
        self.hours += report.hours
        self.counts.update(report.counts)
        self._seeds += 1
        if report.problems:
            self.failed.append(report)

    def show_now_and_then(self) -> None:
        """So that somebody who waits knows."""
        now = time.monotonic()
        if now - self._shown_s > SHOW_EVERY_S:
            self._shown_s = now
            print(f"{self.hours:.0f} hours, {self._seeds} seeds, {now - self._began_s:.0f} s", flush=True)

    def conclude(self, given: argparse.Namespace, real_s: float) -> int:
        """Print it all; 1 if a rule was broken."""
        for name, number in sorted(self.counts.items()):
            print(f"{number:10,}  {name}")
        children, own = resource.getrusage(resource.RUSAGE_CHILDREN), resource.getrusage(resource.RUSAGE_SELF)
        memory = max(children.ru_maxrss, own.ru_maxrss) << 10
        print(
            f"{self.hours:,.1f} simulated workshop-hours in {self._seeds} seeds,"
            f" {self.counts['requests'] / max(self.hours, 1e-9):.2f} requests an hour;"
            f" {real_s:,.0f} s, {memory >> 20} MiB at most in one process"
        )
        for report in self.failed:
            print(*report.last, sep="\n")
            for problem in report.problems:
                print(f"seed {report.seed}: {problem}")
            print(f"replay: {sys.executable} -m tests.simulation --seed {report.seed} {_same(given)}")
            print(f"event log of it: {report.digest}")
        if memory > MEMORY_BYTES_MAX:
            print(f"memory: more than {MEMORY_BYTES_MAX >> 20} MiB")
        return 1 if self.failed or memory > MEMORY_BYTES_MAX else 0


def _same(given: argparse.Namespace) -> str:
    """The settings beside the seed, as they have to be given again."""
    parts = [f"--span {given.span:g} --requests {given.requests:g} --faults {given.faults:g}"]
    parts += [f"--centres {given.centres}"] if given.centres else []
    return " ".join(parts)


if __name__ == "__main__":
    sys.exit(main())
