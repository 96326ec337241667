"""A centre's three keys, read from the directory that systemd fills for the service alone.

``noise.key`` (X25519) is its identity on the network, ``signing.key`` (Ed25519) signs its requests and
approvals, ``storage.key`` seals its stock on disk.  Each file is two lines of text: what kind of key it is,
and 32 bytes in hexadecimal.  The first line is there so that a file copied to the wrong name is noticed and
not used.
"""

from __future__ import annotations

import contextlib
import errno
import hmac
import os
import re
import secrets
import stat
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Final, Self, TypeVar

import attrs
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from nskd.errors import OperatorError
from protocol.noise.keys import StaticKey
from protocol.secret import Secret

KEY_BYTES: Final = 32
DIRECTORY_VARIABLE: Final = "CREDENTIALS_DIRECTORY"
_FILE_BYTES_MAX: Final = 256  # two short lines; more is another file
_STEWARD: Final = "ssh-ed25519 AAAA… name"  # for a person to fill in
_FORBIDDEN_MODE: Final = 0o037  # systemd grants its service read access by an ACL, which shows as group read


class CredentialError(OperatorError):
    """A key that is missing, unreadable, exposed, or not the key it should be."""


class KeyMaterial(Secret):
    """32 secret bytes of one kind; compared in constant time, never shown, hashed, pickled or copied."""

    __slots__ = ("_raw",)
    filename: ClassVar[str]
    kind: ClassVar[str]  # the first line of the file

    def __init__(self, raw: bytes) -> None:
        if len(raw) != KEY_BYTES:
            raise ValueError(f"a {type(self).__name__} has {KEY_BYTES} bytes, not {len(raw)}")
        self._raw = bytes(raw)

    @classmethod
    def generate(cls) -> Self:
        """Draw a new key from the operating system."""
        return cls(secrets.token_bytes(KEY_BYTES))

    def expose(self) -> bytes:
        """Return the 32 bytes, for the one place that computes with them."""
        return self._raw

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return hmac.compare_digest(self._raw, other._raw)

    __hash__ = None  # type: ignore[assignment]  # a hash of a key is a thing to leak


class NoiseKey(KeyMaterial):
    """X25519, for the handshake with other centres."""

    __slots__ = ()
    filename = "noise.key"
    kind = "nskd-noise-key-1"

    @property
    def public(self) -> bytes:
        """The half that goes into the charter."""
        return X25519PrivateKey.from_private_bytes(self._raw).public_key().public_bytes_raw()

    def static_key(self) -> StaticKey:
        """Return it as the handshake takes it."""
        return StaticKey(self._raw)


class SigningKey(KeyMaterial):
    """Ed25519, for requests and approvals."""

    __slots__ = ()
    filename = "signing.key"
    kind = "nskd-signing-key-1"

    @property
    def public(self) -> bytes:
        """The half that goes into the charter."""
        return Ed25519PrivateKey.from_private_bytes(self._raw).public_key().public_bytes_raw()

    def signer(self) -> Callable[[bytes], bytes]:
        """Return a function from a message to its 64-byte signature."""
        return Ed25519PrivateKey.from_private_bytes(self._raw).sign


class StorageKey(KeyMaterial):
    """Seals what this centre keeps on disk; no other centre knows or needs anything about it."""

    __slots__ = ()
    filename = "storage.key"
    kind = "nskd-storage-key-1"


class Password(Secret):
    """What a database server asks this centre for; never shown, hashed, pickled or copied."""

    __slots__ = ("_text",)
    filename: ClassVar[str] = "database.password"

    def __init__(self, text: str) -> None:
        self._text = text

    def expose(self) -> str:
        """Return it, for the one place that hands it over."""
        return self._text

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return hmac.compare_digest(self._text.encode(), other._text.encode())

    __hash__ = None  # type: ignore[assignment]  # a hash of a password is a thing to leak


