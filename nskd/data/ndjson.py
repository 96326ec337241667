"""One JSON object a line, read without doubt about what it says."""

from __future__ import annotations

import json
from typing import Any


def parse_object(line: bytes) -> dict[str, Any] | None:
    """Return the object of a line; None if it is not one, or if a name occurs twice in it."""
    try:
        found = json.loads(line, object_pairs_hook=_no_name_twice)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _no_name_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name occurs twice")  # which of the two counts differs between readers
    return found
