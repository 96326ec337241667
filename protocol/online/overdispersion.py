"""The sum of squared z-scores that parties make of their own counts (``docs/protocol.md``, steps 17.4 to 17.6).

What it tells of one hospital when others put theirs together is derived there; callers settle who may ask for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from protocol import field
from protocol.errors import Fault, LocalProtocolError, RemoteProtocolError
from protocol.material import Cost
from protocol.online.arithmetic import Evaluator
from protocol.online.comparison import comparison_cost, is_negative
from protocol.online.rounding import rounded, rounding_cost
from protocol.shares import concatenate, total

SCORE_UNIT: Final = 10  # z² is a number of tenths
_SCORE_BITS: Final = 10
SCORE_MAX: Final = (1 << _SCORE_BITS) - 1  # |z| is clipped at 10.1
SCORE_ROUNDING: Final = 5  # the sum is told in halves


def overdispersion_cost(count: int) -> Cost:
    """What :func:`overdispersion` among so many contributors consumes."""
    cost = Cost(masks=1) + comparison_cost(_SCORE_BITS + 1, count)
    return cost + rounding_cost(SCORE_ROUNDING, 1)


async def overdispersion(evaluator: Evaluator, own: int, contributors: Sequence[int]) -> int:
    """Σs over all contributors, rounded; ``own`` is this party's z² in tenths, at most :data:`SCORE_MAX`.

    Raises :class:`RemoteProtocolError` ``inconsistent-contribution``, naming a party that inputs no such number.
    """
    if not 0 <= own <= SCORE_MAX:
        raise LocalProtocolError(f"a squared score of {own} tenths is not between 0 and {SCORE_MAX}")
    party = evaluator.party
    lengths = [int(k in contributors) for k in range(party.parties)]
    scores = await evaluator.inputs(np.full(lengths[party.index], own, dtype=np.uint64), lengths)
    given = [scores[k] for k in contributors]
    # The flag is 0 only for a number in range, whatever was input (step 17.5); for others it need not even be a bit.
    outside = await is_negative(evaluator, concatenate(given), _SCORE_BITS + 1)
    opened = await evaluator.reveal("scores", {"outside": outside})
    for k, flag in zip(contributors, opened["outside"], strict=True):
        if flag:
            raise RemoteProtocolError(Fault.CONTRIBUTION, "a squared z-score out of its bounds", party=k)
    told = await evaluator.reveal("overdispersion", {"sum": await rounded(evaluator, total(given), SCORE_ROUNDING)})
    return int(field.signed(told["sum"])[0])