K = TypeVar("K", bound=KeyMaterial)
_KINDS: Final[tuple[type[KeyMaterial], ...]] = (NoiseKey, SigningKey, StorageKey)


@attrs.frozen
class PublicIdentity:
    """What a centre tells the others about itself: two public keys of 32 bytes."""

    noise_key: bytes
    signing_key: bytes

    def charter_entry(self, *, name: str, title: str = "", address: str = "", stewards: Sequence[str] = ()) -> str:
        """Write the ``[[centre]]`` table of a charter; what is not given is left for a person to fill in."""
        return (
            "[[centre]]\n"
            f"name = {_quoted(name)}\n"
            f"title = {_quoted(title or name)}\n"
            f"address = {_quoted(address or 'host.example:7443')}\n"
            f'noise_key = "{self.noise_key.hex()}"\n'
            f'signing_key = "{self.signing_key.hex()}"\n'
            f"stewards = [{', '.join(_quoted(line) for line in stewards or (_STEWARD,))}]\n"
        )


@attrs.frozen
class CentreKeys:
    """All three keys of this centre, and the password of its database if there is one."""

    noise: NoiseKey
    signing: SigningKey
    storage: StorageKey
    database: Password | None = None

    @property
    def identity(self) -> PublicIdentity:
        """The public halves."""
        return PublicIdentity(self.noise.public, self.signing.public)


def credentials_directory(given: Path | None, environment: Mapping[str, str]) -> Path:
    """Return the directory named on the command line, or else the one systemd names."""
    if given is not None:
        return given
    named = environment.get(DIRECTORY_VARIABLE, "")
    if not named:
        raise CredentialError(
            "it is not set, and no directory was given",
            where=f"${DIRECTORY_VARIABLE}",
            remedy="Start through systemd with LoadCredentialEncrypted=, or pass --credentials DIR.",
        )
    return Path(named)


def load_keys(directory: Path) -> CentreKeys:
    """Read and check all three files; raises :class:`CredentialError`."""
    keys = CentreKeys(
        _load(directory, NoiseKey),
        _load(directory, SigningKey),
        _load(directory, StorageKey),
        load_password(directory),
    )
    raws = [keys.noise.expose(), keys.signing.expose(), keys.storage.expose()]
    for i, first in enumerate(raws):
        for second in raws[:i]:
            if hmac.compare_digest(first, second):
                raise CredentialError(
                    "two of the keys are the same",
                    where=str(directory),
                    remedy="Make a fresh set with nskctl keygen; one key must not serve two purposes.",
                )
    return keys


def load_password(directory: Path) -> Password | None:
    """Read ``database.password``, one line; None without that file.  Raises :class:`CredentialError`."""
    path = directory / Password.filename
    if not os.path.lexists(path):
        return None
    try:
        written = _read(path).decode().removesuffix("\n")
    except UnicodeDecodeError:
        written = ""
    if not written or not written.isprintable():
        raise CredentialError(
            "it is not one line of text", where=str(path), remedy="Write the password into it, and nothing else."
        )
    return Password(written)


def load_storage_key(path: Path) -> StorageKey:
    """Read and check one storage key, whatever its file is called; raises :class:`CredentialError`."""
    return _load_file(path, StorageKey)


def generate(directory: Path) -> PublicIdentity:
    """Make a new set of keys in ``directory`` (made if missing): files of mode 0400, all of them or none.

    Never overwrites: a lost noise or signing key means a new charter.
    """
    keys = CentreKeys(NoiseKey.generate(), SigningKey.generate(), StorageKey.generate())
    _write(directory, (keys.noise, keys.signing, keys.storage))
    return keys.identity


def generate_one(directory: Path, kind: str) -> bytes | None:
    """Make one new key, ``noise``, ``signing`` or ``storage``, as :func:`generate`; its public half if it has one."""
    (made,) = (each for each in _KINDS if each.filename == f"{kind}.key")
    key = made.generate()
    _write(directory, (key,))
    return key.public if isinstance(key, NoiseKey | SigningKey) else None


