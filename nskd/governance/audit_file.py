"""The audit log on disk: one file that only grows, durable before a call returns, taken by one process.

Growth: an entry has some 650 bytes with its signature.  A run leaves three at each centre, a person's command two,
another centre's head at most one in ten minutes while that centre is active: a centre in a workshop of five with two
requests a working day writes some 15 MB a year.  It is not rotated: a log in one piece is what an auditor can copy.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import re
from array import array
from collections.abc import Callable, Iterator
from io import BufferedReader
from pathlib import Path
from typing import Any

from nskd.errors import OperatorError
from nskd.governance import limits, signing
from nskd.governance.audit import (
    CLOSE,
    MIDDLE,
    SALT_BYTES,
    AuditError,
    BadEntryError,
    Body,
    Chain,
    Entry,
    Event,
    Head,
    beginning,
    make_entry,
    read_entry,
)

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_BODY_END = b"}" + MIDDLE
_TAIL = re.compile(rb'[0-9a-f]{0,128}|[0-9a-f]{128}"\}?')


class AuditFile:
    """Used by one thread at a time; a pool may vary which.  Made by :meth:`open`."""

    def __init__(
        self, descriptor: int, path: Path, centre: str, sign: signing.Signer, entropy: Callable[[int], bytes]
    ) -> None:
        self._descriptor = descriptor
        self._path = path
        self._centre = centre
        self._sign = sign
        self._entropy = entropy
        self._chain = Chain()
        self._ends = array("Q")  # where each line ends in the file
        self._digests = bytearray()  # of all bodies, 32 bytes each: what proves to peers that the log only grew
        self._hashes = bytearray()  # of all entries, to hold against what others hold of them
        self.about_heads: dict[tuple[Event, str], Entry] = {}  # the last of each kind about each other centre
        self._head: Head | None = None
        self._broken = False

    @classmethod
    def open(
        cls, path: Path, *, centre: str, sign: signing.Signer, now: int, entropy: Callable[[int], bytes]
    ) -> AuditFile:
        """Open or begin the log of ``centre`` and check that its chain holds; signatures are for who verifies it.

        An append that a crash cut short is taken back, and that is put on record; any other damage raises
        :class:`AuditError`, which names the first bad entry.
        """
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
            descriptor = os.open(path, flags, 0o600)
        except OSError as exc:
            raise _unusable(path, exc) from None
        log = cls(descriptor, path, centre, sign, entropy)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            torn = log._read()
            log._recover(torn, now)
        except BlockingIOError:
            log.close()
            raise AuditError(
                "another process is writing it", where=str(path), remedy="Is another daemon using it? Stop that one."
            ) from None
        except OSError as exc:
            log.close()
            raise _unusable(path, exc) from None
        except BaseException:
            log.close()
            raise
        return log

    def close(self) -> None:
        """Let go of the file; everything is on disk already."""
        with contextlib.suppress(OSError):
            os.close(self._descriptor)
        self._descriptor = -1  # its number may be another file's by now

    def __enter__(self) -> AuditFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def head(self) -> Head:
        """The last entry's; there always is one."""
        if self._head is None:
            raise AuditError("it has no entry", where=str(self._path), remedy="This is a fault of nskd.")
        return self._head

    def digests(self, after: int, until: int) -> bytes:
        """The digests of the bodies of entries ``after`` + 1 … ``until``, 32 bytes each."""
        size = signing.DIGEST_BYTES
        return bytes(self._digests[after * size : until * size])

    def hash_of(self, sequence: int) -> bytes | None:
        """The hash of an entry, None if there is none of that number."""
        size = signing.DIGEST_BYTES
        return bytes(self._hashes[(sequence - 1) * size : sequence * size]) if 0 < sequence <= len(self._ends) else None

    def append(self, event: Event, *, now: int, **fields: Any) -> Entry:
        """Write an entry, durably; ``fields`` are those of :class:`~nskd.governance.audit.Body`.

        Raises :class:`AuditError`, and then nothing of it was written.
        """
        if self._broken:
            raise AuditError(
                "an earlier failure left its end in doubt", where=str(self._path), remedy="Restart the daemon."
            )
        body = Body(
            sequence=self._chain.sequence + 1,
            previous=self._chain.hash.hex(),
            salt=self._entropy(SALT_BYTES).hex(),
            time=now,
            centre=self._centre,
            event=event,
            **fields,
        )
        entry = make_entry(body, self._sign)
        try:
            _write(self._descriptor, entry.line)
            os.fsync(self._descriptor)
        except OSError as exc:
            self._take_back()
            raise _unusable(self._path, exc) from None
        self._took(self._chain.take(entry.line))
        return entry

    def lines(self, after: int, *, bytes_max: int, count_max: int) -> list[bytes]:
        """The lines of entries from number ``after`` + 1 on, as many as ``bytes_max`` allows, but at least one."""
        begin = self._ends[after - 1] if 0 < after <= len(self._ends) else 0
        if after >= len(self._ends):
            return []
        last = min(after + count_max, len(self._ends))
        while last > after + 1 and self._ends[last - 1] - begin > bytes_max:
            last -= 1
        raw = os.pread(self._descriptor, self._ends[last - 1] - begin, begin)
        return raw.splitlines(keepends=True)

    @property
    def size(self) -> int:
        """How many bytes its whole entries take in the file."""
        return self._ends[-1] if self._ends else 0

    def _took(self, entry: Entry) -> None:
        self._ends.append(self.size + len(entry.line))
        self._digests += entry.digest
        self._hashes += entry.head.hash
        if entry.body.event in (Event.HEAD_KEPT, Event.HEAD_CONTRADICTED) and entry.body.peer:
            self.about_heads[entry.body.event, entry.body.peer] = entry
        self._head = entry.head

    def _take_back(self) -> None:
        """Undo what a failed append left."""
        try:
            os.ftruncate(self._descriptor, self.size)
            os.fsync(self._descriptor)
        except OSError:
            self._broken = True

    def _read(self) -> bytes:
        """Follow the chain to the end; return what is left over without a line end."""
        with self._path.open("rb") as file:
            for line in _lines(file):
                if not line.endswith(b"\n"):
                    return line
                self._took(self._chain.take(line))
        return b""

    def _recover(self, torn: bytes, now: int) -> None:
        if self._head is not None and self._head.centre != self._centre:
            raise AuditError(
                f"it is the log of {self._head.centre}",
                where=str(self._path),
                remedy="Put this centre's own state directory there.",
            )
        if torn:
            check_torn(torn, self._chain)
            os.ftruncate(self._descriptor, self.size)
            dropped = hashlib.sha256(torn).hexdigest()
            self.append(Event.LOG_REPAIRED, now=now, details={"bytes": len(torn), "sha256": dropped})
        if self._head is None:
            self.append(Event.LOG_BEGUN, now=now)
            _sync_directory(self._path.parent)


