"""The tables of ``nskd.toml`` read beside their types, so that each complaint names its key.

A schema library would do for a machine; an administrator wants to know which key, what is wrong with it, and what to
write instead.
"""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec

from nskd.errors import OperatorError
from nskd.governance.toml import closest, shown

_WORDS: Final = {
    "array": "a list",
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "null": "nothing",
}
_SECRET_WORDS: Final = re.compile(r"password|passphrase|secret|credential|token|private|(?:^|_)keys?$")
_KEY_MATERIAL: Final = re.compile(r"[0-9A-Fa-f]{64}|[A-Za-z0-9+/]{43}=|-----BEGIN [A-Z ]*PRIVATE KEY[\s\S]*")


class ConfigError(OperatorError):
    """A configuration that cannot be used; the message names the key."""


class Reader:
    """Goes through the raw tables beside the types, so that each complaint can name its key."""

    def __init__(self, where: str) -> None:
        self._where = where

    def fault(self, key: str, what: str, remedy: str) -> ConfigError:
        """Make the error for ``key``, for the caller to raise."""
        return ConfigError(what, where=f"{self._where}: {key}", remedy=remedy)

    def table(self, raw: dict[str, Any], kind: type[msgspec.Struct], path: str) -> dict[str, Any]:
        """Check one table against ``kind`` and give it back with its units resolved; ``path`` is where it stands."""
        hints = typing.get_type_hints(kind, include_extras=True)
        result = {}
        for key, value in raw.items():
            name = f"{path}{key}" if key.isprintable() and len(key) <= 64 else f"{path}?"
            if key not in hints:
                raise self._unknown(name, key, tuple(hints), path)
            result[key] = self._value(value, _required(hints[key]), name)
        for field in msgspec.structs.fields(kind):
            if field.required and field.name not in raw:
                section = isinstance(field.type, type) and issubclass(field.type, msgspec.Struct)
                raise self.fault(
                    f"{path}{field.name}",
                    "this section is missing" if section else "this key is missing",
                    f"Add [{field.name}]." if section else f"Add it under [{path.rstrip('.')}].",
                )
        return result

    def _value(self, value: Any, hint: Any, name: str) -> Any:
        if isinstance(value, str) and _KEY_MATERIAL.fullmatch(value.strip()):
            raise self.fault(
                name,
                "this looks like a key",
                "Keep secrets in the credentials directory, and make this one anew.",
            )
        if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
            if not isinstance(value, dict):
                raise self.fault(name, f"a section is expected, not {shown(value)}", f"Begin it with [{name}].")
            return self.table(value, hint, f"{name}.")
        extra = _extra(hint)
        unit: Callable[[object], float] | None = extra.get("unit")
        if unit is not None:
            try:
                return unit(value)
            except ValueError as exc:
                raise self.fault(name, f"{shown(value)}: {exc}", "Correct that key.") from None
        if extra.get("absolute") and isinstance(value, str) and not value.startswith("/"):
            raise self.fault(name, f"{shown(value)} is not an absolute path", "Begin it with a slash.")
        choices = typing.get_args(hint) if typing.get_origin(hint) is Literal else ()
        if choices and value not in choices:
            hinted = closest(value, choices) if isinstance(value, str) else ""
            listed = " or ".join(f'"{choice}"' for choice in choices)
            raise self.fault(name, f"{shown(value)} is not known{hinted}", f"Write {listed}.")
        return value

    def _unknown(self, name: str, key: str, known: tuple[str, ...], path: str) -> ConfigError:
        if _SECRET_WORDS.search(key.lower()):
            return self.fault(name, "no secret belongs into this file", "Put it into the credentials directory.")
        place = f"in [{path.rstrip('.')}]" if path else "at the top"
        return self.fault(
            name, f"unknown key {shown(key)}{closest(key, known)}", f"Allowed {place}: {', '.join(known)}."
        )

    def translated(self, error: msgspec.ValidationError) -> ConfigError:
        """Turn the library's sentence into one of ours."""
        what, _, place = str(error).partition(" - at `$")
        key = place.rstrip("`").lstrip(".")
        for theirs, ours in _WORDS.items():
            what = what.replace(f"`{theirs}`", ours)
        return self.fault(key or "?", what[:1].lower() + what[1:], "Correct that key.")


def as_path(_: type, value: object) -> Path:
    """Make a path, the one type that msgspec does not know by itself."""
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError(f"a path in quotes is expected, not {shown(value)}")
    return Path(value)


def _required(hint: Any) -> Any:
    """Return the type of an optional key's value; TOML has no null."""
    options = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else ()
    return next((option for option in options if option is not type(None)), hint)


def _extra(hint: Any) -> dict[str, Any]:
    for note in typing.get_args(hint)[1:] if typing.get_origin(hint) is Annotated else ():
        if isinstance(note, msgspec.Meta):
            return note.extra or {}
    return {}
