"""The joint part of a run, from what this centre contributes to what is opened (``docs/protocol.md``, 11, 17, 18).

What must hold at each moment before something of it is told stands here, in the order in which it is tested: presence
before data enters, the epoch and the approvals before a pattern is seen and before values are, the pattern of an
earlier run before a value is opened.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from typing import Any

import attrs

from nskd.analysis.contribution import Contributions
from nskd.analysis.hospitals import own_score, told
from nskd.analysis.regression import CaseMix
from nskd.analysis.release import AllOrNone, AlsoHide
from nskd.analysis.table import TablePlan
from nskd.daemon.epochs import EpochEndedError, Epochs
from nskd.daemon.localpart import Contribution
from nskd.daemon.modelling import Modelling
from nskd.daemon.workshop import Workshop
from nskd.governance.approval import SignedApproval
from nskd.governance.ledger import Entry
from nskd.governance.policy import PolicyError, Refusal, Rule
from nskd.governance.tally import approvals_complete
from protocol.errors import Fault, RemoteProtocolError
from protocol.material import Material
from protocol.online.arithmetic import Evaluator
from protocol.online.disclosure import Pattern, Release, contribute, release_contributed
from protocol.online.hospitals import Hospitals, compare
from protocol.party import Party


@attrs.frozen(eq=False, repr=False)
class Job:
    """One run's joint part; ``hospitals`` is what it tells of single hospitals, None for nothing."""

    entry: Entry
    approvals: Collection[SignedApproval]
    epoch: bytes
    plan: TablePlan
    impossible: Pattern
    own: Contribution
    hospitals: Hospitals | None

    @property
    def request(self) -> bytes:
        """The request's digest."""
        return self.entry.request.digest


@attrs.frozen(eq=False, repr=False)
class Outcome:
    """What was opened: counts, and what the kind tells besides, as a release has it.

    ``case_mix``: what a model says of this centre's own rows, at most once; it goes nowhere.
    """

    counts: Release
    further: dict[str, Any]
    case_mix: tuple[CaseMix, ...] = ()


class JointPart:
    """Takes part with what this centre contributes."""

    def __init__(self, workshop: Workshop, epochs: Epochs, contributions: Contributions) -> None:
        self._workshop = workshop
        self._epochs = epochs
        self._contributions = contributions

    def recheck(self, entry: Entry, approvals: Collection[SignedApproval]) -> None:
        """Before data enters, and before values leave: every signature anew, and this centre's own rules (12.7)."""
        self._workshop.check(entry.request.table, entry.request.centre)
        if not approvals_complete(entry.request, approvals, self._workshop.charter, self._workshop.clock()):
            what = "an approval of this request does not hold any longer"
            remedy = "Have it approved anew; it then runs again."
            raise PolicyError((Refusal(Rule.APPROVAL_EXPIRED, entry.request.centre, what, remedy),))

    def require(self, epoch: bytes) -> None:
        """Nothing is opened under keys that have been given up meanwhile (5.9)."""
        if self._epochs.current_id() != epoch:
            raise EpochEndedError

    async def run(self, party: Party, material: Material, job: Job) -> Outcome:
        """Compute; destroys the epoch if its keys were tested and anything went wrong after."""
        evaluator = Evaluator(party, self._epochs.mac_key(), material)
        self._workshop.attendance.require_all()  # the last moment: what follows tells our data, in shares (14.6)
        try:
            return await self._compute(evaluator, job)
        except BaseException as error:
            await self._epochs.destroy_if_tested(party, error, "a run")
            raise

    async def _compute(self, evaluator: Evaluator, job: Job) -> Outcome:
        rules, own = self._workshop.rules(job.plan), job.own
        mixes: list[CaseMix] = []
        modelling = self._modelling(job, mixes.append)
        also_hide = AlsoHide(job.plan.shape, job.impossible) if modelling is None else modelling.counted

        def before_pattern() -> None:
            self.require(job.epoch)
            self._contributions.venture(job.request)

        def hold_and_hide(safe: Pattern) -> Pattern:
            self.require(job.epoch)
            self.recheck(job.entry, job.approvals)
            # Before any value is opened: two patterns of one request would show what secondary suppression hides.
            if not self._contributions.hold_pattern(job.request, safe):
                raise RemoteProtocolError(
                    Fault.CONTRIBUTION, "other cells are safe than in an earlier run: some centre's counts have changed"
                )
            return also_hide(safe)

        cells = await contribute(evaluator, own.table.values, own.table.children, rules, own.differences.children)
        counts = await release_contributed(
            evaluator, cells, rules, hold_and_hide, pairs=own.differences.cell, before_pattern=before_pattern
        )
        if modelling is not None:
            self.require(job.epoch)
            return Outcome(counts, {"model": await modelling.fit(evaluator, counts)}, tuple(mixes))
        if job.hospitals is not None:
            self.require(job.epoch)
            score = partial(own_score, own.table.values, job.plan)
            compared = await compare(evaluator, cells, counts, job.hospitals, rules, score)
            return Outcome(counts, told(job.hospitals, compared))
        return Outcome(counts, {})

    def _modelling(self, job: Job, keep: Callable[[CaseMix], None]) -> Modelling | None:
        """What a regression does besides counting."""
        if job.own.patterns is None:
            return None
        return Modelling(
            job.plan,
            job.impossible,
            AllOrNone(job.impossible),
            job.own.patterns,
            len(self._workshop.charter.contributors),
            keep=keep,
            before_step=partial(self.require, job.epoch),
        )