def check_torn(torn: bytes, chain: Chain) -> None:
    """See that a line without an end can only be an append that a crash cut short; else :class:`BadEntryError`.

    It must be a beginning of the next entry: bound to the entry before it; where its body is complete, as this log
    writes bodies, and followed by no more than a signature; with nothing behind it but the zero bytes that some file
    systems leave where data had not arrived.  Nobody had been told of such an entry, or acted on it.
    """
    sequence = chain.sequence + 1
    written = torn.rstrip(b"\0")
    expected = beginning(chain)
    length = min(len(written), len(expected))
    sound = written[:length] == expected[:length] and b"\0" not in written
    body, middle, tail = written.rpartition(_BODY_END)  # a detail may be called a signature as well
    if sound and middle:
        unsigned = body + _BODY_END + b"0" * (2 * signing.SIGNATURE_BYTES) + CLOSE
        sound = len(tail) < 2 * signing.SIGNATURE_BYTES + len(CLOSE) and bool(_TAIL.fullmatch(tail))
        read_entry(unsigned, sequence)
    if not sound or len(torn) > limits.AUDIT_ENTRY_BYTES_MAX:
        raise BadEntryError(sequence, "it is neither an entry nor the beginning of one")


def read_log(path: Path, *, keys: tuple[bytes, ...] = ()) -> Iterator[Entry]:
    """Read and check a log that may be a copy; :class:`BadEntryError` at the first entry that does not hold."""
    chain = Chain(keys)
    for line in lines_of(path):
        yield chain.take(line)


def lines_of(path: Path) -> Iterator[bytes]:
    """The lines of a log that may be a copy, as they are; none is longer than an entry can be by more than a byte."""
    try:
        with path.open("rb") as file:
            yield from _lines(file)
    except OSError as exc:
        raise _unusable(path, exc) from None


def _lines(file: BufferedReader) -> Iterator[bytes]:
    while line := file.readline(limits.AUDIT_ENTRY_BYTES_MAX + 1):
        yield line


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unusable(path: Path, error: OSError) -> OperatorError:
    if error.errno in _FULL:
        return AuditError(
            "the disk is full, or a quota or file size limit is reached; nothing was half written",
            where=str(path),
            remedy="Free some space there; what has to be on record cannot happen before, and no restart is needed.",
        )
    return AuditError(
        f"it cannot be used: {error.strerror or error}",
        where=str(path),
        remedy="Check the directory, its owner and the disk; what has to be on record cannot happen without it.",
    )
