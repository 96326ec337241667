"""Rows of the ledger, the mesh and the stock, as the control socket shows them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import attrs
import msgspec
import trio

from nskd.analysis.regression import CaseMix
from nskd.control import answers
from nskd.daemon.workshop import Workshop
from nskd.data.where import parse_where
from nskd.errors import OperatorError
from nskd.governance import limits
from nskd.governance.approval import SignedApproval
from nskd.governance.audit_file import AuditFile
from nskd.governance.explain import Earlier, Page, Question, explain
from nskd.governance.explain.page import LANGUAGES, say
from nskd.governance.ledger import Entry, Ledger, Result
from nskd.governance.lifecycle import OPEN, State
from nskd.governance.policy import Rule, day_of
from nskd.governance.presence import Absence
from nskd.governance.question import TableRequest
from nskd.governance.statement import Verdict
from nskd.governance.tally import standing, withdrawn_until
from nskd.monitor.findings import Finding
from nskd.peers.lanes import Lane
from nskd.peers.mesh import PeerStatus


async def pages(
    workshop: Workshop, table: TableRequest, requester: str, *, opt_out: bool, absent: bool = True
) -> dict[str, list[answers.PageSection]]:
    """What is asked, what leaves and how it compares with what was released here before, in Dutch and English.

    ``opt_out``: whether this centre has a list of people who object; ``absent``: whether to say who has paused or left.
    """
    done = await workshop.ledger(Ledger.entries, states=(State.DONE,))
    # In a thread: reading the conditions of some hundred releases takes a good part of a second.
    absences = workshop.attendance.absences if absent else ()
    page = await trio.to_thread.run_sync(_page, workshop, table, requester, opt_out, absences, done)
    return {
        language: [
            answers.PageSection(
                key=section.key,
                title=say(section.title, language),
                sentences=[say(sentence, language) for sentence in section.sentences],
            )
            for section in page.sections
        ]
        for language in LANGUAGES
    }


def _page(
    workshop: Workshop,
    table: TableRequest,
    requester: str,
    opt_out: bool,
    absences: Sequence[Absence],
    done: list[Entry],
) -> Page:
    try:
        cells = workshop.plan(table).size
    except OperatorError:  # refused here, and explained all the same
        cells = None
    return explain(
        Question(table, requester, _filter(workshop, table), cells),
        own=workshop.own,
        charter=workshop.charter,
        codebook=workshop.codebook,
        opt_out=opt_out,
        absences=absences,
        released=[
            Earlier(
                Question(entry.request.table, entry.request.centre, _filter(workshop, entry.request.table), None),
                entry.changed_at,
                entry.request.digest,
            )
            for entry in done
        ],
    )


def _filter(workshop: Workshop, table: TableRequest) -> str:
    """The condition in the one spelling that tells whether two are the same; as written if it cannot be read here."""
    if table.where is None:
        return ""
    try:
        return parse_where(table.where, workshop.codebook).sql
    except OperatorError:
        return " ".join(table.where.split())


def request_row(workshop: Workshop, entry: Entry, approvals: tuple[SignedApproval, ...]) -> answers.RequestRow:
    """One line of ``request.list``."""
    request = entry.request
    stands = standing(request, approvals, charter=workshop.charter, now=workshop.clock())
    return answers.RequestRow(
        request=request.digest.hex(),
        title=request.table.title,
        centre=request.centre,
        purpose=request.table.purpose,
        state=entry.state.value,
        submitted_at=request.submitted_at,
        approved=len(stands.approved),
        needed=len(workshop.charter.contributors),
        detail=entry.detail,
    )


async def request_detail(
    workshop: Workshop, entry: Entry, approvals: tuple[SignedApproval, ...], *, opt_out: bool
) -> answers.RequestDetail:
    """All of one request, this centre's own check included."""
    table = entry.request.table
    still_runs = entry.state in OPEN or entry.retryable
    return answers.RequestDetail(
        row=request_row(workshop, entry, approvals),
        rows=list(table.rows),
        columns=list(table.columns),
        measure=table.measure.value,
        where=table.where,
        margins=table.margins,
        permit=table.permit,
        approvals=_approval_rows(workshop, approvals),
        pages=await pages(workshop, table, entry.request.centre, opt_out=opt_out, absent=still_runs),
        text=entry.request.text.decode(),
        refusals=workshop.refusals(entry.request),
        fault=entry.fault,
        retryable=entry.retryable,
        waits_for=[absence.what for absence in workshop.attendance.absences] if still_runs else [],
    )


