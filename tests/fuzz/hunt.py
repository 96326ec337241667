"""One target under atheris, guided by coverage, in a process of its own: ``python -m tests.fuzz.hunt TARGET …``.

libFuzzer's arguments go through as they are.  What is fuzzed is instrumented as it is imported; modules of compiled
kernels are not, because numba compiles what it is given.
"""

from __future__ import annotations

import resource
import sys
from pathlib import Path
from typing import Final

import atheris

from .catalogue import find
from .replay import tried

ROOT: Final = Path(__file__).parents[2]
HANG_S: Final = 30  # by the clock on the wall, on a machine that does other things; ``tried`` counts work
PACKAGES: Final = ("nskd", "protocol", "tomllib", "json")


def kernels() -> list[str]:
    """The modules that define compiled functions, or import them by name."""
    found = []
    for path in sorted((ROOT / "protocol").rglob("*.py")):
        if "_jit" in path.read_text() or path.parent.name == "lattice":
            found.append(".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"))
    return found


def main() -> None:
    """Hunt until the time is over or something is found."""
    name, *arguments = sys.argv[1:]
    sys.setrecursionlimit(1000)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with atheris.instrument_imports(include=list(PACKAGES), exclude=["protocol._jit", *kernels()]):
        target = find(name)
        check = target.make()
    limits = [f"-max_len={target.bytes_max}", f"-timeout={HANG_S}", "-rss_limit_mb=2048"]
    atheris.Setup([sys.argv[0], *limits, *arguments], lambda data: tried(target, check, bytes(data)))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
