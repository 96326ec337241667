"""Rows of the ledger, the mesh and the stock, as the control socket shows them."""

from __future__ import annotations

import msgspec

from nskd.control import answers
from nskd.daemon.workshop import Workshop
from nskd.governance.approval import SignedApproval, Verdict, standing
from nskd.governance.explain import explain
from nskd.governance.ledger import Entry, Result
from nskd.governance.request import TableRequest
from nskd.peers.lanes import Lane
from nskd.peers.mesh import PeerStatus


def plain_words(workshop: Workshop, table: TableRequest, requester: str) -> dict[str, str]:
    """What is asked and what leaves, in Dutch and English."""

    def label(name: str) -> tuple[str, str] | None:
        variable = workshop.codebook.variables.get(name)
        return None if variable is None else (variable.label.nl, variable.label.en)

    plain = explain(table, requester=requester, charter=workshop.charter, labels=label)
    return {"nl": plain.nl, "en": plain.en}


def request_row(workshop: Workshop, entry: Entry, approvals: tuple[SignedApproval, ...]) -> answers.RequestRow:
    """One line of ``request.list``."""
    request = entry.request
    stands = standing(request.digest, approvals, charter=workshop.charter, now=workshop.clock())
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


def request_detail(workshop: Workshop, entry: Entry, approvals: tuple[SignedApproval, ...]) -> answers.RequestDetail:
    """All of one request, this centre's own check included."""
    table = entry.request.table
    return answers.RequestDetail(
        row=request_row(workshop, entry, approvals),
        rows=list(table.rows),
        columns=list(table.columns),
        measure=table.measure.value,
        where=table.where,
        margins=table.margins,
        approvals=_approval_rows(workshop, approvals),
        plain=plain_words(workshop, table, entry.request.centre),
        text=entry.request.text.decode(),
        refusals=workshop.refusals(entry.request),
        fault=entry.fault,
        retryable=entry.retryable,
    )


def _approval_rows(workshop: Workshop, approvals: tuple[SignedApproval, ...]) -> list[answers.ApprovalRow]:
    now = workshop.clock()
    given: dict[str, SignedApproval] = {}
    for approval in approvals:
        if approval.centre not in given or approval.verdict is Verdict.REFUSE:
            given[approval.centre] = approval
    rows = []
    for name in workshop.charter.contributors:
        approval_of = given.get(name)
        if approval_of is None:
            rows.append(answers.ApprovalRow(centre=name, verdict=None))
            continue
        rows.append(
            answers.ApprovalRow(
                centre=name,
                verdict=approval_of.verdict.value,
                steward=approval_of.steward,
                issued_at=approval_of.issued_at,
                expires_at=approval_of.expires_at if approval_of.verdict is Verdict.APPROVE else None,
                lapsed=approval_of.verdict is Verdict.APPROVE and approval_of.expires_at <= now,
            )
        )
    return rows


def result_answer(entry: Entry, result: Result | None) -> answers.ResultAnswer:
    """What was released, or why nothing was."""
    return answers.ResultAnswer(
        request=entry.request.digest.hex(),
        title=entry.request.table.title,
        state=entry.state.value,
        digest=None if result is None else result.digest.hex(),
        recorded_at=None if result is None else result.recorded_at,
        release=None if result is None else msgspec.json.decode(result.release),
        fault=entry.fault,
        detail=entry.detail,
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
