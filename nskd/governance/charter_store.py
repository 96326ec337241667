"""The charters that this centre has taken up, each with the signatures under it, in its state directory.

    charter/000001.toml   charter/000001.toml.signatures
    charter/000002.toml   charter/000002.toml.signatures

The highest number is in force.  Versions before it stay: they show later under whose rules what was released.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import attrs

from nskd.durable import sync_directory, write_durably
from nskd.errors import OperatorError
from nskd.governance.charter import Charter, load_charter
from nskd.governance.charter_signatures import CharterSignatures, load_signatures, signatures_path
from nskd.governance.succession import require_signatures, require_succession

DIRECTORY: Final = "charter"
_NAME: Final = re.compile(r"([0-9]{6})\.toml")


class CharterStoreError(OperatorError):
    """What was taken up cannot be read or written, or is not what was taken up."""


@attrs.frozen
class InForce:
    """A charter that was taken up, and who has signed it."""

    charter: Charter
    signatures: CharterSignatures


@attrs.frozen
class CharterStore:
    """The versions taken up so far, in ``directory``, whose parent is there."""

    directory: Path

    def in_force(self) -> InForce | None:
        """Return the latest; None at a centre that has taken up none.  Raises an ``OperatorError``.

        It is checked against the signatures once more, since the file could have been edited.
        """
        versions = self._versions()
        if not versions:
            return None
        latest = self._read(versions[-1])
        before = self._read(versions[-2]).charter if len(versions) > 1 else None
        require_signatures(latest.charter, latest.signatures, before)
        return latest

    def find(self, digest: bytes) -> InForce | None:
        """Return the version with that digest, if it is or was in force here.  Raises an ``OperatorError``."""
        found = (self._read(version) for version in reversed(self._versions()))
        return next((each for each in found if each.charter.digest == digest), None)

    def all(self) -> tuple[Charter, ...]:
        """Return every version that is or was in force here, the newest first.  Raises an ``OperatorError``."""
        return tuple(self._read(version).charter for version in reversed(self._versions()))

    def signing_keys(self, centre: str) -> tuple[bytes, ...]:
        """The signing keys that charters taken up here list for a centre, the latest first.  ``OperatorError``.

        Only as far as each charter is the one that the next names: another was put there by somebody.
        """
        found: list[bytes] = []
        following: Charter | None = None
        for charter in self.all():
            if following is not None and charter.digest != following.previous:
                break
            listed = charter.find(centre)
            found += [] if listed is None else [listed.signing_key]
            following = charter
        return tuple(dict.fromkeys(found))

    def take_up(self, charter: Charter, signatures: CharterSignatures) -> None:
        """Keep a charter, durably; from then on it is in force.  Raises ``PolicyError`` if it may not be.

        The signatures are written first: a charter without them is not there.
        """
        in_force = self.in_force()
        require_succession(charter, signatures, None if in_force is None else in_force.charter)
        path = self._path(charter.version)
        try:
            self.directory.mkdir(mode=0o700, exist_ok=True)
            sync_directory(self.directory.parent)
            write_durably(signatures_path(path), signatures.text().encode())
            write_durably(path, charter.raw)
        except OSError as error:
            raise CharterStoreError(
                f"cannot be written: {error.strerror}", where=str(path), remedy="Check free space and permissions."
            ) from error

    def _versions(self) -> list[int]:
        try:
            names = [_NAME.fullmatch(path.name) for path in self.directory.iterdir()]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise CharterStoreError(
                f"cannot be read: {error.strerror}", where=str(self.directory), remedy="Check its permissions."
            ) from error
        return sorted(int(match[1]) for match in names if match is not None)

    def _read(self, version: int) -> InForce:
        path = self._path(version)
        charter = load_charter(path)
        if charter.version != version:
            raise CharterStoreError(
                f"it holds version {charter.version}", where=str(path), remedy="Restore the directory from a backup."
            )
        return InForce(charter, load_signatures(charter, path))

    def _path(self, version: int) -> Path:
        return self.directory / f"{version:06d}.toml"
