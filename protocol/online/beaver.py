"""Products and squares from stock, one pass over memory a step (``docs/protocol.md``, step 9.2).

With e = x − a and d = y − b opened, x·y = c + e·(b + d) + d·a (Beaver, CRYPTO 1991).  Each party's share is linear in
its shares; of the public e·d, one party adds the value and each adds Δ_i times it to its MAC share.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from protocol import field
from protocol._jit import kernel
from protocol.errors import LocalProtocolError
from protocol.field import Elements, add_p, mul_p
from protocol.material import Squares, Triples
from protocol.shares import MacKey, Shared, empty


@kernel
def _products(
    c: Elements,
    b: Elements,
    a: Elements,
    mac_c: Elements,
    mac_b: Elements,
    mac_a: Elements,
    e: Elements,
    d: Elements,
    adds: np.uint64,
    delta: np.uint64,
    value: Elements,
    mac: Elements,
) -> None:
    mask = np.uint64(0) - adds
    for i in range(value.size):
        u, v = e[i], d[i]
        value[i] = add_p(c[i], add_p(mul_p(u, add_p(b[i], v & mask)), mul_p(v, a[i])))
        mac[i] = add_p(mac_c[i], add_p(mul_p(u, add_p(mac_b[i], mul_p(v, delta))), mul_p(v, mac_a[i])))


@kernel
def _squares(
    square: Elements,
    root: Elements,
    mac_square: Elements,
    mac_root: Elements,
    e: Elements,
    adds: np.uint64,
    delta: np.uint64,
    value: Elements,
    mac: Elements,
) -> None:
    mask = np.uint64(0) - adds
    for i in range(value.size):
        u, r, m = e[i], root[i], mac_root[i]
        value[i] = add_p(square[i], mul_p(u, add_p(add_p(r, r), u & mask)))
        mac[i] = add_p(mac_square[i], mul_p(u, add_p(add_p(m, m), mul_p(u, delta))))


def _spans(vectors: Sequence[Shared]) -> list[slice]:
    """Where each vector lies when all lie one after another."""
    ends = np.cumsum([len(vector) for vector in vectors]).tolist()
    return [slice(end - len(vector), end) for vector, end in zip(vectors, ends, strict=True)]


def differences(pairs: Sequence[tuple[Shared, Shared]], triples: Triples) -> Shared:
    """⟨x − a⟩ of all pairs and, behind them, ⟨y − b⟩: what is opened for the products of k elements; 2k elements."""
    count = len(triples.a)
    opened = empty(2 * count)
    for factors, mask, start in (([x for x, _ in pairs], triples.a, 0), ([y for _, y in pairs], triples.b, count)):
        for factor, span in zip(factors, _spans(factors), strict=True):
            place = slice(start + span.start, start + span.stop)
            field.sub(factor.value, mask.value[span], opened.value[place])
            field.sub(factor.mac, mask.mac[span], opened.mac[place])
    return opened


def products(triples: Triples, opened: Elements, key: MacKey, out: Sequence[Shared]) -> None:
    """⟨x·y⟩ from the opened differences uint64[2k], into the vectors of ``out``, one after another."""
    a, b, c, count = triples.a, triples.b, triples.c, len(triples.a)
    e, d = opened[:count], opened[count:]
    if opened.size != 2 * count or sum(map(len, out)) != count:
        raise LocalProtocolError(f"{count} triples do not fit {opened.size} opened values")
    adds, delta = np.uint64(key.adds_constants), np.uint64(key.delta)
    for target, span in zip(out, _spans(out), strict=True):
        values = c.value[span], b.value[span], a.value[span]
        macs = c.mac[span], b.mac[span], a.mac[span]
        _products(*values, *macs, e[span], d[span], adds, delta, target.value, target.mac)


def squares(material: Squares, opened: Elements, key: MacKey, out: Shared) -> None:
    """⟨x²⟩ from the opened differences e = x − a, as a² + e·(2a + e), into ``out``."""
    if not len(material.root) == opened.size == len(out):
        raise LocalProtocolError(f"{len(material.root)} squares do not fit {opened.size} opened values")
    rows = (material.square.value, material.root.value, material.square.mac, material.root.mac)
    _squares(*rows, opened, np.uint64(key.adds_constants), np.uint64(key.delta), out.value, out.mac)
