"""Authenticated shares ⟨x⟩ (``docs/protocol.md``, section 4).

P_i holds x_i and m_i with Σx_i = x and Σm_i = Δ·x, where Δ = ΣΔ_i and nobody knows Δ.  Linear operations are
local (SPDZ: Damgård, Pastro, Smart, Zakarias, CRYPTO 2012, eprint 2011/535; 2013, eprint 2012/642).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import attrs
import numpy as np
import numpy.typing as npt

from protocol import field
from protocol.errors import LocalProtocolError
from protocol.field import Elements
from protocol.secret import Secret


@attrs.frozen(eq=False, repr=False)
class MacKey(Secret):
    """This party's share Δ_i, and whether this party is the one that adds public constants."""

    delta: int
    adds_constants: bool


@attrs.frozen(eq=False, repr=False)
class Shared(Secret):
    """A vector of authenticated shares; ``value`` and ``mac`` are uint64[k]."""

    value: Elements
    mac: Elements

    def __attrs_post_init__(self) -> None:
        if self.value.shape != self.mac.shape or self.value.ndim != 1:
            raise LocalProtocolError("values and MACs must be vectors of one length")

    def __len__(self) -> int:
        return int(self.value.size)

    def __add__(self, other: Shared) -> Shared:
        return Shared(field.add(self.value, other.value), field.add(self.mac, other.mac))

    def __sub__(self, other: Shared) -> Shared:
        return Shared(field.sub(self.value, other.value), field.sub(self.mac, other.mac))

    def __getitem__(self, index: slice | npt.NDArray[np.int64]) -> Shared:
        return Shared(np.ascontiguousarray(self.value[index]), np.ascontiguousarray(self.mac[index]))

    def scale(self, factor: int) -> Shared:
        """⟨factor·x⟩ for one public factor."""
        return Shared(field.scale(self.value, factor), field.scale(self.mac, factor))

    def times(self, public: Elements) -> Shared:
        """⟨public_k·x_k⟩ for a public vector."""
        return Shared(field.mul(self.value, public), field.mul(self.mac, public))

    def plus(self, public: Elements, key: MacKey) -> Shared:
        """⟨x + public⟩: one party adds the constant, each adds Δ_i times it to its MAC share."""
        value = field.add(self.value, public) if key.adds_constants else self.value
        return Shared(value, field.add(self.mac, field.scale(public, key.delta)))


def constant(public: Elements, key: MacKey) -> Shared:
    """⟨public⟩ of a vector everybody knows."""
    zeros = np.zeros_like(public)
    return Shared(zeros, zeros.copy()).plus(public, key)


def empty(count: int) -> Shared:
    """Room for ``count`` shares, to be written into."""
    return Shared(np.empty(count, dtype=np.uint64), np.empty(count, dtype=np.uint64))


def concatenate(parts: Sequence[Shared]) -> Shared:
    """One vector from several, in order."""
    return Shared(np.concatenate([s.value for s in parts]), np.concatenate([s.mac for s in parts]))


def total(parts: Sequence[Shared]) -> Shared:
    """The elementwise sum of one or more vectors."""
    result = parts[0]
    for part in parts[1:]:
        result = result + part
    return result


def split(shared: Shared, lengths: Sequence[int]) -> list[Shared]:
    """The inverse of :func:`concatenate`."""
    if sum(lengths) != len(shared):
        raise LocalProtocolError(f"cannot split {len(shared)} shares into {sum(lengths)}")
    bounds = np.cumsum([0, *lengths])
    return [shared[int(a) : int(b)] for a, b in pairwise(bounds)]
