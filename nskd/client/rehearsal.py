"""A request over made-up extracts, here and now: what the answer would look like, without a daemon or anybody's data.

Each centre's extract comes from the pack's generator and goes through what a hospital's does: validation, the same SQL.
The numbers are then added up, tested by the charter's rules, closed and rounded in the clear.  Nothing is compared with
earlier tables: a made-up workshop has none.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import attrs
import msgspec
import numpy as np
from numpy.typing import NDArray

from nskd.analysis.agreed import rules_for
from nskd.analysis.clear_rules import Counts, broken, compared, rounded, safe_of
from nskd.analysis.design import Design
from nskd.analysis.hospitals import hospitals, own_score, told
from nskd.analysis.impossible import impossible_cells
from nskd.analysis.regression import OwnRows, Scale, fitted, in_the_clear, model_design
from nskd.analysis.release import AllOrNone, AlsoHide, release_bytes
from nskd.analysis.table import TablePlan
from nskd.client.request import Request
from nskd.client.result import Result, Synthetic
from nskd.data.load import load_visits
from nskd.data.patterns import Patterns, local_patterns
from nskd.data.query import LocalTable, check_values, local_table
from nskd.errors import OperatorError
from nskd.governance.charter import load_charter
from nskd.governance.disclosure import KEYS, DisclosureRules, read_disclosure
from nskd.governance.explain.page import Language, say
from nskd.governance.explain.rules import stated_rules
from nskd.governance.limits import CENTRES_MIN_DEFAULT
from nskd.governance.toml import Keys
from nskd.packs.pack import Pack
from nskd.packs.synthetic import generate, write_visits
from protocol.limits import PARTIES_MAX, PARTIES_MIN
from protocol.online.disclosure import Release

MARGINS: Final = "margins"  # the reason of a cell that is closed to protect another


@attrs.frozen
class Cast:
    """Who takes part in a rehearsal: so many made-up centres with so many visits each; None: as the pack has it."""

    centres: int = 3
    seed: int = 1
    visits: int | None = None

    def __attrs_post_init__(self) -> None:
        if not PARTIES_MIN <= self.centres <= PARTIES_MAX:
            raise OperatorError(
                f"{self.centres} centres are not a workshop",
                where="centres",
                remedy=f"Give {PARTIES_MIN} to {PARTIES_MAX}.",
            )


def rules_of(charter: Path | None, centres: int) -> DisclosureRules:
    """The disclosure rules of a charter; without one those that a charter for so many centres begins with."""
    if charter is not None:
        return load_charter(charter).disclosure
    table: dict[str, object] = {"centres_min": min(centres, CENTRES_MIN_DEFAULT)}
    return read_disclosure(
        Keys(table, allowed=KEYS, where="the usual rules", error=OperatorError), contributors=centres
    )


def rehearse(request: Request, cast: Cast, agreed: DisclosureRules, language: Language) -> Result:
    """Compute a request over made-up extracts.  Raises an ``OperatorError``."""
    plan = request.plan()
    parts = [_contribution(request.pack, plan, cast, centre) for centre in range(cast.centres)]
    values = np.array([each.values for each, _ in parts], dtype=np.int64)
    children = np.array([each.children for each, _ in parts], dtype=np.int64)
    rows = [patterns for _, patterns in parts if patterns is not None]
    impossible = impossible_cells(plan)
    reasons = broken(values, children, rules_for(agreed, plan))
    safe = safe_of(reasons)
    counted = AllOrNone(impossible)
    shown = (counted if rows else AlsoHide(plan.shape, impossible))(safe)
    totals = np.where(shown, rounded(values.sum(axis=0), agreed.rounding), 0)
    reasons[MARGINS] = safe & ~shown
    raw = release_bytes(
        plan,
        shown,
        totals,
        impossible,
        rounding=agreed.rounding,
        request=b"",
        title=request.title or "",
        further={"model": _model(plan, impossible, counted, totals, rows)}
        if rows
        else _apart(plan, agreed, values, children, Release(shown, totals)),
    )
    release: dict[str, Any] = msgspec.json.decode(raw)
    del release["request"]  # nobody was asked
    return Result(
        title=request.title or "",
        release=release,
        rules=tuple(say(each, language) for each in stated_rules(agreed, plan.reading.kind, but=("differencing",))),
        codebook=request.pack.codebook,
        synthetic=Synthetic(cast.centres, cast.seed, _counted(reasons, impossible)),
    )


def _apart(
    plan: TablePlan, agreed: DisclosureRules, values: Counts, children: Counts, released: Release
) -> Mapping[str, object]:
    """What a funnel would tell of each centre."""
    asked = hospitals(agreed, range(len(values)), plan)
    if asked is None:
        return {}
    scored = partial(_scores, plan, values)
    return told(asked, compared(values, children, released, asked, rules_for(agreed, plan), scored))


def _scores(plan: TablePlan, values: Counts, events: int, size: int) -> list[int]:
    return [own_score(each.astype(np.uint64), plan, events, size) for each in values]


def _contribution(pack: Pack, plan: TablePlan, cast: Cast, centre: int) -> tuple[LocalTable, Patterns | None]:
    """What one made-up centre counts, in the way a real one does; and the rows of a model, if it is for one."""
    with tempfile.TemporaryDirectory(prefix="nskd-rehearsal-") as name:
        path = Path(name) / "visits.parquet"
        write_visits(generate(pack, seed=cast.seed, centre=centre, visits=cast.visits), path)
        with load_visits(path, pack.codebook) as dataset:
            own = local_table(dataset, plan)
            patterns = local_patterns(dataset, plan) if plan.stacked else None
    check_values(own, plan, cast.centres)
    return own, patterns


def _model(
    plan: TablePlan,
    impossible: NDArray[np.bool_],
    counted: AllOrNone,
    totals: NDArray[np.int64],
    rows: list[Patterns],
) -> dict[str, Any]:
    """The model over all made-up centres, or why there is none."""
    design = model_design(plan, impossible, counted, totals)
    if not isinstance(design, Design):
        return design
    scale = Scale.of(plan)
    estimates = in_the_clear(design, [OwnRows.of(design, each, scale) for each in rows])
    return fitted(design, estimates, scale, len(rows))


def _counted(reasons: dict[str, NDArray[np.bool_]], impossible: NDArray[np.bool_]) -> dict[str, int]:
    """How many closed cells broke each rule; a cell may break several."""
    counts = Counter({rule: int((cells & ~impossible).sum()) for rule, cells in reasons.items()})
    return {rule: count for rule, count in counts.items() if count}
