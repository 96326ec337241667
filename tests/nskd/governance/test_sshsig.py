from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from nskd.governance import limits, sshsig
from nskd.governance.charter import CharterError, parse_charter
from nskd.governance.sshsig import SshFormatError
from nskd.governance.steward import Steward, parse_steward

from .mutations import mutated
from .workshop import charter_toml, signing_key

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "sshsig.json").read_text())
MESSAGE, NAMESPACE = VECTORS["message"].encode(), VECTORS["namespace"]
PERSON = Ed25519PrivateKey.from_private_bytes(b"a" * 32)
KEY = PERSON.public_key().public_bytes_raw()
OWN = sshsig.sign(MESSAGE, namespace=NAMESPACE, key=KEY, signer=PERSON.sign)
HAVE_OPENSSH = shutil.which("ssh-keygen") is not None
LINE = VECTORS["public_key"].strip()


def one(armoured: str) -> sshsig.SshSignature:
    (raw,) = sshsig.unarmoured(armoured)
    return sshsig.read_signature(raw)


@pytest.mark.parametrize("name", VECTORS["good"])
def test_openssh_signatures_hold(name: str) -> None:
    signature = one(VECTORS["good"][name])
    assert signature.key == parse_steward(VECTORS["public_key"]).key
    assert signature.holds(MESSAGE, namespace=NAMESPACE)
    assert not signature.holds(MESSAGE + b" ", namespace=NAMESPACE)
    assert not signature.holds(MESSAGE, namespace="nskd-standing-policy")
    assert sshsig.armoured(signature.raw) == VECTORS["good"][name]


@pytest.mark.parametrize("name", VECTORS["bad_signature"])
def test_bad_signatures_are_refused(name: str) -> None:
    try:
        held = one(VECTORS["bad_signature"][name]).holds(MESSAGE, namespace=NAMESPACE)
    except SshFormatError as error:
        assert str(error).isprintable()
    else:
        assert not held


@pytest.mark.parametrize("name", VECTORS["bad_key"])
def test_bad_keys_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_steward(VECTORS["bad_key"][name])


def test_our_own_signature_is_the_same_for_openssh_and_us() -> None:
    assert sshsig.read_signature(OWN).holds(MESSAGE, namespace=NAMESPACE)
    with pytest.raises(SshFormatError, match="too long"):
        sshsig.read_signature(OWN + b"\0" * limits.SSH_SIGNATURE_BYTES_MAX)


def test_several_signatures_in_one_file() -> None:
    both = VECTORS["good"]["sha512"] + sshsig.armoured(OWN)
    assert [sshsig.read_signature(raw).key for raw in sshsig.unarmoured(both)][1] == KEY


@pytest.mark.skipif(not HAVE_OPENSSH, reason="no ssh-keygen here")
def test_ssh_keygen_verifies_what_we_sign(tmp_path: Path) -> None:
    (tmp_path / "signers").write_text(f"steward ssh-ed25519 {parse_line(KEY)}\n")
    (tmp_path / "sig").write_text(sshsig.armoured(OWN))
    command = ["ssh-keygen", "-Y", "verify", "-f", tmp_path / "signers", "-I", "steward", "-n", NAMESPACE]
    done = subprocess.run([*command, "-s", tmp_path / "sig"], input=MESSAGE, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    bad = subprocess.run([*command, "-s", tmp_path / "sig"], input=b"else", capture_output=True, check=False)
    assert bad.returncode != 0


def parse_line(key: bytes) -> str:
    return steward_line(key).split()[1]


def steward_line(key: bytes, name: str = "A. de Vries") -> str:
    return Steward(key, name).line


@pytest.mark.skipif(not HAVE_OPENSSH, reason="no ssh-keygen here")
def test_fingerprints_are_those_of_ssh_keygen(tmp_path: Path) -> None:
    (tmp_path / "key.pub").write_text(VECTORS["public_key"])
    shown = subprocess.run(["ssh-keygen", "-l", "-f", tmp_path / "key.pub"], capture_output=True, text=True, check=True)
    assert parse_steward(LINE).fingerprint == shown.stdout.split()[1]


@given(raw=mutated(OWN))
def test_mutated_signatures_never_hold(raw: bytes) -> None:
    try:
        signature = sshsig.read_signature(raw)
    except SshFormatError:
        return
    assert signature.holds(MESSAGE, namespace=NAMESPACE) == (raw == OWN)


@given(text=st.one_of(st.text(max_size=300), mutated(LINE.encode()).map(lambda raw: raw.decode("latin-1"))))
def test_any_line_is_a_steward_or_a_sentence(text: str) -> None:
    try:
        steward = parse_steward(text)
    except ValueError as error:
        assert str(error)
    else:
        assert parse_steward(steward.line) == steward


# --- in the charter -------------------------------------------------------------------------------------------


def listed(*lines: str, needed: int = 1) -> str:
    quoted = ", ".join(f'"{line}"' for line in lines)
    return f"stewards = [{quoted}]\napprovals_needed = {needed}"


def test_a_charter_lists_stewards() -> None:
    second = steward_line(KEY, "B. Jansen")
    charter = parse_charter(charter_toml(noord=listed(LINE, second, needed=2)))
    assert [steward.name for steward in charter.centres[0].stewards] == ["A. de Vries", "B. Jansen"]
    assert charter.centres[0].approvals_needed == 2


@pytest.mark.parametrize(
    ("noord", "zuid", "words"),
    [
        (listed("ssh-ed25519 AAAA A"), "", "cut short"),
        (listed("ssh-rsa AAAA A"), "", "not a line"),
        (listed(" ".join(LINE.split()[:2])), "", "the steward's name is missing"),
        (listed(LINE, LINE + "x"), "", "the same key or name"),
        (listed(LINE, steward_line(KEY)), "", "the same key or name"),
        (listed(LINE), listed(LINE), "is also a key of noord"),
        (listed(steward_line(signing_key("noord").public_key().public_bytes_raw())), "", "is also a key of noord"),
        (listed(steward_line(signing_key("zuid").public_key().public_bytes_raw())), "", "is also a key of zuid"),
        (listed(steward_line(b"\1" + bytes(31))), "", "not a usable Ed25519"),
        (listed(LINE, needed=2), "", "needs 2 to approve and lists 1 stewards"),
        (listed(LINE, needed=3), "", "3 is outside 1 to 2"),
    ],
)
def test_stewards_that_cannot_be(noord: str, zuid: str, words: str) -> None:
    with pytest.raises(CharterError, match=words):
        parse_charter(charter_toml(noord=noord, zuid=zuid))
