from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from nskd.governance import limits
from nskd.governance.database import LedgerError
from nskd.governance.ledger import INTERRUPTED, Ledger, LedgerFullError, UnknownRequestError, release_digest
from nskd.governance.lifecycle import OPEN, TRANSITIONS, Event, State, StateError, advance
from nskd.governance.standing_policy import month_of, parse_standing_policy
from nskd.governance.statement import Verdict
from nskd.governance.tally import approvals_complete
from nskd.governance.threaded import LedgerThread
from protocol.errors import RemoteProtocolError
from tests.examples import examples

from .workshop import CHARTER, NAMES, NOW, OTHER_CHARTER, approval, policy_approval, policy_text, request

SESSION = b"s" * 16
RELEASE = b'{"cells":[]}'


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(tmp_path / "ledger.db", now=NOW) as opened:
        yield opened


def approve_all(ledger: Ledger, digest: bytes, now: int = NOW) -> State:
    states = [ledger.add_approval(approval(digest, name, now=now), charter=CHARTER, now=now) for name in NAMES]
    return states[-1]


def test_from_submitted_to_done(ledger: Ledger) -> None:
    sent = request()
    assert ledger.add_request(sent, now=NOW)
    assert not ledger.add_request(sent, now=NOW + 5)
    assert ledger.get(sent.digest).request == sent
    assert ledger.get(sent.digest).state is State.SUBMITTED
    with pytest.raises(StateError, match="it is submitted"):
        ledger.start(sent.digest, SESSION, charter=CHARTER, now=NOW)
    assert approve_all(ledger, sent.digest) is State.APPROVED
    assert approvals_complete(sent, ledger.approvals(sent.digest), CHARTER, NOW)
    entry = ledger.start(sent.digest, SESSION, charter=CHARTER, now=NOW)
    assert (entry.state, entry.session, entry.runs) == (State.RUNNING, SESSION, 1)
    assert ledger.result(sent.digest) is None
    assert ledger.finish(sent.digest, RELEASE, now=NOW + 9) == release_digest(RELEASE)
    assert ledger.finish(sent.digest, RELEASE, now=NOW + 10) == release_digest(RELEASE)
    result = ledger.result(sent.digest)
    assert result is not None
    assert (result.release, result.recorded_at) == (RELEASE, NOW + 9)
    with pytest.raises(StateError):
        ledger.finish(sent.digest, b"{}", now=NOW)
    with pytest.raises(StateError):
        ledger.start(sent.digest, SESSION, charter=CHARTER, now=NOW)
    assert ledger.counts()[State.DONE] == 1


def test_failure_and_retry(ledger: Ledger) -> None:
    sent = request()
    ledger.add_request(sent, now=NOW)
    approve_all(ledger, sent.digest)
    for run in (1, 2):
        assert ledger.start(sent.digest, SESSION, charter=CHARTER, now=NOW).runs == run
        failed = ledger.fail(sent.digest, fault="timeout", detail="x" * 900, retryable=True, charter=CHARTER, now=NOW)
        assert failed is State.FAILED
        entry = ledger.get(sent.digest)
        assert (entry.fault, len(entry.detail or ""), entry.retryable) == ("timeout", 500, True)
        assert ledger.retry(sent.digest, charter=CHARTER, now=NOW) is State.APPROVED
    ledger.start(sent.digest, SESSION, charter=CHARTER, now=NOW)
    ledger.fail(sent.digest, fault="mac-check", detail="a lie", retryable=False, charter=CHARTER, now=NOW)
    with pytest.raises(StateError, match="cannot be retried"):
        ledger.retry(sent.digest, charter=CHARTER, now=NOW)
    assert ledger.refresh(charter=CHARTER, now=NOW + 10 * limits.REQUEST_OPEN_MAX_S) == []


