"""One of three parties of MPyC, on the vectors of :mod:`.exercises`; started by :mod:`.mpyc` as a process of its own.

Arguments after MPyC's own: factors, comparisons, repeats.  The first party prints seconds, one JSON line.
MPyC's arrays are its fastest way: whole vectors at once, numpy below, one round each.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import numpy as np
from mpyc.runtime import mpc

COMPARISON_BITS = 19
PRIME = (1 << 61) - (1 << 21) + 1


async def multiply(count: int, repeats: int) -> list[float]:
    """Seconds of each product of two shared vectors of ``count`` elements of the field of nskd."""
    field = mpc.SecFld(PRIME)
    generator = np.random.default_rng(1)
    plain = [generator.integers(0, PRIME, count).astype(object) for _ in range(2)]
    x, y = (mpc.input(field.array(field.field.array(each)), senders=0) for each in plain)
    await mpc.gather(x, y)
    seconds = []
    for _ in range(repeats):
        await mpc.barrier()
        began = time.perf_counter()
        product = mpc.np_multiply(x, y)
        await mpc.gather(product)
        await mpc.barrier()
        seconds.append(time.perf_counter() - began)
    await check(product[:100], [int(a) * int(b) % PRIME for a, b in zip(plain[0][:100], plain[1][:100], strict=True)])
    return seconds


async def compare(count: int, repeats: int) -> list[float]:
    """Seconds of each ``count`` comparisons of shared integers of 19 bits."""
    secure = mpc.SecInt(COMPARISON_BITS)
    generator = np.random.default_rng(2)
    plain = [generator.integers(0, 1 << (COMPARISON_BITS - 1), count) for _ in range(2)]
    x, y = (mpc.input(secure.array(each), senders=0) for each in plain)
    await mpc.gather(x, y)
    seconds = []
    for _ in range(repeats):
        await mpc.barrier()
        began = time.perf_counter()
        less = mpc.np_less(x, y)
        await mpc.gather(less)
        await mpc.barrier()
        seconds.append(time.perf_counter() - began)
    await check(less[:100], (plain[0] < plain[1])[:100].astype(int).tolist())
    return seconds


async def check(shared: Any, expected: list[int]) -> None:
    """Open it and see whether it is right."""
    opened = [int(value) for value in await mpc.output(shared)]
    if opened != expected:
        raise AssertionError("MPyC computed something else")


async def main() -> None:
    """Both, then tell."""
    factors, comparisons, repeats = (int(word) for word in sys.argv[1:4])
    await mpc.start()
    told = {"multiply": await multiply(factors, repeats), "compare": await compare(comparisons, repeats)}
    if mpc.pid == 0:
        print(json.dumps({**told, "sec_param": mpc.options.sec_param}), flush=True)
    await mpc.shutdown()


if __name__ == "__main__":
    mpc.run(main())
