"""``make fuzz``: every target for its share of the time, then a table; and what to do with what was found.

::

    python -m tests.fuzz hunt --minutes 60 [TARGET ...]     all targets, or these
    python -m tests.fuzz replay TARGET FILE ...             one input, without a fuzzer
    python -m tests.fuzz keep [TARGET ...]                  into the corpus what reaches more code than the corpus does

What hunts find lies under ``build/fuzz`` and is where the next one goes on.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import attrs

from .catalogue import CORPUS, NAMES, corpus, find
from .mutate import words_of

BUILD: Final = Path("build") / "fuzz"
PROCESSES_MAX: Final = 2
GRACE_S: Final = 90  # to import, to instrument, to see the last input through
KEPT_MAX: Final = 40  # files of a target in the corpus
KEEPING_S: Final = 4.0  # of work; tracing is slow
_COUNTED: Final = re.compile(rb"cov: (\d+) ft: (\d+) corp: (\d+)")
_RUNS: Final = re.compile(rb"stat::number_of_executed_units:\s+(\d+)")
_LAST: Final = re.compile(rb"^#(\d+)\s", re.MULTILINE)


@attrs.frozen
class Hunted:
    """What came of one target; ``edges`` and ``features`` are libFuzzer's count of what was reached."""

    name: str
    runs: int
    seconds: float
    edges: int
    features: int
    inputs: int
    status: int
    crashes: tuple[Path, ...]

    @property
    def failed(self) -> bool:
        """Whether anything but the end of the time ended it."""
        return self.status != 0 or bool(self.crashes)

    def row(self) -> str:
        """One line of the table."""
        pace = self.runs / self.seconds if self.seconds else 0
        said = f"{len(self.crashes) or 'ended early'}" if self.failed else "0"
        return (
            f"{self.name:<12} {self.runs:>10} {self.seconds:>8.0f} {pace:>8.0f}"
            f" {self.edges:>7} {self.features:>9} {self.inputs:>7}  {said}"
        )


HEAD: Final = (
    f"{'target':<12} {'runs':>10} {'seconds':>8} {'runs/s':>8} {'edges':>7} {'features':>9} {'inputs':>7}  crashes"
)


def hunt(name: str, seconds: int) -> Hunted:
    """Run one target in a process of its own."""
    place, seeds = BUILD / name, BUILD / f"{name}.seeds"
    for directory in (place, seeds):
        directory.mkdir(parents=True, exist_ok=True)
    samples = [*find(name).seeds(), *corpus(name)]
    for number, data in enumerate(samples):
        (seeds / f"{number:03}").write_bytes(data)
    words = BUILD / f"{name}.dict"
    words.write_text("".join(f'"{_escaped(word)}"\n' for word in words_of(samples)))
    prefix = BUILD / f"{name}.found."
    before = set(BUILD.glob(f"{prefix.name}*"))
    flags = [f"-max_total_time={seconds}", "-print_final_stats=1", "-len_control=10"]
    flags += [f"-dict={words}"] if words.stat().st_size else []
    command = [sys.executable, "-m", "tests.fuzz.hunt", name, *flags, f"-artifact_prefix={prefix}", place, seeds]
    log, begun = BUILD / f"{name}.log", time.monotonic()
    with log.open("wb") as output:
        try:
            status = subprocess.run(
                command, stdout=output, stderr=output, timeout=seconds + GRACE_S, check=False
            ).returncode
        except subprocess.TimeoutExpired:
            status = -1
    said = log.read_bytes()
    counted = _COUNTED.findall(said)
    edges, features, inputs = (int(each) for each in counted[-1]) if counted else (0, 0, 0)
    runs = [int(each) for each in (_RUNS.findall(said) or _LAST.findall(said))]
    crashes = tuple(sorted(set(BUILD.glob(f"{prefix.name}*")) - before))
    return Hunted(name, max(runs, default=0), time.monotonic() - begun, edges, features, inputs, status, crashes)