def _approval_rows(workshop: Workshop, approvals: tuple[SignedApproval, ...]) -> list[answers.ApprovalRow]:
    """All that counts, in party order; a centre of which nobody has said anything has one empty row."""
    now, charter, rows = workshop.clock(), workshop.charter, []
    for centre in charter.centres:
        given = [word for word in approvals if (word.centre, word.charter) == (centre.name, charter.digest)]
        if not given and centre.name in charter.contributors:
            rows.append(answers.ApprovalRow(centre=centre.name, verdict=None, needed=centre.approvals_needed))
        until = withdrawn_until(given)
        for word in sorted(given, key=lambda word: word.issued_at):
            approves = word.verdict is Verdict.APPROVE
            rows.append(
                answers.ApprovalRow(
                    centre=centre.name,
                    verdict=word.verdict.value,
                    steward=word.steward,
                    issued_at=word.issued_at,
                    expires_at=word.statement.expires_at,
                    lapsed=approves and word.expires_at <= now,
                    withdrawn=approves and word.issued_at <= until,
                    by=word.statement.by,
                    needed=centre.approvals_needed,
                )
            )
    return rows


def permits_answer(workshop: Workshop) -> answers.PermitsAnswer:
    """The permits on file, and how each stands today."""
    today = day_of(workshop.clock())
    states = {None: "valid", Rule.PERMIT_EARLY: "early", Rule.PERMIT_EXPIRED: "expired"}
    rows = []
    for permit in workshop.permits.permits:
        over = permit.standing(today)
        rows.append(
            answers.PermitRow(
                id=permit.id,
                kind=permit.kind.value,
                issuer=permit.issuer,
                holder=permit.holder,
                purposes=sorted(permit.purposes),
                categories=sorted(permit.categories),
                first=permit.first,
                last=permit.last,
                valid_from=str(permit.valid_from),
                valid_until=str(permit.valid_until),
                retention_end=str(permit.retention_end),
                state=states[None if over is None else over.rule],
            )
        )
    return answers.PermitsAnswer(permits=rows, required=workshop.permits.required)


def result_answer(
    entry: Entry, result: Result | None, own_point: tuple[int, int] | None = None, case_mix: CaseMix | None = None
) -> answers.ResultAnswer:
    """What was released, or why nothing was; ``own_point`` and ``case_mix`` are this centre's own."""
    return answers.ResultAnswer(
        request=entry.request.digest.hex(),
        title=entry.request.table.title,
        state=entry.state.value,
        digest=None if result is None else result.digest.hex(),
        recorded_at=None if result is None else result.recorded_at,
        release=None if result is None else msgspec.json.decode(result.release),
        fault=entry.fault,
        detail=entry.detail,
        purpose=entry.request.table.purpose,
        charter=entry.request.charter_digest.hex(),
        own_point=own_point,
        own_case_mix=None if case_mix is None else attrs.astuple(case_mix),
    )


def finding_row(finding: Finding) -> answers.FindingRow:
    """One thing that is wrong."""
    return answers.FindingRow(
        name=finding.name.value,
        health=finding.health.word,
        what=finding.what,
        remedy=finding.remedy,
        since=finding.since,
        subject=finding.subject,
        runbook=finding.runbook,
    )


def peer_row(workshop: Workshop, status: PeerStatus) -> answers.PeerRow:
    """One other centre."""
    centre = workshop.charter.centres[workshop.charter.index(status.name)]
    partly = bool(status.lanes) and not status.connected
    return answers.PeerRow(
        name=status.name,
        title=centre.title,
        address=str(centre.address),
        state="up" if status.connected else "connecting" if partly else "down",
        since=int(status.since.timestamp()),
        lanes=[lane.value for lane in Lane if lane in status.lanes],
        rtt_ms=None if status.round_trip_s is None else round(1000 * status.round_trip_s, 3),
        detail=None if status.connected else status.last_error,
    )


async def audit_page(workshop: Workshop, after: int, limit: int, former_keys: list[str]) -> answers.AuditPage:
    """Some entries of the audit log."""
    page = partial(AuditFile.lines, after=after, bytes_max=limits.AUDIT_PAGE_BYTES_MAX, count_max=limit)
    lines = await workshop.audit.file(page)
    return answers.AuditPage(
        centre=workshop.own,
        signing_key=workshop.charter.centres[workshop.index].signing_key.hex(),
        former_keys=former_keys,
        entries=workshop.audit.head.sequence,
        lines=[line.decode() for line in lines],
    )
