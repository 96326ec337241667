"""Who has signed a charter: a text file beside it, a line for each signature.

    nskd charter signatures, version 1
    charter: 91aa…
    noord d364… 5f0c…

A line has the centre's name, its Ed25519 public key and the signature, in hexadecimal.  What is signed is the charter's
digest and the centre's name (``docs/protocol.md``, step 15.2), so a line fits one charter and one centre.  Lines
may be put together from files of several centres in any order; what is read is sorted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import attrs

from nskd.governance import limits, signing
from nskd.governance.charter import Charter
from nskd.governance.policy import PolicyError, Refusal, Rule

SUFFIX: Final = ".signatures"
_HEAD: Final = "nskd charter signatures, version 1"
_SIGN: Final = "nskd charter signature v1"
_LINE: Final = re.compile(r"([a-z0-9-]{1,63}) ([0-9a-f]{64}) ([0-9a-f]{128})")
_DIGEST: Final = re.compile(r"charter: ([0-9a-f]{64})")


@attrs.frozen(order=True)
class Signer:
    """Who signs, or has to: a centre under one of its keys."""

    centre: str
    key: bytes = attrs.field(repr=lambda key: key.hex()[:12])


@attrs.frozen
class CharterSignature:
    """One signature under a charter; not verified by being one of these."""

    signer: Signer
    signature: bytes = attrs.field(repr=False)

    def holds(self, digest: bytes) -> bool:
        """Whether it is over the charter with that digest."""
        return signing.is_signed(self.signer.key, self.signature, _signed(digest, self.signer.centre))


@attrs.frozen
class CharterSignatures:
    """The signatures in one file: those under the charter with that ``digest``."""

    digest: bytes = attrs.field(repr=lambda digest: digest.hex()[:12])
    signatures: tuple[CharterSignature, ...] = ()

    def of(self, signer: Signer) -> CharterSignature | None:
        """That centre's under that key, if it is there."""
        return next((each for each in self.signatures if each.signer == signer), None)

    def adding(self, more: Iterable[CharterSignature]) -> CharterSignatures:
        """The same with more; a later one of the same signer replaces an earlier one."""
        merged = {each.signer: each for each in (*self.signatures, *more)}
        return CharterSignatures(self.digest, tuple(merged[signer] for signer in sorted(merged)))

    def text(self) -> str:
        """Return the file's contents."""
        lines = [_HEAD, f"charter: {self.digest.hex()}"]
        lines += [
            f"{each.signer.centre} {each.signer.key.hex()} {each.signature.hex()}"
            for each in sorted(self.signatures, key=lambda each: each.signer)
        ]
        return "\n".join(lines) + "\n"


def sign_charter(charter: Charter, signer: Signer, sign: signing.Signer) -> CharterSignature:
    """Sign for a centre."""
    return CharterSignature(signer, sign(_signed(charter.digest, signer.centre)))


def read_signatures(raw: bytes, *, where: str) -> CharterSignatures:
    """Read a file's contents; :class:`~nskd.governance.policy.PolicyError` (``CHARTER_SIGNATURES``) says what is wrong.

    Empty lines and spaces at the end of a line are passed over: these lines travel by mail.
    """
    if len(raw) > limits.CHARTER_SIGNATURES_BYTES_MAX:
        raise _malformed(where, f"it has more than {limits.CHARTER_SIGNATURES_BYTES_MAX} bytes")
    try:
        lines = [line.strip() for line in raw.decode("ascii").split("\n")]
    except UnicodeDecodeError:
        raise _malformed(where, "it has characters that do not belong there") from None
    lines = [line for line in lines if line]
    if lines[:1] != [_HEAD]:
        raise _malformed(where, f"its first line is not {_HEAD!r}")
    named = _DIGEST.fullmatch(lines[1]) if len(lines) > 1 else None
    if named is None:
        raise _malformed(where, "its second line does not name the charter")
    found: dict[Signer, CharterSignature] = {}
    for number, line in enumerate(lines[2:], 1):
        match = _LINE.fullmatch(line)
        if match is None:
            raise _malformed(where, f"signature {number} is not a name, a key and a signature")
        signer = Signer(match[1], bytes.fromhex(match[2]))
        if signer in found:
            raise _malformed(where, f"signature {number} is a second one of {signer.centre}")
        found[signer] = CharterSignature(signer, bytes.fromhex(match[3]))
    return CharterSignatures(bytes.fromhex(named[1]), tuple(found[signer] for signer in sorted(found)))


def signatures_path(charter: Path) -> Path:
    """Where the signatures under a charter file lie: beside it."""
    return charter.with_name(charter.name + SUFFIX)


def load_signatures(charter: Charter, path: Path) -> CharterSignatures:
    """Read the signatures that lie beside the charter file ``path``; none when there is no such file."""
    beside = signatures_path(path)
    try:
        with beside.open("rb") as file:
            raw = file.read(limits.CHARTER_SIGNATURES_BYTES_MAX + 1)
    except FileNotFoundError:
        return CharterSignatures(charter.digest)
    except OSError as exc:
        raise _malformed(str(beside), f"it cannot be read: {exc.strerror}") from None
    return read_signatures(raw, where=str(beside))


def _signed(digest: bytes, centre: str) -> bytes:
    return signing.framed(_SIGN, digest, centre.encode())


def _malformed(where: str, what: str) -> PolicyError:
    remedy = "Take the file as the centres sent it, or collect the signatures anew: nskctl charter collect."
    return PolicyError((Refusal(Rule.CHARTER_SIGNATURES, where, f"{where}: {what}", remedy),))
