"""The shapes of what the daemon answers.  Stable: a field may be added, none is renamed or removed.

Digests are hexadecimal, times are whole seconds since 1970 (UTC), durations end in ``_s``.
"""

from __future__ import annotations

from typing import Any

import msgspec


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """Root of all shapes."""


class VersionAnswer(Answer, frozen=True, kw_only=True):
    """``version``: ``protocol`` must agree among centres, ``nskd`` need not."""

    nskd: str
    protocol: str
    python: str


class FindingRow(Answer, frozen=True, kw_only=True):
    """One thing that is wrong.  ``health`` is attention or not working; ``runbook`` where it is explained.

    ``subject`` is a centre, a kind of stock or a document, where there may be several of one ``name``.
    """

    name: str
    health: str
    what: str
    remedy: str
    since: int | None
    subject: str
    runbook: str


class StatusAnswer(Answer, frozen=True, kw_only=True):
    """``status``: ``state`` is starting, ready, paused, left or draining; ``requests`` counts them by state.

    ``health`` is ok, attention or not working, and ``findings`` say why, the worst first; ``notes`` are the same in
    one sentence each.  ``log_configured`` differs from ``log_level`` while that is changed until the next restart.

    ``kernels`` says which instructions of this machine the arithmetic uses.
    """

    centre: str
    workshop: str
    charter: str
    version: str
    state: str
    uptime_s: int
    peers_up: int
    peers: int
    epoch: str | None
    requests: dict[str, int]
    kernels: str = ""
    notes: list[str] = []
    health: str = "ok"
    findings: list[FindingRow] = []
    log_level: str = ""
    log_configured: str = ""


class PeerRow(Answer, frozen=True, kw_only=True):
    """One other centre: ``state`` is up, connecting or down, ``since`` when that began."""

    name: str
    title: str
    address: str
    state: str
    since: int | None = None
    lanes: list[str] = []
    rtt_ms: float | None = None
    detail: str | None = None


class PeersAnswer(Answer, frozen=True, kw_only=True):
    """``peers``, in party order, without this centre."""

    peers: list[PeerRow]


class StockRow(Answer, frozen=True, kw_only=True):
    """Preprocessing of one kind: ``level`` items ready, ``locked`` not confirmed by all yet.

    ``requested`` is what open requests will use.  Stock is kept between ``low`` and ``high``; ``marks`` says where
    these come from: configured, or history, where past runs have used more than was configured.
    """

    kind: str
    level: int
    locked: int = 0
    requested: int = 0
    low: int | None = None
    high: int | None = None
    marks: str | None = None
    per_second: float | None = None


class StockAnswer(Answer, frozen=True, kw_only=True):
    """``stock``."""

    epoch: str | None
    generating: bool
    rows: list[StockRow]


class RequestRow(Answer, frozen=True, kw_only=True):
    """One request in a list; ``approved`` of ``needed`` centres have approved."""

    request: str
    title: str
    centre: str
    purpose: str
    state: str
    submitted_at: int
    approved: int
    needed: int
    detail: str | None = None


class RequestList(Answer, frozen=True, kw_only=True):
    """``request.list``, oldest first; ``more`` when older ones were left out."""

    requests: list[RequestRow]
    more: bool


class ApprovalRow(Answer, frozen=True, kw_only=True):
    """One voice of a centre on a request: ``verdict`` is approve, refuse, withdraw or null where there is none.

    ``lapsed`` when an approval has expired; ``withdrawn`` when it was taken back; ``by`` is the fingerprint of the
    steward's key, or a standing policy's digest.  ``needed`` of the centre's stewards must approve.
    """

    centre: str
    verdict: str | None
    steward: str | None = None
    issued_at: int | None = None
    expires_at: int | None = None
    lapsed: bool = False
    withdrawn: bool = False
    by: str | None = None
    needed: int = 1


class PageSection(Answer, frozen=True, kw_only=True):
    """A part of a page of plain words; ``key`` is asked, purpose, absent (only if a centre is), leaves,
    results, learnt, rules or earlier.
    """

    key: str
    title: str
    sentences: list[str]


class RequestDetail(Answer, frozen=True, kw_only=True):
    """``request.show``: ``text`` is the document as submitted, ``pages`` what it means and what leaves, by language.

    ``waits_for``: who has paused or left, while that keeps it from running.
    """

    row: RequestRow
    rows: list[str]
    columns: list[str]
    measure: str
    where: str | None
    margins: bool
    permit: str | None = None
    approvals: list[ApprovalRow]
    pages: dict[str, list[PageSection]]
    text: str
    refusals: list[str] = []
    fault: str | None = None
    retryable: bool = False
    waits_for: list[str] = []


class CharterAnswer(Answer, frozen=True, kw_only=True):
    """``charter`` and ``charter.sign``: ``text`` is the TOML, ``signatures`` what is for the file beside it.

    With ``check`` nothing was signed, and ``signatures`` has none.
    """

    version: int
    digest: str
    text: str
    signatures: str


class PermitRow(Answer, frozen=True, kw_only=True):
    """One permit; ``state`` is valid, early or expired, days are ISO dates and the last of their kind."""

    id: str
    kind: str
    issuer: str
    holder: str
    purposes: list[str]
    categories: list[str]
    first: str
    last: str
    valid_from: str
    valid_until: str
    retention_end: str
    state: str


