"""What a power cut leaves of files: all that was synced, some of what was not."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

from tests.simulation.medium import SECTOR_BYTES, Medium

Act = Callable[[Path, Medium], None]


def outcomes(tmp_path: Path, act: Act) -> set[tuple[tuple[str, bytes], ...]]:
    """What may be left of a directory in which a file ``log`` was there before."""
    seen = set()
    for seed in range(60):
        root = tmp_path / str(seed)
        root.mkdir()
        (root / "log").write_bytes(b"old")
        medium = Medium(root, random.Random(seed))
        medium.mount(None)
        act(root, medium)
        medium.settle(root)
        seen.add(tuple((path.name, path.read_bytes()) for path in sorted(root.iterdir())))
    return seen


def appended(root: Path, medium: Medium) -> None:
    with (root / "log").open("ab") as file:
        file.write(b"new")


def test_what_was_appended_and_not_synced_is_there_in_any_part(tmp_path: Path) -> None:
    seen = outcomes(tmp_path, appended)
    contents = {dict(files)["log"] for files in seen}
    assert {b"old", b"oldn", b"oldne", b"oldnew"} <= contents
    assert any(b"\0" in content for content in contents)  # the length arrived, the bytes did not
    assert all(content.startswith(b"old") for content in contents)


def test_what_was_synced_stays(tmp_path: Path) -> None:
    def act(root: Path, medium: Medium) -> None:
        appended(root, medium)
        medium.synced(root / "log")

    assert outcomes(tmp_path, act) == {(("log", b"oldnew"),)}


def replaced(root: Path, medium: Medium) -> None:
    (root / "log.new").write_bytes(b"other")
    medium.synced(root / "log.new")
    medium.replacing(root / "log.new", root / "log")
    (root / "log.new").replace(root / "log")


def test_a_file_put_in_place_of_another_is_the_former_one_until_its_directory_is_synced(tmp_path: Path) -> None:
    assert outcomes(tmp_path / "1", _in(tmp_path / "1", replaced)) == {(("log", b"old"),), (("log", b"other"),)}

    def act(root: Path, medium: Medium) -> None:
        replaced(root, medium)
        medium.synced(root)

    assert outcomes(tmp_path / "2", _in(tmp_path / "2", act)) == {(("log", b"other"),)}


def _in(directory: Path, act: Act) -> Act:
    directory.mkdir()
    return act


def test_a_new_file_may_be_missing_until_its_directory_is_synced(tmp_path: Path) -> None:
    def act(root: Path, medium: Medium) -> None:
        (root / "more").write_bytes(b"x")
        medium.synced(root / "more")

    assert outcomes(tmp_path, act) == {(("log", b"old"),), (("log", b"old"), ("more", b"x"))}


def test_of_a_commit_over_older_frames_any_sectors_stay(tmp_path: Path) -> None:
    log = tmp_path / "x.sqlite-wal"
    before, after = (
        b"a" * (6 * SECTOR_BYTES),
        b"a" * SECTOR_BYTES + b"b" * (3 * SECTOR_BYTES) + b"a" * (2 * SECTOR_BYTES),
    )
    medium, seen = Medium(tmp_path, random.Random(1)), set()
    for _ in range(60):
        log.write_bytes(after)
        medium.tear(log, before)
        left = log.read_bytes()
        assert len(left) == len(before)
        seen.add(bytes(left[place] for place in range(0, len(left), SECTOR_BYTES)))
    assert {b"aaaaaa", b"abaaaa", b"abbbaa"} <= seen
    assert all(piece in b"ab" for pieces in seen for piece in pieces)
