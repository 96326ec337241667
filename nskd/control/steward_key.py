"""A steward's own key, used by ``nskctl`` and by nobody else: the daemon gets a signature, never a key.

A private key without a passphrase is read and used here.  Whatever needs a passphrase, an agent or a token is left to
``ssh-keygen -Y sign``, which asks on the terminal.
"""

from __future__ import annotations

import base64
import os
import stat
import subprocess
from pathlib import Path
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_ssh_private_key,
)

from nskd.errors import OperatorError
from nskd.governance import sshsig
from nskd.governance.steward import Steward, parse_steward

_FILE_BYTES_MAX: Final = 16_384  # a key is some 400 bytes; more is another file
_BEGIN: Final = b"-----BEGIN OPENSSH PRIVATE KEY-----"
_END: Final = b"-----END OPENSSH PRIVATE KEY-----"
_MAGIC: Final = b"openssh-key-v1\0"
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


class StewardKeyError(OperatorError):
    """A steward's key that cannot be read, made or used."""


def public_key(path: Path) -> bytes:
    """The 32-byte public half of the key in a file, private or public; needs no passphrase."""
    raw = _read(path)
    try:
        if raw.lstrip().startswith(_BEGIN):
            return _public_half(raw)
        return sshsig.parse_key(raw.decode("ascii", "replace").split()[1])
    except (ValueError, IndexError) as exc:
        raise StewardKeyError(
            f"it holds no Ed25519 key of OpenSSH ({exc})",
            where=str(path),
            remedy="Make one with ssh-keygen -t ed25519, or nskctl steward keygen.",
        ) from None


def sign(path: Path, message: bytes, *, namespace: str) -> str:
    """Sign with the key in a file, or with the agent's when it is a public one: the signature between its two lines."""
    raw, key = _read(path), public_key(path)
    private = _unlocked(raw) if raw.lstrip().startswith(_BEGIN) else None
    if private is None:
        text = _with_openssh(path, message, namespace)
    else:
        _refuse_open(path)
        text = sshsig.armoured(sshsig.sign(message, namespace=namespace, key=key, signer=private.sign))
    (made,) = sshsig.unarmoured(text)
    signature = sshsig.read_signature(made)
    if signature.key != key or not signature.holds(message, namespace=namespace):
        raise StewardKeyError("the signature made is not of this key", where=str(path), remedy="Check the key file.")
    return text


def generate(path: Path, name: str) -> Steward:
    """Make a key without a passphrase, for trying things out: ``path`` (mode 0600) and ``path.pub``."""
    private = Ed25519PrivateKey.generate()
    key = private.public_key().public_bytes_raw()
    try:
        steward = parse_steward(Steward(key, name).line)
    except ValueError as exc:
        raise StewardKeyError(str(exc), where="--name", remedy='Give for example --name "A. de Vries".') from None
    text = private.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        for target, content, mode in (
            (path, text, 0o600),
            (path.with_name(f"{path.name}.pub"), f"{steward.line}\n".encode(), 0o644),
        ):
            with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode), "wb") as file:
                file.write(content)
    except OSError as exc:
        raise StewardKeyError(
            f"the key cannot be written: {exc.strerror}", where=str(path), remedy="Choose another file."
        ) from None
    return steward


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_FILE_BYTES_MAX)
    except OSError as exc:
        raise StewardKeyError(
            f"cannot be read: {exc.strerror}", where=str(path), remedy="Name your key file."
        ) from None


def _refuse_open(path: Path) -> None:
    if path.stat().st_mode & _OTHERS:
        raise StewardKeyError(
            "others on this machine can read this private key", where=str(path), remedy=f"chmod 600 {path}"
        )


def _unlocked(raw: bytes) -> Ed25519PrivateKey | None:
    """The private key, or None if only ``ssh-keygen`` can use it: it has a passphrase."""
    try:
        private = load_ssh_private_key(raw, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None
    return private if isinstance(private, Ed25519PrivateKey) else None


def _public_half(raw: bytes) -> bytes:
    """Read the public key out of a private key file, where it stands in the clear."""
    body = raw[raw.index(_BEGIN) + len(_BEGIN) : raw.index(_END)]
    data = base64.b64decode(b"".join(body.split()), validate=True)
    if not data.startswith(_MAGIC):
        raise ValueError("it is not in OpenSSH's own format")
    rest = data[len(_MAGIC) :]
    for _ in range(3):  # cipher, key derivation, its options
        rest = rest[4 + int.from_bytes(rest[:4], "big") :]
    if rest[:4] != (1).to_bytes(4, "big"):
        raise ValueError("it holds more than one key")
    return sshsig.read_key(rest[8 : 8 + int.from_bytes(rest[4:8], "big")])


def _with_openssh(path: Path, message: bytes, namespace: str) -> str:
    command = ["ssh-keygen", "-Y", "sign", "-n", namespace, "-f", str(path)]
    try:
        # It asks on the terminal.  No shell: the path is one word, and one that begins with "-" follows its "-f".
        done = subprocess.run(command, input=message, stdout=subprocess.PIPE, check=False)  # noqa: S603
    except OSError:
        raise StewardKeyError(
            "this key has a passphrase or is in an agent, and ssh-keygen is not installed here",
            where=str(path),
            remedy="Use --write-statement, sign that file where your key is, then --signature.",
        ) from None
    try:
        text = done.stdout.decode("ascii")
        sshsig.read_signature(*sshsig.unarmoured(text))
    except (UnicodeDecodeError, TypeError, sshsig.SshFormatError):
        raise StewardKeyError(
            f"ssh-keygen did not sign (status {done.returncode})", where=str(path), remedy="See what it says above."
        ) from None
    return text
