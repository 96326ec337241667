"""Charters taken up: kept with their signatures, in order, and never another in their place."""

from __future__ import annotations

from pathlib import Path

import pytest

from nskd.errors import OperatorError
from nskd.governance.charter import parse_charter
from nskd.governance.charter_signatures import CharterSignatures, load_signatures, signatures_path
from nskd.governance.charter_store import CharterStore
from nskd.governance.policy import PolicyError, Rule

from .test_charter_signatures import FIRST, OTHER_SECOND, SECOND, THIRD, all_signed, signed
from .workshop import NAMES, signing_key

ALL_OF_SECOND = ("noord", "midden", "zuid", "oost")


@pytest.fixture
def store(tmp_path: Path) -> CharterStore:
    return CharterStore(tmp_path / "charter")


def test_versions_follow_each_other(store: CharterStore) -> None:
    assert store.in_force() is None
    store.take_up(FIRST, signed(FIRST, NAMES))
    store.take_up(SECOND, signed(SECOND, ALL_OF_SECOND))
    store.take_up(THIRD, all_signed(THIRD, SECOND))
    found = CharterStore(store.directory).in_force()
    assert found is not None
    assert found.charter == THIRD
    assert sorted(path.name for path in store.directory.glob("*.toml")) == [f"00000{n}.toml" for n in (1, 2, 3)]


def test_who_joins_begins_with_a_later_version(store: CharterStore) -> None:
    store.take_up(SECOND, signed(SECOND, ALL_OF_SECOND))
    store.take_up(THIRD, all_signed(THIRD, SECOND))
    found = store.in_force()
    assert found is not None and found.charter == THIRD


def test_what_may_not_follow_changes_nothing(store: CharterStore) -> None:
    store.take_up(FIRST, signed(FIRST, NAMES))
    store.take_up(SECOND, signed(SECOND, ALL_OF_SECOND))
    for charter, signatures, rule in (
        (FIRST, signed(FIRST, NAMES), Rule.CHARTER_OLD),
        (OTHER_SECOND, all_signed(OTHER_SECOND, FIRST), Rule.CHARTER_OLD),
        (THIRD, signed(THIRD, ("noord", "midden")), Rule.CHARTER_UNSIGNED),
    ):
        with pytest.raises(PolicyError) as caught:
            store.take_up(charter, signatures)
        assert caught.value.rule is rule
        found = store.in_force()
        assert found is not None and found.charter == SECOND


def test_a_daemon_that_died_in_between_has_taken_up_nothing(store: CharterStore) -> None:
    """Signatures come first: without the charter they are of nothing."""
    store.take_up(FIRST, signed(FIRST, NAMES))
    signatures_path(store.directory / "000002.toml").write_text(signed(SECOND, ALL_OF_SECOND).text())
    found = store.in_force()
    assert found is not None and found.charter == FIRST
    store.take_up(SECOND, signed(SECOND, ALL_OF_SECOND))


def test_what_somebody_edited_is_not_in_force(store: CharterStore) -> None:
    store.take_up(FIRST, signed(FIRST, NAMES))
    path = store.directory / "000001.toml"
    path.write_bytes(FIRST.raw + b"# a remark\n")
    with pytest.raises(PolicyError) as caught:
        store.in_force()
    assert caught.value.rule is Rule.CHARTER_TRANSPLANTED
    # With a signature moved along it is forged.
    edited = parse_charter(path.read_bytes())
    moved = CharterSignatures(edited.digest, load_signatures(FIRST, path).signatures)
    signatures_path(path).write_text(moved.text())
    with pytest.raises(PolicyError) as caught:
        store.in_force()
    assert caught.value.rule is Rule.CHARTER_FORGED


def test_a_version_under_another_number_is_damage(store: CharterStore) -> None:
    store.take_up(FIRST, signed(FIRST, NAMES))
    for suffix in ("", ".signatures"):
        (store.directory / f"000001.toml{suffix}").rename(store.directory / f"000007.toml{suffix}")
    with pytest.raises(OperatorError, match="it holds version 1"):
        store.in_force()


def test_former_signing_keys_are_those_of_the_chain_of_charters(store: CharterStore) -> None:
    for charter, signatures in (
        (FIRST, signed(FIRST, NAMES)),
        (SECOND, signed(SECOND, ALL_OF_SECOND)),
        (THIRD, all_signed(THIRD, SECOND)),
    ):
        store.take_up(charter, signatures)
    chain = (THIRD, SECOND, FIRST)
    for name in {centre.name for charter in chain for centre in charter.centres}:
        listed = [charter.find(name) for charter in chain]
        keys = [centre.signing_key for centre in listed if centre is not None]
        assert store.signing_keys(name) == tuple(dict.fromkeys(keys))
    # A first version that the second does not name was put there by somebody, with a key of their own.
    path = store.directory / "000001.toml"
    own, other = (signing_key(name).public_key().public_bytes_raw() for name in ("noord", "somebody"))
    path.write_bytes(path.read_bytes().replace(own.hex().encode(), other.hex().encode()))
    assert store.signing_keys("noord") == (own,)
