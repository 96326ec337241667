"""A trusted dealer, for tests of the online phase alone.  It exists here and nowhere else."""

from __future__ import annotations

import numpy as np

from protocol import field
from protocol.field import Elements
from protocol.material import BIT, SQUARE, TRIPLE, Material, mask_kind
from protocol.prg import Prg
from protocol.shares import MacKey, Shared


class Dealer:
    """Knows everything; hands each party its shares."""

    def __init__(self, parties: int, seed: int = 0) -> None:
        self.parties = parties
        self._prg = Prg(seed.to_bytes(8, "little"), "test dealer")
        deltas = [int(d) for d in self._prg.elements(parties)]
        self.delta = sum(deltas) % field.P
        self.keys = [MacKey(d, k == 0) for k, d in enumerate(deltas)]

    def _additive(self, values: Elements) -> list[Elements]:
        shares = [self._prg.elements(values.size) for _ in range(self.parties - 1)]
        return [*shares, field.sub(values, field.total(shares))]

    def share(self, values: Elements) -> list[Shared]:
        macs = self._additive(field.scale(values, self.delta))
        return [Shared(v, m) for v, m in zip(self._additive(values), macs, strict=True)]

    def material(self, triples: int = 0, bits: int = 0, masks: int = 0, squares: int = 0) -> list[Material]:
        columns: list[dict[str, np.ndarray]] = [{} for _ in range(self.parties)]
        a, b = self._prg.elements(triples), self._prg.elements(triples)
        dealt = [self.share(v) for v in (a, b, field.mul(a, b))]
        flips = self._prg.elements(bits) & np.uint64(1)
        coins = self.share(flips)
        root = self._prg.elements(squares)
        roots, squared = self.share(root), self.share(field.mul(root, root))
        for k in range(self.parties):
            columns[k][TRIPLE] = np.stack([d[k].value for d in dealt] + [d[k].mac for d in dealt])
            columns[k][SQUARE] = np.stack([roots[k].value, squared[k].value, roots[k].mac, squared[k].mac])
            columns[k][BIT] = np.stack([coins[k].value, coins[k].mac])
        for owner in range(self.parties):
            plain = self._prg.elements(masks)
            shared = self.share(plain)
            for k in range(self.parties):
                rows = [shared[k].value, shared[k].mac] + ([plain] if k == owner else [])
                columns[k][mask_kind(owner)] = np.stack(rows)
        return [Material(c) for c in columns]


def opened(shares: list[Shared], delta: int) -> Elements:
    """The values behind the shares of all parties; the MACs are checked on the way."""
    values = field.total([s.value for s in shares])
    macs = field.total([s.mac for s in shares])
    np.testing.assert_array_equal(macs, field.scale(values, delta))
    return values
