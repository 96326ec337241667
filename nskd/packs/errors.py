"""What is wrong with a pack, in which of its files and at which key."""

from __future__ import annotations

from nskd.errors import OperatorError


class PackError(OperatorError):
    """A pack file cannot be used: `file` and `key` name the place."""

    def __init__(self, what: str, *, file: str, key: str = "", remedy: str) -> None:
        self.file = file
        self.key = key
        super().__init__(what, where=f"{file}, {key}" if key else file, remedy=remedy)
