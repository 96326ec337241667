"""The derived bounds: that they hold together, and that the document states the same numbers."""

from __future__ import annotations

import math
import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import attrs
import pytest

from protocol.errors import LocalProtocolError
from protocol.field import P
from protocol.lattice import butterflies
from protocol.lattice.params import PARAMETERS, Parameters, is_prime

DOCUMENT = Path(__file__).parents[3] / "docs" / "protocol-lattice.md"


def test_primes() -> None:
    assert len(set(PARAMETERS.primes)) == 6
    for q in PARAMETERS.primes:
        assert q % (2 * PARAMETERS.slots) == 1
        assert q < 1 << 50
        assert all(q % d for d in range(3, 10_000, 2))
    assert is_prime(P)
    assert not is_prime(P - 2)
    assert not is_prime(3215031751)  # a strong pseudoprime to 2, 3, 5 and 7


@pytest.mark.parametrize(
    "change",
    [
        {"slots": 1 << 13},
        {"primes": PARAMETERS.primes[:5]},
        {"primes": PARAMETERS.primes[:5] + PARAMETERS.primes[:1]},
        {"primes": (*PARAMETERS.primes[:5], PARAMETERS.primes[5] - 32768)},
        {"primes": Parameters().primes * 2},
        {"noise": 64},
        {"batch_max": 1 << 12},
        {"rows": 1 << 20},
    ],
)
def test_constants_that_do_not_fit_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(LocalProtocolError, match="lattice parameters do not fit"):
        attrs.evolve(PARAMETERS, **change)


def test_masks_hide_and_bound() -> None:
    p = PARAMETERS
    for r in (p.message, p.ternary, p.error):
        assert r.shift == 256 * r.secret
        assert r.mask >= 2**7 * 4 * p.slots * p.rows * r.shift
        assert r.accepted + r.shift == r.mask  # every accepted z is hit from every secret
    assert p.rejection < Fraction(1, 128)
    assert p.message.mask_bits + 1 == 98
    assert p.ternary.mask_bits + 1 == 38
    assert p.error.mask_bits + 1 == 43


def test_the_document_states_these_bounds() -> None:
    p = PARAMETERS
    v, e0, e1 = p.proved_spills
    values = {
        "log2 q": p.modulus,
        "log2 proved m": p.message.proved,
        "log2 proved v": p.ternary.proved,
        "log2 proved e": p.error.proved,
        "log2 T_v": v,
        "log2 T_e0": e0,
        "log2 T_e1": e1,
        "log2 F_v": p.flood,
        "log2 F_e": p.error_flood,
        "log2 reply phase": p.reply_phase,
        "log2 switched phase": p.switched_phase,
        "log2 q'": p.kept,
    }
    text = DOCUMENT.read_text(encoding="utf-8")
    stated = {
        name: float(value) for name, value in re.findall(r"^\| (log2 [^|]+?) \| ([0-9.]+) \|", text, re.MULTILINE)
    }
    assert stated == {name: round(math.log2(value), 1) for name, value in values.items()}
    assert f"| statistical bits a reply | {p.statistical_bits} |" in text
    assert f"| probability of a restart | {float(p.rejection):.4f} |" in text
    assert f"| evaluations of the forward transform | {math.ceil(100 * butterflies.SPREAD_OUTPUT) / 100:.2f} |" in text
    assert f"| coefficients of the inverse transform | {math.ceil(100 * butterflies.GATHER_OUTPUT) / 100:.2f} |" in text
