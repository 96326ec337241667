"""The populations of all tables this centre took part in, sealed on its disk (AES-256-GCM).

An extract is replaced from time to time, and the difference of two extracts is just what a table asked twice would
show.  So what a centre contributed is compared as it was, not as it would be today.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

import attrs
import msgspec
import numpy as np
from cryptography.exceptions import InvalidTag

from nskd.analysis.population import Population
from nskd.durable import write_durably
from nskd.errors import OperatorError
from nskd.seal import Derive, Seal

_SEAL: Final = b"nskd population v1\0"
_PERSONS: Final = b"nskd persons of populations v1\0"
_SUFFIX: Final = ".population"
_DIGEST_BYTES: Final = 32


class PopulationError(OperatorError):
    """What was contributed to an earlier table cannot be read or kept."""


class _Stored(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    format: Literal[1]
    contributors: tuple[str, ...]
    earlier: tuple[bytes, ...]
    cell: bytes
    person: bytes
    visits: bytes


@attrs.frozen(eq=False, repr=False)
class Record:
    """A table as this centre contributed to it: among whom, compared with which earlier ones, and who was in it."""

    contributors: tuple[str, ...]
    earlier: tuple[bytes, ...]
    population: Population


class Populations:
    """One sealed file per request, in a directory.

    ``key`` derives keys by label and never leaves the centre: people are digested under it for good.  The first
    of ``seals`` seals, the others only open; without any ``key`` does both.
    """

    def __init__(self, directory: Path, key: Derive, seals: Sequence[Derive] = ()) -> None:
        self._directory = directory
        self._seal = Seal(_SEAL, seals or (key,))
        self.person_key: Final = key(_PERSONS)
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def __repr__(self) -> str:
        return f"<Populations in {self._directory}>"

    def hold(self, request: bytes, record: Record) -> None:
        """Keep durably what is contributed; what was kept first stays.  Raises :class:`PopulationError`."""
        path = self._path(request)
        people = record.population
        stored = _Stored(
            1,
            record.contributors,
            record.earlier,
            people.cell.astype("<u4").tobytes(),
            people.person.astype("<u8").tobytes(),
            people.visits.astype("<u4").tobytes(),
        )
        sealed = self._seal.close(msgspec.msgpack.encode(stored), request)
        try:
            if not path.exists():
                write_durably(path, sealed)
        except OSError as error:
            raise _unusable(path, f"cannot be written: {error.strerror}") from error

    def holds(self, request: bytes) -> bool:
        """Whether anything was kept for a request: for an event loop, which a whole file would hold up."""
        return self._path(request).exists()

    def find(self, request: bytes) -> Record | None:
        """What was kept for a request, if anything.  Raises :class:`PopulationError`."""
        path = self._path(request)
        try:
            stored = msgspec.msgpack.decode(self._seal.open(path.read_bytes(), request), type=_Stored)
            return _record(stored)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _unusable(path, f"cannot be read: {error.strerror}") from error
        except (InvalidTag, ValueError) as error:
            raise _unusable(path, "is damaged, or was sealed under another key") from error

    def renew(self) -> None:
        """Seal anew, one by one and each at one stroke, what is not sealed under the first key.

        Raises :class:`PopulationError`; what cannot be opened is left as it is, since no key here is of use for it.
        """
        for path in sorted(self._directory.glob(f"*{_SUFFIX}")):
            try:
                renewed = self._seal.renewed(path.read_bytes(), bytes.fromhex(path.name.removesuffix(_SUFFIX)))
                if renewed is not None:
                    write_durably(path, renewed)
            except OSError as error:
                raise _unusable(path, f"cannot be sealed anew: {error.strerror}") from error
            except (InvalidTag, ValueError):
                continue

    def _path(self, request: bytes) -> Path:
        return self._directory / f"{request.hex()}{_SUFFIX}"


def _record(stored: _Stored) -> Record:
    people = Population(
        np.frombuffer(stored.cell, dtype="<u4").astype(np.uint32),
        np.frombuffer(stored.person, dtype="<u8").astype(np.uint64),
        np.frombuffer(stored.visits, dtype="<u4").astype(np.uint32),
    )
    return Record(stored.contributors, stored.earlier, people)


def _unusable(path: Path, what: str) -> PopulationError:
    return PopulationError(
        what,
        where=str(path),
        remedy="Restore it from a backup: without it no new table can be compared with that one, so none is made.",
    )


def joined(digests: Sequence[bytes]) -> bytes:
    """A list of requests as a proposal carries it."""
    return b"".join(digests)


def split(listed: bytes) -> tuple[bytes, ...] | None:
    """The inverse of :func:`joined`; None for what is no such list, each request once."""
    digests = tuple(listed[k : k + _DIGEST_BYTES] for k in range(0, len(listed), _DIGEST_BYTES))
    return digests if len(listed) % _DIGEST_BYTES == 0 and len(set(digests)) == len(digests) else None
