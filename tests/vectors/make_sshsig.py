"""Make sshsig.json with ``ssh-keygen``: ``python -m tests.vectors.make_sshsig``.

Keys and signatures come from OpenSSH; the bad ones are good ones changed as their names say.  The keys sign nothing
else and are nobody's secret.
"""

from __future__ import annotations

import base64
import json
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).parent
MESSAGE = "What a steward signs.\n"
NAMESPACE = "nskd-statement"


def keygen(directory: Path, kind: str, name: str) -> str:
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", name, "-f", directory / kind], check=True)
    return (directory / f"{kind}.pub").read_text()


def signed(directory: Path, kind: str, namespace: str, *options: str) -> str:
    message = directory / "message"
    message.write_text(MESSAGE)
    command = ["ssh-keygen", "-q", "-Y", "sign", "-n", namespace, *options, "-f", directory / kind, message]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    made = directory / "message.sig"
    text = made.read_text()
    made.unlink()
    return text


def rewritten(armoured: str, change: Callable[[bytes], bytes]) -> str:
    head, *lines, foot = armoured.splitlines()
    text = base64.b64encode(change(base64.b64decode("".join(lines)))).decode()
    return "\n".join((head, *(text[at : at + 70] for at in range(0, len(text), 70)), foot, ""))


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        public = keygen(directory, "ed25519", "A. de Vries")
        other = keygen(directory, "ecdsa", "E. Cdsa")
        good = signed(directory, "ed25519", NAMESPACE)
        vectors = {
            "provenance": "Keys and good signatures: ssh-keygen of "
            + subprocess.run(["ssh", "-V"], check=True, capture_output=True, text=True).stderr.strip()
            + "; bad ones changed by make_sshsig.py, and must be refused.",
            "public_key": public,
            "message": MESSAGE,
            "namespace": NAMESPACE,
            "good": {"sha512": good, "sha256": signed(directory, "ed25519", NAMESPACE, "-O", "hashalg=sha256")},
            "bad_key": {
                "another kind": other,
                "cut short": public[:60] + " A. de Vries\n",
                "an option before it": f"no-pty {public}",
            },
            "bad_signature": {
                "another kind of key": signed(directory, "ecdsa", NAMESPACE),
                "another namespace": signed(directory, "ed25519", "file"),
                "version 2": rewritten(good, lambda raw: raw.replace(b"SSHSIG\0\0\0\1", b"SSHSIG\0\0\0\2")),
                "another magic": rewritten(good, lambda raw: raw.replace(b"SSHSIG", b"SSHSIX")),
                "a reserved field in use": rewritten(
                    good, lambda raw: raw.replace(b"statement\0\0\0\0", b"statement\0\0\0\1x")
                ),
                "an unknown hash": rewritten(good, lambda raw: raw.replace(b"\0\0\0\6sha512", b"\0\0\0\4sha1")),
                "the other hash": rewritten(good, lambda raw: raw.replace(b"sha512", b"sha256")),
                "something after the end": rewritten(good, lambda raw: raw + b"\0"),
                "cut short": rewritten(good, lambda raw: raw[:-1]),
                "a length beyond the end": rewritten(good, lambda raw: raw[:10] + b"\xff" + raw[11:]),
                "one bit of the signature": rewritten(good, lambda raw: raw[:-20] + bytes([raw[-20] ^ 1]) + raw[-19:]),
                "s beyond the group order": rewritten(good, beyond_order),
                "no armour": good.splitlines()[1],
                "words before the armour": f"hello\n{good}",
                "nothing": "",
            },
        }
    (HERE / "sshsig.json").write_text(json.dumps(vectors, indent=1) + "\n")


def beyond_order(raw: bytes) -> bytes:
    """The same signature with s + L, which a lax verifier would take."""
    order = 2**252 + 27742317777372353535851937790883648493
    return raw[:-32] + (int.from_bytes(raw[-32:], "little") + order).to_bytes(32, "little")


if __name__ == "__main__":
    main()
