"""One request, one contribution: what a centre adds to a request's total is fixed at its first attempt.

A run that was cut short may be repeated, and a centre that finished it takes part again for those that did
not. If its data had changed in between, the difference of two totals could tell of a single child.  So a
keyed digest of the contribution is on disk before the contribution leaves, and another contribution for the
same request is refused.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nskd.errors import OperatorError

_LABEL = b"nskd contribution v1\0"


class ContributionError(OperatorError):
    """The contribution differs from the one first made, or cannot be recorded."""


class Contributions:
    """Keyed digests in a directory, one small file per request.  ``key`` never leaves the centre."""

    def __init__(self, directory: Path, key: Callable[[bytes], bytes]) -> None:
        self._directory = directory
        self._key = key
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def __repr__(self) -> str:
        return f"<Contributions in {self._directory}>"

    def hold(self, request: bytes, *vectors: npt.NDArray[np.uint64]) -> None:
        """Record the contribution durably, or compare it with the one recorded.

        Raises :class:`ContributionError` when it differs, or cannot be written.
        """
        path = self._directory / request.hex()
        digest = self._digest(request, vectors)
        try:
            recorded = path.read_bytes() if path.exists() else self._write(path, digest)
        except OSError as error:
            raise ContributionError(
                f"cannot be recorded: {error.strerror}",
                where=str(path),
                remedy="Free some space or mend the directory, then run the request again.",
            ) from error
        if not hmac.compare_digest(recorded, digest):
            raise ContributionError(
                "this centre's data has changed since the request was first run",
                where=f"request {request.hex()[:12]}",
                remedy="Submit the request again, so that it is approved for the data as it is now.",
            )

    def _digest(self, request: bytes, vectors: tuple[npt.NDArray[np.uint64], ...]) -> bytes:
        digest = hmac.new(self._key(_LABEL), _LABEL + request, sha256)
        for vector in vectors:
            digest.update(vector.size.to_bytes(8, "little"))
            digest.update(np.ascontiguousarray(vector, dtype="<u8").tobytes())
        return digest.digest()

    def _write(self, path: Path, digest: bytes) -> bytes:
        temporary = path.with_suffix(".new")
        with temporary.open("wb") as file:
            file.write(digest)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        directory = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
        return digest