def test_retry_needs_approvals_that_still_hold(ledger: Ledger) -> None:
    sent = request()
    ledger.add_request(sent, now=NOW)
    approve_all(ledger, sent.digest)
    ledger.start(sent.digest, SESSION, charter=CHARTER, now=NOW)
    ledger.fail(sent.digest, fault="timeout", detail="", retryable=True, charter=CHARTER, now=NOW)
    assert ledger.retry(sent.digest, charter=CHARTER, now=NOW + 1000) is State.SUBMITTED
    assert approve_all(ledger, sent.digest, NOW + 1000) is State.APPROVED


def test_refusal_before_during_and_after_a_failure(ledger: Ledger) -> None:
    first, second = request(nonce=b"1" * 16), request(nonce=b"2" * 16)
    for sent in (first, second):
        ledger.add_request(sent, now=NOW)
        approve_all(ledger, sent.digest)
    no = approval(first.digest, "zuid", verdict=Verdict.REFUSE)
    assert ledger.add_approval(no, charter=CHARTER, now=NOW) is State.REFUSED
    assert ledger.add_approval(approval(first.digest, "zuid"), charter=CHARTER, now=NOW) is State.REFUSED

    ledger.start(second.digest, SESSION, charter=CHARTER, now=NOW)
    no = approval(second.digest, "zuid", verdict=Verdict.REFUSE)
    assert ledger.add_approval(no, charter=CHARTER, now=NOW) is State.RUNNING
    state = ledger.fail(second.digest, fault="timeout", detail="", retryable=True, charter=CHARTER, now=NOW)
    assert state is State.REFUSED


def test_the_clock(ledger: Ledger) -> None:
    sent = request()
    ledger.add_request(sent, now=NOW)
    approve_all(ledger, sent.digest)
    assert ledger.refresh(charter=CHARTER, now=NOW + 999) == []
    assert ledger.refresh(charter=CHARTER, now=NOW + 1000) == [(sent.digest, State.SUBMITTED)]
    with pytest.raises(StateError):
        ledger.start(sent.digest, SESSION, charter=CHARTER, now=NOW + 1000)
    late = NOW + limits.REQUEST_OPEN_MAX_S
    assert ledger.refresh(charter=CHARTER, now=late) == [(sent.digest, State.EXPIRED)]
    assert ledger.add_approval(approval(sent.digest, "zuid"), charter=CHARTER, now=late) is State.EXPIRED


def test_a_request_heard_late_expires_with_the_others(ledger: Ledger) -> None:
    """Told on after that, it would be refused by those who are asked to take it."""
    sent = request()
    ledger.add_request(sent, now=NOW + 10 * limits.DAY_S)
    over = NOW + limits.REQUEST_OPEN_MAX_S
    assert ledger.refresh(charter=CHARTER, now=over - 1) == []
    assert ledger.refresh(charter=CHARTER, now=over) == [(sent.digest, State.EXPIRED)]


def test_start_itself_looks_at_the_clock_and_the_charter(ledger: Ledger) -> None:
    sent = request()
    ledger.add_request(sent, now=NOW)
    approve_all(ledger, sent.digest)
    with pytest.raises(StateError):
        ledger.start(sent.digest, SESSION, charter=OTHER_CHARTER, now=NOW)
    with pytest.raises(StateError):
        ledger.start(sent.digest, SESSION, charter=CHARTER, now=NOW + 1000)
    assert ledger.get(sent.digest).state is State.APPROVED  # the refused start changed nothing
    assert ledger.start(sent.digest, SESSION, charter=CHARTER, now=NOW).state is State.RUNNING


def test_of_one_stewards_words_the_latest_stays(ledger: Ledger) -> None:
    sent = request()
    ledger.add_request(sent, now=NOW)
    for issued, validity in ((NOW, 500), (NOW, 900), (NOW, 100), (NOW + 1, 200), (NOW, 950)):
        mine = approval(sent.digest, "zuid", now=issued, validity_s=validity)
        ledger.add_approval(mine, charter=CHARTER, now=NOW)
    assert [each.expires_at for each in ledger.approvals(sent.digest)] == [NOW + 201]


