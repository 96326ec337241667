"""OpenSSH signatures (SSHSIG), Ed25519 only: what ``ssh-keygen -Y sign`` makes, read strictly.

The format is OpenSSH's ``PROTOCOL.sshsig``.  A signature carries the signer's public key and a *namespace*; what is
signed is ``"SSHSIG" ‖ namespace ‖ reserved ‖ hash algorithm ‖ H(message)``, so a signature made for one end is
none for another.  Only one encoding of each signature is read: no unknown algorithm, nothing reserved, nothing after
the end.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Callable
from typing import Final

import attrs

from nskd.governance import limits, signing

KEY_TYPE: Final = b"ssh-ed25519"
_MAGIC: Final = b"SSHSIG"
_VERSION: Final = (1).to_bytes(4, "big")
_HASHES: Final[dict[bytes, Callable[[bytes], bytes]]] = {
    b"sha512": lambda message: hashlib.sha512(message).digest(),
    b"sha256": lambda message: hashlib.sha256(message).digest(),
}
_ARMOUR: Final = re.compile(
    r"-----BEGIN SSH SIGNATURE-----\n((?:[A-Za-z0-9+/=]{1,76}\n)+)-----END SSH SIGNATURE-----\n?"
)
_LINE_CHARS: Final = 70  # as ssh-keygen breaks its lines


class SshFormatError(ValueError):
    """Bytes that are no Ed25519 key or signature of OpenSSH; the text says what is wrong."""


@attrs.frozen
class SshSignature:
    """``key`` are the 32 bytes of the public key it claims, ``signature`` the 64 of Ed25519, ``raw`` all of it."""

    raw: bytes = attrs.field(repr=False)
    key: bytes
    namespace: bytes
    hash_name: bytes
    signature: bytes = attrs.field(repr=False)

    def holds(self, message: bytes, *, namespace: str) -> bool:
        """Whether it signs ``message`` for that end under the key it carries.  Whose key that is, is not its to say."""
        if self.namespace != namespace.encode() or signing.is_weak_key(self.key):
            return False
        return signing.is_signed(self.key, self.signature, _signed_bytes(self.namespace, self.hash_name, message))


def read_signature(raw: bytes) -> SshSignature:
    """Read the inner bytes of a signature; :class:`SshFormatError` and nothing else."""
    if len(raw) > limits.SSH_SIGNATURE_BYTES_MAX:
        raise SshFormatError("the signature is too long")
    if not raw.startswith(_MAGIC + _VERSION):
        raise SshFormatError("it is not an SSH signature of version 1")
    fields = _strings(raw[len(_MAGIC) + len(_VERSION) :], 5)
    key, namespace, reserved, hash_name, signature = fields
    if reserved:
        raise SshFormatError("a reserved field is in use")
    if hash_name not in _HASHES:
        raise SshFormatError("the hash is neither SHA-512 nor SHA-256")
    if not namespace:
        raise SshFormatError("it names no namespace")
    return SshSignature(
        raw=raw,
        key=read_key(key),
        namespace=namespace,
        hash_name=hash_name,
        signature=_of_ed25519(signature, signing.SIGNATURE_BYTES, "signature"),
    )


def sign(message: bytes, *, namespace: str, key: bytes, signer: signing.Signer) -> bytes:
    """Make the inner bytes of a signature; ``key`` is the public half of ``signer``'s."""
    made = signer(_signed_bytes(namespace.encode(), b"sha512", message))
    return (
        _MAGIC
        + _VERSION
        + b"".join(
            _string(field)
            for field in (key_blob(key), namespace.encode(), b"", b"sha512", _string(KEY_TYPE) + _string(made))
        )
    )


def armoured(raw: bytes) -> str:
    """Write a signature as ``ssh-keygen`` does, between its two lines."""
    text = base64.b64encode(raw).decode()
    lines = [text[at : at + _LINE_CHARS] for at in range(0, len(text), _LINE_CHARS)]
    return "\n".join(("-----BEGIN SSH SIGNATURE-----", *lines, "-----END SSH SIGNATURE-----", ""))


def unarmoured(text: str) -> tuple[bytes, ...]:
    """Read one or several signatures written one after another; :class:`SshFormatError` for anything else."""
    found: list[bytes] = []
    at = 0
    while at < len(text):
        match = _ARMOUR.match(text, at)
        if match is None:
            raise SshFormatError("it does not begin and end as a file of `ssh-keygen -Y sign` does")
        found.append(_base64(match[1].replace("\n", "")))
        at = match.end()
    if not found:
        raise SshFormatError("there is no signature in it")
    return tuple(found)


def key_blob(key: bytes) -> bytes:
    """Write a public key of 32 bytes as SSH does."""
    return _string(KEY_TYPE) + _string(key)


def read_key(blob: bytes) -> bytes:
    """Return the 32 bytes of a public key as SSH writes it."""
    return _of_ed25519(blob, signing.KEY_BYTES, "public key")


def parse_key(text: str) -> bytes:
    """Return the 32 bytes of the key in ``AAAA…``, the second word of a public key file."""
    return read_key(_base64(text))


def fingerprint(key: bytes) -> str:
    """Return ``SHA256:…`` as ``ssh-keygen -l`` shows it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(key_blob(key)).digest()).decode().rstrip("=")


def _signed_bytes(namespace: bytes, hash_name: bytes, message: bytes) -> bytes:
    fields = (namespace, b"", hash_name, _HASHES[hash_name](message))
    return _MAGIC + b"".join(_string(field) for field in fields)


def _of_ed25519(data: bytes, size: int, what: str) -> bytes:
    kind, inner = _strings(data, 2)
    if kind != KEY_TYPE:
        raise SshFormatError(f"the {what} is not of the kind ssh-ed25519")
    if len(inner) != size:
        raise SshFormatError(f"the {what} has {len(inner)} bytes instead of {size}")
    return inner


def _string(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


def _strings(data: bytes, count: int) -> tuple[bytes, ...]:
    """Cut ``data`` into exactly ``count`` length-prefixed strings."""
    found = []
    for _ in range(count):
        size = int.from_bytes(data[:4], "big")
        if len(data) < 4 or len(data) - 4 < size:
            raise SshFormatError("it is cut short")
        found.append(data[4 : 4 + size])
        data = data[4 + size :]
    if data:
        raise SshFormatError("something follows after its end")
    return tuple(found)


def _base64(text: str) -> bytes:
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise SshFormatError("it is not base64") from None
    if base64.b64encode(raw).decode() != text:
        raise SshFormatError("it is not base64 in its one spelling")
    return raw
