"""The verdict, and since when."""

from __future__ import annotations

import re

from nskd.monitor.findings import Finding, Health, Memory, Name, verdict
from nskd.monitor.scrub import HIDDEN, without_values

LOW = Finding(Name.DISK_LOW, "little room", "Make some.")
FULL = Finding(Name.DISK_FULL, "no room", "Make some.")


def test_the_worst_decides() -> None:
    assert verdict([]) is Health.OK
    assert verdict([LOW]) is Health.ATTENTION
    assert verdict([LOW, FULL, LOW]) is Health.NOT_WORKING
    assert Health.NOT_WORKING.word == "not working"


def test_since_when() -> None:
    memory = Memory()
    down = [Finding(Name.PEER_DOWN, "x", "y", since=7, subject=name) for name in ("zuid", "oost")]
    first = memory.dated([LOW, *down], now=100)
    assert {finding.since for finding in first} == {100, 7}
    later = memory.dated([LOW, FULL], now=200)
    assert [(finding.name, finding.since) for finding in later] == [(Name.DISK_FULL, 200), (Name.DISK_LOW, 100)]
    assert memory.dated([], now=300) == []
    assert memory.dated([LOW], now=400)[0].since == 400  # it was over in between


def test_in_one_sentence() -> None:
    assert str(LOW) == "little room. Make some."
    assert LOW.runbook == "docs/operations.md#disk-low"


def test_values_do_not_stay_in_a_sentence() -> None:
    for told, shown in (
        ("could not convert 'K-1' to INT32", f"could not convert '{HIDDEN}' to INT32"),
        ('Could not convert string "K-1" to INT32', f"Could not convert string '{HIDDEN}' to INT32"),
        ("1311768467463790320 is out of range", f"{HIDDEN} is out of range"),
        ("key deadbeefdeadbeef0badc0de is bad", f"key {HIDDEN} is bad"),
        ("this centre's own log is 'a' long", f"this centre's own log is '{HIDDEN}' long"),
        ("row 12, column 3", "row 12, column 3"),
    ):
        assert without_values(told) == shown
    assert without_values("/home/jansen/visits.csv: gone", paths=True) == f"/{HIDDEN}: gone"


def test_every_name_is_its_anchor() -> None:
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", name.value) for name in Name)