def test_a_withdrawal_stands_however_often_the_old_approval_is_told(ledger: Ledger) -> None:
    sent = request()
    ledger.add_request(sent, now=NOW)
    assert approve_all(ledger, sent.digest) is State.APPROVED
    no = approval(sent.digest, "zuid", verdict=Verdict.WITHDRAW, now=NOW + 3)
    assert ledger.add_approval(no, charter=CHARTER, now=NOW + 3) is State.SUBMITTED
    for name in NAMES:
        old = approval(sent.digest, name)
        assert ledger.add_approval(old, charter=CHARTER, now=NOW + 4) is State.SUBMITTED
    with pytest.raises(StateError):
        ledger.start(sent.digest, SESSION, charter=CHARTER, now=NOW + 4)
    again = approval(sent.digest, "zuid", now=NOW + 4)
    assert ledger.add_approval(again, charter=CHARTER, now=NOW + 4) is State.APPROVED


def test_a_withdrawal_after_the_start_counts_for_the_next_run_only(ledger: Ledger) -> None:
    sent = request()
    ledger.add_request(sent, now=NOW)
    approve_all(ledger, sent.digest)
    ledger.start(sent.digest, SESSION, charter=CHARTER, now=NOW)
    no = approval(sent.digest, "zuid", verdict=Verdict.WITHDRAW, now=NOW + 3)
    assert ledger.add_approval(no, charter=CHARTER, now=NOW + 3) is State.RUNNING
    ledger.fail(sent.digest, fault="f", detail="d", retryable=True, charter=CHARTER, now=NOW + 4)
    assert ledger.retry(sent.digest, charter=CHARTER, now=NOW + 5) is State.SUBMITTED


def test_what_breaks_a_rule_is_not_kept(ledger: Ledger) -> None:
    sent = request()
    ledger.add_request(sent, now=NOW)
    for bad in (
        approval(sent.digest, "zuid", key="noord"),
        approval(sent.digest, "zuid", signer="noord"),
        policy_approval(sent.digest, policy_text(where="false")),
        policy_approval(sent.digest, policy_text(), signers=("noord",)),
    ):
        with pytest.raises(RemoteProtocolError):
            ledger.add_approval(bad, charter=CHARTER, now=NOW)
    assert ledger.approvals(sent.digest) == ()


def test_a_policy_approves_so_many_in_a_calendar_month(tmp_path: Path) -> None:
    """Counted on disk, by the month that is signed; the same request again is no second one."""
    policy = policy_text()
    digest = parse_standing_policy(policy).digest
    month, following = month_of(NOW)
    sent = [request(nonce=bytes([number]) * 16, now=month - 1) for number in range(4)]
    for number, of in enumerate((sent[0], sent[1])):
        with Ledger.open(tmp_path / "l.db", now=NOW) as ledger:
            ledger.add_request(of, now=NOW)
            word = policy_approval(of.digest, policy, now=NOW + number)
            for _ in range(2):
                ledger.add_approval(word, charter=CHARTER, now=NOW)
            assert ledger.approved_by_policy("zuid", digest, NOW) == number + 1
    with Ledger.open(tmp_path / "l.db", now=NOW) as ledger:
        for of in sent[2:]:
            ledger.add_request(of, now=NOW)
        for moment in (NOW, month, following - 1):
            with pytest.raises(RemoteProtocolError, match=r"rule policy-month-is-full: .* 2 requests a month"):
                ledger.add_approval(policy_approval(sent[2].digest, policy, now=moment), charter=CHARTER, now=NOW)
        for of, moment in ((sent[2], following), (sent[3], month - 1)):
            ledger.add_approval(policy_approval(of.digest, policy, now=moment), charter=CHARTER, now=NOW)
        assert ledger.approved_by_policy("zuid", digest, following) == 1
        other = policy_text(per_month="3")  # signed anew, so counted anew
        late = request(nonce=b"x" * 16)
        ledger.add_request(late, now=NOW)
        ledger.add_approval(policy_approval(late.digest, other), charter=CHARTER, now=NOW)


