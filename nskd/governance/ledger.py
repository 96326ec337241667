"""What this centre has on record: requests, approvals and results, durable before a call returns.

Synchronous, one call at a time.  Bytes received are kept as they came, with their signature, so that they can
be passed on and verified again.  Opening the file recovers: a run under way when the daemon died has failed.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection
from pathlib import Path
from typing import Any, Final

import attrs

from nskd.errors import OperatorError
from nskd.governance import limits, presence_table, retention_table, signing, words
from nskd.governance.approval import SignedApproval
from nskd.governance.charter import Charter
from nskd.governance.database import Database, LedgerError
from nskd.governance.lifecycle import Event, State, StateError, advance
from nskd.governance.policy import Rule
from nskd.governance.presence import Word
from nskd.governance.request import SignedRequest, read_request
from nskd.governance.standing_policy import parse_standing_policy
from nskd.governance.tally import standing
from nskd.governance.verification import fault, verify
from protocol.errors import RemoteProtocolError

RESTORED: Final = "restored"
"""Stands in place of a fault where a request is known of by what others told after a restore."""

INTERRUPTED: Final = "interrupted"
"""The fault of a run that ended with the daemon."""

NOT_BEGUN: Final = "not-begun"
"""The fault of a request that was proposed in vain, and is no more."""

ERASED: Final = "erased"
"""Stands in place of a fault where a release was erased."""

SCHEMA_VERSION: Final = 4
_MIGRATIONS: Final = {3: presence_table.SCHEMA}
_SCHEMA: Final = (
    """
