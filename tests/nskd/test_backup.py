"""Backups: sealed as a whole, put back only where nothing is, and what a restored centre knows of itself."""

from __future__ import annotations

import errno
import os
import shutil
import tarfile
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import msgspec
import pytest

from nskd import backup, keyring
from nskd import restore as restoring
from nskd.backup import BackupError, Manifest, Part
from nskd.config import Config, parse_config
from nskd.credentials import CentreKeys, NoiseKey, SigningKey, StorageKey
from nskd.governance.audit import Event
from nskd.governance.audit_file import AuditFile, read_log
from nskd.governance.charter_signatures import CharterSignatures, Signer, sign_charter
from nskd.governance.charter_store import DIRECTORY, CharterStore
from nskd.governance.ledger import Ledger
from nskd.governance.lifecycle import State
from nskd.governance.presence import Move, sign_word
from nskd.restore import UNDER_WAY, Restored, mark, restored
from nskd.stockpile import Stockpile
from tests.nskd.governance import workshop as papers
from tests.nskd.governance.workshop import NOW

KEY, OTHER = StorageKey(bytes(range(32))), StorageKey(bytes(range(1, 33)))
MANIFEST = Manifest(centre="noord", workshop="test", charter=1, made_at=NOW, sequence=1, hash="00", nskd="0")
REQUEST = "ab" * 32


@pytest.fixture
def files(tmp_path: Path) -> dict[str, bytes]:
    """What a state directory may hold, and what has no place in a backup."""
    state = tmp_path / "state"
    kept = {
        "audit.ndjson": b"a" * 200_000,
        "keyring": b"k",
        f"populations/{REQUEST}.population": os.urandom(70_000),
        f"contributions/{REQUEST}": b"c",
        f"contributions/{REQUEST}.ventures": b"",
        "charter/000001.toml": b"charter",
    }
    others = {
        "stock/ledger.sqlite": b"never",
        "stock/sealed/00.sealed": b"never",
        "ledger.sqlite": b"taken from a copy",
        f"populations/{REQUEST}.population.new": b"half",
        "restoring": b"",
        "charter/notes.txt": b"a person's",
    }
    for name, content in (kept | others).items():
        (state / name).parent.mkdir(parents=True, exist_ok=True)
        (state / name).write_bytes(content)
    (tmp_path / "copy").write_bytes(b"the ledger")
    return kept | {"audit.ndjson": b"a" * 150_000, "ledger.sqlite": b"the ledger"}


def write(tmp_path: Path) -> Path:
    path = tmp_path / "noord.backup"
    backup.write(path, MANIFEST, backup.parts_of(tmp_path / "state", tmp_path / "copy", 150_000), KEY)
    return path


def unpack(path: Path, into: Path, key: StorageKey = KEY) -> Manifest:
    into.mkdir(exist_ok=True)
    with path.open("rb") as file:
        return backup.read(file, key, into)


