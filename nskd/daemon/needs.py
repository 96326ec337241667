"""What is wanted of the stock: what open requests will use, and what past ones have used, from the ledger.

No account of its own: what a run uses is a function of its request and of the earlier tables it is compared with, and
both are on record.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Final

from nskd.analysis.table import TablePlan
from nskd.control import answers
from nskd.daemon.demand import (
    RUNS_REMEMBERED,
    Policy,
    Shortage,
    Target,
    Use,
    being_filled,
    total_demand,
    worst_shortage,
)
from nskd.daemon.history import History, pairs_of
from nskd.daemon.wanted import Wanted
from nskd.daemon.workshop import Workshop
from nskd.errors import OperatorError
from nskd.governance.ledger import Entry, Ledger
from nskd.governance.lifecycle import State
from nskd.governance.question import TableRequest
from nskd.sessions.kinds import Refusal
from nskd.stockpile import Level, SharedStockpile

_OPEN: Final = (State.SUBMITTED, State.APPROVED, State.FAILED)


class Needs:
    """Compares the stock with what is wanted of it."""

    def __init__(
        self, *, workshop: Workshop, stock: SharedStockpile, wanted: Wanted, policy: Policy, history: History
    ) -> None:
        self._workshop = workshop
        self._earlier = history
        self._stock = stock
        self._wanted = wanted
        self._policy = policy
        self._filling: frozenset[str] = frozenset()
        self._history: list[Use] = []
        self._finished = 0  # requests, when the history was read

    def use_policy(self, policy: Policy) -> None:
        """Keep the stock between other levels from now on."""
        self._policy = policy

    async def shortage(self, coming: Mapping[str, int] | None = None) -> Shortage | None:
        """What to make next, if anything; ``coming`` are items by kind that are being stored."""
        levels = {kind: level.ready for kind, level in self._stock.levels.items()}
        for kind, items in (coming or {}).items():
            levels[kind] = levels.get(kind, 0) + items
        targets = await self._targets()
        self._filling = being_filled(levels, targets, self._filling)
        return worst_shortage(levels, await self._needs(), targets, self._filling)

    async def ample(self, kinds: Collection[str]) -> bool:
        """Whether there is more of all of these than anybody in good order would add to, the disk being finite.

        Of all: masks are made for every owner at once, and used up unevenly.
        """
        levels = {kind: self._stock.levels.get(kind, Level()) for kind in kinds}
        items = {kind: level.ready + level.locked for kind, level in levels.items()}
        if not all(self._policy.is_ample(count, 0) for count in items.values()):
            return False  # as a rule, and without laying out every open request
        requested = total_demand(await self._needs())
        return all(self._policy.is_ample(count, requested.get(kind, 0)) for kind, count in items.items())

    async def rows(self, rates: Mapping[str, float]) -> list[answers.StockRow]:
        """The stock by kind, for the control socket; ``rates`` are items per second, as made last."""
        requested = total_demand(await self._needs())
        targets = await self._targets()
        levels = self._stock.levels
        kinds = [*targets, *sorted({*levels, *requested} - targets.keys())]
        return [
            stock_row(kind, levels.get(kind, Level()), requested.get(kind, 0), targets.get(kind), rates.get(kind))
            for kind in kinds
        ]

    async def _targets(self) -> dict[str, Target]:
        finished = (await self._workshop.ledger(Ledger.counts))[State.DONE]
        if finished != self._finished:
            entries = await self._workshop.ledger(Ledger.entries, states=(State.DONE,), limit=RUNS_REMEMBERED)
            needs = [(entry, await self._need(entry, self._workshop.plan)) for entry in entries]
            self._history = [Use(entry.changed_at, need) for entry, need in needs if need is not None]
            self._finished = finished
        return self._policy.targets(self._history, self._workshop.clock())

    async def _needs(self) -> list[Mapping[str, int]]:
        """What each open request will use, approved ones first; those our own check refuses will not run."""
        entries = await self._workshop.ledger(Ledger.entries, states=_OPEN)
        entries += [await self._workshop.ledger(Ledger.get, digest) for digest in self._wanted]
        entries = [entry for entry in entries if entry.state is not State.FAILED or entry.retryable]
        entries.sort(key=lambda entry: entry.state is State.SUBMITTED)
        needs = [
            await self._need(entry, partial(self._workshop.check, requester=entry.request.centre)) for entry in entries
        ]
        return [need for need in needs if need is not None]

    async def _need(self, entry: Entry, lay_out: Callable[[TableRequest], TablePlan]) -> Mapping[str, int] | None:
        """What a run uses, or would use if it began now; None if its table cannot be laid out, or compared."""
        try:
            plan = lay_out(entry.request.table)
            earlier = await self._earlier.earlier(await self._earlier.listed(entry.request.digest))
            return self._workshop.need(plan, pairs_of(self._workshop, plan, earlier))
        except (OperatorError, Refusal):
            return None


def stock_row(kind: str, level: Level, requested: int, target: Target | None, rate: float | None) -> answers.StockRow:
    """One line of ``stock``."""
    return answers.StockRow(
        kind=kind,
        level=level.ready,
        locked=level.locked,
        requested=requested,
        low=None if target is None else target.low,
        high=None if target is None else target.high,
        marks=None if target is None else "history" if target.raised else "configured",
        per_second=rate,
    )
