"""What all requests have in common: whom they are about, what they are for, and the text that is signed.

Each step gives a new request and checks what is known so far against the pack's codebook, so that a slip of the
keyboard shows where it is made.  The daemon checks it all again, with what only it knows: charter, permits, earlier
tables.
"""

from __future__ import annotations

import abc
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Self

import attrs

from nskd.errors import OperatorError
from nskd.governance.request_text import RequestError, parse_request
from nskd.packs.codebook import closest
from nskd.packs.pack import Pack

if TYPE_CHECKING:
    from nskd.analysis.table import TablePlan

_UNNAMED: Final = "…"  # stands in for a title until there is one
_UNKNOWN: Final = "x"


def names_of(given: str | Iterable[str]) -> tuple[str, ...]:
    """One name or several."""
    return (given,) if isinstance(given, str) else tuple(given)


def one_or_more(names: Sequence[str]) -> str | list[str] | None:
    """Names as a request has them; None for none."""
    return list(names) if len(names) > 1 else next(iter(names), None)


@attrs.frozen(repr=False, kw_only=True)
class Request(abc.ABC):
    """Counts over the visits for which ``condition`` holds, whatever is made of them.

    Every step returns a new one.  Raises an :class:`~nskd.errors.OperatorError` for what no centre would take.
    """

    pack: Pack = attrs.field(eq=False)
    measure: str = "children"
    condition: str | None = None
    title: str | None = None
    purpose: str | None = None
    permit: str | None = None

    def __attrs_post_init__(self) -> None:
        """Refuse at once what no centre would take."""
        variables = self.plan().variables
        if self.purpose is not None:
            _check_purpose(self.purpose, variables, self.pack)

    # --- building -------------------------------------------------------------------------------------------

    def where(self, condition: str) -> Self:
        """Only the visits for which this holds: an SQL condition over codebook variables; a second one narrows it."""
        both = condition if self.condition is None else f"({self.condition}) AND ({condition})"
        return attrs.evolve(self, condition=both)

    def titled(self, title: str) -> Self:
        """What the stewards read first."""
        return attrs.evolve(self, title=title)

    def for_purpose(self, purpose: str) -> Self:
        """The id of the charter's purpose that it serves."""
        return attrs.evolve(self, purpose=purpose)

    def under_permit(self, permit: str) -> Self:
        """The id of the permit that it keeps to."""
        return attrs.evolve(self, permit=permit)

    # --- what it says ---------------------------------------------------------------------------------------

    @property
    def text(self) -> str:
        """The request as TOML: what is submitted, signed and approved, word for word."""
        if self.title is None:
            raise OperatorError("it has no title yet", where="request", remedy='Add .titled("…"): stewards read it.')
        if self.purpose is None:
            ids = ", ".join(purpose.id for purpose in self.pack.purposes)
            raise OperatorError("it has no purpose yet", where="request", remedy=f'Add .for_purpose("…"): {ids}.')
        return self._document(self.title, self.purpose)

    def plan(self) -> TablePlan:
        """The cells that it would count."""
        from nskd.analysis.table import plan_request  # brings the SQL parser

        document = self._document(self.title or _UNNAMED, self.purpose or _UNKNOWN)
        return plan_request(self.pack.codebook, parse_request(document.encode(errors="surrogatepass")))

    def __repr__(self) -> str:
        return self._document(self.title, self.purpose)

    @abc.abstractmethod
    def _kind(self) -> str: ...

    @abc.abstractmethod
    def _own(self) -> Mapping[str, Any]:
        """The keys of its kind, in the order in which they are written; None is left out."""

    def _document(self, title: str | None, purpose: str | None) -> str:
        keys: dict[str, Any] = {
            "kind": self._kind(),
            "title": title,
            "purpose": purpose,
            "measure": self.measure,
            "where": self.condition,
            "permit": self.permit,
            **self._own(),
        }
        return "".join(_written(key, value) for key, value in keys.items() if value is not None)


def _written(key: str, value: Any) -> str:
    """A line of TOML, or a table of it for each of several mappings."""
    if isinstance(value, list) and value and isinstance(value[0], Mapping):
        return "".join(f"\n[[{key}]]\n{''.join(_written(*item) for item in each.items())}" for each in value)
    return f"{key} = {json.dumps(value, ensure_ascii=False)}\n"  # a JSON text, number or list is a TOML one


def _check_purpose(purpose: str, variables: Iterable[str], pack: Pack) -> None:
    """A variable serves the purposes that the pack says, whatever else a charter has."""
    ids = [each.id for each in pack.purposes]
    if purpose not in ids:
        near = closest(purpose, ids)
        remedy = f'Did you mean "{near}"?' if near else f"Choose from {', '.join(ids)}."
        raise RequestError(f'"{purpose[:60]}" is no purpose of pack {pack.name}', where="purpose", remedy=remedy)
    for name in pack.codebook.unsuited(purpose, variables):
        listed = ", ".join(pack.codebook.variables[name].purposes) or "none"
        what = f"variable {name} may not be used for purpose {purpose}"
        raise RequestError(what, where="purpose", remedy=f"Purposes it may serve: {listed}.")
