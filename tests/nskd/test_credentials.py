"""Keys: made once, never shown, and refused when anything about their file is odd."""

from __future__ import annotations

import copy
import os
import pickle
import stat
import tomllib
from pathlib import Path

import pytest

from nskd import credentials
from nskd.credentials import (
    CentreKeys,
    CredentialError,
    KeyMaterial,
    NoiseKey,
    SigningKey,
    StorageKey,
    credentials_directory,
    generate,
    load_keys,
)
from nskd.governance import signing


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    generate(tmp_path / "keys")
    return tmp_path / "keys"


def rewrite(path: Path, text: str, mode: int = 0o400) -> None:
    path.unlink()
    path.write_text(text)
    path.chmod(mode)


def test_made_and_read(tmp_path: Path) -> None:
    public = generate(tmp_path / "a" / "b")
    assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == 0o700
    for name in ("noise.key", "signing.key", "storage.key"):
        assert stat.S_IMODE((tmp_path / "a" / "b" / name).stat().st_mode) == 0o400
    keys = load_keys(tmp_path / "a" / "b")
    assert keys.identity == public
    assert keys.noise.static_key().public == public.noise_key
    signature = keys.signing.signer()(b"message")
    assert signing.is_signed(public.signing_key, signature, b"message")
    assert load_keys(tmp_path / "a" / "b") == keys


def test_never_overwritten(directory: Path) -> None:
    before = {path.name: path.read_bytes() for path in directory.iterdir()}
    with pytest.raises(CredentialError, match="a key already"):
        generate(directory)
    (directory / "noise.key").unlink()
    with pytest.raises(CredentialError, match=r"signing\.key: there is a key already"):
        generate(directory)
    assert not (directory / "noise.key").exists()  # all or none
    assert {name: raw for name, raw in before.items() if name != "noise.key"} == {
        path.name: path.read_bytes() for path in directory.iterdir()
    }


def test_a_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CredentialError, match="cannot be written"):
        generate(tmp_path / "file" / "keys")


def test_the_charter_entry_is_toml(directory: Path) -> None:
    public = load_keys(directory).identity
    [centre] = tomllib.loads(public.charter_entry(name="a", title='The "A"\nhospital \\', address="[::1]:7443"))[
        "centre"
    ]
    assert centre == {
        "name": "a",
        "title": 'The "A"\nhospital \\',
        "address": "[::1]:7443",
        "noise_key": public.noise_key.hex(),
        "signing_key": public.signing_key.hex(),
        "stewards": ["ssh-ed25519 AAAA… name"],  # to be filled in: no charter with it is read
    }
    secret = load_keys(directory)
    for key in (secret.noise, secret.signing, secret.storage):
        assert key.expose().hex() not in public.charter_entry(name="a")


@pytest.mark.parametrize("kind", [NoiseKey, SigningKey, StorageKey])
def test_a_key_stays_inside(kind: type[KeyMaterial]) -> None:
    key = kind(b"0123456789abcdef0123456789abcdef")
    assert "0123" not in repr(key) + str(key) + f"{key}" + repr([key]) + repr({"k": key})
    for leak in (pickle.dumps, copy.copy, copy.deepcopy, hash, vars):
        with pytest.raises(TypeError):
            leak(key)  # type: ignore[operator]
    assert key == kind(key.expose())
    assert key != kind(b"x" * 32)
    assert key != key.expose()
    with pytest.raises(ValueError, match="32 bytes"):
        kind(b"short")


def test_kinds_do_not_compare() -> None:
    raw = b"0123456789abcdef0123456789abcdef"
    assert NoiseKey(raw) != StorageKey(raw)
    assert "redacted" in repr(CentreKeys(NoiseKey(raw), SigningKey(raw), StorageKey(raw)))


def test_keys_under_each_others_names(directory: Path) -> None:
    (directory / "noise.key").rename(directory / "x")
    (directory / "storage.key").rename(directory / "noise.key")
    (directory / "x").rename(directory / "storage.key")
    with pytest.raises(CredentialError, match=r"belongs into storage\.key"):
        load_keys(directory)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "first line"),
        ("ab" * 32 + "\n", "first line"),
        ("nskd-noise-key-2\n" + "ab" * 32 + "\n", "first line"),
        ("nskd-noise-key-1\n" + "ab" * 31 + "\n", "second and last line"),
        ("nskd-noise-key-1\n" + "ab" * 33 + "\n", "second and last line"),
        ("nskd-noise-key-1\n" + "ab" * 32, "second and last line"),
        ("nskd-noise-key-1\n" + "ab" * 32 + "\nmore\n", "second and last line"),
        ("nskd-noise-key-1\n" + "zz" * 32 + "\n", "second and last line"),
        ("nskd-noise-key-1\n" + "00" * 32 + "\n", "placeholder"),
        ("nskd-noise-key-1\n" + "ab" * 300 + "\n", "too long"),
    ],
)
def test_files_that_are_no_keys(directory: Path, text: str, complaint: str) -> None:
    rewrite(directory / "noise.key", text)
    with pytest.raises(CredentialError, match=complaint) as caught:
        load_keys(directory)
    assert str(directory / "noise.key") in str(caught.value)
    assert "abab" not in str(caught.value)  # no part of a key in an error


@pytest.mark.parametrize("mode", [0o404, 0o444, 0o640 | 0o020, 0o402, 0o401, 0o666])
def test_exposed_files(directory: Path, mode: int) -> None:
    (directory / "storage.key").chmod(mode)
    with pytest.raises(CredentialError, match="can get at it"):
        load_keys(directory)


@pytest.mark.parametrize("mode", [0o400, 0o600, 0o440])
def test_private_files(directory: Path, mode: int) -> None:
    (directory / "storage.key").chmod(mode)  # 0440 is how an access control list of systemd shows
    load_keys(directory)


def test_links_and_other_things(directory: Path, tmp_path: Path) -> None:
    (directory / "noise.key").rename(tmp_path / "elsewhere")
    with pytest.raises(CredentialError, match="cannot be read"):
        load_keys(directory)
    (directory / "noise.key").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CredentialError, match="symbolic link"):
        load_keys(directory)
    (directory / "noise.key").unlink()
    (directory / "noise.key").mkdir()
    with pytest.raises(CredentialError, match="not a file"):
        load_keys(directory)
    (directory / "noise.key").rmdir()
    os.mkfifo(directory / "noise.key", 0o400)
    with pytest.raises(CredentialError, match="not a file"):
        load_keys(directory)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_somebody_else(directory: Path) -> None:
    os.chown(directory / "noise.key", 12345, 12345)
    with pytest.raises(CredentialError, match="another user"):
        load_keys(directory)


def test_one_key_for_two_purposes(directory: Path) -> None:
    raw = load_keys(directory).noise.expose().hex()
    rewrite(directory / "storage.key", f"nskd-storage-key-1\n{raw}\n")
    with pytest.raises(CredentialError, match="the same"):
        load_keys(directory)


def test_where_keys_are() -> None:
    assert credentials_directory(Path("/given"), {"CREDENTIALS_DIRECTORY": "/other"}) == Path("/given")
    assert credentials_directory(None, {"CREDENTIALS_DIRECTORY": "/run/c"}) == Path("/run/c")
    with pytest.raises(CredentialError, match="LoadCredentialEncrypted"):
        credentials_directory(None, {})
    assert credentials.DIRECTORY_VARIABLE == "CREDENTIALS_DIRECTORY"
