"""The benchmark itself, small: what it measures must fit what the protocol says, as ratios and never as times."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import pytest

from nskd.sandbox.layout import CentreFiles
from protocol.lattice import PARAMETERS
from protocol.lattice.encryption import CIPHERTEXT_BYTES
from protocol.lattice.packing import PACKED_BYTES
from protocol.lattice.proof import response_bytes
from protocol.lattice.switching import REPLY_BYTES
from protocol.lattice.transform import LIMBS, TABLES, forward
from protocol.offline.factory import Product, ciphertexts_max
from protocol.online.comparison import comparison_cost
from tests.bench import arithmetic, fit, offline, plot, tables
from tests.bench.cluster import Batch, workshop
from tests.bench.exercises import COMPARISON_BITS, Exercise
from tests.bench.figures import Figure, Findings, Traffic, table, write
from tests.bench.wan import Wan, computed

PRIMES = len(PARAMETERS.primes)
# A ciphertext of triples, at each of two parties: its encryption, three answers by vectors and one by a constant with
# 4 and 3 transforms a prime, and as many decrypted with 2 for each of 2 primes.  Proofs come on top.
TRANSFORMS = 3 * PRIMES + (3 * 4 + 3) * PRIMES + 4 * 4
EXERCISES = (
    Exercise("round", 32, 20),
    Exercise("multiply", 5_000, 2),
    Exercise("compare", 500, 2),
    Exercise("multiply", 200_000, 1, dealt=True),
)
FEW = (
    Exercise("round", 32, 5),
    Exercise("multiply", 1_000, 2),
    Exercise("compare", 100, 2),
    Exercise("multiply", 20_000, 1, dealt=True),
)


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


@pytest.mark.long
async def test_a_small_run_of_the_benchmark_fits_the_protocol(tmp_path: Path) -> None:
    async with workshop(tmp_path, 2) as running:
        measured = await offline.measure(running, Product.TRIPLES, batches=2, seconds=0)
        _fits_the_messages(measured)
        assert 0 < running.peak_mib() < 2048
        made = await tables.table(running, tables.TABLES[0])
        assert 0 < made.shown < made.cells == tables.plan(tables.TABLES[0]).size
        assert made.traffic("table", 2).rounds > 0
        await running.fill(arithmetic.stock_for(EXERCISES))
        files = running.files
    figures = await _arithmetic_fits(files, EXERCISES)
    # A comparison takes its products and some more; a vector of many costs less an element than one of few.
    assert figures["comparisons_online_per_s@500"] < figures["mults_per_s@5000"]
    assert figures["mults_per_s@200000"] > figures["mults_per_s@5000"]


async def test_arithmetic_on_real_stock_fits_the_protocol(tmp_path: Path) -> None:
    """The smallest batches that there are, and no table."""
    async with workshop(tmp_path, 2) as running:
        await running.fill(arithmetic.stock_for(FEW))
        batches = running.batches(Product.TRIPLES)
        assert sum(batch.items for batch in batches) >= arithmetic.stock_for(FEW)[Product.TRIPLES]
        for batch in batches:
            _fits_a_batch(batch)
        files = running.files
    await _arithmetic_fits(files, FEW)


async def _arithmetic_fits(files: Sequence[CentreFiles], exercises: tuple[Exercise, ...]) -> dict[str, float]:
    """A round, products, comparisons and products of dealt material, in this order; the figures."""
    accounts = await arithmetic.measure(files, exercises, arithmetic.addresses(files))
    findings = Findings()
    arithmetic.note(exercises, accounts, findings)
    _, multiplied, compared, _ = exercises
    products = arithmetic.traffic_of(multiplied, accounts[1])
    # two openings of 8 bytes, and the check
    assert products.bytes_sent == pytest.approx(16 * multiplied.count, rel=0.05, abs=1_000)
    cost = comparison_cost(COMPARISON_BITS, compared.count)
    sent = arithmetic.traffic_of(compared, accounts[2]).bytes_sent
    assert sent == pytest.approx(16 * cost.triples + 8 * compared.count, rel=0.05, abs=1_000)
    figures = {figure.name: figure.value for figure in findings.figures}
    assert figures["round_ms"] > 0
    return figures


def _fits_the_messages(measured: offline.Measured) -> None:
    first, second, *_ = measured.batches
    assert first.items == ciphertexts_max(2) * PARAMETERS.slots - 1
    for batch in (first, second):
        _fits_a_batch(batch)
    # All of it together is slower than its transforms alone would be, on two cores; but not by orders of magnitude.
    rate = second.items / second.made_s
    share = rate * 2 * TRANSFORMS / PARAMETERS.slots / (2 * _transforms_per_s())
    assert 0.005 < share < 1
    rows = {figure.name: figure.value for figure in offline.figures(measured)}
    assert rows["bytes_per_triple_pair"] < 300
    assert measured.first_s > 0
    assert len(measured.answers_s) > 0


def _fits_a_batch(batch: Batch) -> None:
    count = (batch.items + 1) // PARAMETERS.slots
    # the batch key, the ciphertexts, four answers each; then as many proofs as it took, mostly one
    fixed = PRIMES * PACKED_BYTES + count * (CIPHERTEXT_BYTES + 4 * REPLY_BYTES)
    proofs = (batch.sent - fixed) / response_bytes(constant=False)
    assert 1 <= round(proofs) <= 9
    assert proofs == pytest.approx(round(proofs), abs=0.01)


def test_figures_are_a_table_and_a_file(tmp_path: Path) -> None:
    found = [Figure("triples_per_s", 2, 612345.0, "1/s", "a note"), Figure("first_triple_s", 3, 1.234, "s")]
    assert [line.split() for line in table(found).splitlines()] == [
        ["figure", "unit", "n", "=", "2", "n", "=", "3"],
        ["triples_per_s", "1/s", "612,345", "–"],
        ["first_triple_s", "s", "–", "1.23"],
    ]
    write(found, tmp_path / "new" / "bench.json")
    rows = msgspec.json.decode((tmp_path / "new" / "bench.json").read_bytes())
    assert rows[0] == {"name": "triples_per_s", "parties": 2, "value": 612345.0, "unit": "1/s", "note": "a note"}


def test_a_law_is_found_and_drawn(tmp_path: Path) -> None:
    sizes = (1_000, 10_000, 100_000)
    findings = Findings([Figure(f"table_stock_s@{x}", 3, 2e-6 * x**1.5, "s") for x in sizes])
    (law,) = fit.laws(findings)
    assert (law.name, law.parties) == ("growth_table_by_cells", 3)
    assert law.value == pytest.approx(1.5)
    plot.write(findings, tmp_path / "bench.svg")
    drawn = (tmp_path / "bench.svg").read_text()
    assert drawn.count("<polyline") == 1
    assert "n = 3" in drawn
    with pytest.raises(ValueError, match="two points"):
        fit.growth({1: 1.0})


def test_a_wide_area_network_adds_rounds_and_bytes() -> None:
    traffic = Traffic("mults_per_s", 3, 1e6, 0.5, 10, 12_500_000)
    figure = computed(traffic, Wan("100mbit", 0.02, 100e6))
    assert figure.name == "mults_per_s@100mbit"
    assert figure.value == pytest.approx(1e6 / (0.5 + 10 * 0.02 + 1.0))
    assert figure.note.startswith("computed")
