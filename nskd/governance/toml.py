"""A TOML table read key by key, so that each complaint names the key, what is wrong and what would be right.

``tomllib`` and a schema library would do for a machine.  The people who write charters and requests are
privacy officers and epidemiologists: a typing error must come back as "unknown key 'purpos'; did you mean
'purpose'".
"""

from __future__ import annotations

import datetime
import difflib
import re
import tomllib
from collections.abc import Iterable
from typing import Final

from nskd.errors import OperatorError

_SHOWN_CHARS: Final = 60


def shown(value: object) -> str:
    """Quote ``value`` for a message: short, one line, no control or bidirectional characters."""
    if isinstance(value, str):
        text = repr(value[: _SHOWN_CHARS + 1])
        return text if len(value) <= _SHOWN_CHARS else text[: _SHOWN_CHARS + 1] + "…'"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value) if value.bit_length() <= 64 else "a huge number"
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return "a list"
    return f"a {type(value).__name__}"


def closest(word: str, choices: Iterable[str]) -> str:
    """``" (did you mean 'x'?)"`` or nothing: the end of a sentence about an unknown ``word``."""
    near = difflib.get_close_matches(word[:64], list(choices), n=1, cutoff=0.6)
    return f" (did you mean '{near[0]}'?)" if near else ""


def is_plain(text: str, *, lines: bool = False) -> bool:
    """Tell whether every character prints, so that what a steward reads is what there is.

    Refuses control characters, bidirectional overrides and zero-width characters; allows newlines and tabs if
    ``lines``.
    """
    return all(c.isprintable() or (lines and c in "\n\r\t") for c in text)


def read_document(raw: bytes, *, where: str, bytes_max: int, error: type[OperatorError]) -> dict[str, object]:
    """Parse a whole document; ``error`` is the only exception that can come out."""
    if len(raw) > bytes_max:
        raise error(f"{len(raw)} bytes is more than the {bytes_max} allowed", where=where, remedy="Shorten it.")
    try:
        return tomllib.loads(raw.decode("utf-8"))
    except UnicodeDecodeError as exc:
        raise error(f"byte {exc.start} is not UTF-8", where=where, remedy="Save the file as UTF-8.") from None
    except tomllib.TOMLDecodeError as exc:
        raise error(f"not TOML: {exc}", where=where, remedy="Correct that line.") from None
    except (ValueError, RecursionError):  # a number of thousands of digits, a list nested thousands deep
        raise error("not TOML a person would write", where=where, remedy="Correct it.") from None