def test_unknown_requests(ledger: Ledger) -> None:
    for call in (
        lambda: ledger.get(b"\0" * 32),
        lambda: ledger.find("0000"),
        lambda: ledger.find("abc"),
        lambda: ledger.find("xyz0"),
        lambda: ledger.find("٣٣٣٣"),
        lambda: ledger.find("a" * 65),
        lambda: ledger.start(b"\0" * 32, SESSION, charter=CHARTER, now=NOW),
        lambda: ledger.retry(b"\0" * 32, charter=CHARTER, now=NOW),
        lambda: ledger.add_approval(approval(b"\0" * 32, "zuid"), charter=CHARTER, now=NOW),
    ):
        with pytest.raises(UnknownRequestError):
            call()
    assert ledger.result(b"\0" * 32) is None


def test_find_list_and_twin(ledger: Ledger) -> None:
    sent = [request(nonce=bytes([n]) * 16) for n in range(9)]
    for each in sent:
        ledger.add_request(each, now=NOW)
    for each in sent:
        assert ledger.find(each.digest.hex().upper()[:24]).request == each
    assert [entry.request for entry in ledger.entries(limit=4)] == sent[-4:]
    assert ledger.entries(states=[State.DONE]) == []
    assert len(ledger.entries(states=[State.DONE, State.SUBMITTED])) == 9
    again = request(nonce=b"x" * 16)
    assert ledger.twin(again) in {each.digest for each in sent}
    assert ledger.twin(request(centre="zuid")) is None


