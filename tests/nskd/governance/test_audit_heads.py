"""What is held of another centre's log, against honest ones, forgers and liars."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nskd.governance.audit import GENESIS, Body, Entry, Event, Head, make_entry
from nskd.governance.audit_heads import Contradiction, PeerLog, Query
from protocol import limits
from protocol.errors import Fault, RemoteProtocolError
from tests.examples import examples
from tests.nskd.governance.test_audit import SIGN
from tests.nskd.governance.workshop import NOW


def log_of(words: Sequence[str], base: Sequence[Entry] = ()) -> list[Entry]:
    """A log of noord, one entry a word, going on from others."""
    entries = list(base)
    for word in words:
        previous = entries[-1].head.hash if entries else GENESIS
        body = Body(
            sequence=len(entries) + 1,
            previous=previous.hex(),
            salt="00" * 16,
            time=NOW,
            centre="noord",
            event=Event.CONTROL_ASKED,
            details={"word": word},
        )
        entries.append(make_entry(body, SIGN))
    return entries


def digests(log: Sequence[Entry], query: Query) -> bytes:
    """What an honest daemon answers from that log."""
    return b"".join(entry.digest for entry in log[query.after : query.until])


def settle(peer: PeerLog, head: Head, log: Sequence[Entry], *, own_word: bool = True) -> Contradiction | None:
    """Take a head and have all questions answered from a log."""
    outcome = peer.take(head, own_word=own_word)
    while isinstance(outcome, Query):
        outcome = peer.take_proof(outcome.after, digests(log, outcome))
    return outcome


LOG = log_of("abcdefghijkl")
FORK = log_of("XYZUVW", LOG[:6])  # like LOG up to entry 6


def holding(number: int) -> PeerLog:
    peer = PeerLog()
    assert peer.take(LOG[number - 1].head, own_word=True) is None
    return peer


def test_a_log_that_only_grows() -> None:
    peer = holding(3)
    for number in (3, 5, 5, 4, 3, 12, 7):
        assert settle(peer, LOG[number - 1].head, LOG) is None
        assert not peer.waits
    assert peer.held == LOG[11].head
    assert peer.contradiction is None


def test_heads_passed_on_by_others_in_any_order() -> None:
    peer = holding(4)
    assert peer.take(LOG[8].head, own_word=False) == Query(4, 9)
    assert peer.take(LOG[6].head, own_word=False) is None  # asked already
    assert peer.take(LOG[10].head, own_word=True) is None
    assert peer.take(LOG[1].head, own_word=False) is None  # before all that is held: cannot be compared
    assert peer.take_proof(4, digests(LOG, Query(4, 7))) == Query(7, 11)  # a short answer is asked on
    assert peer.held == LOG[6].head
    assert peer.take_proof(7, digests(LOG, Query(7, 11))) is None
    assert peer.held == LOG[10].head


@pytest.mark.parametrize("held", range(2, 13))
@pytest.mark.parametrize("told", range(2, 13))
def test_a_fork_is_noticed_wherever_the_two_stories_meet(held: int, told: int) -> None:
    """LOG was told here; now a head of FORK comes, with FORK's own digests to prove it."""
    peer = holding(2)
    assert settle(peer, LOG[held - 1].head, LOG) is None
    head = FORK[told - 1].head
    found = settle(peer, head, FORK)
    if told <= 6 or held <= 6:  # the stories do not differ yet, or only the second has been told
        assert found is None
        assert peer.held is not None and peer.held.sequence == max(held, told)
    else:
        assert found is not None and found.head == head and found.held == LOG[held - 1].head
        assert peer.contradiction == found
        assert settle(peer, LOG[11].head, LOG) is None and peer.held == LOG[held - 1].head  # nothing more is taken


def test_two_stories_told_to_two_centres_meet_in_a_third_message() -> None:
    peer = holding(8)  # of LOG
    found = peer.take(FORK[7].head, own_word=False)
    assert isinstance(found, Contradiction) and "same number" in found.what
    peer = holding(5)
    assert isinstance(peer.take(LOG[8].head, own_word=True), Query)
    found = peer.take(FORK[8].head, own_word=False)  # before anything is proved
    assert isinstance(found, Contradiction) and "two heads" in found.what
    peer = holding(5)
    query = peer.take(FORK[8].head, own_word=False)
    assert isinstance(query, Query)
    found = peer.take_proof(query.after, digests(LOG, query))  # the centre goes on with the other story
    assert isinstance(found, Contradiction) and "do not lead there" in found.what


