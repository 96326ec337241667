"""What the charter's disclosure rules ask of one table."""

from __future__ import annotations

from nskd.analysis.table import TablePlan
from nskd.governance.disclosure import DisclosureRules, Zeros
from nskd.governance.question import Measure
from protocol.online.rules import Dominance, Rules


def rules_for(agreed: DisclosureRules, plan: TablePlan) -> Rules:
    """The rules as the joint part takes them.

    Dominance is for magnitudes: a child may have many visits, and a centre many of a few children.  In a number of
    distinct children everybody weighs the same, and the rules on children and centres say all there is to say.
    """
    magnitude = plan.measure is Measure.VISITS
    return Rules(
        threshold=agreed.threshold,
        insider=agreed.insider,
        centres=agreed.centres_min,
        show_zeros=agreed.zeros is Zeros.SHOW,
        rounding=agreed.rounding,
        dominance=Dominance(agreed.dominance, agreed.nk, agreed.p_percent) if magnitude else None,
    )
