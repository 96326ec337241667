"""Words of presence: signed, bounded, ordered by number in whatever order they come (protocol, section 14)."""

from __future__ import annotations

import itertools
import sqlite3
from pathlib import Path

import attrs
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nskd.governance import limits, signing
from nskd.governance.attendance import Attendance
from nskd.governance.charter import Charter
from nskd.governance.database import LedgerError
from nskd.governance.ledger import Ledger
from nskd.governance.policy import PolicyError, Rule
from nskd.governance.presence import (
    Absence,
    Move,
    Presence,
    PresenceError,
    Standing,
    Word,
    check_reason,
    receive_word,
    sign_word,
    signed_anew,
)
from protocol.errors import Fault, RemoteProtocolError

from .mutations import mutated
from .workshop import CHARTER, NOW, OTHER_CHARTER, charter, request, signing_key

LABEL = "nskd presence signature v1"
ELSEWHERE = charter(head='workshop = "other"\npack = "nsk"\n')


def word(
    move: Move = Move.PAUSE,
    number: int = 5,
    *,
    centre: str = "zuid",
    key: str | None = None,
    under: Charter = CHARTER,
    reason: str = "",
    now: int = NOW,
) -> Word:
    sign = signing_key(key or centre).sign
    return sign_word(move, number=number, now=now, centre=centre, charter=under, sign=sign, reason=reason)


GOOD = word(reason="the extract is being corrected")


def faulted(body: bytes, centre: str = "zuid", signature: bytes | None = None, *, under: Charter = CHARTER) -> Fault:
    """How a word is refused; signed with the centre's own key unless a signature is given."""
    if signature is None:
        signature = signing_key(centre).sign(signing.framed(LABEL, body))
    with pytest.raises(RemoteProtocolError) as caught:
        receive_word(body, centre, signature, charter=under)
    assert caught.value.party in (None, centre)
    return caught.value.fault


def changed(**fields: object) -> bytes:
    """The body of a pause with some fields written otherwise, by position in the array."""
    names = ("format", "workshop", "centre", "move", "number", "issued_at", "reason", "charter", "version")
    values = dict(zip(names, msgspec.msgpack.decode(GOOD.body), strict=True))
    return msgspec.msgpack.encode([*{**values, **fields}.values()])


def test_travels_and_verifies_under_any_charter_of_the_workshop() -> None:
    for move in Move:
        said = word(move, reason="why not")
        for under in (CHARTER, OTHER_CHARTER):
            assert receive_word(said.body, "zuid", said.signature, charter=under) == said
        assert (said.move, said.number, said.issued_at, said.reason) == (move, 5, NOW, "why not")
    assert (word().charter, word().version) == (None, None)
    assert (word(Move.LEAVE).charter, word(Move.LEAVE).version) == (CHARTER.digest, 1)


def test_forged_and_transplanted() -> None:
    assert faulted(GOOD.body, signature=word(key="noord").signature) is Fault.SIGNATURE
    assert faulted(GOOD.body, signature=b"\0" * 64) is Fault.SIGNATURE
    assert faulted(GOOD.body, signature=b"s") is Fault.SIGNATURE
    assert faulted(GOOD.body, signature=word(number=6).signature) is Fault.SIGNATURE
    assert faulted(GOOD.body, "noord", GOOD.signature) is Fault.SIGNATURE
    assert faulted(GOOD.body, "noord") is Fault.MALFORMED  # noord signs what zuid is to have said
    assert faulted(word(centre="west").body, "west") is Fault.SIGNATURE  # no centre of this charter
    other_use = signing_key("zuid").sign(signing.framed("nskd approval signature v2", GOOD.body))
    assert faulted(GOOD.body, signature=other_use) is Fault.SIGNATURE
    assert faulted(word(under=ELSEWHERE).body) is Fault.SESSION
    assert faulted(bytes(limits.PRESENCE_WORD_BYTES_MAX + 1)) is Fault.OVERSIZED


@pytest.mark.parametrize(
    "body",
    [
        b"",
        GOOD.body + b"\0",
        changed(format="nskd presence v2"),
        changed(workshop=""),
        changed(move="stay"),
        changed(number=0),
        changed(number=limits.PRESENCE_NUMBER_MAX + 1),
        changed(issued_at=-1),
        changed(issued_at=limits.MOMENT_MAX + 1),
        changed(reason="x" * (limits.PRESENCE_REASON_CHARS_MAX + 1)),
        changed(reason="two\nlines"),
        changed(reason="\x1b[2J"),
        changed(charter=CHARTER.digest),
        changed(version=1),
        changed(move="leave"),
        changed(move="leave", charter=CHARTER.digest),
        changed(move="leave", charter=bytes(31), version=1),
        changed(move="leave", charter=CHARTER.digest, version=0),
        changed(move="leave", charter=CHARTER.digest, version=2),  # this charter's version is 1
        changed(move="resume", charter=CHARTER.digest, version=1),
        msgspec.msgpack.encode([*msgspec.msgpack.decode(GOOD.body), 1]),
        msgspec.msgpack.encode(msgspec.msgpack.decode(GOOD.body)[:-1]),
        b"\x91" * 1_000,
    ],
)
def test_malformed_though_signed(body: bytes) -> None:
    assert faulted(body) is Fault.MALFORMED