def test_a_log_cut_off() -> None:
    peer = holding(8)
    query = peer.take(LOG[10].head, own_word=True)
    assert isinstance(query, Query)
    found = peer.take_proof(query.after, b"")
    assert isinstance(found, Contradiction) and "cannot show" in found.what
    peer = holding(8)
    found = peer.take(LOG[4].head, own_word=True)
    assert isinstance(found, Contradiction) and "shorter" in found.what


def test_a_head_invented_with_the_key() -> None:
    peer = holding(4)
    invented = Head("noord", 9, b"\x07" * 32, LOG[8].head.signature)
    found = settle(peer, invented, LOG)
    assert found is not None and found.head == invented


@pytest.mark.parametrize(
    ("after", "given"),
    [(4, b"x" * 31), (4, b"x" * 32 * 6), (4, b"x" * 33)],
)
def test_more_than_was_asked_for(after: int, given: bytes) -> None:
    peer = holding(4)
    assert peer.take(LOG[8].head, own_word=True) == Query(4, 9)
    with pytest.raises(RemoteProtocolError) as caught:
        peer.take_proof(after, given)
    assert caught.value.fault is Fault.UNEXPECTED
    assert peer.contradiction is None


def test_answers_to_nothing_are_late_and_change_nothing() -> None:
    peer = holding(4)
    assert peer.take_proof(4, digests(LOG, Query(4, 9))) is None
    assert peer.take(LOG[8].head, own_word=True) == Query(4, 9)
    for after, late in ((5, b"x" * 32), (0, b""), (3, b"x")):
        assert peer.take_proof(after, late) is None
    assert peer.waits and peer.contradiction is None and peer.held == LOG[3].head
    assert peer.take_proof(4, digests(LOG, Query(4, 9))) is None
    assert peer.take_proof(4, digests(LOG, Query(4, 9))) is None  # once more
    assert peer.held == LOG[8].head


def test_after_a_broken_connection_it_is_asked_again() -> None:
    peer = holding(4)
    assert peer.take(LOG[8].head, own_word=True) == Query(4, 9)
    assert peer.take(LOG[8].head, own_word=True) is None
    peer.reconnected()
    assert peer.take(LOG[8].head, own_word=True) == Query(4, 9)


def test_what_is_held_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "AUDIT_DIGESTS_MAX", 3)
    monkeypatch.setattr(limits, "AUDIT_HASHES_HELD_MAX", 4)
    monkeypatch.setattr(limits, "AUDIT_HEADS_WAITING_MAX", 2)
    peer = holding(1)
    assert peer.take(LOG[11].head, own_word=True) == Query(1, 4)
    for number in range(5, 9):
        assert peer.take(LOG[number].head, own_word=False) is None
    assert len(peer._waiting) == 2
    outcome: Query | Contradiction | None = Query(1, 4)
    while isinstance(outcome, Query):
        outcome = peer.take_proof(outcome.after, digests(LOG, outcome))
    assert outcome is None and peer.held == LOG[11].head
    assert len(peer._hashes) == 4
    assert peer.take(FORK[7].head, own_word=False) is None  # too old to compare


@examples(100)
@given(data=st.data())
def test_no_forger_gets_two_stories_past_two_centres_that_talk(data: st.DataObject) -> None:
    """A tells B and C heads of either story at will, and proves each with either; B and C pass on what they hold."""
    b, c = holding(2), holding(2)
    for _ in range(data.draw(st.integers(1, 12))):
        listener = data.draw(st.sampled_from((b, c)))
        story = data.draw(st.sampled_from((LOG, FORK)))
        settle(listener, data.draw(st.sampled_from(story)).head, data.draw(st.sampled_from((LOG, FORK))))
    for _ in range(2):  # what they hold they tell each other, and A may prove it with either
        for teller, listener in ((b, c), (c, b)):
            assert teller.held is not None
            settle(listener, teller.held, data.draw(st.sampled_from((LOG, FORK))), own_word=False)
    if b.contradiction is None and c.contradiction is None:
        for story in (LOG, FORK):
            if all(peer.held in [entry.head for entry in story] for peer in (b, c)):
                return
        raise AssertionError("two stories stand side by side")
