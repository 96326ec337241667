"""One request, one contribution: what a centre adds to a request's total is fixed at its first attempt.

A run that was cut short may be repeated, and a centre that finished it takes part again for those that did
not. If its data had changed in between, the difference of two totals could tell of a single child.  So a
keyed digest of the contribution is on disk before the contribution leaves, and another contribution for the
same request is refused.

The other centres' contributions cannot be compared so, but what follows from them can.  A centre that gave other
counts in every repetition would see other cells protected each time, and could work out an unsafe cell from the
cells shown in between.  So the first pattern of safe cells that a request had is held as well, before a value is
opened.  Rounded values, estimates of a model on their way and what a funnel tells of hospitals follow from other
centres' contributions, too: one that gave other numbers in every run, and hung up once it had seen what they led to,
would learn from each.  So how often a run came so far that a pattern could be seen, and was not confirmed by all in the
end, is counted, and bounded.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt
from cryptography.exceptions import InvalidTag

from nskd.analysis.regression import CaseMix
from nskd.durable import write_durably
from nskd.errors import OperatorError
from nskd.seal import Derive, Seal

_LABEL = b"nskd contribution v1\0"
_PATTERN_LABEL = b"nskd pattern of safe cells v1\0"
_CASE_MIX_LABEL = b"nskd case mix v1\0"
_CASE_MIX: Final = ".case-mix"
VENTURES_MAX: Final = 3  # runs of a request that may break off, or differ, where others may have seen its pattern


class ContributionError(OperatorError):
    """The contribution differs from the one first made, or cannot be recorded."""


class Contributions:
    """Keyed digests in a directory, one small file per request.

    ``key`` never leaves the centre and stays the same for good; ``seals`` are as those of ``Populations``.
    """

    def __init__(self, directory: Path, key: Derive, seals: Sequence[Derive] = ()) -> None:
        self._directory = directory
        self._key = key
        self._seal = Seal(_CASE_MIX_LABEL, seals or (key,))
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def __repr__(self) -> str:
        return f"<Contributions in {self._directory}>"

    def hold(self, request: bytes, *vectors: npt.NDArray[np.uint64]) -> None:
        """Record the contribution durably, or compare it with the one recorded.

        Raises :class:`ContributionError` when it differs, or cannot be written.
        """
        digest = self._digest(request, vectors)
        if not hmac.compare_digest(self._first(self._directory / request.hex(), digest), digest):
            raise ContributionError(
                "this centre's data has changed since the request was first run",
                where=f"request {request.hex()[:12]}",
                remedy="Submit the request again, so that it is approved for the data as it is now.",
            )

    def venture(self, request: bytes) -> None:
        """Count that a request's pattern is about to be opened, and what follows it; to be ended once all is confirmed.

        Raises :class:`ContributionError` if too many runs were not.
        """
        path = self._ventures(request)
        ventures = self._first(path, b"")
        if len(ventures) >= VENTURES_MAX:
            raise ContributionError(
                f"{len(ventures)} runs of the request broke off where others may have learnt more than its result",
                where=f"request {request.hex()[:12]}",
                remedy="Settle with the other centres why, then submit the request again.",
            )
        self._first(path, ventures + b"\1", anew=True)

    def hold_pattern(self, request: bytes, pattern: npt.NDArray[np.bool_]) -> bool:
        """Record which cells are safe, or compare; False if an earlier run had others."""
        digest = hmac.new(self._key(_PATTERN_LABEL), _PATTERN_LABEL + request + pattern.tobytes(), sha256).digest()
        return hmac.compare_digest(self._first(self._directory / f"{request.hex()}.pattern", digest), digest)

    def end_venture(self, request: bytes) -> None:
        """The release of the run that was ventured last is confirmed by all."""
        path = self._ventures(request)
        self._first(path, self._first(path, b"")[:-1], anew=True)

    def keep_case_mix(self, request: bytes, found: CaseMix) -> None:
        """Keep, sealed, what a model says of this centre's own rows; :class:`ContributionError` if it cannot be."""
        content = msgspec.msgpack.encode((found.observed, found.expected, found.variance))
        self._first(self._case_mix(request), self._seal.close(content, request), anew=True)

    def case_mix(self, request: bytes) -> CaseMix | None:
        """What was kept, None if nothing was or it can be read no longer: it can be worked out again."""
        try:
            content = self._seal.open(self._case_mix(request).read_bytes(), request)
            return CaseMix(*msgspec.msgpack.decode(content, type=tuple[float, float, float]))
        except (OSError, InvalidTag, ValueError):
            return None

    def renew(self) -> None:
        """Seal anew, each at one stroke, what is sealed and not under the first key; ``ContributionError``.

        What cannot be opened is removed: it can be worked out again.
        """
        for path in sorted(self._directory.glob(f"*{_CASE_MIX}")):
            try:
                renewed = self._seal.renewed(path.read_bytes(), bytes.fromhex(path.name.removesuffix(_CASE_MIX)))
            except OSError as error:
                raise ContributionError(
                    f"it cannot be read: {error.strerror}", where=str(path), remedy="Check its owner and the disk."
                ) from error
            except (InvalidTag, ValueError):
                path.unlink(missing_ok=True)
                continue
            if renewed is not None:
                self._first(path, renewed, anew=True)

    def _case_mix(self, request: bytes) -> Path:
        return self._directory / f"{request.hex()}{_CASE_MIX}"

    def erase(self, request: bytes) -> None:
        """Take away what is here of a request that never runs again; :class:`ContributionError` if it cannot be."""
        for path in self._directory.glob(f"{request.hex()}*"):
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise ContributionError(
                    f"cannot be removed: {error.strerror}",
                    where=str(path),
                    remedy="Mend the directory; it is tried again every minute.",
                ) from error

    def _ventures(self, request: bytes) -> Path:
        return self._directory / f"{request.hex()}.ventures"

    def _first(self, path: Path, content: bytes, *, anew: bool = False) -> bytes:
        """Return what the file holds; ``content``, durably, if it did not exist or is to be written ``anew``."""
        try:
            if path.exists() and not anew:
                return path.read_bytes()
            write_durably(path, content)
            return content
        except OSError as error:
            raise ContributionError(
                f"cannot be recorded: {error.strerror}",
                where=str(path),
                remedy="Free some space or mend the directory, then run the request again.",
            ) from error

    def _digest(self, request: bytes, vectors: tuple[npt.NDArray[np.uint64], ...]) -> bytes:
        digest = hmac.new(self._key(_LABEL), _LABEL + request, sha256)
        for vector in vectors:
            digest.update(vector.size.to_bytes(8, "little"))
            digest.update(np.ascontiguousarray(vector, dtype="<u8").tobytes())
        return digest.digest()
