"""Whether this centre takes part in a proposed run (``docs/protocol.md``, 12.2 and 12.15): each decides by itself."""

from __future__ import annotations

from collections.abc import Callable

from nskd.daemon.allowance import Allowance
from nskd.daemon.endings import over_by_now
from nskd.daemon.epochs import Epochs
from nskd.daemon.failures import Failures
from nskd.daemon.history import History, pairs_of
from nskd.daemon.objections import Objections
from nskd.daemon.retry import ATTEMPTS_MAX, Attempts
from nskd.daemon.workshop import Workshop
from nskd.errors import OperatorError
from nskd.governance import limits
from nskd.governance.audit import Event
from nskd.governance.ledger import Entry, Ledger
from nskd.governance.lifecycle import State
from nskd.governance.policy import Rule
from nskd.governance.tally import approvals_complete
from nskd.sessions.kinds import Refusal
from nskd.sessions.proposal import Offer
from nskd.stockpile import Segment, SharedStockpile, Stockpile
from protocol.errors import ProtocolError


class RunJudge:
    """Judges proposals; what it agrees to has its stock reserved."""

    def __init__(
        self,
        *,
        workshop: Workshop,
        stock: SharedStockpile,
        epochs: Epochs,
        failures: Failures,
        objections: Objections,
        history: History,
        doubt: Callable[[], None],
        draining: Callable[[], bool],
    ) -> None:
        self._workshop = workshop
        self._stock = stock
        self._epochs = epochs
        self._failures = failures
        self._objections = objections
        self._history = history
        self._doubt = doubt
        self._draining = draining
        self._repeats = Attempts()  # of runs whose release is on record here
        self._allowances: dict[str, Allowance] = {}  # by centre: of runs that it began and that came to nothing

    def repeated(self, request: bytes) -> None:
        """A run begins of a request whose release is on record here: so often, and no more."""
        self._repeats.failed(request)

    def came_to_nothing(self, centre: str) -> None:
        """A run that this centre had begun has failed here."""
        self._allowance(centre).take(self._workshop.clock())

    async def judge(self, offer: Offer) -> None:
        """This centre's own decision to take part; reserves the stock.  Raises :class:`Refusal`."""
        try:
            await self._judge(offer)
        except Refusal as refusal:
            await self._workshop.audit.note_of_peer(
                offer.sender,
                Event.RUN_REFUSED,
                outcome="refused",
                request=offer.proposal.request,
                details={"reason": refusal.reason},
            )
            raise

    async def _judge(self, offer: Offer) -> None:
        if self._draining():
            raise Refusal("this centre is stopping")
        proposal = offer.proposal
        try:
            self._workshop.attendance.require_all()
            await self._failures.record()
            entry = await self._workshop.ledger(Ledger.get, proposal.request)
            if entry.request.centre != offer.sender:
                raise Refusal(f"only {entry.request.centre} may run its request")
            if not self._allowance(offer.sender).has_left(self._workshop.clock()):
                raise Refusal(f"too many runs that {offer.sender} began have failed here; it takes one now and then")
            over = over_by_now(self._workshop, entry)
            if over is not None and (entry.state is not State.DONE or over.rule is Rule.RESTORED):
                raise Refusal(over.what)
            await self._approved(entry)
            plan = self._workshop.check(entry.request.table, entry.request.centre)
            listed = await self._history.check(proposal.request, proposal.extra)
            pairing = pairs_of(self._workshop, plan, await self._history.earlier(listed))
        except (OperatorError, ProtocolError) as error:
            raise Refusal(str(error)) from error
        if proposal.parties != self._workshop.charter.names:
            raise Refusal("the parties are not those of the charter, in its order")
        if proposal.epoch != self._epochs.current_id():
            self._doubt()
            raise Refusal("our stock is of another epoch")
        segments = {
            kind: [Segment(part.batch, part.start, part.stop) for part in parts]
            for kind, parts in proposal.segments.items()
        }
        offered = {kind: sum(s.stop - s.start for s in ranges) for kind, ranges in segments.items()}
        if offered != self._workshop.need(plan, pairing):
            raise Refusal("the stock proposed is not what this request needs")
        if not await self._objections.readable():
            raise Refusal("its list of people who object cannot be read; its operator has been told why")
        try:
            await self._stock(Stockpile.reserve, offer.session, segments)
        except OperatorError as error:
            self._doubt()
            raise Refusal(str(error)) from error

    async def _approved(self, entry: Entry) -> None:
        workshop, digest = self._workshop, entry.request.digest
        state = entry.state
        if state is State.FAILED:
            state = await workshop.ledger(Ledger.retry, digest, charter=workshop.charter, now=workshop.clock())
        if state not in (State.APPROVED, State.DONE):
            raise Refusal(f"the request is {state.value} here")
        if state is State.DONE and not self._repeats.left(digest):
            raise Refusal(f"this centre has its release and has repeated the run {ATTEMPTS_MAX} times")
        approvals = await workshop.ledger(Ledger.approvals, digest)
        if not approvals_complete(entry.request, approvals, workshop.charter, workshop.clock()):
            raise Refusal("not every centre has approved, as far as we can verify")

    def _allowance(self, centre: str) -> Allowance:
        """Each run that fails costs entries in the audit log: whoever breaks off one after another is held back."""
        fresh = Allowance(limits.FAILED_RUNS_BURST, limits.FAILED_RUN_EVERY_S, self._workshop.clock())
        return self._allowances.setdefault(centre, fresh)
