"""Every label that the code gives to an exchange, read off its syntax: a new one is not forgotten."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
SOURCES: Final = ("protocol", "nskd/daemon", "nskd/sessions")
# Adds to the record what was exchanged under another label; names a hash.
_QUIET: Final = ("record", "labelled_hash")


def _trees() -> Iterator[ast.Module]:
    for source in SOURCES:
        for path in sorted((ROOT / source).rglob("*.py")):
            yield ast.parse(path.read_text())


def _labelled() -> dict[str, int]:
    """Functions that take a label, and which argument of a call that is."""
    found: dict[str, int] = {}
    for tree in _trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                names = [argument.arg for argument in node.args.args]
                if "label" in names and node.name not in _QUIET:
                    found[node.name] = names.index("label") - (names[0] == "self")
    return found


def _pattern(node: ast.expr) -> str | None:
    match node:
        case ast.Constant(value=str(text)):
            return re.escape(text)
        case ast.JoinedStr(values=values):
            return "".join(re.escape(str(part.value)) if isinstance(part, ast.Constant) else ".+" for part in values)
        case _:
            return None


def labels() -> set[str]:
    """Regular expressions, one for each label in the code."""
    labelled, found = _labelled(), set[str]()
    for tree in _trees():
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in labelled and len(node.args) > labelled[name]:
                pattern = _pattern(node.args[labelled[name]])
                # One with a space in it names randomness of a party's own, which goes nowhere.
                if pattern is not None and pattern != ".+" and "\\ " not in pattern:
                    found.add(pattern)
    return found


def covers(pattern: str, label: str) -> bool:
    """Whether a message's label is, or contains between slashes, one that the code gives."""
    return re.search(rf"(^|/){pattern}(/|$)", label) is not None