def _write(directory: Path, keys: Sequence[KeyMaterial]) -> None:
    made: list[Path] = []
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for key in keys:
            path = directory / key.filename
            text = f"{key.kind}\n{key.expose().hex()}\n".encode()
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o400)
            made.append(path)
            with os.fdopen(descriptor, "wb") as file:
                file.write(text)
                file.flush()
                os.fsync(descriptor)
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as exc:
        for path in made:
            with contextlib.suppress(OSError):
                path.unlink()
        if isinstance(exc, FileExistsError):
            raise CredentialError(
                "there is a key already, and nothing was changed",
                where=str(directory / (Path(exc.filename or "").name)),
                remedy="Choose an empty directory; remove an old key only when no charter names it any more.",
            ) from None
        raise CredentialError(
            f"the keys cannot be written: {exc.strerror}", where=str(directory), remedy="Check the directory."
        ) from None


def _load(directory: Path, kind: type[K]) -> K:
    return _load_file(directory / kind.filename, kind)


def _load_file(path: Path, kind: type[K]) -> K:
    where = str(path)
    lines = _read(path).split(b"\n")
    first = lines[0].strip().decode("ascii", "replace")
    for other in _KINDS:
        if first == other.kind and other is not kind:
            raise CredentialError(
                f"this file holds what belongs into {other.filename}",
                where=where,
                remedy="Put each key under its own name again.",
            )
    if first != kind.kind:
        raise CredentialError(f"its first line is not {kind.kind}", where=where, remedy="Make keys with nskctl keygen.")
    if len(lines) != 3 or lines[2] or not re.fullmatch(rb"[0-9a-f]{64}", lines[1]):
        raise CredentialError(
            f"its second and last line is not {KEY_BYTES} bytes in hexadecimal",
            where=where,
            remedy="Restore the file from where it came.",
        )
    raw = bytes.fromhex(lines[1].decode("ascii"))
    if len(set(raw)) == 1:
        raise CredentialError("it is a placeholder, not a key", where=where, remedy="Make keys with nskctl keygen.")
    return kind(raw)


def _read(path: Path) -> bytes:
    """Read a small regular file that only its owner can read, without following a link."""
    where = str(path)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as exc:
        if exc.errno == errno.ELOOP:
            raise CredentialError(
                "it is a symbolic link, which could lead anywhere",
                where=where,
                remedy="Put the file itself there.",
            ) from None
        raise CredentialError(
            f"it cannot be read: {exc.strerror}",
            where=where,
            remedy="Make keys with nskctl keygen, and check LoadCredentialEncrypted= in the unit.",
        ) from None
    try:
        _check(os.fstat(descriptor), where)
        return os.read(descriptor, _FILE_BYTES_MAX)
    finally:
        os.close(descriptor)


def _check(status: os.stat_result, where: str) -> None:
    mode = stat.S_IMODE(status.st_mode)
    if not stat.S_ISREG(status.st_mode):
        raise CredentialError("it is not a file", where=where, remedy="Put a key file there.")
    if mode & _FORBIDDEN_MODE:
        raise CredentialError(
            f"others than its owner can get at it (mode {mode:04o})",
            where=where,
            remedy="Make a new key, for this one may be known. If you are sure it is not: chmod 0400.",
        )
    if status.st_uid not in (0, os.geteuid()):
        raise CredentialError(
            f"it belongs to another user (uid {status.st_uid})", where=where, remedy="Check who put it there."
        )
    if status.st_size > _FILE_BYTES_MAX:
        raise CredentialError("it is too long to be a key", where=where, remedy="Put a key file there.")


def _quoted(text: str) -> str:
    """Write a TOML basic string."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else f"\\u{ord(c):04X}" for c in escaped) + '"'
