"""The ledger's table of approvals, refusals and withdrawals: one row for each voice and verdict, its latest word.

A *voice* is a steward, by fingerprint, or the centre's standing policy.  Later words replace earlier ones of the same
verdict, by the time signed in them, so that all centres keep the same whatever the order in which they are told; an
old approval told again changes nothing.  A centre can have at most a few dozen rows under one request.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from nskd.governance.approval import SignedApproval, read_approval
from nskd.governance.standing_policy import month_of, parse_standing_policy

SCHEMA: Final = """
CREATE TABLE approval (
    request BLOB NOT NULL REFERENCES request, centre TEXT NOT NULL, voice TEXT NOT NULL, verdict TEXT NOT NULL,
    body BLOB NOT NULL, signature BLOB NOT NULL, policy BLOB, issued_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL, received_at INTEGER NOT NULL,
    PRIMARY KEY (request, centre, voice, verdict)
) STRICT;
CREATE INDEX approval_policy ON approval (centre, policy, issued_at)
"""
POLICY_VOICE: Final = "policy"
_KEEP: Final = (
    "INSERT INTO approval VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET body = excluded.body,"
    " signature = excluded.signature, policy = excluded.policy, issued_at = excluded.issued_at,"
    " expires_at = excluded.expires_at, received_at = excluded.received_at"
    " WHERE (excluded.issued_at, excluded.expires_at) > (approval.issued_at, approval.expires_at)"
)
_COUNT: Final = (
    "SELECT COUNT(DISTINCT request) FROM approval WHERE centre = ? AND policy = ? AND issued_at >= ?"
    " AND issued_at < ? AND request != ?"
)


def keep(db: sqlite3.Connection, approval: SignedApproval, *, now: int) -> None:
    """Record it, unless a later word of the same voice is here."""
    policy = None if approval.policy is None else parse_standing_policy(approval.policy).digest
    db.execute(
        _KEEP,
        (
            approval.request,
            approval.centre,
            POLICY_VOICE if policy is not None else approval.statement.by,
            approval.verdict.value,
            approval.body,
            approval.signature,
            policy,
            approval.issued_at,
            approval.expires_at,
            now,
        ),
    )


def holds(db: sqlite3.Connection, approval: SignedApproval) -> bool:
    """Whether it is recorded, to the byte."""
    found = db.execute(
        "SELECT 1 FROM approval WHERE request = ? AND centre = ? AND body = ? AND signature = ?",
        (approval.request, approval.centre, approval.body, approval.signature),
    )
    return found.fetchone() is not None


def kept(db: sqlite3.Connection, request: bytes) -> tuple[SignedApproval, ...]:
    """Return all words on a request, by centre; ``ApprovalError`` for a row that cannot be read."""
    rows = db.execute(
        "SELECT body, centre, signature FROM approval WHERE request = ? ORDER BY centre, verdict, voice", (request,)
    ).fetchall()
    return tuple(read_approval(*row) for row in rows)


def approved_by_policy(db: sqlite3.Connection, centre: str, policy: bytes, at: int, *, but: bytes = b"") -> int:
    """Count the requests that a policy, by its digest, has approved in the calendar month of ``at``, but one."""
    return int(db.execute(_COUNT, (centre, policy, *month_of(at), but)).fetchone()[0])
