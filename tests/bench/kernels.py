"""Times of the lattice layer's kernels: ``python -m tests.bench.kernels [BEFORE.json]``, about 15 seconds.

One thread.  Prints the least and the median of many runs, since other work on the machine only ever adds.  The ratio is
against an earlier run on the same machine, kept with ``--save FILE``.  For figures worth quoting, run both versions in
turn a few times.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from protocol.lattice import (
    PARAMETERS,
    PublicKey,
    Question,
    commit,
    decrypt,
    encrypt,
    kernels,
    keygen,
    packing,
    proof_kernels,
    reply,
    reply_scaled,
    slots,
    switching,
    verify,
)
from protocol.lattice.digest import digests
from protocol.lattice.encryption import Encryptor
from protocol.lattice.lanes import aligned
from protocol.lattice.transform import LIMBS, TABLES, forward, inverse
from protocol.prg import Prg

N = PARAMETERS.slots
BATCH = 8
SEED = bytes(range(32))


class Bench:
    def __init__(self, before: dict[str, float]) -> None:
        self.before = before
        self.times: dict[str, float] = {}
        print(f"{'kernel':26}{'least µs':>11}{'median µs':>11}{'ns a slot':>11}{'ratio':>8}")

    def row(self, name: str, run: Callable[[], object], *, seconds: float = 0.4, units: int = 1) -> None:
        """Time ``run``, which does ``units`` of what the row is named after."""
        run()
        times: list[float] = []
        end = time.perf_counter() + seconds
        while len(times) < 3 or time.perf_counter() < end:
            start = time.perf_counter()
            run()
            times.append((time.perf_counter() - start) * 1e6 / units)
        least, median = min(times), sorted(times)[len(times) // 2]
        self.times[name] = least
        ratio = f"{self.before[name] / least:8.2f}" if name in self.before else f"{'–':>8}"
        print(f"{name:26}{least:11.1f}{median:11.1f}{least * 1e3 / N:11.2f}{ratio}", flush=True)


def single(bench: Bench, public: PublicKey) -> None:
    prg = Prg(SEED, "bench")
    x, out = aligned(2, N)
    x[:] = np.arange(N)
    bench.row("forward transform", lambda: forward(x, out, LIMBS[0], TABLES[0]))
    bench.row("inverse transform", lambda: inverse(out, x, LIMBS[0], TABLES[0]))
    values = prg.elements(N)
    bench.row("coefficients to slots", lambda: slots.to_slots(values))
    bench.row("slots to coefficients", lambda: slots.to_coefficients(values))
    words = values >> np.uint64(12)
    packed = np.empty(packing.PACKED_BYTES, dtype=np.uint8)
    bench.row("pack", lambda: packing.pack(words, packed))
    bench.row("unpack", lambda: packing.unpack(packed, words))
    flood, spread = aligned(4, N, dtype=np.uint64), aligned(6, N)
    bench.row("512 KiB of key stream", lambda: prg.fill(flood.reshape(-1).view(np.uint8)))
    bench.row("coefficients to evaluations", lambda: kernels.evaluate(values, LIMBS, TABLES, aligned(1, N), spread))
    bench.row("digest of a polynomial", lambda: digests(packed[np.newaxis]))
    bench.row("the same, one stream", lambda: hashlib.sha256(packed.data).digest())
    scratch = switching._Scratch()
    bench.row("flooding, six primes", lambda: kernels.expand(scratch.flood, switching._RADIX, LIMBS, spread))
    constants = (LIMBS, switching._GARNER, switching._SPREAD, scratch.rounded)
    bench.row("rounding", lambda: kernels.rounding(spread[2:], values, scratch.high, scratch.low, *constants))
    encryptor = Encryptor(public, 1 << 60, 1, PARAMETERS.noise)
    coefficients = aligned(5, N, dtype=np.uint64)
    coefficients[:] = 1
    whole = np.empty((2, 6, packing.PACKED_BYTES), dtype=np.uint8)
    bench.row("encryption of words", lambda: encryptor.ciphertext(coefficients, whole))
    sums = aligned(64, N, dtype=np.uint64)
    for count in (8, 64):
        selection = np.unpackbits(np.frombuffer(prg.bytes(8 * count), dtype=np.uint8)).reshape(64, count)
        combine = partial(proof_kernels.combine, selection, np.zeros((count, N), dtype=np.uint64), sums)
        bench.row(f"W·C a limb, {count} of them", combine, units=count)


def whole(bench: Bench) -> None:
    secret, public = keygen(SEED, SEED)
    single(bench, public)
    values = Prg(SEED, "bench").elements(BATCH * N).reshape(BATCH, N)
    ciphertexts, openings = encrypt(public, values, SEED)
    verified = ciphertexts.trusted(openings)
    question = Question(public, verified, SEED)
    answer = reply([question], values)[0].packed
    bench.row("encrypt, a ciphertext", lambda: encrypt(public, values, SEED), seconds=1, units=BATCH)
    bench.row("reply, a ciphertext", lambda: reply([question], values), seconds=1, units=BATCH)
    bench.row("reply, two questions", lambda: reply([question] * 2, values), seconds=1, units=2 * BATCH)
    bench.row("scaled reply, a ciphertext", lambda: reply_scaled([question], 12345, BATCH), seconds=1, units=BATCH)
    bench.row("decrypt, a ciphertext", lambda: decrypt(secret, answer, BATCH), seconds=1, units=BATCH)
    bench.row("commit, a proof", lambda: commit(public, openings, b"", SEED), seconds=1)
    for attempt in range(8):
        state, commitment = commit(public, openings, b"", bytes([attempt]) * 32)
        response = state.respond(SEED)
        if response is not None:
            break

    def check() -> object:
        return verify(public, ciphertexts, commitment, b"", SEED, response, constant=False, party=1)

    bench.row(f"verify, a proof of {BATCH}", check, seconds=1)


def main() -> None:
    arguments = sys.argv[1:]
    save = Path(arguments[arguments.index("--save") + 1]) if "--save" in arguments else None
    before = json.loads(Path(arguments[0]).read_text()) if arguments and arguments[0] != "--save" else {}
    bench = Bench(before)
    whole(bench)
    if save is not None:
        save.write_text(json.dumps(bench.times, indent=1) + "\n")


if __name__ == "__main__":
    main()
