"""What of a log and of a configuration may be shown to people elsewhere.  Pure.

Both are lists of what may pass, not of what may not: a key that nobody has thought of stays here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from nskd.monitor.limits import LOG_LINE_CHARS_MAX
from nskd.monitor.scrub import without_values

_AS_IT_IS: Final = frozenset(
    {
        "at",
        "level",
        "centre",
        "peer",
        "coordinator",
        "of",
        "keeper",
        "lane",
        "kind",
        "product",
        "outcome",
        "ended",
        "fault",
        "method",
        "role",
        "rule",
        "state",
        "move",
        "verdict",
        "entry",
        "incident",
    }
)
_IN_WORDS: Final = frozenset({"event", "reason", "detail", "what", "remedy", "note", "error", "phase", "name"})
_NUMBERS: Final = frozenset(
    {
        "rounds",
        "bytes_sent",
        "bytes_received",
        "seconds",
        "duration_s",
        "items",
        "version",
        "unlocked",
        "dropped",
        "advanced",
        "check",
        "sequence",
    }
)
_DIGESTS: Final = frozenset({"session", "request", "epoch", "charter", "pack"})
_DIGITS_SHOWN: Final = 8
_HEX: Final = re.compile(r"[0-9a-f]+")
_WORD: Final = re.compile(r"[a-z0-9][a-z0-9.:+_-]{0,63}", re.IGNORECASE)
# What is said with a pause or a departure is somebody's own words.
_OF_PEOPLE: Final = frozenset({"presence", "presence heard"})

_CONFIG_WORDS: Final = frozenset({"centre.name", "log.level", "log.format"})
_SUFFIXES: Final = frozenset({".csv", ".parquet", ".duckdb", ".json", ".ndjson", ".toml", ".sock"})


def log_line(fields: Mapping[str, Any]) -> dict[str, Any]:
    """A line of the log without what names a person, quotes a value, tells a path or counts people."""
    shown: dict[str, Any] = {}
    for key, value in fields.items():
        if key in _NUMBERS and isinstance(value, bool | int | float):
            shown[key] = value
        elif key == "phases" and isinstance(value, list):
            shown[key] = [log_line(each) for each in value if isinstance(each, dict)]
        elif key == "exception" and isinstance(value, list):
            shown[key] = [_stack(each) for each in value if isinstance(each, dict)]
        elif not isinstance(value, str):
            continue
        elif key in _DIGESTS and _HEX.fullmatch(value):
            shown[key] = value[:_DIGITS_SHOWN]
        elif key in _IN_WORDS and (key == "event" or fields.get("event") not in _OF_PEOPLE):
            shown[key] = words(value)
        elif key == "at" or (key in _AS_IT_IS and _WORD.fullmatch(value)):
            shown[key] = value
        elif key in _AS_IT_IS:
            shown[key] = words(value)
    return shown


def words(text: str) -> str:
    """A sentence without its values and paths, cut where it is long."""
    return without_values(text, paths=True)[:LOG_LINE_CHARS_MAX]


def _stack(stack: Mapping[str, Any]) -> dict[str, Any]:
    frames = [
        f"{Path(str(frame.get('filename', ''))).name}:{frame.get('lineno')} {frame.get('name')}"
        for frame in stack.get("frames", ())
        if isinstance(frame, dict)
    ]
    return {
        "type": str(stack.get("exc_type", "")),
        "words": words(str(stack.get("exc_value", ""))),
        "frames": frames,
        "within": [_stack(each) for group in stack.get("exceptions") or () for each in group if isinstance(each, dict)],
    }


def config_tree(section: msgspec.Struct, path: str = "") -> dict[str, Any]:
    """A configuration: numbers and choices as they are; of names and paths only whether they are set, and which kind
    of file; of lists how many they hold.
    """
    shown: dict[str, Any] = {}
    for name in section.__struct_fields__:
        value, key = getattr(section, name), f"{path}{name}"
        if isinstance(value, msgspec.Struct):
            shown[name] = config_tree(value, f"{key}.")
        elif value is None or isinstance(value, bool | int | float) or key in _CONFIG_WORDS:
            shown[name] = value
        elif isinstance(value, tuple | list):
            shown[name] = f"{len(value)} of them"
        else:
            suffix = Path(str(value)).suffix if isinstance(value, Path) else ""
            shown[name] = f"set, {suffix}" if suffix in _SUFFIXES else "set"
    return shown