def test_a_prefix_of_several_is_ambiguous(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PREFIX_CHARS_MIN", 1)
    for n in range(17):  # sixteen first digits
        ledger.add_request(request(nonce=bytes([n]) * 16), now=NOW)
    ambiguous = 0
    for digit in "0123456789abcdef":
        try:
            ledger.find(digit)
        except UnknownRequestError as exc:
            ambiguous += "more than one" in exc.what
    assert ambiguous


def test_one_centre_cannot_flood_it(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "REQUESTS_OPEN_PER_CENTRE_MAX", 2)
    for n in range(2):
        ledger.add_request(request(nonce=bytes([n]) * 16), now=NOW)
    with pytest.raises(LedgerFullError, match="noord has 2 requests open"):
        ledger.add_request(request(nonce=b"x" * 16), now=NOW)
    assert ledger.add_request(request(centre="zuid"), now=NOW)
    assert not ledger.add_request(request(nonce=b"\0" * 16), now=NOW)
    monkeypatch.setattr(limits, "REQUESTS_OPEN_PER_CENTRE_MAX", 99)
    monkeypatch.setattr(limits, "REQUESTS_PER_CENTRE_MAX", 2)
    with pytest.raises(LedgerFullError):
        ledger.add_request(request(nonce=b"x" * 16), now=NOW)


def test_a_release_is_bounded(ledger: Ledger) -> None:
    with pytest.raises(LedgerError, match="a release of"):
        ledger.finish(request().digest, b" " * (limits.RELEASE_BYTES_MAX + 1), now=NOW)


def test_what_was_altered_on_disk_is_noticed(tmp_path: Path) -> None:
    sent = request()
    path = tmp_path / "l.db"
    with Ledger.open(path, now=NOW) as ledger:
        ledger.add_request(sent, now=NOW)
        approve_all(ledger, sent.digest)
    with sqlite3.connect(path) as raw:  # a forged approval: right body, another's signature
        raw.execute("UPDATE approval SET signature = (SELECT signature FROM approval WHERE centre = 'noord')")
    raw.close()
    with Ledger.open(path, now=NOW) as ledger:
        with pytest.raises(LedgerError, match=r"is damaged .*approval-forged"):
            ledger.start(sent.digest, SESSION, charter=CHARTER, now=NOW)
        with pytest.raises(LedgerError, match=r"is damaged .*approval-forged"):  # and no fault of a peer's
            ledger.refresh(charter=CHARTER, now=NOW)
        assert ledger.get(sent.digest).state is State.APPROVED
    with sqlite3.connect(path) as raw:
        raw.execute("UPDATE approval SET body = x'00'")
        raw.execute("UPDATE request SET body = x'00'")
    raw.close()
    with Ledger.open(path, now=NOW) as ledger:
        for call in (lambda: ledger.approvals(sent.digest), lambda: ledger.get(sent.digest)):
            with pytest.raises(LedgerError, match="is damaged"):
                call()


# --- the file -----------------------------------------------------------------------


def test_mode_and_settings(tmp_path: Path) -> None:
    path = tmp_path / "l.db"
    with Ledger.open(path, now=NOW) as ledger, ledger._database.reading() as db:
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert db.execute("PRAGMA synchronous").fetchone() == (2,)
        for file in tmp_path.iterdir():
            assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_two_daemons_do_not_share_it(tmp_path: Path) -> None:
    with (
        Ledger.open(tmp_path / "l.db", now=NOW),
        pytest.raises(LedgerError, match="Is another daemon using it"),
    ):
        Ledger.open(tmp_path / "l.db", now=NOW)


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="cannot be opened"):
        Ledger.open(tmp_path / "none" / "l.db", now=NOW)
    (tmp_path / "text.db").write_bytes(b"not a database, but long enough to be looked at as one" * 100)
    with pytest.raises(LedgerError, match="is damaged"):
        Ledger.open(tmp_path / "text.db", now=NOW)
    with sqlite3.connect(tmp_path / "new.db") as raw:
        raw.execute("PRAGMA user_version = 99")
    raw.close()
    with pytest.raises(LedgerError, match="a later version"):
        Ledger.open(tmp_path / "new.db", now=NOW)


def test_a_full_disk_is_one_clear_error_and_changes_nothing(ledger: Ledger) -> None:
    sent = request()
    ledger.add_request(sent, now=NOW)
    with ledger._database.reading() as db:
        pages = db.execute("PRAGMA page_count").fetchone()[0]
        db.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(LedgerError, match=r"cannot be used: database or disk is full. Check free space"):
        for n in range(100):
            ledger.add_request(request(nonce=bytes([n]) * 16), now=NOW)
    assert ledger.get(sent.digest).request == sent
    with ledger._database.reading() as db:
        db.execute("PRAGMA max_page_count = 100000")
    assert ledger.add_request(request(centre="zuid"), now=NOW)


def crash(path: Path, into: Path) -> Path:
    """What a disk holds at this moment, write-ahead log included, as after SIGKILL."""
    into.mkdir()
    for file in path.parent.glob(path.name + "*"):
        shutil.copy(file, into / file.name)
    return into / path.name


def test_a_run_cut_off_has_failed_and_can_be_retried(tmp_path: Path) -> None:
    sent = request()
    path = tmp_path / "l.db"
    with Ledger.open(path, now=NOW) as ledger:
        ledger.add_request(sent, now=NOW)
        approve_all(ledger, sent.digest)
        ledger.start(sent.digest, SESSION, charter=CHARTER, now=NOW)
        copy = crash(path, tmp_path / "copy")
    with Ledger.open(copy, now=NOW + 7) as again:
        entry = again.get(sent.digest)
        assert (entry.state, entry.fault, entry.retryable, entry.changed_at) == (
            State.FAILED,
            INTERRUPTED,
            True,
            NOW + 7,
        )
        assert again.retry(sent.digest, charter=CHARTER, now=NOW + 8) is State.APPROVED
        assert again.start(sent.digest, SESSION, charter=CHARTER, now=NOW + 9).runs == 2