class PermitsAnswer(Answer, frozen=True, kw_only=True):
    """``permits``: those this centre has on file; ``required`` when it takes no request without one."""

    permits: list[PermitRow]
    required: bool


class SubmitAnswer(Answer, frozen=True, kw_only=True):
    """``request.submit``; with ``check`` nothing was recorded and ``request`` is null."""

    request: str | None
    checked: bool
    pages: dict[str, list[PageSection]] = {}


class StatementAnswer(Answer, frozen=True, kw_only=True):
    """``request.statement``: to be signed as it is, for ``namespace``; ``steward`` is the public key line of whom."""

    request: str
    verdict: str
    steward: str
    namespace: str
    statement: str


class DecisionAnswer(Answer, frozen=True, kw_only=True):
    """``request.approve``, ``request.refuse`` and ``request.revoke``: ``state`` is the request's, afterwards."""

    request: str
    verdict: str
    state: str
    steward: str
    expires_at: int | None
    checked: bool


class RunAnswer(Answer, frozen=True, kw_only=True):
    """``request.run``."""

    request: str
    state: str
    checked: bool


class ResultAnswer(Answer, frozen=True, kw_only=True):
    """``result.show`` and ``result.wait``.

    ``release`` has ``rows`` and ``columns`` (variable names), ``measure``, and ``cells``: objects of level by
    variable with a ``value``, a whole number or null for a suppressed cell, in codebook order.  ``charter`` is the
    digest of the one under which it was asked.  ``own_point`` is, of a funnel, this centre's own exact (events, size),
    worked out here and not part of what was released; null where nothing is kept of what it contributed.
    ``own_case_mix`` is, of a regression, this centre's own events, those that the model expects, and their variance.
    """

    request: str
    title: str
    state: str
    digest: str | None
    recorded_at: int | None
    release: dict[str, Any] | None
    fault: str | None = None
    detail: str | None = None
    purpose: str | None = None
    charter: str | None = None
    own_point: tuple[int, int] | None = None
    own_case_mix: tuple[float, float, float] | None = None


class DocumentAnswer(Answer, frozen=True, kw_only=True):
    """``document``: ``text`` is Markdown (dpia) or Turtle (catalogue), ``gaps`` what people have to write into it."""

    kind: str
    text: str
    gaps: list[str] = []


class MetricsAnswer(Answer, frozen=True, kw_only=True):
    """``metrics``: ``text`` in Prometheus's text format, version 0.0.4."""

    text: str


class LogLevelAnswer(Answer, frozen=True, kw_only=True):
    """``log.level``: what is logged from now on, and what a restart goes back to."""

    level: str
    configured: str
    checked: bool


class BugReport(Answer, frozen=True, kw_only=True):
    """``bugreport``: what helps others to help.  No secret, share, row or person; no words that somebody typed.

    ``config`` shows numbers and choices, and of paths and names only whether they are set.  ``log`` are the last
    lines without what names a person, quotes a value or tells a path.
    """

    made_at: int
    version: VersionAnswer
    libraries: dict[str, str]
    system: dict[str, str]
    schemas: dict[str, int]
    limits: dict[str, float]
    config: dict[str, Any]
    status: StatusAnswer
    peers: list[dict[str, Any]]
    stock: StockAnswer
    requests: dict[str, int]
    metrics: str
    log: list[dict[str, Any]]


class DrainAnswer(Answer, frozen=True, kw_only=True):
    """``drain``: ``running`` sessions were still under way.  ``ends``: the daemon ends now."""

    state: str
    running: int
    checked: bool
    ends: bool = False


class PresenceAnswer(Answer, frozen=True, kw_only=True):
    """``pause``, ``resume`` and ``leave``: ``state`` is present, paused or left, afterwards.

    ``waiting`` requests are open here, ``running`` are under way: one to which this centre's data has been given is
    seen through, another stops.  ``not_told`` are centres that are away; they are told when they come back.
    """

    centre: str
    state: str
    since: int | None
    reason: str | None
    waiting: int
    running: int
    not_told: list[str]
    checked: bool


class EpochEndAnswer(Answer, frozen=True, kw_only=True):
    """``epoch.end``: the epoch that was ended, null if there was none."""

    epoch: str | None
    checked: bool


class BackupAnswer(Answer, frozen=True, kw_only=True):
    """``backup``: where it is and how large, null with ``check``; up to which entry of the audit log it goes."""

    path: str | None
    size: int | None
    audit_entries: int
    checked: bool


class ReloadAnswer(Answer, frozen=True, kw_only=True):
    """``reload``: the keys that changed, and those that take effect only after a restart."""

    changed: list[str]
    restart_needed: list[str]
    checked: bool


class AuditPage(Answer, frozen=True, kw_only=True):
    """``audit.read``: ``lines`` of the log as they are in the file, and how many ``entries`` it has by now.

    ``signing_key`` is the public key under which they verify, the older ones under ``former_keys``.
    """

    centre: str
    signing_key: str
    entries: int
    former_keys: list[str] = []
    lines: list[str]


class HeadRow(Answer, frozen=True, kw_only=True):
    """What is held of one other centre's log: ``state`` is in order, unproved, contradicted or unknown."""

    centre: str
    state: str
    sequence: int | None = None
    hash: str | None = None
    detail: str | None = None


class HeadsAnswer(Answer, frozen=True, kw_only=True):
    """``audit.heads``: ``own`` is the number of this centre's last entry."""

    own: int
    heads: list[HeadRow]
