"""Stewards: the persons who decide for a centre, each with a key of their own (OpenSSH, Ed25519).

The charter lists them, so every centre can verify what they sign.  The private half stays with the person, in a file,
an agent or a token; no daemon ever has it.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from typing import Final

import attrs

from nskd.governance import limits, signing, sshsig
from nskd.governance.toml import Keys, is_plain, shown

_EXAMPLE: Final = '["ssh-ed25519 AAAA… A. de Vries"]'
_LINE: Final = re.compile(r"ssh-ed25519 ([A-Za-z0-9+/=]{1,200})(?: +(\S(?:.*\S)?))? *\n?")


@attrs.frozen
class Steward:
    """``key`` is the 32-byte public key; ``name`` who it belongs to, as the charter says."""

    key: bytes = attrs.field(repr=False)
    name: str

    @property
    def fingerprint(self) -> str:
        """``SHA256:…``, as ``ssh-keygen -l`` shows it."""
        return sshsig.fingerprint(self.key)

    @property
    def line(self) -> str:
        """The public key as one line, as a charter lists it and ``ssh-keygen`` writes it."""
        return f"ssh-ed25519 {_text(self.key)} {self.name}"


def parse_steward(line: str) -> Steward:
    """Read ``ssh-ed25519 AAAA… A. de Vries``; ``ValueError`` says what is wrong with it."""
    match = _LINE.fullmatch(line)
    if match is None:
        raise ValueError("it is not a line `ssh-ed25519 AAAA… name`")
    key = sshsig.parse_key(match[1])
    if signing.is_weak_key(key):
        raise ValueError("it is not a usable Ed25519 public key")
    name = match[2]
    if not name:
        raise ValueError("the steward's name is missing after the key")
    if len(name) > limits.STEWARD_CHARS_MAX or not is_plain(name):
        raise ValueError(f"the steward's name is not 1 to {limits.STEWARD_CHARS_MAX} printable characters")
    return Steward(key, name)


def read_stewards(keys: Keys) -> tuple[Steward, ...]:
    """Read the key ``stewards`` of a charter's centre; absent, it has none.  Raises what ``keys`` raises."""
    if "stewards" not in keys:
        return ()
    lines = keys.texts(
        "stewards",
        count_max=limits.STEWARDS_MAX,
        chars_max=limits.STEWARD_LINE_CHARS_MAX,
        example=_EXAMPLE,
        pattern=re.compile(".*"),
        meaning="a line of text",
    )
    stewards: list[Steward] = []
    for line in lines:
        try:
            steward = parse_steward(line)
        except ValueError as exc:
            raise keys.fault("stewards", f"{shown(line)}: {exc}", f"Write stewards = {_EXAMPLE}") from None
        for other in stewards:
            if steward.key == other.key or steward.name == other.name:
                what = f"{shown(steward.name)} has the same key or name as {shown(other.name)}"
                raise keys.fault("stewards", what, "List each person once, under a key of their own.")
        stewards.append(steward)
    return tuple(stewards)


def by_key(stewards: Iterable[Steward], key: bytes) -> Steward | None:
    """Return whose key that is."""
    return next((steward for steward in stewards if steward.key == key), None)


def _text(key: bytes) -> str:
    return base64.b64encode(sshsig.key_blob(key)).decode()
