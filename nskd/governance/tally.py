"""Where a request stands: every approval, refusal and withdrawal verified anew, then counted.

A refusal beats every approval of the same centre whatever the order in which they arrive, and does not lapse.  A
withdrawal voids what its centre approved up to that moment, so an old approval told again brings nothing back; one
given later counts.  All centres come to the same view without agreeing on an order first.
"""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from nskd.governance import limits
from nskd.governance.approval import SignedApproval
from nskd.governance.charter import Charter
from nskd.governance.request import SignedRequest
from nskd.governance.statement import Verdict
from nskd.governance.verification import verify


@attrs.frozen
class Standing:
    """Contributing centres in party order, each in one of them.

    ``lapsed``: an approval has expired without which there are too few; ``withdrawn``: there would be enough without
    a withdrawal; ``missing``: the rest, those included where one steward has approved and two are needed.
    """

    approved: tuple[str, ...]
    refused: tuple[str, ...]
    lapsed: tuple[str, ...]
    withdrawn: tuple[str, ...]
    missing: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Every contributing centre approves, none refuses."""
        return not (self.refused or self.lapsed or self.withdrawn or self.missing)


def standing(request: SignedRequest, approvals: Iterable[SignedApproval], *, charter: Charter, now: int) -> Standing:
    """Verify every approval anew and count them; one that does not verify raises ``RemoteProtocolError``.

    One given under another charter, or not yet valid by more than the clock skew, counts for nothing.
    """
    words: dict[str, list[SignedApproval]] = {name: [] for name in charter.contributors}
    for approval in approvals:
        if approval.charter != charter.digest:
            continue
        verify(approval, charter=charter, request=request)
        words[approval.centre].append(approval)
    places = {name: _place(given, _needed(charter, name), now) for name, given in words.items()}

    def those(place: str) -> tuple[str, ...]:
        return tuple(name for name in charter.contributors if places[name] == place)

    return Standing(
        approved=those("approved"),
        refused=those("refused"),
        lapsed=those("lapsed"),
        withdrawn=those("withdrawn"),
        missing=those("missing"),
    )


def _place(given: Iterable[SignedApproval], needed: int, now: int) -> str:
    given = tuple(given)
    if any(approval.verdict is Verdict.REFUSE for approval in given):
        return "refused"
    until = withdrawn_until(given)
    approvals = [
        approval
        for approval in given
        if approval.verdict is Verdict.APPROVE and approval.issued_at <= now + limits.CLOCK_SKEW_MAX_S
    ]
    standing_ = [approval for approval in approvals if approval.issued_at > until]
    if _stewards([approval for approval in standing_ if now < approval.expires_at]) >= needed:
        return "approved"
    if _stewards(standing_) >= needed:
        return "lapsed"
    return "withdrawn" if _stewards(approvals) >= needed else "missing"


def withdrawn_until(given: Iterable[SignedApproval]) -> int:
    """The moment up to which, it included, one centre's approvals are withdrawn; −1 if none are."""
    return max((word.issued_at for word in given if word.verdict is Verdict.WITHDRAW), default=-1)


def _stewards(approvals: Iterable[SignedApproval]) -> int:
    """How many different persons stand behind them, those under a standing policy included."""
    return len(frozenset().union(*(approval.keys for approval in approvals)))


def _needed(charter: Charter, name: str) -> int:
    centre = charter.find(name)
    return limits.APPROVALS_NEEDED_MAX if centre is None else centre.approvals_needed


def approvals_complete(request: SignedRequest, approvals: Iterable[SignedApproval], charter: Charter, now: int) -> bool:
    """Whether data may enter, or values leave: each centre asks this by itself, immediately before they do."""
    return standing(request, approvals, charter=charter, now=now).complete
