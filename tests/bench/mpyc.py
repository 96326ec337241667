"""MPyC beside it: three processes over loopback, the same vectors, in the same run.

MPyC is what somebody would pick instead that installs from a package index.  Its security is another: passive parties
of which most are honest (Shamir shares, t < n/2), no authentication of shares, and without certificates no encryption.
"""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from typing import Final

import msgspec
import trio

from tests.bench.arithmetic import NAMED_COMPARISONS, NAMED_VECTOR
from tests.bench.figures import BenchError, Figure, number
from tests.ports import free_ports

PARTIES: Final = 3
PATIENCE_S: Final = 240.0
REPEATS: Final = 2
_MODEL: Final = "passive, honest majority (t < n/2), unencrypted: a far weaker model"


class _Told(msgspec.Struct):
    multiply: list[float]
    compare: list[float]
    sec_param: int


async def measure(factors: int = NAMED_VECTOR, comparisons: int = NAMED_COMPARISONS) -> list[Figure]:
    """Run it; without MPyC here the figures are absent, with an error that says so."""
    try:
        version = importlib.metadata.version("mpyc")
    except importlib.metadata.PackageNotFoundError:
        raise BenchError("it is not installed", where="MPyC", remedy="make setup installs it.") from None
    told = await _run(factors, comparisons)
    about = f"MPyC {version}, {PARTIES} processes; {_MODEL}"
    mults, compared = factors / min(told.multiply), comparisons / min(told.compare)
    return [
        Figure("mpyc_mults_per_s", PARTIES, mults, "1/s", f"{factors:,} at once in the same field; {about}"),
        Figure(
            "mpyc_comparisons_per_s",
            PARTIES,
            compared,
            "1/s",
            f"{comparisons:,} at once, 19-bit, masks made on the way, κ = {told.sec_param}; {about}",
        ),
    ]


async def _run(factors: int, comparisons: int) -> _Told:
    addresses = [word for port in free_ports(PARTIES) for word in ("-P", f"127.0.0.1:{port}")]
    outputs: dict[int, bytes] = {}
    script = [sys.executable, "-m", "tests.bench.mpyc_peer", str(factors), str(comparisons), str(REPEATS)]

    async def peer(index: int) -> None:
        done = await trio.run_process(
            [*script, "-I", str(index), *addresses, "--no-log"],
            stdin=subprocess.DEVNULL,
            capture_stdout=True,
            capture_stderr=True,
            check=False,
            process_group=0,
        )
        if done.returncode:
            lines = done.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"]
            raise BenchError(lines[-1], where=f"party {index} of MPyC", remedy="Leave mpyc out of BENCH.")
        outputs[index] = done.stdout

    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            for index in range(PARTIES):
                nursery.start_soon(peer, index)
    return msgspec.json.decode(outputs[0].splitlines()[-1], type=_Told)


def beside(ours: dict[str, float], theirs: list[Figure]) -> list[str]:
    """How many times as fast we are, in words."""
    pairs = {"mpyc_mults_per_s": "mults_per_s", "mpyc_comparisons_per_s": "comparisons_online_per_s"}
    return [
        f"{pairs[figure.name]}: {number(ours[pairs[figure.name]] / figure.value)} times MPyC's"
        for figure in theirs
        if pairs[figure.name] in ours
    ]
