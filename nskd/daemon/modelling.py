"""The part of a run that fits a model, once its counts have been released (``docs/protocol.md``, section 18)."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

import attrs
import msgspec
import numpy as np

from nskd.analysis.design import Design
from nskd.analysis.regression import CaseMix, OwnRows, Scale, alike, fitted, model_design
from nskd.analysis.release import AllOrNone
from nskd.analysis.table import TablePlan
from nskd.data.patterns import Patterns
from nskd.governance import limits
from protocol.errors import Fault, RemoteProtocolError
from protocol.online.arithmetic import Evaluator
from protocol.online.disclosure import Pattern, Release
from protocol.online.regression import Status, regression
from protocol.party import Part, Party, octets

_DUE: Final = "the model on record is told as no such text"


@attrs.frozen(eq=False, repr=False)
class Modelling:
    """One centre's side of it.

    ``keep`` gets what the model says of this centre's own rows, which goes nowhere; ``before_step`` may raise.
    """

    plan: TablePlan
    impossible: Pattern
    counted: AllOrNone
    patterns: Patterns
    contributors: int
    keep: Callable[[CaseMix], None]
    before_step: Callable[[], None]

    async def fit(self, evaluator: Evaluator, counts: Release) -> dict[str, Any]:
        """Fit the model, if all counts were safe; what a release says of it, or why there is none."""
        design = model_design(self.plan, self.impossible, self.counted, counts.values)
        if not isinstance(design, Design):
            return design
        scale = Scale.of(self.plan)
        own = OwnRows.of(design, self.patterns, scale)
        estimates = await regression(evaluator, design.sizes, design, own, before_step=self.before_step)
        case_mix = own.case_mix(estimates.path[-1]) if estimates.status is Status.CONVERGED else None
        if case_mix is not None:
            self.keep(case_mix)
        return fitted(design, estimates, scale, self.contributors)


async def settled(party: Party, model: dict[str, Any], recorded: bytes | None) -> dict[str, Any]:
    """The model on record somewhere, where it is the same but for digits that are chance, or this one (step 18.14).

    ``recorded``: the release that is on record here, if any.  Raises :class:`RemoteProtocolError` if the run gives
    another model than one on record, or there are several.
    """
    own = b"" if recorded is None else _encoded(msgspec.json.decode(recorded)["model"])
    told = {text for k, part in enumerate(await party.broadcast("model", octets(own))) if (text := _text(part, k))}
    if not told:
        return model
    if len(told) > 1 or not alike(model, found := _decoded(next(iter(told)))):
        raise RemoteProtocolError(
            Fault.CONTRIBUTION, "the model differs from one on record: some centre's contribution has changed"
        )
    return found


def _encoded(model: object) -> bytes:
    return json.dumps(model, ensure_ascii=False, separators=(",", ":")).encode()


def _decoded(text: bytes) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(text, type=dict[str, Any])
        canonical = _encoded(found)
    except (ValueError, RecursionError):  # not JSON, not UTF-8, or nested without end
        raise RemoteProtocolError(Fault.MALFORMED, _DUE) from None
    if canonical != text:
        raise RemoteProtocolError(Fault.MALFORMED, _DUE)
    return found


def _text(part: Part, peer: int) -> bytes:
    if part.dtype != np.uint8 or part.ndim != 1 or part.size > limits.RELEASE_BYTES_MAX:
        raise RemoteProtocolError(Fault.MALFORMED, _DUE, party=peer)
    return part.tobytes()
