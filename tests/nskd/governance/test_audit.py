"""The audit log: every edit of it is noticed, and the first bad entry named."""

from __future__ import annotations

import errno
import io
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nskd.governance import audit_file
from nskd.governance.audit import AuditError, BadEntryError, Chain, Entry, Event, make_entry, read_entry
from nskd.governance.audit_file import AuditFile, read_log
from tests.examples import examples
from tests.nskd.governance.mutations import mutated
from tests.nskd.governance.workshop import NOW, signing_key

KEY = signing_key("noord").public_key().public_bytes_raw()
SIGN = signing_key("noord").sign
FIELDS: tuple[tuple[Event, dict[str, Any]], ...] = (
    (Event.DAEMON_STARTED, {"uid": 0, "user": "root", "details": {"nskd": "0.1.0", "protocol": 1}}),
    (Event.REQUEST_DECIDED, {"uid": 1004, "user": "anna", "steward": "A. de Vries", "request": "ab" * 32}),
    (Event.RUN_BEGUN, {"request": "ab" * 32, "purpose": "improvement", "approvals": ["noord approve A. sha256:cd"]}),
    (Event.RUN_RELEASED, {"request": "ab" * 32, "result": "cd" * 32, "details": {"signature": "not the log's"}}),
)
DOCUMENT = (Path(__file__).parents[3] / "docs" / "audit.md").read_text()


def test_the_document_says_what_every_event_is() -> None:
    rows = re.findall(r"^\|((?: `[a-z.-]+`,?)+) \|", DOCUMENT, flags=re.MULTILINE)
    told = [name for row in rows for name in re.findall(r"`([a-z.-]+)`", row)]
    assert sorted(told) == sorted(event.value for event in Event)


def opened(path: Path, centre: str = "noord") -> AuditFile:
    return AuditFile.open(path, centre=centre, sign=signing_key(centre).sign, now=NOW, entropy=bytes)


def write(path: Path, fields: Sequence[tuple[Event, dict[str, Any]]] = FIELDS) -> list[bytes]:
    """A small log: its lines."""
    with opened(path) as log:
        for event, more in fields:
            log.append(event, now=NOW, **more)
    return path.read_bytes().splitlines(keepends=True)


def read(path: Path, *, keys: tuple[bytes, ...] = (KEY,)) -> list[Entry]:
    return list(read_log(path, keys=keys))


def first_bad(lines: bytes | list[bytes]) -> int:
    """Which entry is named."""
    content = lines if isinstance(lines, bytes) else b"".join(lines)
    chain = Chain((KEY,))
    with pytest.raises(BadEntryError) as caught:
        for line in io.BytesIO(content):
            chain.take(line)
    assert f"entry {caught.value.sequence}:" in str(caught.value)
    return caught.value.sequence


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write(tmp_path / "log")
    entries = read(tmp_path / "log")
    assert [entry.body.event for entry in entries] == [Event.LOG_BEGUN, *(event for event, _ in FIELDS)]
    assert entries[2].body.steward == "A. de Vries"
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o600
    with opened(tmp_path / "log") as log:  # opening writes nothing
        assert log.head == entries[-1].head
        assert log.digests(0, 99) == b"".join(entry.digest for entry in entries)
        assert log.lines(0, bytes_max=1 << 20, count_max=99) == [entry.line for entry in entries]
        assert log.lines(2, bytes_max=1, count_max=99) == [entries[2].line]
        assert log.lines(3, bytes_max=1 << 20, count_max=1) == [entries[3].line]
        assert log.lines(5, bytes_max=1, count_max=9) == []
    assert len(read(tmp_path / "log")) == 5


def test_the_digest_of_an_entry_tells_nothing_of_it(tmp_path: Path) -> None:
    """Other centres see digests and know the hash before; the same words have another digest each time."""
    digests = set()
    for salt in (b"a" * 16, b"b" * 16):
        drawn = iter((bytes(16), salt))  # of its beginning, and of the entry
        with AuditFile.open(
            tmp_path / salt.hex(), centre="noord", sign=SIGN, now=NOW, entropy=lambda _, drawn=drawn: next(drawn)
        ) as log:
            digests.add(log.append(Event.DAEMON_STOPPED, now=NOW).digest)
    assert len(digests) == 2


def test_every_flipped_byte_is_found_in_its_entry(tmp_path: Path, at_length: bool) -> None:
    lines = write(tmp_path / "log")
    content = b"".join(lines)
    position = 0
    for number, line in enumerate(lines, 1):
        for _ in line:
            for change in (1, 0x80) if at_length else ((1, 0x80)[position % 2],):
                damaged = bytearray(content)
                damaged[position] ^= change
                # Without its line end an entry runs into the next, and is still the first that is wrong.
                assert first_bad(bytes(damaged)) == number
            position += 1


