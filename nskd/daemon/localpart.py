"""What this centre contributes to one table: counts, and the children by which its cells differ from earlier ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs
import numpy as np

from nskd.analysis.pairs import corresponding
from nskd.analysis.population import NOBODY, Population, differences, population
from nskd.analysis.populations import Record
from nskd.analysis.table import TablePlan
from nskd.daemon.history import Earlier
from nskd.data.load import Dataset
from nskd.data.patterns import Patterns, local_patterns
from nskd.data.query import LocalTable, local_members, local_table
from nskd.governance.question import AsRegression
from protocol.online.differences import NO_DIFFERENCES, Differences


@attrs.frozen(eq=False, repr=False)
class Contribution:
    """All of it; ``population`` stays here, for the tables that come later.  ``patterns``: the rows of a model."""

    table: LocalTable
    differences: Differences
    population: Population
    patterns: Patterns | None = None


class LocalPart:
    """Counts on the hospital's own rows; None for a centre that computes without contributing, and adds nothing."""

    def __init__(self, dataset: Dataset | None, person_key: bytes, recorded: Callable[[bytes], Record | None]) -> None:
        self._dataset = dataset
        self._person_key = person_key
        self._recorded = recorded

    def contribution(self, plan: TablePlan, earlier: Sequence[Earlier]) -> Contribution:
        """Count; each earlier table is taken as it was contributed to, if it was, else as its rows are now."""
        own = self._members(plan)
        cells, children = [NO_DIFFERENCES.cell], [NO_DIFFERENCES.children]
        for each in earlier:
            record = self._recorded(each.request)
            before = self._members(each.plan) if record is None else record.population
            pairs = corresponding(plan, each.plan)
            cells.append(pairs[0])
            children.append(np.array(differences(own, plan.shape, before, each.plan.shape, pairs), dtype=np.uint64))
        differing = Differences(np.concatenate(cells), np.concatenate(children))
        patterns = local_patterns(self._dataset, plan) if isinstance(plan.reading, AsRegression) else None
        return Contribution(self._table(plan), differing, own, patterns)

    def _table(self, plan: TablePlan) -> LocalTable:
        if self._dataset is None:
            return LocalTable(np.zeros(plan.size, np.uint64), np.zeros(plan.size, np.uint64))
        return local_table(self._dataset, plan)

    def _members(self, plan: TablePlan) -> Population:
        if self._dataset is None:
            return NOBODY
        return population(local_members(self._dataset, plan), self._person_key)
