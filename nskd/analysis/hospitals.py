"""A funnel's hospitals: what the charter lets be told of them, what each makes of its own counts, what is released."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from nskd.analysis.population import Population
from nskd.analysis.table import TablePlan
from nskd.governance.disclosure import DisclosureRules, HospitalPoints
from nskd.governance.question import NO, OF, YES, Kind, Measure
from nskd.packs.codebook import TOTAL
from nskd.statistics.funnel import z_score
from protocol.online.hospitals import Compared, Hospitals
from protocol.online.overdispersion import SCORE_MAX, SCORE_UNIT

_PHI_DIGITS = 3
_NOT_ANY = np.zeros(0, dtype=np.int64)


@attrs.frozen
class Places:
    """The cells of a funnel's table: visits or children with the event, the others, and all."""

    events: int
    others: int
    size: int

    @classmethod
    def of(cls, plan: TablePlan) -> Places:
        """In the plan of a funnel."""
        cell = {levels[OF]: index for index, levels in enumerate(plan.cells)}
        return cls(cell[YES], cell[NO], cell[TOTAL])


def hospitals(
    agreed: DisclosureRules, parties: Sequence[int], plan: TablePlan, near: NDArray[np.int64] = _NOT_ANY
) -> Hospitals | None:
    """What the charter lets be told of the contributing ``parties``; None if nothing, or for what is no funnel.

    ``near`` are the pairs with cells of earlier funnels, among all pairs of cells that are compared.
    """
    points = agreed.hospital_points is HospitalPoints.SHUFFLED
    if plan.reading.kind is not Kind.FUNNEL or not (points or agreed.overdispersion):
        return None
    cell = Places.of(plan)
    return Hospitals(tuple(parties), cell.events, cell.others, cell.size, points, agreed.overdispersion, near)


def own_score(values: NDArray[np.uint64], plan: TablePlan, events: int, size: int) -> int:
    """This centre's z² in tenths, clipped, from its own counts and the released ones (step 17.4)."""
    cell = Places.of(plan)
    own_size = int(values[cell.size])
    if not own_size:
        return 0
    z = z_score(int(values[cell.events]), own_size, events / size)
    return min(round(SCORE_UNIT * z * z), SCORE_MAX)


def own_point(people: Population, plan: TablePlan) -> tuple[int, int]:
    """This centre's (events, size), from who it contributed: for its own eyes."""
    with_event = people.cell == Places.of(plan).events
    if plan.measure is Measure.CHILDREN:
        return len(np.unique(people.person[with_event])), len(np.unique(people.person))
    return int(people.visits[with_event].sum()), int(people.visits.sum())


def told(asked: Hospitals | None, found: Compared) -> dict[str, object]:
    """What a release says of hospitals: nothing where nothing was asked, null where it may not be told.

    ``phi`` is Σz² over their number; ``points`` are pairs of events and size, in an order that says nothing.
    """
    said: dict[str, object] = {}
    if asked is not None and asked.overdispersion:
        count = SCORE_UNIT * len(asked.parties)
        said["phi"] = None if found.scores is None else round(found.scores / count, _PHI_DIGITS)
    if asked is not None and asked.points:
        said["points"] = [list(point) for point in found.points or ()] or None
    return said
