"""Thresholds as ACRO keeps them (AI-SDC/ACRO, ``default.yaml``), turned into the charter's ``[disclosure]``.

Such a file is flat: a key, a colon, a number or a truth value, a line.  That much of YAML is read here and no more: an
anchor, a list or a tag in a file of thresholds is a mistake, and a general reader would have to be trusted with it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import Final

import attrs

from nskd.errors import OperatorError
from nskd.governance import limits
from nskd.governance.disclosure import KEYS, read_disclosure
from nskd.governance.toml import Keys, closest, shown

_LINE: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_]{0,63})\s*:\s+([^\s#]+)\s*(?:#.*)?")
_NUMBER: Final = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?")
_TRUTH: Final = MappingProxyType({"true": True, "false": False, "yes": True, "no": False, "on": True, "off": False})
_PAIR: Final = 2

Value = Fraction | bool


class AcroError(OperatorError):
    """A file of thresholds that cannot be read, or that asks for what does not exist here."""


@attrs.frozen
class Thresholds:
    """``toml`` is the table, to be put into a charter; ``notes`` say of each other key why it has no counterpart."""

    toml: str
    notes: tuple[str, ...]


def load_acro(path: Path) -> Thresholds:
    """Read a file; raises :class:`AcroError`."""
    try:
        with path.open("rb") as file:
            raw = file.read(limits.ACRO_BYTES_MAX + 1)
    except OSError as error:
        raise AcroError(
            f"cannot be read: {error.strerror}", where=str(path), remedy="Check the path and its permissions."
        ) from None
    return convert_acro(raw, where=str(path))


def convert_acro(raw: bytes, *, where: str = "thresholds") -> Thresholds:
    """As :func:`load_acro`, from bytes."""
    table: dict[str, object] = {}
    notes: list[str] = []
    for key, value in _read(raw, where).items():
        if key in _UNLIKE:
            notes.append(f"{key}: {_UNLIKE[key]}")
        elif key == "safe_nk_n":
            if value != _PAIR:
                raise _fault(
                    where, key, f"only the {_PAIR} largest contributors are looked at here, not {_said(value)}"
                )
        elif key in _ALIKE:
            name, converted = _ALIKE[key]
            table[name] = converted(where, key, value)
        else:
            known = (*_ALIKE, "safe_nk_n", *_UNLIKE)
            raise _fault(where, key, f"unknown key {shown(key)}{closest(key, known)}")
    read_disclosure(  # the same bounds, in the same words, as in a charter
        Keys(table, allowed=KEYS, where=where, error=AcroError), contributors=limits.CENTRES_MAX
    )
    lines = [f'{key} = "{value}"' if isinstance(value, str) else f"{key} = {value}" for key, value in table.items()]
    return Thresholds("\n".join(("[disclosure]", *lines)) + "\n", tuple(notes))


def _read(raw: bytes, where: str) -> dict[str, Value]:
    if len(raw) > limits.ACRO_BYTES_MAX:
        raise AcroError(
            f"more than {limits.ACRO_BYTES_MAX} bytes", where=where, remedy="Give a file of thresholds alone."
        )
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise AcroError(f"byte {error.start} is not UTF-8", where=where, remedy="Save the file as UTF-8.") from None
    found: dict[str, Value] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#") or (number == 1 and line.rstrip() == "---"):
            continue
        match = _LINE.fullmatch(line.rstrip())
        value = None if match is None else _value(match[2])
        if match is None or value is None:
            raise AcroError(
                f"line {number} is not a key with a number or a truth value",
                where=where,
                remedy="Write one a line, for example: safe_threshold: 10",
            )
        if match[1] in found:
            raise _fault(where, match[1], "it is there twice")
        found[match[1]] = value
    return found


def _value(text: str) -> Value | None:
    if text.lower() in _TRUTH:
        return _TRUTH[text.lower()]
    return Fraction(text) if _NUMBER.fullmatch(text) else None


def _said(value: Value) -> str:
    return shown(value) if isinstance(value, bool) else f"{float(value):g}"


def _fault(where: str, key: str, what: str) -> AcroError:
    name = key if re.fullmatch(r"\w{1,64}", key) else "?"
    return AcroError(what, where=f"{where}: {name}", remedy="Correct it, or leave it out.")


def _count(where: str, key: str, value: Value) -> int:
    if isinstance(value, bool) or value.denominator != 1:
        raise _fault(where, key, f"a whole number is expected, not {_said(value)}")
    return int(value)


def _per_cent(where: str, key: str, value: Value) -> int:
    """A share between 0 and 1, in whole per cent."""
    if isinstance(value, bool) or not 0 <= value <= 1 or (value * limits.PER_CENT).denominator != 1:
        raise _fault(where, key, f"a share between 0 and 1 in hundredths is expected, not {_said(value)}")
    return int(value * limits.PER_CENT)


def _zeros(where: str, key: str, value: Value) -> str:
    if not isinstance(value, bool):
        raise _fault(where, key, f"true or false is expected, not {_said(value)}")
    return "suppress" if value else "show"


_ALIKE: Final[MappingProxyType[str, tuple[str, Callable[[str, str, Value], object]]]] = MappingProxyType(
    {
        "safe_threshold": ("threshold", _count),
        "safe_nk_k": ("nk", _per_cent),
        "safe_pratio_p": ("p_percent", _per_cent),
        "zeros_are_disclosive": ("zeros", _zeros),
    }
)
_UNLIKE: Final = MappingProxyType(
    {
        "safe_dof_threshold": "no model is fitted here, so there are no degrees of freedom to bound",
        "survival_safe_threshold": "there is no survival table here; `threshold` holds for every cell",
        "check_missing_values": "a missing value is a level like any other here, and its cell is judged as any other",
    }
)
