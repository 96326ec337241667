"""The offline phase: what it makes is right, and every lie in it is named."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import numpy as np
import pytest

from protocol import field
from protocol.checking import Checker
from protocol.errors import Fault, LocalProtocolError, RemoteProtocolError
from protocol.field import Elements
from protocol.lattice import PARAMETERS, encrypt, reply, reply_scaled
from protocol.offline import ciphertexts, products, triples
from protocol.offline.epoch import Epoch, found, seal, unseal
from protocol.offline.factory import Made, Product, ciphertexts_for, ciphertexts_max, make
from protocol.offline.keys import batch_keys
from protocol.offline.slots import SLOTS_PER_CIPHERTEXT
from protocol.party import Party
from protocol.shares import Shared
from tests.cluster import Cluster, Outcome, Tamper, lie_at

CHARTER = b"c" * 32
_epochs: dict[int, list[Epoch]] = {}


async def epoch_for(parties: int) -> list[Epoch]:
    """An epoch founded once per number of parties; the tests only read it."""
    if parties not in _epochs:
        _epochs[parties] = await Cluster(parties, seed=parties).run(lambda party: found(party, CHARTER))
    return _epochs[parties]


async def made(parties: int, product: Product, seed: int = 7) -> tuple[list[Epoch], list[Made]]:
    keys = await epoch_for(parties)
    return keys, await Cluster(parties, seed=seed).run(lambda party: checked(product, party, keys[party.index]))


async def checked(product: Product, party: Party, epoch: Epoch, ciphertexts: int = 1) -> Made:
    """Make a batch and check it."""
    return await (await make(product, party, epoch, ciphertexts)).checked()


def total(rows: list[Elements]) -> Elements:
    return field.total([np.ascontiguousarray(r) for r in rows])


def check_macs(keys: list[Epoch], values: list[Elements], macs: list[Elements]) -> Elements:
    delta = sum(k.mac_key.delta for k in keys) % field.P
    plain = total(values)
    np.testing.assert_array_equal(total(macs), field.scale(plain, delta))
    return plain


@pytest.mark.parametrize("parties", [2, 3])
async def test_an_epoch_is_founded_alike_everywhere(parties: int) -> None:
    keys = await epoch_for(parties)
    assert len({k.epoch_id for k in keys}) == 1
    assert [k.mac_key.adds_constants for k in keys] == [True] + [False] * (parties - 1)
    assert len({k.mac_key.delta for k in keys}) == parties
    for index, key in enumerate(keys):
        again = unseal(seal(key, index))
        assert again.epoch_id == key.epoch_id
        assert again.mac_key == key.mac_key or again.mac_key.delta == key.mac_key.delta
        assert seal(again, index) == seal(key, index)


def test_a_damaged_epoch_is_refused() -> None:
    with pytest.raises(LocalProtocolError):
        unseal(b"\x00" * 40)


@pytest.mark.parametrize("parties", [2, 3])
async def test_triples_multiply_and_are_authenticated(parties: int) -> None:
    keys, results = await made(parties, Product.TRIPLES)
    assert len({r.digest for r in results}) == 1
    columns = [r.batches[0].columns for r in results]
    assert {r.batches[0].kind for r in results} == {"triple"}
    assert columns[0].shape == (6, SLOTS_PER_CIPHERTEXT - 1)
    a, b, c = (check_macs(keys, [m[k] for m in columns], [m[k + 3] for m in columns]) for k in range(3))
    np.testing.assert_array_equal(c, field.mul(a, b))
    for plain in (a, b, columns[0][0], columns[1][4]):
        cells = np.bincount((plain >> np.uint64(57)).astype(int), minlength=16)
        assert float(((cells - plain.size / 16) ** 2 / (plain.size / 16)).sum()) < 45  # χ², p ≈ 10^−4
    assert len(np.unique(a)) == a.size


async def test_squares_are_squares() -> None:
    keys, results = await made(3, Product.SQUARES)
    columns = [r.batches[0].columns for r in results]
    root, square = (check_macs(keys, [m[k] for m in columns], [m[k + 2] for m in columns]) for k in range(2))
    np.testing.assert_array_equal(square, field.mul(root, root))
    assert len(np.unique(root)) == root.size == SLOTS_PER_CIPHERTEXT


@pytest.mark.parametrize("parties", [2, 3])
async def test_bits_are_bits(parties: int) -> None:
    keys, results = await made(parties, Product.BITS)
    columns = [r.batches[0].columns for r in results]
    bits = check_macs(keys, [m[0] for m in columns], [m[1] for m in columns])
    assert set(bits.tolist()) == {0, 1}
    assert abs(int(bits.sum()) - bits.size / 2) < 4 * np.sqrt(bits.size) / 2
    assert bits.size == SLOTS_PER_CIPHERTEXT
    for width in (8, 64, 128):  # a bit that is stuck at every so manieth place hardly moves the sum
        places = bits.reshape(-1, width)
        assert np.all(np.abs(places.sum(axis=0) - len(places) / 2) < 5 * np.sqrt(len(places)) / 2)


@pytest.mark.parametrize("parties", [2, 3])
async def test_masks_are_known_to_their_owner_alone(parties: int) -> None:
    keys, results = await made(parties, Product.MASKS)
    for owner in range(parties):
        columns = [r.batches[owner].columns for r in results]
        assert {r.batches[owner].kind for r in results} == {f"mask/{owner}"}
        plain = check_macs(keys, [m[0] for m in columns], [m[1] for m in columns])
        assert plain.size == SLOTS_PER_CIPHERTEXT - 1
        np.testing.assert_array_equal(plain, columns[owner][2])
        for k in range(parties):
            assert columns[k].shape[0] == (3 if k == owner else 2)
            if k != owner:
                assert not columns[k][0].any()


@pytest.mark.parametrize("parties", [2, 3, 16])
async def test_batches_are_bounded(parties: int) -> None:
    most = ciphertexts_max(parties)
    assert ciphertexts_for(1, parties) == ciphertexts_for(SLOTS_PER_CIPHERTEXT - 1, parties) == 1
    assert ciphertexts_for(SLOTS_PER_CIPHERTEXT, parties) == 2
    assert ciphertexts_for(10**12, parties) == most <= PARAMETERS.batch_max
    if parties == 2:
        keys = await epoch_for(parties)
        for count in (0, most + 1):
            outcomes = await Cluster(parties).outcomes(
                lambda party: make(Product.SQUARES, party, keys[party.index], count)  # noqa: B023
            )
            assert all(isinstance(o.error, LocalProtocolError) for o in outcomes)


# --- liars ------------------------------------------------------------------------------------------------


def flip_byte(array: np.ndarray) -> np.ndarray:
    flat = array.reshape(-1)
    flat[flat.size // 2] ^= 1
    return array


def oversize(array: np.ndarray) -> np.ndarray:
    """The last coefficients of a response as large as their encoding allows."""
    array[-100:] = 255
    return array


def add_one(array: np.ndarray) -> np.ndarray:
    array[0] = (array[0] + np.uint64(1)) % np.uint64(field.P)
    return array


@pytest.fixture
def enough(at_length: bool) -> int:
    """Parties where a lie is the same to all: at length more than one is honest."""
    return 3 if at_length else 2


async def lying(product: Product | None, tamper: Tamper, parties: int) -> list[Outcome]:
    """Honest parties, and a last one whose messages are changed; ``None`` founds an epoch."""
    keys = None if product is None else await epoch_for(parties)

    async def seat(party: Party) -> object:
        if keys is None or product is None:
            return await found(party, CHARTER)
        return await checked(product, party, keys[party.index])

    outcomes = (await Cluster(parties, seed=11, liar=parties - 1, tamper=tamper).outcomes(seat))[:-1]
    assert all(o.value is None for o in outcomes), "something was made"
    assert all(isinstance(o.error, RemoteProtocolError) for o in outcomes), outcomes
    return outcomes


def faults(outcomes: list[Outcome]) -> set[Fault]:
    return {o.error.fault for o in outcomes if isinstance(o.error, RemoteProtocolError)}


LIES: list[tuple[Product | None, str, Callable[[np.ndarray], np.ndarray], int | None, set[Fault]]] = [
    (None, "public-key", flip_byte, 1, {Fault.EQUIVOCATION}),
    (None, "delta/ciphertexts", flip_byte, 1, {Fault.EQUIVOCATION}),
    (None, "delta/0/response", flip_byte, None, {Fault.PROOF_EQUATION, Fault.PROOF_BOUND, Fault.MALFORMED}),
    (Product.TRIPLES, "triple/0/commit", flip_byte, 0, {Fault.EQUIVOCATION}),
    (Product.TRIPLES, "triple/0/response", flip_byte, None, {Fault.PROOF_EQUATION, Fault.PROOF_BOUND}),
    (None, "delta/0/response", oversize, None, {Fault.PROOF_BOUND}),
    (Product.TRIPLES, "triple/0/response", oversize, None, {Fault.PROOF_BOUND}),
    (Product.TRIPLES, "batch-key", flip_byte, 1, {Fault.EQUIVOCATION}),
    (Product.TRIPLES, "triple/ciphertexts", flip_byte, 1, {Fault.EQUIVOCATION}),
    (Product.TRIPLES, "triple/0", flip_byte, None, {Fault.BATCH_CHECK, Fault.DECRYPTION, Fault.MALFORMED}),
    (Product.TRIPLES, "triple/1", flip_byte, None, {Fault.BATCH_CHECK, Fault.DECRYPTION, Fault.MALFORMED}),
    (Product.TRIPLES, "batch/combination", add_one, 0, {Fault.EQUIVOCATION}),
    (Product.BITS, "square/0", flip_byte, None, {Fault.BATCH_CHECK, Fault.DECRYPTION, Fault.MALFORMED}),
    (Product.BITS, "square/1", flip_byte, None, {Fault.BATCH_CHECK, Fault.DECRYPTION, Fault.MALFORMED}),
    (Product.BITS, "bit/square", add_one, 0, {Fault.EQUIVOCATION}),
    (Product.MASKS, "mask/0", flip_byte, 0, {Fault.BATCH_CHECK, Fault.DECRYPTION, Fault.MALFORMED}),
    (Product.MASKS, "masks/combination", add_one, 1, {Fault.EQUIVOCATION}),
]


@pytest.mark.parametrize(
    ("product", "label", "change", "to", "expected"),
    LIES,
    ids=lambda v: "" if isinstance(v, set) else getattr(v, "__name__", str(v)),
)
async def test_a_changed_message_is_named(
    product: Product | None, label: str, change: Callable, to: int | None, expected: set[Fault], enough: int
) -> None:
    parties = enough if to is None else 3
    found_faults = faults(await lying(product, lie_at(label, change, to=to), parties))
    assert found_faults & expected, found_faults
    assert found_faults <= expected | {Fault.DISCONNECTED, Fault.EQUIVOCATION}


async def with_lie(product: Product, patch: Callable[[pytest.MonkeyPatch, int], None], parties: int = 3) -> set[Fault]:
    """A liar that computes on consistently with its lie: ``patch`` changes what its own code does."""
    keys = await epoch_for(parties)
    cluster = Cluster(parties, seed=12)
    with pytest.MonkeyPatch.context() as monkeypatch:
        patch(monkeypatch, parties - 1)
        outcomes = (await cluster.outcomes(lambda party: checked(product, party, keys[party.index])))[:-1]
    assert all(o.value is None for o in outcomes)
    assert all(isinstance(o.error, RemoteProtocolError) for o in outcomes), outcomes
    return faults(outcomes)


def other_factor(stage: int, which: int, to: int | None) -> Callable[[pytest.MonkeyPatch, int], None]:
    """The liar multiplies something else into what it was told, in one slot, towards one party or all.

    ``stage`` is the number of multiplications of that stage, which tells the first from the second.
    """

    def patch(monkeypatch: pytest.MonkeyPatch, liar: int) -> None:
        original = products._Stage.answers

        def lying(self: products._Stage) -> list[Callable[[], None]]:
            honest = original(self)
            if self._party.index != liar or len(self.work) != stage:
                return honest
            return [lambda: lie(self, honest)]

        def lie(self: products._Stage, honest: list[Callable[[], None]]) -> None:
            for call in honest:
                call()
            work = self.work[which]
            changed = work.factor + 1 if isinstance(work.factor, int) else work.factor.copy()
            if not isinstance(changed, int):
                add_one(changed.reshape(-1))
            for peer in work.asked:
                if to in (None, peer):
                    question = work.question(peer, self.part.first, self._party.entropy(32))
                    if isinstance(changed, int):
                        (answer,) = reply_scaled([question], changed, self.part.count)
                    else:
                        (answer,) = reply([question], changed)
                    self._answers[which, peer] = answer

        monkeypatch.setattr(products._Stage, "answers", lying)

    return patch


@pytest.mark.parametrize(
    ("product", "stage", "which", "to"),
    [
        (Product.TRIPLES, 3, 0, None),  # a·Δ with another a than in a·b
        (Product.TRIPLES, 3, 0, 1),  # … towards one party alone
        (Product.TRIPLES, 3, 1, 0),  # Δ·b with another Δ
        (Product.TRIPLES, 3, 2, None),  # a·b
        pytest.param(Product.TRIPLES, 3, 2, 0, marks=pytest.mark.long),
        (Product.TRIPLES, 1, 0, None),  # m(a)·b
        pytest.param(Product.TRIPLES, 1, 0, 1, marks=pytest.mark.long),
        (Product.SQUARES, 2, 0, 0),  # Δ·a
        (Product.SQUARES, 2, 1, None),  # a·a
        (Product.BITS, 1, 0, None),  # m(a)·a
        (Product.MASKS, 1, 0, 0),  # different masks towards different parties
    ],
)
async def test_another_factor_fails_the_check(
    product: Product, stage: int, which: int, to: int | None, enough: int
) -> None:
    parties = enough if to is None else 3
    assert await with_lie(product, other_factor(stage, which, to), parties) == {Fault.BATCH_CHECK}


@pytest.mark.parametrize("product", list(Product))
async def test_another_delta_throughout_fails_the_check(product: Product, enough: int) -> None:
    """The liar runs the honest program, with a share of the MAC key that is not the one it proved (step 8.2)."""
    *honest, liar = await epoch_for(enough)
    mac_key = liar.mac_key
    other = attrs.evolve(liar, mac_key=attrs.evolve(mac_key, delta=(mac_key.delta + 1) % field.P))
    lying = [*honest, other]
    outcomes = await Cluster(enough, seed=15).outcomes(lambda party: checked(product, party, lying[party.index]))
    assert all(o.value is None for o in outcomes[:-1])
    assert faults(outcomes[:-1]) == {Fault.BATCH_CHECK}


@pytest.mark.parametrize("row", [1, 5, *(pytest.param(row, marks=pytest.mark.long) for row in (0, 2, 3, 4))])
async def test_a_false_share_fails_the_check(row: int, enough: int) -> None:
    """Whatever part of a triple the liar changes in its own hands."""

    def patch(monkeypatch: pytest.MonkeyPatch, liar: int) -> None:
        original = triples.UncheckedTriples.checked

        async def lying(self: triples.UncheckedTriples) -> Elements:
            if self._party.index == liar:
                add_one(self._recipe.rows[row].reshape(-1))
            return await original(self)

        monkeypatch.setattr(triples.UncheckedTriples, "checked", lying)

    assert await with_lie(Product.TRIPLES, patch, enough) == {Fault.BATCH_CHECK}


async def test_a_batch_in_several_parts_is_right() -> None:
    keys = await epoch_for(2)
    count = products.PART + 1
    results = await Cluster(2, seed=8).run(lambda party: checked(Product.TRIPLES, party, keys[party.index], count))
    columns = [r.batches[0].columns for r in results]
    assert columns[0].shape == (6, count * SLOTS_PER_CIPHERTEXT - 1)
    a, b, c = (check_macs(keys, [m[k] for m in columns], [m[k + 3] for m in columns]) for k in range(3))
    np.testing.assert_array_equal(c, field.mul(a, b))


async def test_every_batch_has_keys_of_its_own() -> None:
    epoch = await epoch_for(2)
    of_a_batch = [
        (await Cluster(2, seed=seed).run(lambda party: batch_keys(party, epoch[party.index].epoch_id)))[0].public
        for seed in (30, 31)
    ]
    keys = [key for publics in (*of_a_batch, epoch[0].keys.public) for key in publics]
    assert len({key.to_array().tobytes() for key in keys}) == 6
    assert len({key.a.tobytes() for key in keys}) == 6


@pytest.mark.parametrize(
    ("product", "label"),
    [
        (Product.TRIPLES, "batch/combination"),
        (Product.BITS, "batch/combination"),
        (Product.BITS, "bit/square"),
        (Product.MASKS, "masks/combination"),
    ],
)
async def test_a_false_opening_told_to_everybody_is_named(product: Product, label: str, enough: int) -> None:
    """The liar opens a wrong share and computes on with it, so that all records agree."""

    def patch(monkeypatch: pytest.MonkeyPatch, liar: int) -> None:
        name = "open" if label == "bit/square" else "open_masked"  # by whether a mask hides it
        original = getattr(Checker, name)

        async def lying(self: Checker, step: str, shared: Shared) -> object:
            if step == label and self._party.index == liar:
                shared = attrs.evolve(shared, value=add_one(shared.value.copy()))
            return await original(self, step, shared)

        monkeypatch.setattr(Checker, name, lying)

    assert await with_lie(product, patch, enough) == {Fault.BATCH_CHECK}


async def test_one_seed_gives_one_trace() -> None:
    """Randomness is an argument everywhere: the same seeds make the same messages and the same shares."""
    keys = await epoch_for(2)
    runs = [
        await Cluster(2, seed=seed).run(lambda party: checked(Product.MASKS, party, keys[party.index]))
        for seed in (21, 21, 22)
    ]
    digests = [run[0].digest for run in runs]
    assert digests[0] == digests[1] != digests[2]
    np.testing.assert_array_equal(runs[0][1].batches[0].columns, runs[1][1].batches[0].columns)


async def test_a_delta_that_is_not_constant_is_refused() -> None:
    """The liar encrypts different Δ in different slots, and proves that ciphertext as well as it can."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        original = encrypt
        calls = 0

        def uneven(key: object, slots: np.ndarray, seed: bytes, *, constant: bool = False) -> object:
            nonlocal calls
            calls += 1
            if calls < 3:  # the first two seats are honest; all run the same code in the same order
                return original(key, slots, seed, constant=constant)
            slots[0, 1] = (slots[0, 1] + np.uint64(1)) % np.uint64(field.P)
            batch, openings = original(key, slots, seed)
            return batch, attrs.evolve(openings, constant=True)

        monkeypatch.setattr(ciphertexts, "encrypt", uneven)
        outcomes = await Cluster(3, seed=14).outcomes(lambda party: found(party, CHARTER))
    liar = [k for k, o in enumerate(outcomes) if o.error is None or not isinstance(o.error, RemoteProtocolError)]
    honest = [o for k, o in enumerate(outcomes) if k not in liar]
    assert len(honest) >= 2
    assert all(o.value is None for o in honest)
    assert faults(honest) & {Fault.PROOF_EQUATION, Fault.PROOF_BOUND, Fault.MALFORMED}


async def test_a_prover_that_never_finishes_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(array: np.ndarray) -> np.ndarray:
        return np.empty(0, dtype=np.uint8)

    def tamper(receiver: int, message):  # type: ignore[no-untyped-def]
        if message.step.endswith("/response"):
            return lie_at(message.step.split(".", 1)[1], never)(receiver, message)
        return message

    keys = await epoch_for(3)
    outcomes = (
        await Cluster(3, seed=13, liar=2, tamper=tamper).outcomes(
            lambda party: checked(Product.TRIPLES, party, keys[party.index])
        )
    )[:2]
    assert all(o.value is None for o in outcomes)
    assert faults(outcomes) & {Fault.EQUIVOCATION, Fault.PROOF_BOUND}