_KILLED = """
import os, signal, sys
from collections.abc import Iterator
from pathlib import Path
from nskd.governance.ledger import Ledger
from tests.nskd.governance.workshop import NOW, request
ledger = Ledger.open(Path(sys.argv[1]), now=NOW)
for n in range(5):
    ledger.add_request(request(nonce=bytes([n]) * 16), now=NOW)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_returned_survives_sigkill(tmp_path: Path) -> None:
    path = tmp_path / "l.db"
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", _KILLED, path], cwd=root, env={**os.environ, "PYTHONPATH": str(root)})
    assert done.returncode == -signal.SIGKILL
    with Ledger.open(path, now=NOW) as ledger:
        assert len(ledger.entries()) == 5


async def test_from_an_event_loop(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "l.db", now=NOW) as ledger:
        threaded = LedgerThread(ledger)
        sent = [request(nonce=bytes([n]) * 16) for n in range(8)]
        async with trio.open_nursery() as nursery:
            for each in sent:
                nursery.start_soon(lambda each=each: threaded(Ledger.add_request, each, now=NOW))
        assert len(await threaded(Ledger.entries)) == 8
        with pytest.raises(UnknownRequestError):
            await threaded(Ledger.get, b"\0" * 32)


# --- the states ---------------------------------------------------------------------


def test_the_table() -> None:
    for state in State:
        for event in Event:
            if (state, event) in TRANSITIONS:
                assert advance(state, event, request="x") is TRANSITIONS[state, event]
            else:
                with pytest.raises(StateError):
                    advance(state, event, request="x")
    final = {state for state in State if not any(start is state for start, _ in TRANSITIONS)}
    assert final == {State.DONE, State.REFUSED, State.EXPIRED}
    assert {State.SUBMITTED, State.APPROVED, State.RUNNING} == OPEN  # spelt out in the ledger's SQL


class Life(RuleBasedStateMachine):
    """Any order of events, crashes among them, against a model of what must hold."""

    @initialize(tmp=st.just(None))
    def begin(self, tmp: None) -> None:
        import tempfile

        self.directory = tempfile.TemporaryDirectory()
        self.path = Path(self.directory.name) / "l.db"
        self.now = NOW
        self.ledger = Ledger.open(self.path, now=NOW)
        self.sent = request()
        self.ledger.add_request(self.sent, now=NOW)
        self.latest = dict.fromkeys(NAMES, (0, 0))  # issued, expires
        self.withdrawn = dict.fromkeys(NAMES, -1)
        self.refused = False
        self.release: bytes | None = None
        self.copies = 0

    def state(self) -> State:
        return self.ledger.get(self.sent.digest).state

    @rule(name=st.sampled_from(NAMES), validity_s=st.sampled_from((50, 5000)))
    def approve(self, name: str, validity_s: int) -> None:
        word = approval(self.sent.digest, name, now=self.now, validity_s=validity_s)
        self.ledger.add_approval(word, charter=CHARTER, now=self.now)
        self.latest[name] = max(self.latest[name], (self.now, self.now + validity_s))

    @rule()
    def everybody_approves(self) -> None:
        for name in NAMES:
            self.approve(name, 5000)

    @rule(name=st.sampled_from(NAMES))
    def refuse(self, name: str) -> None:
        word = approval(self.sent.digest, name, now=self.now, verdict=Verdict.REFUSE)
        self.ledger.add_approval(word, charter=CHARTER, now=self.now)
        self.refused = True

    @rule(name=st.sampled_from(NAMES))
    def withdraw(self, name: str) -> None:
        word = approval(self.sent.digest, name, now=self.now, verdict=Verdict.WITHDRAW)
        self.ledger.add_approval(word, charter=CHARTER, now=self.now)
        self.withdrawn[name] = self.now

    @rule(step_s=st.sampled_from((1, 60, 6000)))
    def wait(self, step_s: int) -> None:
        self.now += step_s
        self.ledger.refresh(charter=CHARTER, now=self.now)

    @rule()
    def start(self) -> None:
        before = self.state()
        try:
            self.ledger.start(self.sent.digest, SESSION, charter=CHARTER, now=self.now)
        except StateError:
            assert self.state() is before
        else:
            assert before is State.APPROVED
            assert not self.refused
            assert all(issued > self.withdrawn[name] for name, (issued, _) in self.latest.items())
            assert all(until > self.now for _, until in self.latest.values())

    @rule(release=st.sampled_from((b"1", b"2")))
    def finish(self, release: bytes) -> None:
        before = self.state()
        try:
            self.ledger.finish(self.sent.digest, release, now=self.now)
        except StateError:
            assert before is not State.RUNNING
        else:
            assert before is State.RUNNING or self.release == release
            self.release = release

    @rule(retryable=st.booleans())
    def fail(self, retryable: bool) -> None:
        before = self.state()
        try:
            self.ledger.fail(
                self.sent.digest, fault="f", detail="d", retryable=retryable, charter=CHARTER, now=self.now
            )
        except StateError:
            assert before is not State.RUNNING

    @rule()
    def retry(self) -> None:
        entry = self.ledger.get(self.sent.digest)
        try:
            self.ledger.retry(self.sent.digest, charter=CHARTER, now=self.now)
        except StateError:
            assert entry.state is not State.FAILED or not entry.retryable

    @rule()
    def crash(self) -> None:
        before = self.state()
        self.copies += 1
        copy = crash(self.path, Path(self.directory.name) / str(self.copies))
        self.ledger.close()
        self.path = copy
        self.ledger = Ledger.open(copy, now=self.now)
        assert self.state() is (State.FAILED if before is State.RUNNING else before)

    @invariant()
    def result_and_state_agree(self) -> None:
        result = self.ledger.result(self.sent.digest)
        assert (result is not None) == (self.state() is State.DONE)
        assert (result.release if result else None) == self.release

    def teardown(self) -> None:
        self.ledger.close()
        self.directory.cleanup()


TestLife = Life.TestCase
TestLife.settings = examples(8, stateful_step_count=30)


def test_a_run_that_was_tried_again_cannot_be_ended_while_it_goes_on(ledger: Ledger) -> None:
    """Whoever ends what is open has looked a moment ago; by now it may run again."""
    sent = request()
    ledger.add_request(sent, now=NOW)
    approve_all(ledger, sent.digest)
    ledger.start(sent.digest, SESSION, charter=CHARTER, now=NOW)
    ledger.fail(sent.digest, fault="timeout", detail="", retryable=True, charter=CHARTER, now=NOW)
    ledger.retry(sent.digest, charter=CHARTER, now=NOW)
    entry = ledger.start(sent.digest, b"t" * 16, charter=CHARTER, now=NOW)
    assert not entry.retryable and not entry.undecided
    assert ledger.end(sent.digest, rule="centre-left", detail="zuid left", now=NOW) is State.RUNNING
    assert ledger.get(sent.digest).fault is None


def test_what_began_is_learnt_however_many_are_open(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "REQUESTS_OPEN_PER_CENTRE_MAX", 1)
    ledger.add_request(request(nonce=b"a" * 16), now=NOW)
    forgotten = request(nonce=b"b" * 16)
    assert ledger.learn(forgotten, now=NOW)
    assert not ledger.learn(forgotten, now=NOW)
    assert [entry.request.digest for entry in ledger.begun()] == [forgotten.digest]
    monkeypatch.setattr(limits, "REQUESTS_PER_CENTRE_MAX", 2)
    with pytest.raises(LedgerFullError):
        ledger.learn(request(nonce=b"c" * 16), now=NOW)
