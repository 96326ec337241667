"""The benchmark itself, small: what it measures must fit what the protocol says, as ratios and never as times."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec
import numpy as np
import pytest

from protocol.lattice import PARAMETERS
from protocol.lattice.encryption import CIPHERTEXT_BYTES
from protocol.lattice.packing import PACKED_BYTES
from protocol.lattice.proof import response_bytes
from protocol.lattice.switching import REPLY_BYTES
from protocol.lattice.transform import LIMBS, TABLES, forward
from protocol.offline.factory import Product, ciphertexts_max
from tests.bench import offline
from tests.bench.figures import Figure, table, write

PRIMES = len(PARAMETERS.primes)
# A ciphertext of triples, at each of two parties: its encryption, three answers by vectors and one by a constant with
# 4 and 3 transforms a prime, and as many decrypted with 2 for each of 2 primes.  Proofs come on top.
TRANSFORMS = 3 * PRIMES + (3 * 4 + 3) * PRIMES + 4 * 4


def _transforms_per_s() -> float:
    """Raw transforms on one thread, in the same run."""
    source, target = np.ones(PARAMETERS.slots), np.empty(PARAMETERS.slots)
    forward(source.copy(), target, LIMBS[0], TABLES[0])
    best = min(_seconds(source, target) for _ in range(50))
    return 1 / best


def _seconds(source: np.ndarray, target: np.ndarray) -> float:
    begun = time.perf_counter()
    forward(source, target, LIMBS[0], TABLES[0])
    return time.perf_counter() - begun


async def test_a_small_run_of_the_benchmark_fits_the_protocol() -> None:
    measured = await offline.measure(2, Product.TRIPLES, batches=2)
    first, second = measured.batches
    assert first.items == ciphertexts_max(2) * PARAMETERS.slots - 1
    for batch in (first, second):
        count = (batch.items + 1) // PARAMETERS.slots
        # the batch key, the ciphertexts, four answers each; then as many proofs as it took, mostly one
        fixed = PRIMES * PACKED_BYTES + count * (CIPHERTEXT_BYTES + 4 * REPLY_BYTES)
        proofs = (batch.sent - fixed) / response_bytes(constant=False)
        assert 1 <= round(proofs) <= 9
        assert proofs == pytest.approx(round(proofs), abs=0.01)
    # All of it together is slower than its transforms alone would be, on two cores; but not by orders of magnitude.
    rate = second.items / second.made_s
    share = rate * 2 * TRANSFORMS / PARAMETERS.slots / (2 * _transforms_per_s())
    assert 0.005 < share < 1
    assert measured.per_second <= rate
    rows = {figure.name: figure.value for figure in offline.figures(Product.TRIPLES, measured)}
    assert rows["offline_rss_mib"] < 2048
    assert rows["first_triple_s"] > 0
    assert len(measured.answers_s) > 0


def test_figures_are_a_table_and_a_file(tmp_path: Path) -> None:
    found = [Figure("triples_per_s", 2, 612345.0, "1/s", "a note"), Figure("first_triple_s", 3, 1.234, "s")]
    assert table(found).splitlines() == [
        "figure                            unit         n = 2         n = 3",
        "triples_per_s                      1/s       612,345             –",
        "first_triple_s                       s             –          1.23",
    ]
    write(found, tmp_path / "new" / "bench.json")
    rows = msgspec.json.decode((tmp_path / "new" / "bench.json").read_bytes())
    assert rows[0] == {"name": "triples_per_s", "parties": 2, "value": 612345.0, "unit": "1/s", "note": "a note"}
