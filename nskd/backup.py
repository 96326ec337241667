"""A backup of a centre: one sealed file with all that must outlive its disk, and nothing that must not.

In it are the requests, approvals and results (``ledger.sqlite``), the audit log, the charters, what was contributed
and by whom (``contributions``, ``populations``), and the keyring.  Left out on purpose are epoch and stock: a triple
that is used twice gives secrets away, and what a backup holds may have been used since.

The file is a tar archive in pieces of 64 KiB, each sealed (AES-256-GCM) under a key that is derived from the storage
key and 32 random bytes in its head; a piece's nonce says its number and whether it is the last, so none can be left
out, moved or cut off.
"""

from __future__ import annotations

import datetime
import io
import os
import re
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Annotated, BinaryIO, Final

import attrs
import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from nskd.credentials import KEY_BYTES, StorageKey
from nskd.durable import sync_directory
from nskd.errors import OperatorError

MANIFEST: Final = "manifest.json"
DIRECTORIES: Final = ("charter", "populations", "contributions")
LEDGER: Final = "ledger.sqlite"
AUDIT: Final = "audit.ndjson"
DIRECTORY: Final = "backup"  # in the state directory: the latest backup
SUFFIX: Final = ".backup"
_TIME: Final = "%Y%m%dT%H%M%SZ"
FORMAT: Final = 1
_HEAD: Final = b"nskd backup 1\n"
_SALT_BYTES: Final = 32
_PIECE_BYTES: Final = 1 << 16
_TAG_BYTES: Final = 16
_NAMES: Final = re.compile(
    r"manifest\.json|ledger\.sqlite|audit\.ndjson|keyring|restored\.json"
    r"|charter/[0-9]{6}\.toml(?:\.signatures)?"
    r"|populations/[0-9a-f]{64}\.population"
    r"|contributions/[0-9a-f]{64}(?:\.(?:pattern|ventures|case-mix))?"
)
_FILES: Final = ("keyring", "restored.json")


class BackupError(OperatorError):
    """A backup cannot be written, read or put back."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup says of itself; ``sequence`` and ``hash`` are the head of its audit log.  Times since 1970."""

    format: Annotated[int, msgspec.Meta(ge=FORMAT, le=FORMAT)] = FORMAT
    centre: str
    workshop: str
    charter: int
    made_at: int
    sequence: int
    hash: str
    nskd: str


@attrs.frozen
class Part:
    """A file in a backup: its name there, and where it is; of one that grows, the first ``size`` bytes."""

    name: str
    path: Path
    size: int | None = None


def parts_of(state: Path, ledger: Path, audit_bytes: int) -> list[Part]:
    """List what a backup of a state directory holds, ``ledger`` being a copy of its ledger.

    To be called after that copy was made, so that these are no older than what the copy speaks of.
    """
    parts = [Part(LEDGER, ledger), Part(AUDIT, state / AUDIT, audit_bytes)]
    parts += [Part(name, state / name) for name in _FILES if (state / name).exists()]
    for directory in DIRECTORIES:
        found = sorted((state / directory).iterdir()) if (state / directory).is_dir() else []
        parts += [
            Part(f"{directory}/{path.name}", path) for path in found if _NAMES.fullmatch(f"{directory}/{path.name}")
        ]
    return parts


def write(path: Path, manifest: Manifest, parts: Iterable[Part], storage: StorageKey) -> None:
    """Write a backup, durably and at one stroke; raises :class:`BackupError`, and then there is none.

    A part that is not there any more is such an error: what lacks anything is no backup.
    """
    fresh = path.with_suffix(".new")
    try:
        with fresh.open("wb") as file:
            os.fchmod(file.fileno(), 0o600)
            sealing = _Sealing(file, storage)
            with tarfile.open(fileobj=sealing, mode="w|", format=tarfile.PAX_FORMAT) as archive:
                _add(archive, MANIFEST, io.BytesIO(msgspec.json.encode(manifest)), None)
                for part in parts:
                    with part.path.open("rb") as source:
                        _add(archive, part.name, source, part.size)
            sealing.finish()
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
        sync_directory(path.parent)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise BackupError(
            f"it cannot be written: {error.strerror or error}",
            where=str(error.filename or path),
            remedy="Check free space and the disk, and make it again.",
        ) from error


def file_name(centre: str, made_at: int) -> str:
    """What a backup of a centre is called, made so many seconds after 1970."""
    stamp = datetime.datetime.fromtimestamp(made_at, datetime.UTC).strftime(_TIME)
    return f"{centre}-{stamp}{SUFFIX}"


def named_time(path: Path) -> int | None:
    """When a backup was made, by its name; None for another file."""
    try:
        made = datetime.datetime.strptime(path.stem.rpartition("-")[2], _TIME).replace(tzinfo=datetime.UTC)
    except ValueError:
        return None
    return int(made.timestamp())


def remove_all(state: Path) -> None:
    """Remove every backup in a state directory, and what making one may have left; raises :class:`BackupError`."""
    directory = state / DIRECTORY
    try:
        for path in directory.iterdir():
            path.unlink(missing_ok=True)
        sync_directory(directory)
    except FileNotFoundError:
        return
    except OSError as error:
        raise BackupError(
            f"it cannot be removed: {error.strerror}", where=str(directory), remedy="Remove what is in it by hand."
        ) from error


