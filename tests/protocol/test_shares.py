"""Linear operations on authenticated shares, and secrets that stay secret."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from protocol import field
from protocol.checking import Unchecked
from protocol.errors import LocalProtocolError
from protocol.shares import MacKey, Shared, concatenate, constant, split
from tests.dealer import Dealer, opened


def test_linear_operations_keep_values_and_macs_together() -> None:
    dealer = Dealer(3)
    x, y = field.elements([1, -2, 3, 4]), field.elements([10, 20, -30, 40])
    public = field.elements([5, 0, -1, 2])
    xs, ys = dealer.share(x), dealer.share(y)
    results = {
        "sum": [a + b for a, b in zip(xs, ys, strict=True)],
        "difference": [a - b for a, b in zip(xs, ys, strict=True)],
        "scaled": [a.scale(-3) for a in xs],
        "weighted": [a.times(public) for a in xs],
        "shifted": [a.plus(public, k) for a, k in zip(xs, dealer.keys, strict=True)],
        "constant": [constant(public, k) for k in dealer.keys],
        "joined": [concatenate([a, b]) for a, b in zip(xs, ys, strict=True)],
        "second": [split(concatenate([a, b]), [4, 4])[1] for a, b in zip(xs, ys, strict=True)],
    }
    expected = {
        "sum": [11, 18, -27, 44],
        "difference": [-9, -22, 33, -36],
        "scaled": [-3, 6, -9, -12],
        "weighted": [5, 0, -3, 8],
        "shifted": [6, -2, 2, 6],
        "constant": [5, 0, -1, 2],
        "joined": [1, -2, 3, 4, 10, 20, -30, 40],
        "second": [10, 20, -30, 40],
    }
    for name, shares in results.items():
        assert field.signed(opened(shares, dealer.delta)).tolist() == expected[name], name


def test_shapes_must_agree() -> None:
    with pytest.raises(LocalProtocolError):
        Shared(np.zeros(2, np.uint64), np.zeros(3, np.uint64))
    with pytest.raises(LocalProtocolError):
        split(Shared(np.zeros(2, np.uint64), np.zeros(2, np.uint64)), [1, 2])


@pytest.mark.parametrize(
    "secret",
    [
        MacKey(12345678901, True),
        Shared(np.full(3, 12345678901, np.uint64), np.full(3, 12345678901, np.uint64)),
        Unchecked(np.full(3, 12345678901, np.uint64)),
        Dealer(2).material(triples=2)[0],
    ],
)
def test_secrets_are_neither_shown_nor_pickled(secret: object) -> None:
    assert "12345678901" not in repr(secret) + str(secret) + f"{secret}"
    with pytest.raises(TypeError):
        pickle.dumps(secret)