def test_every_truncation_inside_an_entry_is_found(tmp_path: Path) -> None:
    lines = write(tmp_path / "log")
    content = b"".join(lines)
    ends = [sum(map(len, lines[:n])) for n in range(len(lines) + 1)]
    for length in range(len(content)):
        if length in ends:  # a shorter log, in order by itself: what other centres keep of it tells (audit_heads)
            (tmp_path / "copy").write_bytes(content[:length])
            assert len(read(tmp_path / "copy")) == ends.index(length)
        else:
            assert first_bad(content[:length]) == sum(end <= length for end in ends)


def test_entries_swapped_dropped_doubled_or_inserted(tmp_path: Path) -> None:
    lines = write(tmp_path / "log")
    for n in range(len(lines)):
        assert first_bad([*lines[: n + 1], *lines[n:]]) == n + 2
        if n + 1 < len(lines):
            assert first_bad(lines[:n] + lines[n + 1 :]) == n + 1
            assert first_bad([*lines[:n], lines[n + 1], lines[n], *lines[n + 2 :]]) == n + 1
        assert first_bad([*lines[:n], b"\n", *lines[n:]]) == n + 1


def test_an_entry_of_a_forked_or_another_log_does_not_fit(tmp_path: Path) -> None:
    lines = write(tmp_path / "log")
    fork = write(tmp_path / "fork", (FIELDS[0], (Event.EPOCH_FOUNDED, {}), *FIELDS[2:]))
    other = write(tmp_path / "other", FIELDS[:1])
    assert fork[:2] == lines[:2] and other == lines[:2]  # the same words give the same bytes
    assert first_bad([*lines[:3], *fork[3:]]) == 4
    assert first_bad([*fork[:3], *lines[3:]]) == 4
    with opened(tmp_path / "zuid", centre="zuid") as log:
        theirs = log.append(Event.DAEMON_STARTED, now=NOW)
    assert first_bad([lines[0], theirs.line]) == 2


def test_a_log_rewritten_with_another_key_or_by_nobody(tmp_path: Path) -> None:
    lines = write(tmp_path / "log")
    chain = Chain((KEY,))
    chain.take(lines[0])
    body = read_entry(lines[1], 2).body
    forged = make_entry(body, signing_key("zuid").sign).line
    with pytest.raises(BadEntryError, match="signature does not fit"):
        chain.take(forged)
    with pytest.raises(BadEntryError, match="signature does not fit"):
        chain.take(make_entry(body, lambda _: bytes(64)).line)
    path = tmp_path / "copy"
    path.write_bytes(lines[0] + forged)
    both = (KEY, signing_key("zuid").public_key().public_bytes_raw())
    assert len(read(path, keys=both)) == 2  # as after a change of key that an auditor knows of