CREATE TABLE request (
    digest BLOB PRIMARY KEY, centre TEXT NOT NULL, body BLOB NOT NULL, signature BLOB NOT NULL,
    text_digest BLOB NOT NULL, received_at INTEGER NOT NULL,
    state TEXT NOT NULL, changed_at INTEGER NOT NULL, runs INTEGER NOT NULL DEFAULT 0, session BLOB,
    fault TEXT, detail TEXT, retryable INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX request_state ON request (state);
CREATE INDEX request_centre ON request (centre, state);
CREATE TABLE result (
    request BLOB PRIMARY KEY REFERENCES request, release BLOB NOT NULL, digest BLOB NOT NULL,
    recorded_at INTEGER NOT NULL
) STRICT;
"""
    + words.SCHEMA
    + ";"
    + retention_table.SCHEMA
    + ";"
    + presence_table.SCHEMA
)
_SELECT: Final = (
    "SELECT body, centre, signature, received_at, state, changed_at, runs, session, fault, detail, retryable"
    " FROM request "
)
_IN_STATES: Final = "WHERE state IN (SELECT value FROM json_each(?)) ORDER BY rowid DESC LIMIT ?"
_UNDECIDED: Final = (
    "SELECT digest, state FROM request WHERE state IN ('submitted', 'approved') OR (state = 'failed' AND retryable)"
    " ORDER BY rowid"
)
_COUNT_BY_CENTRE: Final = (
    "SELECT COUNT(*), COALESCE(SUM(state IN ('submitted', 'approved', 'running')), 0) FROM request WHERE centre = ?"
)


class LedgerFullError(LedgerError):
    """A centre has more requests here than the bound allows."""


class UnknownRequestError(OperatorError):
    """No request here has that digest, or that prefix fits several."""


@attrs.frozen
class Entry:
    """A request and where it stands; ``fault``, ``detail`` and ``retryable`` tell of the last failure."""

    request: SignedRequest
    received_at: int
    state: State
    changed_at: int
    runs: int
    session: bytes | None
    fault: str | None
    detail: str | None
    retryable: bool

    @property
    def open_until(self) -> int:
        """When it is over if nobody has decided; by when it was submitted, where that was before it came here.

        Others take offence at one that is told after its time.
        """
        return min(self.received_at, self.request.submitted_at) + limits.REQUEST_OPEN_MAX_S

    @property
    def undecided(self) -> bool:
        """Whether it could still run, and does not now."""
        return self.state in (State.SUBMITTED, State.APPROVED) or (self.state is State.FAILED and self.retryable)


@attrs.frozen
class Result:
    """What was released: ``release`` is JSON as written, ``digest`` is over those bytes."""

    release: bytes = attrs.field(repr=False)
    digest: bytes
    recorded_at: int


def release_digest(release: bytes) -> bytes:
    """Return the 32-byte digest of a release's bytes, for comparison among centres."""
    return signing.digest("nskd release v1", release)


class Ledger:
    """See the module.  ``now`` is in seconds since 1970; digests are 32 bytes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @classmethod
    def open(cls, path: Path, *, now: int) -> Ledger:
        """Open or create the file and recover from a crash; raises :class:`LedgerError`."""
        ledger = cls(Database.open(path, schema=_SCHEMA, version=SCHEMA_VERSION, migrations=_MIGRATIONS))
        try:
            ledger._recover(now)
        except BaseException:
            ledger.close()
            raise
        return ledger

    def close(self) -> None:
        """Let go of the file; everything is on disk already."""
        self._database.close()

    def copy_to(self, path: Path) -> None:
        """Write a copy as it is at this moment into a new file; raises :class:`LedgerError`."""
        self._database.copy_to(path)

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- requests -------------------------------------------------------------------------------------------

    def add_request(self, request: SignedRequest, *, now: int) -> bool:
        """Record a verified request; False when it was here already.  Raises :class:`LedgerFullError`."""
        with self._database.writing() as db:
            if _is_here(db, request.digest):
                return False
            _require_room(db, request.centre, open_too=True)
            _insert(db, request, now)
            return True

    def twin(self, request: SignedRequest) -> bytes | None:
        """Find an open request of the same centre with the same text: its digest."""
        with self._database.reading() as db:
            row = db.execute(
                "SELECT digest FROM request WHERE centre = ? AND text_digest = ? AND digest != ?"
                " AND state IN ('submitted', 'approved', 'running') LIMIT 1",
                (request.centre, request.text_digest, request.digest),
            ).fetchone()
        return bytes(row[0]) if row else None

    def get(self, digest: bytes) -> Entry:
        """Return the entry of that digest; raises :class:`UnknownRequestError`."""
        with self._database.reading() as db:
            row = db.execute(_SELECT + "WHERE digest = ?", (digest,)).fetchone()
        if row is None:
            raise _unknown(digest.hex()[:12])
        return self._entry(row)

    def find(self, prefix: str) -> Entry:
        """Return the one entry whose hexadecimal digest begins with ``prefix``, 4 digits or more."""
        wanted = prefix.lower()
        if not limits.PREFIX_CHARS_MIN <= len(wanted) <= 64 or set(wanted) - set("0123456789abcdef"):
            raise UnknownRequestError(
                "a request is named by its hexadecimal digest or the first few digits of it",
                where="request",
                remedy=f"Give {limits.PREFIX_CHARS_MIN} to 64 digits; `nskctl request list` shows them.",
            )
        low, high = bytes.fromhex(wanted.ljust(64, "0")), bytes.fromhex(wanted.ljust(64, "f"))
        with self._database.reading() as db:
            rows = db.execute(_SELECT + "WHERE digest BETWEEN ? AND ? LIMIT 2", (low, high)).fetchall()
        if not rows:
            raise _unknown(wanted)
        if len(rows) > 1:
            raise UnknownRequestError(
                "more than one request begins with these digits",
                where=f"request {wanted}",
                remedy="Give a few digits more.",
            )
        return self._entry(rows[0])

    def entries(self, *, states: Collection[State] = tuple(State), limit: int = limits.LIST_MAX) -> list[Entry]:
        """Return the newest ``limit`` entries in those states, in the order in which they came."""
        wanted = json.dumps([state.value for state in states])
        with self._database.reading() as db:
            rows = db.execute(
                _SELECT + _IN_STATES,
                (wanted, min(limit, limits.LIST_MAX)),
            ).fetchall()
        return [self._entry(row) for row in reversed(rows)]

    def begun(self) -> list[Entry]:
        """Return the newest requests that a run began of, whatever came of it, in the order in which they came."""
        with self._database.reading() as db:
            rows = db.execute(_SELECT + "WHERE runs > 0 ORDER BY rowid DESC LIMIT ?", (limits.BEGUN_MAX,)).fetchall()
        return [self._entry(row) for row in reversed(rows)]

    def learn(self, request: SignedRequest, *, now: int) -> bool:
        """Note that a run of a request began, of which this centre has forgotten; False when it knew.

        It has ended here then: it may have run on other rows.  How many others are open does not matter: what this
        centre does not know of here it would leave out of its own comparisons, and they would be refused.
        Raises :class:`LedgerFullError`.
        """
        with self._database.writing() as db:
            known = _is_here(db, request.digest)
            if not known:
                _require_room(db, request.centre, open_too=False)
                _insert(db, request, now)
            runs, state = db.execute("SELECT runs, state FROM request WHERE digest = ?", (request.digest,)).fetchone()
            if known and runs:
                return False
            db.execute(
                "UPDATE request SET runs = 1, fault = ?, detail = ?, retryable = 0 WHERE digest = ?",
                (RESTORED, "it ran before this centre was restored from a backup, which is older", request.digest),
            )
            if State(state) in (State.SUBMITTED, State.APPROVED):
                self._move(db, request.digest, Event.EXPIRE, now)
        return True

    def counts(self) -> dict[State, int]:
        """Count requests by state."""
        with self._database.reading() as db:
            rows = dict(db.execute("SELECT state, COUNT(*) FROM request GROUP BY state").fetchall())
        return {state: rows.get(state.value, 0) for state in State}

    # --- approvals ------------------------------------------------------------------------------------------

    def add_approval(self, approval: SignedApproval, *, charter: Charter, now: int) -> State:
        """Verify an approval, refusal or withdrawal, record it, and return the request's state after it; idempotent.

        Of several words of one steward the latest stays.  Raises :class:`UnknownRequestError` for one whose request
        is not here (yet), ``RemoteProtocolError`` (``APPROVAL``) for one that breaks a rule.
        """
        with self._database.writing() as db:
            self._state(db, approval.request)
            request = self._entry(db.execute(_SELECT + "WHERE digest = ?", (approval.request,)).fetchone()).request
            verify(approval, charter=charter, request=request)
            if approval.policy is not None:
                _refuse_full_month(db, approval, approval.policy)
            words.keep(db, approval, now=now)
            return self._settle(db, approval.request, charter, now)

    def holds(self, approval: SignedApproval) -> bool:
        """Whether this very word is on record: it was verified then."""
        with self._database.reading() as db:
            return words.holds(db, approval)

    def approved_by_policy(self, centre: str, policy: bytes, at: int) -> int:
        """Count the requests that a centre's standing policy, by its digest, has approved in the month of ``at``."""
        with self._database.reading() as db:
            return words.approved_by_policy(db, centre, policy, at)

    def approvals(self, digest: bytes) -> tuple[SignedApproval, ...]:
        """Return all approvals, refusals and withdrawals recorded for a request, by centre."""
        with self._database.reading() as db:
            return self._approvals(db, digest)

    def refresh(self, *, charter: Charter, now: int) -> list[tuple[bytes, State]]:
        """Apply the clock: lapsed approvals, requests open for too long.  Returns what changed."""
        changed: list[tuple[bytes, State]] = []
        with self._database.writing() as db:
            rows = db.execute(_UNDECIDED).fetchall()
            for digest, before in rows:
                after = self._settle(db, digest, charter, now)
                if after != before:
                    changed.append((digest, after))
        return changed

    # --- runs -----------------------------------------------------------------------------------------------

    def start(self, digest: bytes, session: bytes, *, charter: Charter, now: int) -> Entry:
        """Record that a run begins; to be called before anything of it leaves.

        Verifies every approval anew: :class:`LedgerError` for one that does not hold,
        :class:`~nskd.governance.lifecycle.StateError` when the request is not approved by all.
        """
        with self._database.writing() as db:
            self._settle(db, digest, charter, now)
            self._move(db, digest, Event.START, now)
            db.execute(
                "UPDATE request SET session = ?, runs = runs + 1, fault = NULL, detail = NULL, retryable = 0"
                " WHERE digest = ?",
                (session, digest),
            )
        return self.get(digest)

    def finish(self, digest: bytes, release: bytes, *, now: int, erase_at: int | None = None) -> bytes:
        """Record what was released and return its digest; once more with the same bytes changes nothing.

        ``erase_at``: when a permit demands that it be erased.
        """
        if len(release) > limits.RELEASE_BYTES_MAX:
            raise LedgerError(
                f"a release of {len(release)} bytes, at most {limits.RELEASE_BYTES_MAX}",
                where=f"request {digest.hex()[:12]}",
                remedy="Ask for fewer cells.",
            )
        released = release_digest(release)
        with self._database.writing() as db:
            row = db.execute("SELECT digest FROM result WHERE request = ?", (digest,)).fetchone()
            if row is not None and bytes(row[0]) == released:
                return released
            self._move(db, digest, Event.FINISH, now)
            db.execute("INSERT INTO result VALUES (?, ?, ?, ?)", (digest, release, released, now))
            if erase_at is not None:
                retention_table.note_end(db, digest, erase_at)
        return released

    def fail(self, digest: bytes, *, fault: str, detail: str, retryable: bool, charter: Charter, now: int) -> State:
        """Record that a run ended without a release; a refusal that came meanwhile then takes effect."""
        with self._database.writing() as db:
            self._move(db, digest, Event.FAIL, now)
            db.execute(
                "UPDATE request SET fault = ?, detail = ?, retryable = ? WHERE digest = ?",
                (fault[:64], detail[: limits.DETAIL_CHARS_MAX], int(retryable), digest),
            )
            return self._settle(db, digest, charter, now)

    def give_up(self, digest: bytes, *, detail: str, now: int) -> State:
        """Record that no run of an approved request begins, and why, until somebody asks for it: its state after."""
        with self._database.writing() as db:
            state = self._state(db, digest)
            if state is not State.APPROVED:
                return state
            db.execute(
                "UPDATE request SET fault = ?, detail = ?, retryable = 1 WHERE digest = ?",
                (NOT_BEGUN, detail[: limits.DETAIL_CHARS_MAX], digest),
            )
            return self._move(db, digest, Event.GIVE_UP, now)

    def retry(self, digest: bytes, *, charter: Charter, now: int) -> State:
        """Make a failed request ready to run again, if the failure allows it and the approvals still hold."""
        with self._database.writing() as db:
            row = db.execute("SELECT state, retryable FROM request WHERE digest = ?", (digest,)).fetchone()
            if row is not None and row[0] == State.FAILED and not row[1]:
                raise StateError(
                    "its failure cannot be retried",
                    where=f"request {digest.hex()[:12]}",
                    remedy="Look into the fault with the other centres, then submit it again.",
                )
            self._move(db, digest, Event.RETRY, now)
            return self._settle(db, digest, charter, now)

    def result(self, digest: bytes) -> Result | None:
        """Return what was released for a request, if anything, and if it has not been erased."""
        with self._database.reading() as db:
            if retention_table.erased_at(db, digest) is not None:
                return None
            row = db.execute("SELECT release, digest, recorded_at FROM result WHERE request = ?", (digest,)).fetchone()
        if row is None:
            return None
        result = Result(*row)
        if release_digest(result.release) != result.digest:
            raise self._database.damaged(f"the release of request {digest.hex()[:12]}")
        return result

    # --- presence -------------------------------------------------------------------------------------------

    def keep_presence(self, word: Word, *, now: int) -> bool:
        """Record a verified word of presence, unless one that counts for more is here; whether it was."""
        with self._database.writing() as db:
            try:
                return presence_table.keep(db, word, now=now)
            except OperatorError:
                raise self._database.damaged("a word of presence") from None

    def presence(self, workshop: str) -> list[Word]:
        """Return all words of presence kept in one workshop."""
        with self._database.reading() as db:
            try:
                return presence_table.kept(db, workshop)
            except OperatorError:
                raise self._database.damaged("a word of presence") from None

    def undecided(self) -> list[bytes]:
        """Return the digests of all requests that could still run, but for those that run now."""
        with self._database.reading() as db:
            rows = db.execute(_UNDECIDED).fetchall()
        return [bytes(digest) for digest, _ in rows]

    # --- under a permit -------------------------------------------------------------------------------------

    def under_permit(self) -> list[retention_table.UnderPermit]:
        """All requests that name a permit and of which something may still be here."""
        with self._database.reading() as db:
            return retention_table.kept(db)

    def end(self, digest: bytes, *, rule: str, detail: str, now: int, event: Event = Event.EXPIRE) -> State:
        """End a request that is open, or has failed and could be retried, by a rule shown with it: its state after.

        ``event`` is ``EXPIRE`` or ``REFUSE``.
        """
        with self._database.writing() as db:
            entry = self._entry(db.execute(_SELECT + "WHERE digest = ?", (digest,)).fetchone())
            if not entry.undecided:
                return entry.state
            db.execute(
                "UPDATE request SET fault = ?, detail = ?, retryable = 0 WHERE digest = ?",
                (rule, detail[: limits.DETAIL_CHARS_MAX], digest),
            )
            return self._move(db, digest, event, now)

    def erase(self, digest: bytes, *, now: int) -> None:
        """Erase what was released for a request under a permit, in the file and in its log; the digest stays."""
        with self._database.writing() as db:
            retention_table.erase(db, digest, now=now)
            db.execute(
                "UPDATE request SET fault = ?, detail = ? WHERE digest = ? AND state = 'done'",
                (ERASED, "what was released was erased, as its permit demands; its digest is on record", digest),
            )
        self._database.settle()

    def erased_at(self, digest: bytes) -> int | None:
        """When that was, if it was."""
        with self._database.reading() as db:
            return retention_table.erased_at(db, digest)

    # --- inside a transaction -------------------------------------------------------------------------------

    def _settle(self, db: sqlite3.Connection, digest: bytes, charter: Charter, now: int) -> State:
        """Bring the state in line with the approvals and the clock."""
        state = self._state(db, digest)
        entry = self._entry(db.execute(_SELECT + "WHERE digest = ?", (digest,)).fetchone())
        if not entry.undecided:
            return state
        try:
            stands = standing(entry.request, self._approvals(db, digest), charter=charter, now=now)
        except RemoteProtocolError as exc:  # it was verified before it was kept: nobody but our disk is at fault
            raise self._database.damaged(f"an approval of request {digest.hex()[:12]}: {exc.detail}") from None
        if stands.refused:
            return self._move(db, digest, Event.REFUSE, now)
        if now >= entry.open_until:
            return self._move(db, digest, Event.EXPIRE, now)
        if state is State.SUBMITTED and stands.complete:
            return self._move(db, digest, Event.COMPLETE, now)
        if state is State.APPROVED and not stands.complete:
            return self._move(db, digest, Event.LAPSE, now)
        return state

    def _move(self, db: sqlite3.Connection, digest: bytes, event: Event, now: int) -> State:
        state = advance(self._state(db, digest), event, request=digest.hex()[:12])
        db.execute("UPDATE request SET state = ?, changed_at = ? WHERE digest = ?", (state.value, now, digest))
        return state

    def _state(self, db: sqlite3.Connection, digest: bytes) -> State:
        row = db.execute("SELECT state FROM request WHERE digest = ?", (digest,)).fetchone()
        if row is None:
            raise _unknown(digest.hex()[:12])
        return State(row[0])

    def _approvals(self, db: sqlite3.Connection, digest: bytes) -> tuple[SignedApproval, ...]:
        try:
            return words.kept(db, digest)
        except OperatorError:
            raise self._database.damaged(f"an approval of request {digest.hex()[:12]}") from None

    def _entry(self, row: tuple[Any, ...]) -> Entry:
        body, centre, signature, received_at, state, changed_at, runs, session, fault, detail, retryable = row
        try:
            request = read_request(body, centre, signature)
        except OperatorError:
            raise self._database.damaged("a request") from None
        return Entry(
            request=request,
            received_at=received_at,
            state=State(state),
            changed_at=changed_at,
            runs=runs,
            session=session,
            fault=fault,
            detail=detail,
            retryable=bool(retryable),
        )

    def _recover(self, now: int) -> None:
        with self._database.writing() as db:
            for (digest,) in db.execute("SELECT digest FROM request WHERE state = 'running'").fetchall():
                self._move(db, digest, Event.FAIL, now)
                db.execute(
                    "UPDATE request SET fault = ?, detail = ?, retryable = 1 WHERE digest = ?",
                    (INTERRUPTED, "the daemon stopped during the run; nothing was released here", digest),
                )


def _is_here(db: sqlite3.Connection, digest: bytes) -> bool:
    return db.execute("SELECT 1 FROM request WHERE digest = ?", (digest,)).fetchone() is not None


def _require_room(db: sqlite3.Connection, centre: str, *, open_too: bool) -> None:
    held, undecided = db.execute(_COUNT_BY_CENTRE, (centre,)).fetchone()
    if held >= limits.REQUESTS_PER_CENTRE_MAX or (open_too and undecided >= limits.REQUESTS_OPEN_PER_CENTRE_MAX):
        raise LedgerFullError(
            f"centre {centre} has {undecided} requests open and {held} on record",
            where="request",
            remedy=f"{limits.REQUESTS_OPEN_PER_CENTRE_MAX} may be open: decide on some first.",
        )


def _insert(db: sqlite3.Connection, request: SignedRequest, now: int) -> None:
    db.execute(
        "INSERT INTO request (digest, centre, body, signature, text_digest, received_at, state, changed_at)"
        " VALUES (?, ?, ?, ?, ?, ?, 'submitted', ?)",
        (request.digest, request.centre, request.body, request.signature, request.text_digest, now, now),
    )
    if request.table.permit is not None:
        retention_table.note(db, request.digest, request.table.permit)


def _refuse_full_month(db: sqlite3.Connection, approval: SignedApproval, text: bytes) -> None:
    policy = parse_standing_policy(text)
    count = words.approved_by_policy(db, approval.centre, policy.digest, approval.issued_at, but=approval.request)
    if count >= policy.per_month:
        what = f"the standing policy allows {policy.per_month} requests a month, and {count} are approved under it"
        raise fault(Rule.POLICY_MONTH, what, approval.centre)


def _unknown(name: str) -> UnknownRequestError:
    return UnknownRequestError(
        "no such request here",
        where=f"request {name}",
        remedy="`nskctl request list` shows those there are.",
    )