def test_bounds_are_reached() -> None:
    largest = changed(
        workshop="test",
        number=limits.PRESENCE_NUMBER_MAX,
        issued_at=limits.MOMENT_MAX,
        reason="\U0001f9f8" * limits.PRESENCE_REASON_CHARS_MAX,
    )
    signature = signing_key("zuid").sign(signing.framed(LABEL, largest))
    said = receive_word(largest, "zuid", signature, charter=CHARTER)
    assert "9000-01-01" in Absence.of(said).what


@given(mutated(GOOD.body), st.booleans())
def test_almost_right_bytes(body: bytes, resigned: bool) -> None:
    """Whatever is changed, signed again or not: a remote fault, or a word that says exactly what was signed."""
    signature = signing_key("zuid").sign(signing.framed(LABEL, body)) if resigned else GOOD.signature
    try:
        said = receive_word(body, "zuid", signature, charter=CHARTER)
    except RemoteProtocolError:
        return
    assert resigned or body == GOOD.body
    assert said.body == body


@given(mutated(GOOD.signature))
def test_almost_right_signatures(signature: bytes) -> None:
    if signature != GOOD.signature:
        assert faulted(GOOD.body, signature=signature) is Fault.SIGNATURE


@pytest.mark.parametrize("reason", ["two\nlines", "\x1b[2J", "\ud800", "x" * 201])
def test_a_reason_is_a_line_of_text(reason: str) -> None:
    with pytest.raises(PresenceError, match="one line of text"):
        check_reason(reason)
    with pytest.raises(PresenceError):
        word(reason=reason)


def test_said_anew_it_keeps_since_when_and_why() -> None:
    for move in Move:
        old = word(move, reason="why")
        new = signed_anew(old, number=9, sign=signing_key("zuid").sign)
        assert attrs.evolve(new, number=5, body=old.body, signature=old.signature) == old
        assert receive_word(new.body, "zuid", new.signature, charter=CHARTER).number == 9


# --- what counts ------------------------------------------------------------------------------------------------

SAID = [
    word(Move.PAUSE, 3),
    word(Move.RESUME, 4),
    word(Move.RESUME, 3),  # contradicts the first
    word(Move.PAUSE, 6, reason="a"),
    word(Move.PAUSE, 6, reason="b"),
    word(Move.LEAVE, 5),
    word(Move.LEAVE, 7),
    word(Move.RESUME, 8),
]


def standing_of(words: list[Word]) -> Standing:
    standing = Standing()
    for each in words:
        standing = standing.after(each)
    return standing


def presence(words: list[Word], version: int = 1) -> Presence:
    found = standing_of(words).in_force(version)
    return Presence.PRESENT if found is None else Absence.of(found).presence


@given(
    st.lists(st.sampled_from(SAID), max_size=6).flatmap(lambda said: st.tuples(st.just(said), st.permutations(said)))
)
def test_the_order_in_which_words_come_changes_nothing(orders: tuple[list[Word], list[Word]]) -> None:
    assert standing_of(orders[0]) == standing_of(orders[1])


def test_the_latest_counts_and_leaving_outlasts_everything_under_its_charter() -> None:
    for said, version, expected in (
        ([], 1, Presence.PRESENT),
        ([word(Move.PAUSE, 3)], 1, Presence.PAUSED),
        ([word(Move.PAUSE, 3)], 99, Presence.PAUSED),  # no amendment brings it back
        ([word(Move.PAUSE, 3), word(Move.RESUME, 4)], 1, Presence.PRESENT),
        ([word(Move.PAUSE, 5), word(Move.RESUME, 4)], 1, Presence.PAUSED),
        ([word(Move.PAUSE, 4), word(Move.RESUME, 4)], 1, Presence.PAUSED),
        ([word(Move.LEAVE, 5)], 1, Presence.LEFT),
        ([word(Move.LEAVE, 5), word(Move.RESUME, 9)], 1, Presence.LEFT),
        ([word(Move.LEAVE, 5)], 2, Presence.PRESENT),  # a later charter has its signature
        ([word(Move.PAUSE, 4), word(Move.LEAVE, 5)], 2, Presence.PRESENT),
        ([word(Move.LEAVE, 5), word(Move.PAUSE, 6)], 2, Presence.PAUSED),
        ([word(Move.LEAVE, 5, under=OTHER_CHARTER)], 1, Presence.LEFT),
    ):
        for order in itertools.permutations(said):
            assert presence(list(order), version) is expected, (said, version)


def test_two_words_under_one_number_contradict() -> None:
    standing = Standing().after(word(Move.PAUSE, 5)).after(word(Move.LEAVE, 6))
    assert standing.number == 6
    assert not standing.contradicts(word(Move.PAUSE, 5))
    for other in (word(Move.RESUME, 5), word(Move.PAUSE, 5, reason="x"), word(Move.PAUSE, 6), word(Move.LEAVE, 5)):
        assert standing.contradicts(other)