class Keys:
    """One table, read once.  An unknown key is fatal before anything is read."""

    def __init__(
        self,
        table: dict[str, object],
        *,
        allowed: Iterable[str],
        where: str,
        error: type[OperatorError],
        path: str = "",
    ) -> None:
        self._table = table
        self._where = where
        self._path = path
        self._error = error
        known = tuple(allowed)
        for key in table:
            if key not in known:
                raise self.fault(
                    key,
                    f"unknown key {shown(key)}{closest(key, known)}",
                    f"Allowed here: {', '.join(known)}.",
                )

    def fault(self, key: str, what: str, remedy: str) -> OperatorError:
        """Make the error for ``key`` of this table, for the caller to raise."""
        name = key if re.fullmatch(r"[A-Za-z0-9_-]{1,64}", key) else "?"
        return self._error(what, where=f"{self._where}: {self._path}{name}", remedy=remedy)

    def __contains__(self, key: str) -> bool:
        return key in self._table

    def _get(self, key: str, example: str) -> object:
        if key not in self._table:
            raise self.fault(key, "this key is missing", f"Add for example: {key} = {example}")
        return self._table[key]

    def text(
        self,
        key: str,
        *,
        chars_max: int,
        example: str,
        pattern: re.Pattern[str] | None = None,
        meaning: str = "",
        lines: bool = False,
    ) -> str:
        """Read a non-empty string of printable characters; ``meaning`` puts ``pattern`` into words."""
        return self._text(key, self._get(key, example), chars_max, example, pattern, meaning, lines)

    def _text(
        self,
        key: str,
        value: object,
        chars_max: int,
        example: str,
        pattern: re.Pattern[str] | None,
        meaning: str,
        lines: bool,
    ) -> str:
        remedy = f"Write for example: {key} = {example}"
        if not isinstance(value, str):
            raise self.fault(key, f"text in quotes is expected, not {shown(value)}", remedy)
        if not value.strip():
            raise self.fault(key, "the text is empty", remedy)
        if len(value) > chars_max:
            raise self.fault(key, f"{len(value)} characters, at most {chars_max} are allowed", "Shorten it.")
        if not is_plain(value, lines=lines):
            raise self.fault(key, "the text has invisible or control characters", "Type it anew without them.")
        if pattern is not None and not pattern.fullmatch(value):
            raise self.fault(key, f"{shown(value)} is not {meaning}", remedy)
        return value

    def texts(
        self,
        key: str,
        *,
        count_max: int,
        chars_max: int,
        example: str,
        pattern: re.Pattern[str],
        meaning: str,
    ) -> tuple[str, ...]:
        """Read one string or a list of them, each as :meth:`text` and all different; at least one."""
        value = self._get(key, example)
        items = value if isinstance(value, list) else [value]
        if not 1 <= len(items) <= count_max:
            raise self.fault(key, f"{len(items)} entries, 1 to {count_max} are allowed", f"Write {key} = {example}")
        texts = tuple(self._text(key, item, chars_max, example, pattern, meaning, False) for item in items)
        for text in texts:
            if texts.count(text) > 1:
                raise self.fault(key, f"{shown(text)} is listed twice", "List it once.")
        return texts

    def choice(self, key: str, choices: Iterable[str]) -> str:
        """Read a string out of ``choices``."""
        options = tuple(choices)
        listed = " or ".join(f'"{option}"' for option in options)
        value = self._get(key, f'"{options[0]}"')
        if not isinstance(value, str) or value not in options:
            hint = closest(value, options) if isinstance(value, str) else ""
            raise self.fault(key, f"{shown(value)} is not known{hint}", f"Write {listed}.")
        return value

    def integer(self, key: str, *, default: int, least: int, most: int) -> int:
        """Read a whole number within ``least..most``."""
        value = self._table.get(key, default)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self.fault(key, f"a whole number is expected, not {shown(value)}", f"Write {key} = {default}")
        if not least <= value <= most:
            raise self.fault(
                key, f"{shown(value)} is outside {least} to {most}", f"Write for example {key} = {default}"
            )
        return value

    def integers(self, key: str, *, least: int, most: int, largest: int, example: str) -> tuple[int, ...]:
        """Read a list of ``least..most`` whole numbers, none of them larger than ``largest`` with either sign."""
        value = self._get(key, example)
        remedy = f"Write for example: {key} = {example}"
        if not isinstance(value, list) or not least <= len(value) <= most:
            raise self.fault(key, f"a list of {least} to {most} whole numbers is expected", remedy)
        for item in value:
            if not isinstance(item, int) or isinstance(item, bool) or abs(item) > largest:
                raise self.fault(key, f"whole numbers are expected, not {shown(item)}", remedy)
        return tuple(value)

    def boolean(self, key: str, *, default: bool) -> bool:
        """Read ``true`` or ``false``."""
        value = self._table.get(key, default)
        if not isinstance(value, bool):
            raise self.fault(key, f"true or false is expected, not {shown(value)}", f"Write {key} = {shown(default)}")
        return value

    def hex_bytes(self, key: str, *, count: int) -> bytes:
        """Read ``count`` bytes written as hexadecimal digits."""
        example = f'"{"0" * 8}…" ({2 * count} hexadecimal digits)'
        value = self._get(key, example)
        if not isinstance(value, str) or not re.fullmatch(rf"[0-9A-Fa-f]{{{2 * count}}}", value):
            raise self.fault(key, f"{2 * count} hexadecimal digits are expected, not {shown(value)}", "Copy it anew.")
        return bytes.fromhex(value)

    def date(self, key: str) -> datetime.date | None:
        """Read a TOML date, or ``None`` when the key is absent."""
        if key not in self._table:
            return None
        value = self._table[key]
        if not isinstance(value, datetime.date) or isinstance(value, datetime.datetime):
            raise self.fault(
                key, f"a date is expected, not {shown(value)}", f"Write {key} = 2030-12-31, without quotes."
            )
        return value

    def table(self, key: str, *, allowed: Iterable[str]) -> Keys:
        """Open a sub-table; an absent one reads as empty."""
        value = self._table.get(key, {})
        if not isinstance(value, dict):
            raise self.fault(key, f"a table is expected, not {shown(value)}", f"Begin it with a line [{key}].")
        return Keys(value, allowed=allowed, where=self._where, error=self._error, path=f"{self._path}{key}.")

    def tables(self, key: str, *, least: int, most: int, allowed: Iterable[str]) -> list[Keys]:
        """Open an array of ``least..most`` tables; messages number them from 1."""
        value = self._table.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise self.fault(key, "a list of tables is expected", f"Begin each entry with a line [[{key}]].")
        if not least <= len(value) <= most:
            raise self.fault(
                key,
                f"{len(value)} entries, {least} to {most} are allowed",
                f"Each entry begins with a line [[{key}]].",
            )
        known = tuple(allowed)
        return [
            Keys(
                item,
                allowed=known,
                where=self._where,
                error=self._error,
                path=f"{self._path}{key}[{number}].",
            )
            for number, item in enumerate(value, 1)
        ]