def _escaped(word: bytes) -> str:
    return "".join(chr(b) if 32 <= b < 127 and b not in b'"\\' else f"\\x{b:02x}" for b in word)


def hunt_all(names: Sequence[str], minutes: float, processes: int) -> bool:
    """All of them; whether nothing was found."""
    share = max(1, round(60 * minutes * processes / len(names)))
    print(f"{len(names)} targets, {share} s each, {processes} at a time\n{HEAD}", flush=True)
    with ThreadPoolExecutor(processes) as pool:
        results = []
        for result in pool.map(lambda name: hunt(name, share), names):
            results.append(result)
            print(result.row(), flush=True)
    runs, seconds = sum(each.runs for each in results), sum(each.seconds for each in results)
    print(f"{'all':<12} {runs:>10} {seconds:>8.0f}")
    for each in results:
        for path in each.crashes:
            print(f"\n{each.name}: to see it again:\n  {sys.executable} -m tests.fuzz replay {each.name} {path}")
        if each.failed and not each.crashes:
            print(f"\n{each.name} ended early (status {each.status}): see {BUILD / each.name}.log")
    return not any(each.failed for each in results)


def replay_files(name: str, paths: Sequence[str]) -> None:
    """Let what is raised come out as it is."""
    check = find(name).make()
    for path in paths:
        data = Path(path).read_bytes()
        print(f"{path}: {len(data)} bytes: {data[:300]!r}")
        check(data)
    print("nothing is wrong with it")


def keep(name: str) -> int:
    """Add to the corpus, smallest first, what reaches lines that nothing before it does; how many were added."""
    target = find(name)
    check = target.make()
    reached: set[tuple[str, int]] = set()

    def lines(data: bytes) -> set[tuple[str, int]]:
        seen: set[tuple[str, int]] = set()

        def local(frame, event, argument):  # type: ignore[no-untyped-def]
            seen.add((frame.f_code.co_filename, frame.f_lineno))
            return local

        def trace(frame, event, argument):  # type: ignore[no-untyped-def]
            here = frame.f_code.co_filename
            return local if "/nskd/" in here or "/protocol/" in here or "tomllib" in here else None

        sys.settrace(trace)
        try:
            check(data)
        except Exception as error:
            print(f"{name}: {data[:80]!r} raises {error!r}")
        finally:
            sys.settrace(None)
        return seen

    directory = CORPUS / name
    directory.mkdir(parents=True, exist_ok=True)
    have = corpus(name)
    for data in have:
        reached |= lines(data)
    room, added = KEPT_MAX - len(have), 0
    fresh = list(target.seeds())
    fresh += [path.read_bytes() for path in sorted((BUILD / name).glob("*"), key=lambda path: path.stat().st_size)]
    until = time.process_time() + KEEPING_S
    for data in fresh:
        if added < room and time.process_time() < until and len(new := lines(data) - reached) > 0:
            reached |= new
            added += 1
            (directory / f"{len(have) + added:03}").write_bytes(data)
    return added


def main() -> None:
    """See the module's words."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    hunting = commands.add_parser("hunt")
    hunting.add_argument("--minutes", type=float, default=60)
    hunting.add_argument("--processes", type=int, choices=range(1, PROCESSES_MAX + 1), default=PROCESSES_MAX)
    hunting.add_argument("targets", nargs="*")
    replaying = commands.add_parser("replay")
    replaying.add_argument("target")
    replaying.add_argument("files", nargs="+")
    keeping = commands.add_parser("keep")
    keeping.add_argument("targets", nargs="*")
    given = parser.parse_args()
    match given.command:
        case "hunt":
            sys.exit(0 if hunt_all(given.targets or NAMES, given.minutes, given.processes) else 1)
        case "replay":
            replay_files(given.target, given.files)
        case _:
            for name in given.targets or NAMES:
                print(f"{name}: {keep(name)} added")


if __name__ == "__main__":
    main()
