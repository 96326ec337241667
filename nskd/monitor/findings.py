"""What can be wrong with a centre, how badly, and the verdict over all of it.  Pure.

Each name is the name of an entry in ``docs/operations.md`` that says what it means and what to do.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import Final

import attrs

RUNBOOK: Final = "docs/operations.md"


class Health(enum.IntEnum):
    """How a centre is: ``ATTENTION`` – it works, or waits for others, and somebody should look;
    ``NOT_WORKING`` – no analysis can take place with it, or what happens is not on record, until somebody acts here.
    """

    OK = 0
    ATTENTION = 1
    NOT_WORKING = 2

    @property
    def word(self) -> str:
        """As people and scripts read it."""
        return self.name.lower().replace("_", " ")


class Name(enum.StrEnum):
    """Everything that can be found; stable, as scripts and alerts rely on it."""

    PEER_DOWN = "peer-down"
    NO_PEER = "no-peer"
    PAUSED = "paused"
    CENTRE_ABSENT = "centre-absent"
    LEFT = "left"
    PRESENCE_NOT_KEPT = "presence-not-kept"
    DRAINING = "draining"
    GENERATION_HELD_UP = "generation-held-up"
    STOCK_LOW = "stock-low"
    CHECK_FAILED = "check-failed"
    OPT_OUT_UNREADABLE = "opt-out-unreadable"
    OPT_OUT_MATCHES_NOBODY = "opt-out-matches-nobody"
    OWN_AUDIT_CHANGED = "own-audit-changed"
    AUDIT_CONTRADICTED = "audit-contradicted"
    AUDIT_UNPROVED = "audit-unproved"
    AUDIT_NOT_WRITTEN = "audit-not-written"
    HOUSEKEEPING_FAILS = "housekeeping-fails"
    DISK_LOW = "disk-low"
    DISK_FULL = "disk-full"
    DOCUMENT_EXPIRING = "document-expiring"
    NO_PURPOSE_LEFT = "no-purpose-left"
    KEY_DUE = "key-due"
    BACKUP_OLD = "backup-old"


_NOT_WORKING: Final = frozenset(
    {
        Name.NO_PEER,
        Name.LEFT,
        Name.OPT_OUT_UNREADABLE,
        Name.OWN_AUDIT_CHANGED,
        Name.AUDIT_NOT_WRITTEN,
        Name.HOUSEKEEPING_FAILS,
        Name.DISK_FULL,
        Name.NO_PURPOSE_LEFT,
    }
)


@attrs.frozen
class Finding:
    """One thing that is wrong: ``what`` is a sentence, ``remedy`` what to do, ``since`` seconds since 1970 if known.

    ``subject`` tells two findings of one name apart: a centre, a kind of stock, a document.
    """

    name: Name
    what: str
    remedy: str
    since: int | None = None
    subject: str = ""

    @property
    def health(self) -> Health:
        """How bad it is."""
        return Health.NOT_WORKING if self.name in _NOT_WORKING else Health.ATTENTION

    @property
    def runbook(self) -> str:
        """Where it is explained."""
        return f"{RUNBOOK}#{self.name.value}"

    def __str__(self) -> str:
        stop = "" if self.what.endswith((".", "?", "!")) else "."
        return f"{self.what}{stop} {self.remedy}"


def verdict(findings: Iterable[Finding]) -> Health:
    """The worst of them."""
    return max((finding.health for finding in findings), default=Health.OK)


class Memory:
    """Since when something has been wrong, of what does not know it itself: since it was first found here."""

    def __init__(self) -> None:
        self._since: dict[tuple[Name, str], int] = {}

    def dated(self, findings: Iterable[Finding], now: int) -> list[Finding]:
        """The same, each with its beginning; what is not among them any more is forgotten.  Worst first."""
        found = list(findings)
        keys = {(finding.name, finding.subject) for finding in found}
        self._since = {key: self._since.get(key, now) for key in keys}
        dated = [
            attrs.evolve(finding, since=self._since[finding.name, finding.subject])
            if finding.since is None
            else finding
            for finding in found
        ]
        return sorted(dated, key=lambda finding: (-finding.health, finding.since or 0))