def test_who_is_absent_rules_out_what() -> None:
    here = Attendance("noord", CHARTER)
    for check in (here.require_all, here.require_own, here.require_nobody_left):
        check()
    assert here.put(word(Move.PAUSE, 5))
    assert not here.put(word(Move.PAUSE, 5))
    assert not here.put(word(Move.RESUME, 4))
    here.require_own()
    here.require_nobody_left()
    with pytest.raises(PolicyError, match=r"zuid has paused since 2026-05-28 20:26 UTC") as caught:
        here.require_all()
    assert caught.value.rule is Rule.CENTRE_PAUSED
    here.put(word(Move.LEAVE, 6, centre="noord", reason="merged"))
    for check in (here.require_all, here.require_own, here.require_nobody_left):
        with pytest.raises(PolicyError, match=r"noord left the workshop .*\(merged\)") as caught:
            check()
        assert caught.value.rule is Rule.CENTRE_LEFT
    assert [absence.centre for absence in here.absences] == ["noord", "zuid"]
    assert [absence.centre for absence in here.left] == ["noord"]
    assert here.own == here.absences[0]


# --- on disk ----------------------------------------------------------------------------------------------------


def test_the_latest_of_each_kind_is_kept(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "l.db", now=NOW) as ledger:
        for each, kept in (
            (word(Move.PAUSE, 5), True),
            (word(Move.PAUSE, 5), False),
            (word(Move.RESUME, 5), False),
            (word(Move.RESUME, 4), False),
            (word(Move.LEAVE, 3), True),
            (word(Move.LEAVE, 2), False),
            (word(Move.RESUME, 7), True),
            (word(Move.PAUSE, 5, centre="noord"), True),
            (word(Move.PAUSE, 5, under=ELSEWHERE), True),
        ):
            assert ledger.keep_presence(each, now=NOW) is kept
    with Ledger.open(tmp_path / "l.db", now=NOW) as ledger:
        expected = [word(Move.PAUSE, 5, centre="noord"), word(Move.RESUME, 7), word(Move.LEAVE, 3)]
        assert ledger.presence("test") == expected
        assert ledger.presence("other") == [word(Move.PAUSE, 5, under=ELSEWHERE)]


def test_a_damaged_row_is_no_word(tmp_path: Path) -> None:
    """It may have been a pause: a ledger that cannot tell does not say that nobody has paused."""
    with Ledger.open(tmp_path / "l.db", now=NOW) as ledger:
        ledger.keep_presence(word(), now=NOW)
    with sqlite3.connect(tmp_path / "l.db") as raw:
        raw.execute("UPDATE presence SET body = x'00'")
    raw.close()
    with Ledger.open(tmp_path / "l.db", now=NOW) as ledger:
        with pytest.raises(LedgerError, match="damaged"):
            ledger.presence("test")
        with pytest.raises(LedgerError, match="damaged"):
            ledger.keep_presence(word(number=9), now=NOW)


def version_of(path: Path) -> int:
    with sqlite3.connect(path) as raw:
        (version,) = raw.execute("PRAGMA user_version").fetchone()
    raw.close()
    return int(version)


def test_a_ledger_of_the_version_before_gains_the_table_and_keeps_the_rest(tmp_path: Path) -> None:
    path, sent = tmp_path / "l.db", request()
    with Ledger.open(path, now=NOW) as ledger:
        ledger.add_request(sent, now=NOW)
    fresh = version_of(path)
    with sqlite3.connect(path) as raw:  # as version 3 wrote it
        raw.execute("DROP TABLE presence")
        raw.execute("PRAGMA user_version = 3")
    raw.close()
    for _ in range(2):
        with Ledger.open(path, now=NOW) as ledger:
            assert ledger.get(sent.digest).request == sent
            ledger.keep_presence(word(), now=NOW)
            assert ledger.presence("test") == [word()]
    assert version_of(path) == fresh == 4


@pytest.mark.parametrize("version", [-1, 1, 2, 5])
def test_other_versions_are_left_alone(tmp_path: Path, version: int) -> None:
    path = tmp_path / "l.db"
    Ledger.open(path, now=NOW).close()
    with sqlite3.connect(path) as raw:
        raw.execute(f"PRAGMA user_version = {version}")
    raw.close()
    which = "a later" if version > 4 else "another"
    with pytest.raises(LedgerError, match=f"{which} version .format {version}, this one reads 4"):
        Ledger.open(path, now=NOW)
    assert version_of(path) == version


def test_a_migration_that_fails_half_way_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "l.db"
    Ledger.open(path, now=NOW).close()
    with sqlite3.connect(path) as raw:
        raw.execute("PRAGMA user_version = 3")  # and the table is there already
    raw.close()
    with pytest.raises(LedgerError):
        Ledger.open(path, now=NOW)
    assert version_of(path) == 3
