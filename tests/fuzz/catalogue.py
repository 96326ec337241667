"""Which target is where.  No import of what is fuzzed: a hunt instruments that first."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import MappingProxyType
from typing import Final

from .target import Target

CORPUS: Final = Path(__file__).parent / "corpus"
GROUPS: Final = MappingProxyType(
    {
        "channel": ("handshake", "transport", "greeting", "hello", "wire"),
        "messages": (
            "envelope",
            "proposal",
            "request",
            "approval",
            "presence",
            "inventory",
            "log",
            "model",
            "statement",
            "sshsig",
        ),
        "documents": (
            "config",
            "charter",
            "signatures",
            "permit",
            "policy",
            "acro",
            "steward",
            "where",
            "sql",
            "codebook",
        ),
        "extracts": ("csv", "parquet", "fhir", "opt-out"),
        "control": ("socket", "daemon"),
        "stored": ("audit", "stockpile", "ledger", "small"),
    }
)
NAMES: Final = tuple(name for names in GROUPS.values() for name in names)


def find(name: str) -> Target:
    """Import the group of a target, and return it."""
    group = next((group for group, names in GROUPS.items() if name in names), None)
    if group is None:
        raise SystemExit(f"there is no target {name!r}; there are {', '.join(NAMES)}")
    module = importlib.import_module(f"tests.fuzz.{group}")
    targets: dict[str, Target] = {target.name: target for target in module.TARGETS}
    return targets[name]


def corpus(name: str) -> list[bytes]:
    """The committed inputs of a target."""
    directory = CORPUS / name
    return [path.read_bytes() for path in sorted(directory.iterdir())] if directory.is_dir() else []
