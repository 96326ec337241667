"""``make soak-sabotage``: every deliberate defect must be found, and as what it is."""

from __future__ import annotations

import argparse
import os
import sys
import time

from tests.simulation.sabotage import joint, records, running
from tests.simulation.sabotage.defect import Defect

DEFECTS = (*joint.DEFECTS, *records.DEFECTS, *running.DEFECTS)


def main() -> int:
    """One line for each; 1 if one was not found."""
    given = _arguments()
    if os.environ.get("PYTHONHASHSEED") != "0":  # the order of sets is part of what a seed decides
        os.environ["PYTHONHASHSEED"] = "0"
        os.execv(sys.executable, [sys.executable, "-m", "tests.simulation.sabotage", *sys.argv[1:]])
    wanted = [each for each in DEFECTS if not given.names or each.name in given.names]
    missed = [each.name for each in wanted if not _found(each, given)]
    print(f"{len(wanted) - len(missed)} of {len(wanted)} found" + (f"; not: {', '.join(missed)}" if missed else ""))
    return 1 if missed else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.sabotage", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="of defects; all by default")
    parser.add_argument("--hours", type=float, default=3.0, help="of work and faults per seed; calm follows")
    parser.add_argument("--seeds", type=int, default=8, help="after which a defect counts as not found")
    parser.add_argument("--first-seed", type=int, default=1)
    return parser.parse_args()


def _found(defect: Defect, given: argparse.Namespace) -> bool:
    began_s, hours = time.monotonic(), 0.0
    for seed in range(given.first_seed, given.first_seed + given.seeds):
        report = defect.simulate(defect.setting(seed, given.hours))
        hours += report.hours
        if report.problems:
            right = defect.explains(report.problems[0])
            found = "found" if right else "FOUND AS SOMETHING ELSE"
            after = f"seed {seed}, {hours:.1f} h, {time.monotonic() - began_s:.0f} s"
            print(f"{defect.name}: {defect.what}: {found} ({after}): {report.problems[0]}", flush=True)
            return right
    print(f"{defect.name}: {defect.what}: NOT FOUND in {given.seeds} seeds, {hours:.1f} h", flush=True)
    return False


if __name__ == "__main__":
    sys.exit(main())
