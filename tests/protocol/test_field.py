"""The field kernels against Python integers, worst cases first."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import field
from protocol.errors import LocalProtocolError
from protocol.prg import Prg, labelled_hash
from tests.examples import examples
from tests.protocol import reference

EDGES = sorted(
    {0, 1, 2, 3, field.P - 1, field.P - 2, field.P // 2, field.P // 2 + 1}
    | {(1 << k) + d for k in (20, 21, 31, 32, 39, 40, 41, 60) for d in (-1, 0, 1)}
    | {field.P - (1 << k) for k in (21, 32, 40)}
)
element = st.one_of(st.sampled_from(EDGES), st.integers(0, field.P - 1))
vectors = st.lists(st.tuples(element, element), min_size=1, max_size=200)


def arrays(pairs: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    a, b = zip(*pairs, strict=True)
    return np.array(a, dtype=np.uint64), np.array(b, dtype=np.uint64)


def test_the_modulus_is_what_the_document_says() -> None:
    assert field.P == reference.P == 0x1FFFFFFFFFE00001
    assert reference.is_prime(field.P)
    assert (field.P - 1) % (1 << 21) == 0
    assert 8 * field.P < 1 << 64


@pytest.mark.parametrize("name", ["add", "sub", "mul"])
def test_every_pair_of_edge_cases(name: str) -> None:
    a, b = arrays(list(itertools.product(EDGES, EDGES)))
    plain = {"add": lambda x, y: x + y, "sub": lambda x, y: x - y, "mul": lambda x, y: x * y}[name]
    expected = [plain(int(x), int(y)) % field.P for x, y in zip(a, b, strict=True)]
    assert getattr(field, name)(a, b).tolist() == expected
    out = np.empty_like(a)
    assert getattr(field, name)(a, b, out) is out
    assert out.tolist() == expected


@given(vectors)
@examples(50)
def test_the_kernels_equal_plain_integers(pairs: list[tuple[int, int]]) -> None:
    a, b = arrays(pairs)
    assert field.mul(a, b).tolist() == [x * y % field.P for x, y in pairs]
    assert field.dots(a, b, a) == (reference.dot(a.tolist(), b.tolist()), reference.dot(a.tolist(), a.tolist()))
    assert field.neg(a).tolist() == [-x % field.P for x, _ in pairs]
    assert field.scale(a, -7).tolist() == [-7 * x % field.P for x, _ in pairs]
    assert field.total([a, b, a]).tolist() == [(2 * x + y) % field.P for x, y in pairs]


def test_long_dot_products_do_not_overflow() -> None:
    worst = np.full(1 << 20, field.P - 1, dtype=np.uint64)
    most = (field.P - 1) * (1 << 20) % field.P
    assert field.dots(worst, np.ones_like(worst), worst) == (most, (1 << 20) % field.P)


@given(st.lists(st.integers(-(field.P // 2), field.P // 2), max_size=50))
@examples(50)
def test_signed_integers_survive(values: list[int]) -> None:
    assert field.signed(field.elements(values)).tolist() == values


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(LocalProtocolError):
        field.elements([field.P // 2 + 1])
    with pytest.raises(LocalProtocolError):
        field.add(np.zeros(2, np.uint64), np.zeros(3, np.uint64))
    with pytest.raises(LocalProtocolError):
        field.dots(np.zeros(2, np.uint64), np.zeros(2, np.uint64), np.zeros(3, np.uint64))
    assert not field.is_canonical(np.array([field.P], dtype=np.uint64))
    assert field.is_canonical(np.array([field.P - 1], dtype=np.uint64))


def test_inverse_roots_of_squares() -> None:
    roots = np.array([x for x in EDGES if x] + Prg(b"roots", "test").elements(500).tolist(), dtype=np.uint64)
    squares = field.mul(roots, roots)
    inverse = field.inverse_sqrt(squares)
    assert field.mul(field.mul(inverse, inverse), squares).tolist() == [1] * roots.size
    assert field.inverse_sqrt(squares).tolist() == inverse.tolist()


def test_a_non_square_has_no_inverse_root() -> None:
    values = [v for v in range(2, 60) if pow(v, (field.P - 1) // 2, field.P) != 1]
    assert values
    candidates = np.array(values, dtype=np.uint64)
    inverse = field.inverse_sqrt(candidates)
    assert not np.any(field.mul(field.mul(inverse, inverse), candidates) == 1)


def test_the_generator_is_deterministic_uniform_and_separated_by_label() -> None:
    first = Prg(b"seed", "a").elements(1 << 16)
    assert first.tolist() == Prg(b"seed", "a").elements(1 << 16).tolist()
    assert field.is_canonical(first)
    for other in (Prg(b"seed", "b"), Prg(b"seeds", "a")):
        assert not set(first[:1000].tolist()) & set(other.elements(1000).tolist())
    cells = np.bincount((first >> np.uint64(57)).astype(int), minlength=16)
    assert float(((cells - 4096) ** 2 / 4096).sum()) < 45  # χ², 15 degrees of freedom: p ≈ 10^−4


def test_successive_draws_continue_one_stream() -> None:
    whole, parts = Prg(b"s", "l"), Prg(b"s", "l")
    assert whole.bytes(3000) == parts.bytes(1000) + parts.bytes(2000)
    filled = np.empty(5000, dtype=np.uint8)
    Prg(b"s", "l").fill(filled)
    assert filled.tobytes() == Prg(b"s", "l").bytes(5000)


def test_words_above_the_modulus_are_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rejection happens once in 2^40 draws; here it is made to happen."""
    prg = Prg(b"s", "l")
    original = prg.fill

    def bad_first(out: np.ndarray) -> None:
        original(out)
        out[:8] = 255

    monkeypatch.setattr(prg, "fill", bad_first)
    drawn = prg.elements(4)
    assert field.is_canonical(drawn)


def test_hash_parts_cannot_be_shifted() -> None:
    assert labelled_hash("x", b"ab", b"c") != labelled_hash("x", b"a", b"bc")
    assert labelled_hash("x", b"ab") != labelled_hash("xa", b"b")
    assert labelled_hash("x") != labelled_hash("x", b"")
