"""Mutations from a seed of numbers, for where no coverage leads: plain, cheap, the same every time."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from typing import Final

_ODD: Final = (
    b"\0", b"\xff", b"\xc0\x80", b"\xed\xa0\x80", "\u202e".encode(), "é".encode(), b"\r\n", b"-1", b"1e999",
    b"9" * 40, b"9" * 5000, b"[" * 2000, b'{"a":' * 1200, b"(" * 600, b"'", b'"""', b"nan", b"0x", b"\x7f" * 8,
    b"\xdf\xff\xff\xff\xff", b"\xdd\xff\xff\xff\xff", b"\xcf" + b"\xff" * 8, b"9999-12-31", b"0000-00-00",
)  # fmt: skip
_WORD: Final = re.compile(rb"[A-Za-z_][A-Za-z0-9_.-]{2,30}|[0-9]{1,12}|[\"'\[\]{}(),:=]")


def words_of(samples: Sequence[bytes], most: int = 400) -> list[bytes]:
    """What the samples are made of, for insertion elsewhere."""
    found = dict.fromkeys(word for sample in samples for word in _WORD.findall(sample))
    return list(found)[:most]


def mutated(rng: random.Random, samples: Sequence[bytes], words: Sequence[bytes], bytes_max: int) -> bytes:
    """One of the samples with one to four changes."""
    data = bytearray(rng.choice(samples))
    for _ in range(rng.randint(1, 4)):
        at = rng.randint(0, len(data))
        until = min(len(data), at + rng.randint(1, 40))
        match rng.randrange(8):
            case 0 if at < len(data):
                data[at] ^= 1 << rng.randrange(8)
            case 1:
                del data[at:until]
            case 2:
                data[at:at] = data[at:until] * rng.randint(1, 3)
            case 3:
                data[at:at] = rng.randbytes(rng.randint(1, 24))
            case 4:
                del data[at:]
            case 5:
                data[at:until] = rng.choice(_ODD)
            case 6 if words:
                data[at:until] = rng.choice(words)
            case _:
                other = rng.choice(samples)
                begin = rng.randint(0, len(other))
                data[at:] = other[begin:]
    return bytes(data[:bytes_max])