def test_there_and_back(tmp_path: Path, files: dict[str, bytes]) -> None:
    path = write(tmp_path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert unpack(path, tmp_path / "out") == MANIFEST
    found = {str(p.relative_to(tmp_path / "out")): p.read_bytes() for p in (tmp_path / "out").rglob("*") if p.is_file()}
    assert found == files
    assert b"ledger.sqlite" not in path.read_bytes() and b"aaaaaaaa" not in path.read_bytes()


def test_a_changed_backup_gives_nothing(tmp_path: Path, files: dict[str, bytes]) -> None:
    path = write(tmp_path)
    raw = path.read_bytes()
    pieces = [raw[46 + k * 65_552 : 46 + (k + 1) * 65_552] for k in range(-(-(len(raw) - 46) // 65_552))]
    assert len(pieces) > 3
    for name, changed in {
        "a bit": raw[:100_000] + bytes([raw[100_000] ^ 1]) + raw[100_001:],
        "cut off": raw[:-1],
        "cut at a piece": raw[:46] + b"".join(pieces[:-1]),
        "swapped": raw[:46] + pieces[1] + pieces[0] + b"".join(pieces[2:]),
        "left out": raw[:46] + pieces[0] + b"".join(pieces[2:]),
        "another head": b"nskd backup 1\n" + bytes(32) + raw[46:],
        "longer": raw + pieces[-1],
    }.items():
        (tmp_path / "changed").write_bytes(changed)
        with pytest.raises(BackupError, match=r"damaged|another storage key"):
            unpack(tmp_path / "changed", tmp_path / f"out {name}")
    with pytest.raises(BackupError, match="another storage key"):
        unpack(path, tmp_path / "out", OTHER)
    (tmp_path / "changed").write_bytes(raw.replace(b"nskd backup 1", b"nskd backup 2", 1))
    with pytest.raises(BackupError, match="later version"):
        unpack(tmp_path / "changed", tmp_path / "out")
    (tmp_path / "changed").write_bytes(b"something else")
    with pytest.raises(BackupError, match="no backup"):
        unpack(tmp_path / "changed", tmp_path / "out")


def test_what_lacks_a_part_is_no_backup(tmp_path: Path, files: dict[str, bytes]) -> None:
    former = write(tmp_path).read_bytes()
    for name in ("copy", "state/audit.ndjson", f"state/contributions/{REQUEST}"):
        parts = backup.parts_of(tmp_path / "state", tmp_path / "copy", 150_000)
        (tmp_path / name).rename(tmp_path / "aside")
        with pytest.raises(BackupError, match=rf"{name}.*cannot be written: No such file"):
            backup.write(tmp_path / "noord.backup", MANIFEST, parts, KEY)
        (tmp_path / "aside").rename(tmp_path / name)
        assert (tmp_path / "noord.backup").read_bytes() == former and not list(tmp_path.glob("*.new"))


@pytest.mark.parametrize("lacks", ["ledger.sqlite", "audit.ndjson"])
def test_nothing_is_put_back_without_its_main_parts(tmp_path: Path, files: dict[str, bytes], lacks: str) -> None:
    parts = backup.parts_of(tmp_path / "state", tmp_path / "copy", 150_000)
    path = tmp_path / "noord.backup"
    backup.write(path, MANIFEST, [part for part in parts if part.name != lacks], KEY)
    with pytest.raises(BackupError, match=f"it has no {lacks}"):
        unpack(path, tmp_path / "out")
    settings = config(tmp_path / "new")
    with pytest.raises(BackupError, match=f"it has no {lacks}"):
        restore(settings, keys(), path, now=NOW)
    assert not list((tmp_path / "new" / "state").iterdir())


@pytest.mark.parametrize("name", ["../escaped", "/etc/passwd", "stock/ledger.sqlite", "charter/../../x", "keyring/x"])
def test_what_no_backup_holds(tmp_path: Path, name: str) -> None:
    (tmp_path / "content").write_bytes(b"x")
    path = tmp_path / "noord.backup"
    backup.write(path, MANIFEST, [Part(name, tmp_path / "content")], KEY)
    with pytest.raises(BackupError, match="which no backup does"):
        unpack(path, tmp_path / "out")
    assert not [p for p in tmp_path.rglob("*") if p.name in ("escaped", "ledger.sqlite", "x")]


def test_a_link_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def linking(archive: tarfile.TarFile, name: str, source: object, size: int | None) -> None:
        info = tarfile.TarInfo("keyring")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(info)

    monkeypatch.setattr(backup, "_add", linking)
    backup.write(tmp_path / "noord.backup", MANIFEST, [], KEY)
    with pytest.raises(BackupError, match="which no backup does"):
        unpack(tmp_path / "noord.backup", tmp_path / "out")


def test_a_full_disk_leaves_the_former_one(
    tmp_path: Path, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path)
    former = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(BackupError, match="No space left"):
        write(tmp_path)
    assert path.read_bytes() == former and not list(tmp_path.glob("*.new"))


# --- putting one back --------------------------------------------------------------------------------------------


def signing() -> SigningKey:
    key = papers.signing_key("noord")
    raw = key.private_bytes_raw() if hasattr(key, "private_bytes_raw") else None
    assert raw is not None
    return SigningKey(raw)


def keys(storage: StorageKey = KEY) -> CentreKeys:
    return CentreKeys(NoiseKey(b"n" * 31 + b"0"), signing(), storage)


def lived(tmp_path: Path, more: Callable[[Ledger], None] = lambda ledger: None) -> Path:
    """A centre's backup: a charter, a request that waits, and an audit log."""
    state = tmp_path / "before"
    state.mkdir()
    keyring.load_or_make(state, KEY).using(keys(), now=NOW - 1).store(state, KEY)
    charter = papers.CHARTER
    signed = CharterSignatures(charter.digest)
    for centre in charter.centres:
        key = papers.signing_key(centre.name)
        signed = signed.adding((sign_charter(charter, Signer(centre.name, centre.signing_key), key.sign),))
    CharterStore(state / DIRECTORY).take_up(charter, signed)
    with Ledger.open(state / "ledger.sqlite", now=NOW) as ledger:
        ledger.add_request(papers.request(papers.TEXT, nonce=bytes(16), now=NOW, under=charter), now=NOW)
        more(ledger)
        ledger.copy_to(tmp_path / "copy")
    sign = signing().signer()
    with AuditFile.open(state / "audit.ndjson", centre="noord", sign=sign, now=NOW, entropy=bytes) as audit:
        size = audit.size
    path = tmp_path / "noord.backup"
    backup.write(path, MANIFEST, backup.parts_of(state, tmp_path / "copy", size), KEY)
    return path


def config(tmp_path: Path, name: str = "noord") -> Config:
    (tmp_path / "state").mkdir(parents=True, exist_ok=True)
    text = (
        f'[centre]\nname = "{name}"\n[workshop]\ncharter = "/c"\n[network]\nlisten = "127.0.0.1:1"\n'
        f'[state]\ndirectory = "{tmp_path / "state"}"\n'
    )
    return parse_config(text.encode(), "test")


def restore(config: Config, keys: CentreKeys, path: Path, *, now: int, former: StorageKey | None = None) -> Manifest:
    with path.open("rb") as file:
        return restoring.restore(config, keys, file, now=now, former=former)


def test_a_restored_centre_is_paused_and_its_log_says_why(tmp_path: Path) -> None:
    path, state = lived(tmp_path), tmp_path / "state"
    manifest = restore(config(tmp_path), keys(), path, now=NOW + 100)
    assert manifest == MANIFEST
    put_back = restored(state)
    assert put_back is not None and (put_back.made_at, put_back.restored_at) == (NOW, NOW + 100)
    assert not (state / "stock").exists() and not (state / UNDER_WAY).exists()
    with Ledger.open(state / "ledger.sqlite", now=NOW + 100) as ledger:
        assert ledger.counts()[State.SUBMITTED] == 1
        (word,) = ledger.presence(papers.CHARTER.workshop)
        assert (word.centre, word.move) == ("noord", Move.PAUSE)
    (*_, last) = read_log(state / "audit.ndjson", keys=(signing().public,))
    assert last.body.event is Event.STATE_RESTORED and last.body.details["made_at"] == NOW


def test_by_a_clock_that_is_behind_nothing_is_put_back(tmp_path: Path) -> None:
    """By it one tells what came before the restore."""
    path = lived(tmp_path)
    with pytest.raises(BackupError, match="clock is 1 s behind"):
        restore(config(tmp_path), keys(), path, now=NOW - 1)
    assert not list((tmp_path / "state").iterdir())


def logged(state: Path, *times: int) -> None:
    """A log whose entries have those times."""
    sign = signing().signer()
    with AuditFile.open(state / "audit.ndjson", centre="noord", sign=sign, now=times[0], entropy=bytes) as audit:
        for at in times[1:]:
            audit.append(Event.DAEMON_STARTED, now=at)


def test_by_a_clock_that_is_behind_its_log_no_backup_is_put_back(tmp_path: Path) -> None:
    state = tmp_path / "before"
    state.mkdir()
    logged(state, NOW - 5, NOW + 50, NOW)
    Ledger.open(state / "ledger.sqlite", now=NOW).close()
    size = (state / "audit.ndjson").stat().st_size
    backup.write(tmp_path / "noord.backup", MANIFEST, backup.parts_of(state, state / "ledger.sqlite", size), KEY)
    with pytest.raises(BackupError, match="clock is 1 s behind"):
        restore(config(tmp_path), keys(), tmp_path / "noord.backup", now=NOW + 49)
    assert not list((tmp_path / "state").iterdir())
    restore(config(tmp_path), keys(), tmp_path / "noord.backup", now=NOW + 50)


def test_no_mark_goes_back(tmp_path: Path) -> None:
    mark(tmp_path, restored_at=NOW, made_at=0)
    with pytest.raises(BackupError, match="clock is 1 s behind"):
        mark(tmp_path, restored_at=NOW - 1, made_at=0)
    assert restored(tmp_path) == Restored(restored_at=NOW, made_at=0)
    mark(tmp_path, restored_at=NOW + 1, made_at=0)
    assert restored(tmp_path) == Restored(restored_at=NOW + 1, made_at=0)


def test_a_copy_is_not_opened_by_a_clock_that_is_behind_its_log(tmp_path: Path) -> None:
    """Be it the first time or the second: what the first attempt wrote into the log does not count."""
    opening = partial(Stockpile.open, tmp_path / "state" / "stock", KEY)
    (tmp_path / "before").mkdir()
    Stockpile.open(tmp_path / "before" / "stock", KEY).close()
    logged(tmp_path / "before", NOW, NOW + 50, 100)
    shutil.copytree(tmp_path / "before", tmp_path / "state")
    for now, refused in ((100, True), (NOW + 49, True), (NOW + 50, False)):
        marking = partial(mark, tmp_path / "state", restored_at=now, made_at=0)
        with pytest.raises(BackupError, match="clock is") if refused else nullcontext():
            opening(on_copy=marking).close()
        put_back = restored(tmp_path / "state")
        assert put_back == (None if refused else Restored(restored_at=now, made_at=0))
    opening(on_copy=pytest.fail).close()


def test_the_pause_counts_for_more_than_what_was_said_before(tmp_path: Path) -> None:
    def resumed(ledger: Ledger) -> None:
        word = sign_word(
            Move.RESUME,
            number=NOW + 500,
            now=NOW,
            centre="noord",
            charter=papers.CHARTER,
            sign=papers.signing_key("noord").sign,
            reason="",
        )
        assert ledger.keep_presence(word, now=NOW)

    path = lived(tmp_path, resumed)
    restore(config(tmp_path), keys(), path, now=NOW + 100)
    with Ledger.open(tmp_path / "state" / "ledger.sqlite", now=NOW + 100) as ledger:
        (word,) = ledger.presence(papers.CHARTER.workshop)
        assert (word.number, word.move) == (NOW + 501, Move.PAUSE)


def test_a_state_directory_that_is_not_there(tmp_path: Path) -> None:
    path, settings = lived(tmp_path), config(tmp_path)
    (tmp_path / "state").rmdir()
    with pytest.raises(BackupError, match="cannot be read: No such file"):
        restore(settings, keys(), path, now=NOW)


def test_a_mount_point_counts_as_empty(tmp_path: Path) -> None:
    path = lived(tmp_path)
    settings = config(tmp_path)
    (tmp_path / "state" / "lost+found").mkdir()
    assert restore(settings, keys(), path, now=NOW) == MANIFEST


def test_with_a_storage_key_that_is_newer_than_the_backup(tmp_path: Path) -> None:
    path = lived(tmp_path)
    with pytest.raises(BackupError, match="another storage key"):
        restore(config(tmp_path), keys(OTHER), path, now=NOW)
    assert not list((tmp_path / "state").iterdir())  # so that it can be tried again
    restore(config(tmp_path), keys(OTHER), path, now=NOW, former=KEY)
    ring = keyring.load(tmp_path / "state", OTHER)
    assert ring is not None and len(ring.sealing) == 2  # a key of its own from now on; the daemon seals the rest anew
    assert {age.kind: age.since for age in ring.ages} == {
        "noise": NOW - 1,
        "signing": NOW - 1,
        "storage": NOW,
    }


def test_nothing_is_overwritten_and_nobody_elses_is_put_back(tmp_path: Path) -> None:
    path = lived(tmp_path)
    with pytest.raises(BackupError, match="it is a backup of noord"):
        restore(config(tmp_path, "zuid"), keys(), path, now=NOW)
    assert not list((tmp_path / "state").iterdir())
    (tmp_path / "state" / "ledger.sqlite").write_bytes(b"newer")
    with pytest.raises(BackupError, match="not empty"):
        restore(config(tmp_path), keys(), path, now=NOW)
    assert (tmp_path / "state" / "ledger.sqlite").read_bytes() == b"newer"


def test_a_restore_that_was_cut_short_keeps_a_daemon_from_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, state = lived(tmp_path), tmp_path / "state"
    moved, real = 0, Path.rename

    def dying(self: Path, target: Path) -> Path:
        nonlocal moved
        moved += 1
        if moved == 3:
            raise KeyboardInterrupt
        return real(self, target)

    monkeypatch.setattr(Path, "rename", dying)
    with pytest.raises(KeyboardInterrupt):
        restore(config(tmp_path), keys(), path, now=NOW)
    monkeypatch.setattr(Path, "rename", real)
    with pytest.raises(BackupError, match="cut short"):
        restored(state)
    with pytest.raises(BackupError, match="not empty"):
        restore(config(tmp_path), keys(), path, now=NOW)


def test_a_mark_that_cannot_be_read_is_no_absence_of_one(tmp_path: Path) -> None:
    assert restored(tmp_path) is None
    (tmp_path / "restored.json").write_bytes(msgspec.json.encode({"restored_at": 1}))
    with pytest.raises(BackupError, match="cannot be read"):
        restored(tmp_path)
