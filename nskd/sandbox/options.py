"""What a person asks of a sandbox."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import attrs

Language = Literal["en", "nl"]


@attrs.frozen
class Rules:
    """The charter's disclosure rules."""

    threshold: int
    insider: bool


@attrs.frozen
class Options:
    """The command line, checked for sense.  ``seed`` is None exactly when ``data`` names files."""

    centres: int
    data: tuple[Path, ...]
    pack: str
    request: Path | None
    seed: int | None
    json_path: Path | None
    rules: Rules
    language: Language
    keep: Path | None