@pytest.fixture(scope="module")
def genuine(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    return write(tmp_path_factory.mktemp("audit") / "log")


@examples(100)
@given(data=st.data())
def test_no_change_of_the_bytes_passes(genuine: list[bytes], data: st.DataObject) -> None:
    changed = data.draw(mutated(b"".join(genuine)))
    lines = io.BytesIO(changed).readlines()
    if b"".join(genuine).startswith(changed) and changed[-1:] in (b"", b"\n"):
        chain = Chain((KEY,))  # only a shorter log is a log
        assert [chain.take(line).line for line in lines] == lines
        return
    same = [a == b for a, b in zip(lines, genuine, strict=False)]
    assert first_bad(changed) == 1 + (same.index(False) if False in same else len(same))


# --- after a crash ----------------------------------------------------------------------------------------


def test_an_append_cut_short_is_taken_back_and_said(tmp_path: Path) -> None:
    lines = write(tmp_path / "log")
    whole = b"".join(lines[:-1])
    for length in (1, 9, 20, 90, 120, 200, len(lines[-1]) - 132, len(lines[-1]) - 60, len(lines[-1]) - 1):
        for zeros in (0, 1, 512):
            path = tmp_path / f"torn{length}-{zeros}"
            path.write_bytes(whole + lines[-1][:length] + bytes(zeros))
            with opened(path) as log:
                log.append(Event.DAEMON_STARTED, now=NOW)
            entries = read(path)
            assert [entry.body.event for entry in entries[-2:]] == [Event.LOG_REPAIRED, Event.DAEMON_STARTED]
            assert entries[-2].body.details["bytes"] == length + zeros
            assert len(entries) == len(lines) + 1


def test_an_entry_with_a_signature_among_its_details_may_be_cut_short_anywhere(tmp_path: Path) -> None:
    kept = {"sequence": 28, "hash": "ef" * 32, "signature": "9a" * 64}
    lines = write(tmp_path / "log", (*FIELDS, (Event.HEAD_KEPT, {"peer": "zuid", "details": kept})))
    whole, last = b"".join(lines[:-1]), lines[-1]
    for length in range(1, len(last)):
        path = tmp_path / f"torn{length}"
        path.write_bytes(whole + last[:length])
        opened(path).close()
        assert read(path)[-1].body.event is Event.LOG_REPAIRED, last[:length]


def test_any_other_end_is_damage(tmp_path: Path) -> None:
    lines = write(tmp_path / "log")
    whole, last = b"".join(lines[:-1]), lines[-1]
    wrong = [
        last[:-1] + b"X",  # the line end, edited
        last[:-1] + b" ",
        last[:-2],  # fine: see below
        lines[-2][:300],  # the beginning of another entry
        b"x",
        b"\0" * 40 + last[:50],
        last[:100] + b"\0" + last[101:150],
        last[:-60] + b"zz",
        last.replace(b"run.released", b"run.Released")[:-1],
        last[:90] + b"x" * (17 << 10),
    ]
    for number, torn in enumerate(wrong):
        path = tmp_path / f"wrong{number}"
        path.write_bytes(whole + torn)
        if torn == last[:-2]:
            opened(path).close()
            continue
        with pytest.raises(BadEntryError) as caught:
            opened(path)
        assert caught.value.sequence == len(lines), torn[:40]
        assert path.read_bytes() == whole + torn  # nothing is mended that was not broken by a crash


def test_damage_in_the_middle_keeps_the_daemon_from_starting(tmp_path: Path) -> None:
    lines = write(tmp_path / "log")
    path = tmp_path / "log"
    path.write_bytes(b"".join([*lines[:2], lines[2].replace(b"de Vries", b"de Vroes"), *lines[3:]]))
    with pytest.raises(BadEntryError, match="entry 4: it does not follow"):
        opened(path)


def test_another_centres_log_a_second_daemon_and_no_file(tmp_path: Path) -> None:
    write(tmp_path / "log")
    with pytest.raises(AuditError, match="it is the log of noord"):
        opened(tmp_path / "log", centre="zuid")
    with opened(tmp_path / "log"), pytest.raises(AuditError, match="another process is writing it"):
        opened(tmp_path / "log")
    with pytest.raises(AuditError, match="cannot be used"):
        opened(tmp_path / "absent" / "log")
    with pytest.raises(AuditError, match="cannot be used"):
        read(tmp_path / "absent")
    (tmp_path / "link").symlink_to(tmp_path / "log")
    with pytest.raises(AuditError, match="cannot be used"):
        opened(tmp_path / "link")


def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(tmp_path / "log") as log:

        def half(descriptor: int, data: bytes) -> None:
            os.write(descriptor, data[:100])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        with monkeypatch.context() as patch:
            patch.setattr(audit_file, "_write", half)
            with pytest.raises(AuditError, match="the disk is full"):
                log.append(Event.RUN_RELEASED, now=NOW)
        log.append(Event.RUN_FAILED, now=NOW)
    assert [entry.body.event for entry in read(tmp_path / "log")] == [Event.LOG_BEGUN, Event.RUN_FAILED]


def test_an_end_in_doubt_takes_nothing_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with opened(tmp_path / "log") as log:
        with monkeypatch.context() as patch:
            patch.setattr(audit_file, "_write", broken)
            patch.setattr(os, "ftruncate", broken)
            with pytest.raises(AuditError, match="Input/output error"):
                log.append(Event.RUN_RELEASED, now=NOW)
        with pytest.raises(AuditError, match="Restart the daemon"):
            log.append(Event.RUN_RELEASED, now=NOW)


@pytest.mark.parametrize(
    "fields",
    [
        {"user": "x" * 300},
        {"request": "not a digest"},
        {"details": {"why": "x" * 501}},
        {"details": {str(n): n for n in range(40)}},
        {"approvals": ["x" * 500] * 200},
    ],
)
def test_an_entry_out_of_bounds_is_not_written(tmp_path: Path, fields: dict[str, Any]) -> None:
    with opened(tmp_path / "log") as log:
        with pytest.raises(AuditError, match="cannot be written"):
            log.append(Event.RUN_BEGUN, now=NOW, **fields)
        log.append(Event.RUN_BEGUN, now=NOW)
    assert len(read(tmp_path / "log")) == 2
