"""The keys under the storage key: what it seals is one small file, ``keyring``, and that file opens everything else.

So the storage key can be replaced at one stroke, by writing that file anew.  In it are

* the *digest key*, under which children and contributions are digested.  Digests cannot be made anew – what they were
  made of is gone – so it stays the same for the life of the state directory;
* the *sealing keys*, under which stock, epoch, populations and case mixes lie.  The first seals; one after it only
  opens what was sealed before, until all is sealed anew, and is then forgotten;
* since when this centre has used each of its keys, for people.

A state directory of before there was a keyring used the storage key itself for both; it goes on with what it has until
the first :mod:`nskd.rekey`.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final

import attrs
import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from nskd.credentials import KEY_BYTES, CentreKeys, StorageKey
from nskd.durable import write_durably
from nskd.errors import OperatorError
from nskd.seal import Derive, Seal
from protocol.secret import Secret

NAME: Final = "keyring"
FORMAT: Final = 1
_HEAD: Final = b"nskd keyring "
_LABEL: Final = b"nskd keyring v1\0"
_DERIVED: Final = b"nskd derived key v1\0"
_FILE_BYTES_MAX: Final = 1 << 16
_BEFORE: Final = ("stock/ledger.sqlite", "populations", "contributions")  # what a directory without a keyring may hold


class KeyringError(OperatorError):
    """The keyring cannot be read or written, or belongs to another storage key."""


_Key = Annotated[bytes, msgspec.Meta(min_length=KEY_BYTES, max_length=KEY_BYTES)]


class _Stored(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    digests: _Key
    sealing: Annotated[tuple[_Key, ...], msgspec.Meta(min_length=1, max_length=16)]
    since: dict[str, tuple[bytes, int]]


@attrs.frozen
class Age:
    """One of this centre's keys: its kind, as in ``KIND.key``, and when this centre began to use it."""

    kind: str
    since: int


class Keyring(Secret):
    """See the module.  ``sealing``: the first seals."""

    __slots__ = ("_digests", "_since", "sealing")

    def __init__(
        self, digests: StorageKey, sealing: tuple[StorageKey, ...], since: Mapping[str, tuple[bytes, int]]
    ) -> None:
        self._digests = digests
        self.sealing: Final = sealing
        self._since = dict(since)

    @property
    def digests(self) -> Derive:
        """For digests of children and contributions."""
        return derived(self._digests)

    @property
    def seals(self) -> tuple[Derive, ...]:
        """For sealing; what further ones opened is to be sealed anew."""
        return tuple(derived(key) for key in self.sealing)

    @property
    def ages(self) -> list[Age]:
        """Since when each key has been in use, the oldest first."""
        return sorted((Age(kind, since) for kind, (_, since) in self._since.items()), key=lambda age: age.since)

    def turned(self) -> Keyring:
        """With a fresh sealing key in front."""
        return Keyring(self._digests, (StorageKey.generate(), *self.sealing), self._since)

    def settled(self) -> Keyring:
        """Without the keys that nothing is sealed under any more."""
        return Keyring(self._digests, self.sealing[:1], self._since)

    def using(self, keys: CentreKeys, *, now: int) -> Keyring:
        """With these as the keys in use: one that is not known yet is in use from ``now`` on."""
        names = {
            "noise": keys.noise.public,
            "signing": keys.signing.public,
            "storage": _name_of(keys.storage),
        }
        since = {
            kind: (name, self._since[kind][1] if self._since.get(kind, (b"",))[0] == name else now)
            for kind, name in names.items()
        }
        return Keyring(self._digests, self.sealing, since)

    def alike(self, other: Keyring) -> bool:
        """Whether both hold the same."""
        return self._stored() == other._stored()

    def store(self, state: Path, storage: StorageKey) -> None:
        """Write it, sealed under the storage key: at one stroke, durably.  Raises :class:`KeyringError`."""
        sealed = _seal(storage).close(msgspec.msgpack.encode(self._stored()), b"")
        path = state / NAME
        try:
            write_durably(path, b"%s%d\n%s" % (_HEAD, FORMAT, sealed))
        except OSError as error:
            raise KeyringError(
                f"it cannot be written: {error.strerror}", where=str(path), remedy="Check free space and permissions."
            ) from error

    def _stored(self) -> _Stored:
        sealing = tuple(key.expose() for key in self.sealing)
        return _Stored(self._digests.expose(), sealing, self._since)


def derived(key: StorageKey) -> Derive:
    """A key for each label; 32 bytes."""
    return lambda label: hmac.digest(key.expose(), _DERIVED + label, "sha256")


def load(state: Path, storage: StorageKey) -> Keyring | None:
    """Open the keyring of a state directory; None where there is none.  Raises :class:`KeyringError`."""
    path = state / NAME
    try:
        with path.open("rb") as file:
            raw = file.read(_FILE_BYTES_MAX)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise KeyringError(
            f"it cannot be read: {error.strerror}", where=str(path), remedy="Check its owner and the disk."
        ) from error
    head, _, sealed = raw.partition(b"\n")
    if head != b"%s%d" % (_HEAD, FORMAT):
        raise KeyringError(
            "it is of another format, most likely of a later version of nskd",
            where=str(path),
            remedy="Install the version that wrote it.",
        )
    try:
        stored = msgspec.msgpack.decode(_seal(storage).open(sealed, b""), type=_Stored)
    except InvalidTag:
        raise KeyringError(
            "the state directory was sealed under another storage key, or this file is damaged",
            where=str(path),
            remedy="Put the right storage.key back. After nskd rekey that is the new one.",
        ) from None
    except msgspec.DecodeError:
        raise KeyringError(
            "it is not what this version writes", where=str(path), remedy="Install the version that wrote it."
        ) from None
    return Keyring(StorageKey(stored.digests), tuple(map(StorageKey, stored.sealing)), stored.since)


def load_or_make(state: Path, storage: StorageKey) -> Keyring:
    """As :func:`load`; where there is none, of fresh keys, or of the storage key if something was sealed under it.

    A fresh one is stored at once.  One of the storage key is for the caller to store, once something was opened with
    it: it might be the wrong one.
    """
    ring = load(state, storage)
    if ring is None and any(_holds_anything(state / name) for name in _BEFORE):
        return Keyring(storage, (storage,), {})
    if ring is None:
        ring = Keyring(StorageKey.generate(), (StorageKey.generate(),), {})
        ring.store(state, storage)
    return ring


def _holds_anything(path: Path) -> bool:
    return path.is_file() or (path.is_dir() and next(path.iterdir(), None) is not None)


def _seal(storage: StorageKey) -> Seal:
    return Seal(_LABEL, (lambda label: HKDF(SHA256(), KEY_BYTES, b"", label).derive(storage.expose()),))


def _name_of(storage: StorageKey) -> bytes:
    """What tells one storage key from another and says nothing about it."""
    return HKDF(SHA256(), 16, b"", b"nskd storage key name v1").derive(storage.expose())