def _add(archive: tarfile.TarFile, name: str, source: BinaryIO, size: int | None) -> None:
    info = tarfile.TarInfo(name)
    info.size = source.seek(0, os.SEEK_END) if size is None else size
    source.seek(0)
    archive.addfile(info, source)


def read(file: BinaryIO, storage: StorageKey, into: Path) -> Manifest:
    """Unpack a backup below ``into``, an empty directory; all of it is genuine when this returns.

    Raises :class:`BackupError` for another storage key, damage, what no backup holds, or one without its main parts.
    """
    manifest, path = None, Path(file.name)
    try:
        with tarfile.open(fileobj=_Opening(file, storage, str(path)), mode="r|") as archive:
            for member in archive:
                source = archive.extractfile(member) if member.isreg() else None
                if source is None or not _NAMES.fullmatch(member.name):
                    raise _damaged(path, f"it holds {member.name[:80]!r}, which no backup does")
                if member.name == MANIFEST:
                    manifest = msgspec.json.decode(source.read(_PIECE_BYTES), type=Manifest)
                else:
                    _unpack(source, into / member.name)
    except OSError as error:
        raise BackupError(
            f"it cannot be read or unpacked: {error.strerror or error}",
            where=str(path),
            remedy="Check the file, and free space in the state directory.",
        ) from error
    except (tarfile.TarError, msgspec.DecodeError) as error:
        raise _damaged(path, str(error)) from None
    if manifest is None:
        raise _damaged(path, "it does not say what it is")
    for name in (LEDGER, AUDIT):
        if not (into / name).is_file():
            raise _damaged(path, f"it has no {name}, without which there is nothing to put back")
    return manifest


def _unpack(source: IO[bytes], path: Path) -> None:
    path.parent.mkdir(mode=0o700, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        while piece := source.read(_PIECE_BYTES):
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())


def _cipher(storage: StorageKey, salt: bytes) -> AESGCM:
    return AESGCM(HKDF(SHA256(), KEY_BYTES, salt, b"nskd backup v1").derive(storage.expose()))


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([last])


class _Sealing(io.RawIOBase):
    """Seals whatever is written to it."""

    def __init__(self, file: BinaryIO, storage: StorageKey) -> None:
        salt = os.urandom(_SALT_BYTES)
        self._file = file
        self._cipher = _cipher(storage, salt)
        self._waiting = bytearray()
        self._number = 0
        file.write(_HEAD + salt)

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        """Take in bytes; a full piece goes out as soon as it is known not to be the last."""
        view = memoryview(data).cast("B")  # type: ignore[arg-type]
        self._waiting += view
        while len(self._waiting) > _PIECE_BYTES:
            self._out(bytes(self._waiting[:_PIECE_BYTES]), last=False)
            del self._waiting[:_PIECE_BYTES]
        return len(view)

    def finish(self) -> None:
        """Write the last piece."""
        self._out(bytes(self._waiting), last=True)

    def _out(self, plain: bytes, *, last: bool) -> None:
        self._file.write(self._cipher.encrypt(_nonce(self._number, last=last), plain, _HEAD))
        self._number += 1


class _Opening(io.RawIOBase):
    """Gives what was sealed, piece by piece, and nothing that was not."""

    def __init__(self, file: BinaryIO, storage: StorageKey, where: str) -> None:
        self._where = where
        head = file.read(len(_HEAD) + _SALT_BYTES)
        if not head.startswith(b"nskd backup ") or len(head) != len(_HEAD) + _SALT_BYTES:
            raise BackupError("it is no backup of nskd", where=where, remedy="Name the file that nskctl backup wrote.")
        if not head.startswith(_HEAD):
            raise BackupError(
                "it is of another format, most likely of a later version of nskd",
                where=where,
                remedy="Install the version that wrote it.",
            )
        self._pieces = self._open_all(file, _cipher(storage, head[len(_HEAD) :]))
        self._ready = b""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        """Return up to ``size`` bytes, fewer only at the end."""
        while len(self._ready) < size or size < 0:
            piece = next(self._pieces, None)
            if piece is None:
                break
            self._ready += piece
        size = len(self._ready) if size < 0 else size
        given, self._ready = self._ready[:size], self._ready[size:]
        return given

    def _open_all(self, file: BinaryIO, cipher: AESGCM) -> Iterator[bytes]:
        sealed, number = file.read(_PIECE_BYTES + _TAG_BYTES), 0
        while True:
            following = file.read(_PIECE_BYTES + _TAG_BYTES)
            try:
                yield cipher.decrypt(_nonce(number, last=not following), sealed, _HEAD)
            except InvalidTag:
                what = "it was sealed under another storage key, or it is damaged" if number == 0 else "it is damaged"
                raise BackupError(
                    what,
                    where=self._where,
                    remedy="Try the storage key of that time (--storage-key), or another backup.",
                ) from None
            if not following:
                return
            sealed, number = following, number + 1


def _damaged(path: Path, what: str) -> BackupError:
    return BackupError(f"it is damaged ({what})", where=str(path), remedy="Try another backup.")
