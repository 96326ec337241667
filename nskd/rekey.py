"""Another storage key for a state directory: ``nskd rekey``, while the daemon is stopped.

Three steps, each of which ends with one file put in place at one stroke:

1. The keyring, with a fresh sealing key in front, is written under the new storage key.  From this moment the new one
   opens everything, and the old one nothing.
2. Stock, epoch, populations and case mixes are sealed anew, one by one.
3. The keyring is written without the former sealing keys.

Cut short before the first is done, the old key works and nothing has changed; after it the new key works, and the next
start of the daemon, or of the command, goes on where it stopped.
"""

from __future__ import annotations

import contextlib
from functools import partial
from pathlib import Path

import attrs

from nskd import backup, keyring
from nskd.analysis.contribution import Contributions
from nskd.analysis.populations import Populations
from nskd.credentials import CentreKeys, StorageKey
from nskd.errors import OperatorError
from nskd.keyring import Keyring, KeyringError
from nskd.restore import mark
from nskd.stockpile import Durability, Stockpile


class RekeyError(OperatorError):
    """The storage key cannot be replaced."""


def rekey(
    state: Path, keys: CentreKeys, new: StorageKey, *, now: int, end_epoch: bool, disk: Durability | None = None
) -> Keyring:
    """Do all three steps, or those that are left; returns the keyring as it is then.  Raises an ``OperatorError``.

    ``keys``: those in use until now.  ``end_epoch``: epoch and stock are destroyed rather than sealed anew, for when
    the old key may be known to others.  The caller sees to it that no daemon has the directory.
    """
    if new == keys.storage:
        raise RekeyError(
            "the new storage key is the one in use",
            where=str(state),
            remedy="Make another: nskctl keygen --only storage DIRECTORY.",
        )
    begun = _begun(state, keys.storage, new)
    ring = begun or keyring.load_or_make(state, keys.storage)
    with contextlib.closing(_open_stock(state, ring, now, disk)) as stock:
        # These are known to be the right keys now.  What is to be destroyed is first, whatever cuts short the rest.
        if end_epoch:
            stock.destroy_epoch("the storage key it was sealed under was given up")
    if begun is None:
        ring = ring.turned().using(attrs.evolve(keys, storage=new), now=now)
        ring.store(state, new)
    return finish(state, ring, new, now=now, disk=disk)


def _begun(state: Path, old: StorageKey, new: StorageKey) -> Keyring | None:
    """The keyring, if it is under the new key already: an earlier attempt was cut short."""
    try:
        keyring.load(state, old)
    except KeyringError:
        with contextlib.suppress(KeyringError):
            return keyring.load(state, new)
    return None


def finish(state: Path, ring: Keyring, storage: StorageKey, *, now: int, disk: Durability | None = None) -> Keyring:
    """Seal anew whatever is not sealed under the first key, and forget the others.  Raises an ``OperatorError``.

    A backup in the state directory is removed: it opens to the key that was given up.
    """
    with contextlib.closing(_open_stock(state, ring, now, disk)) as stock:
        stock.renew(ring.sealing[0])
    Populations(state / "populations", ring.digests, ring.seals).renew()
    Contributions(state / "contributions", ring.digests, ring.seals).renew()
    backup.remove_all(state)
    settled = ring.settled()
    settled.store(state, storage)
    return settled


def _open_stock(state: Path, ring: Keyring, now: int, disk: Durability | None) -> Stockpile:
    marking = partial(mark, state, restored_at=now, made_at=0)
    return Stockpile.open(state / "stock", ring.sealing[0], former=ring.sealing[1:], disk=disk, on_copy=marking)
