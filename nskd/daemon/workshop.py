"""What the daemon's parts share: who we are, what the charter says, where things are written down."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial

import attrs
import structlog

from nskd.analysis.agreed import rules_for
from nskd.analysis.design import sizes_at_most
from nskd.analysis.hospitals import hospitals
from nskd.analysis.pairs import NO_PAIRS, Pairing
from nskd.analysis.table import TablePlan, plan_request
from nskd.control.events import EventBus
from nskd.daemon.auditor import Auditor
from nskd.data.months import months_selected
from nskd.governance.attendance import Attendance
from nskd.governance.charter import Charter
from nskd.governance.lifecycle import State
from nskd.governance.permit import Permits, Use
from nskd.governance.policy import PolicyError, check_request, day_of
from nskd.governance.question import TableRequest
from nskd.governance.request import SignedRequest
from nskd.governance.signing import Signer
from nskd.governance.threaded import LedgerThread
from nskd.packs.codebook import Codebook
from nskd.packs.pack import Pack
from protocol.online.disclosure import disclosure_cost
from protocol.online.hospitals import Hospitals, hospitals_cost
from protocol.online.regression import regression_cost
from protocol.online.rules import Rules

Clock = Callable[[], int]  # whole seconds since 1970


@attrs.frozen(eq=False)
class Workshop:
    """One centre's view of its workshop.

    Nothing in it changes while the daemon runs, but the ledger's rows, the audit log's entries, and who takes part.
    """

    own: str
    charter: Charter
    pack: Pack
    sign: Signer = attrs.field(repr=False)
    clock: Clock = attrs.field(repr=False)
    ledger: LedgerThread = attrs.field(repr=False)
    audit: Auditor = attrs.field(repr=False)
    events: EventBus = attrs.field(repr=False)
    log: structlog.typing.FilteringBoundLogger = attrs.field(repr=False)
    permits: Permits = attrs.field(factory=Permits)
    restored_at: int | None = None  # when this centre was restored from a backup, if it was
    former: tuple[Charter, ...] = attrs.field(default=(), repr=False)  # versions that were in force here before
    attendance: Attendance = attrs.field(
        init=False, default=attrs.Factory(lambda self: Attendance(self.own, self.charter), takes_self=True), repr=False
    )

    def charter_of(self, digest: bytes) -> Charter | None:
        """The charter with that digest, if it is or was in force here."""
        return next((each for each in (self.charter, *self.former) if each.digest == digest), None)

    def too_old(self, request: SignedRequest) -> bool:
        """Whether a request is from before this centre was restored."""
        return self.restored_at is not None and request.submitted_at <= self.restored_at

    @property
    def codebook(self) -> Codebook:
        """The pack's codebook."""
        return self.pack.codebook

    @property
    def index(self) -> int:
        """This centre's place in the party order."""
        return self.charter.index(self.own)

    def rules(self, plan: TablePlan) -> Rules:
        """The charter's disclosure rules for this table, as the joint part takes them."""
        return rules_for(self.charter.disclosure, plan)

    def plan(self, table: TableRequest) -> TablePlan:
        """Lay out a request's table; raises :class:`nskd.data.errors.RequestError`."""
        return plan_request(self.codebook, table)

    def check(self, table: TableRequest, requester: str) -> TablePlan:
        """This centre's own check: the plan, and every rule of policy.  Raises an ``OperatorError``."""
        plan = self.plan(table)
        check_request(
            table,
            requester=requester,
            charter=self.charter,
            purposes=partial(purposes_of, self.codebook),
            where_variables=plan.read,
            today=day_of(self.clock()),
        )
        self._check_permit(table, requester, plan)
        return plan

    def _check_permit(self, table: TableRequest, requester: str, plan: TablePlan) -> None:
        """What the permit that a request names allows, or that it names none; raises ``PolicyError``."""

        def use() -> Use:
            return Use(
                requester=requester,
                purpose=table.purpose,
                variables=plan.variables,
                months=months_selected(plan.filter, self.codebook),
            )

        refusals = self.permits.review(
            table.permit, use, sources=partial(sources_of, self.codebook), today=day_of(self.clock())
        )
        if refusals:
            raise PolicyError(refusals)

    def refusals(self, request: SignedRequest) -> list[str]:
        """Why this centre's own check refuses a request; empty when it does not."""
        from nskd.errors import OperatorError

        try:
            self.check(request.table, request.centre)
        except PolicyError as error:
            return [f"{refusal.rule.value}: {refusal.what}" for refusal in error.refusals]
        except OperatorError as error:
            return [str(error)]
        return []

    def publish_state(self, request: bytes, state: State) -> None:
        """Tell subscribers where a request is now."""
        self.events.publish("request.state", request=request.hex(), state=state.value)

    def hospitals(self, plan: TablePlan, pairing: Pairing = NO_PAIRS) -> Hospitals | None:
        """What the charter lets a run of this plan tell of single hospitals; None for nothing."""
        charter = self.charter
        contributing = [charter.index(name) for name in charter.contributors]
        return hospitals(charter.disclosure, contributing, plan, pairing.funnels)

    def need(self, plan: TablePlan, pairing: Pairing = NO_PAIRS) -> dict[str, int]:
        """The stock a run of this plan consumes, per kind: a function of public sizes alone."""
        parties, rules, asked = len(self.charter.centres), self.rules(plan), self.hospitals(plan, pairing)
        cost = disclosure_cost(rules, parties, plan.size, pairing.count)
        model = sizes_at_most(plan)
        if model is not None:
            cost += regression_cost(model)
        if asked is not None:
            cost += hospitals_cost(asked, rules, parties)
        return cost.by_kind(parties)


def purposes_of(codebook: Codebook, name: str) -> Collection[str] | None:
    """The purposes a variable may serve, or None if the codebook does not have it."""
    variable = codebook.variables.get(name)
    return None if variable is None else variable.purposes


def sources_of(codebook: Codebook, name: str) -> Collection[str]:
    """The variables from which one is derived; none for one that is recorded, or that the codebook does not have."""
    variable = codebook.variables.get(name)
    return () if variable is None or variable.derivation is None else variable.derivation.variables
