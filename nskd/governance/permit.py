"""A permit: what a health data access body, or the data holders themselves, allow somebody to ask, and until when.

A JSON file (``configs/permit.json``) that this centre keeps beside its configuration: an EHDS health data permit
(Article 68 of Regulation (EU) 2025/327) or an approved health data request (Article 69), reduced to what a daemon can
check.  A request that names it must keep to it; each centre checks that for itself.
"""

from __future__ import annotations

import datetime
import enum
import json
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import attrs
import msgspec

from nskd.errors import OperatorError
from nskd.governance import limits
from nskd.governance.policy import Refusal, Rule
from nskd.governance.request_text import PERMIT_ID
from nskd.governance.toml import closest, is_plain, shown


class PermitError(OperatorError):
    """A permit that cannot be used; the message names the key."""


class PermitKind(enum.StrEnum):
    """The two forms of the EHDS."""

    PERMIT = "health-data-permit"
    REQUEST = "health-data-request"


_Id = Annotated[str, msgspec.Meta(min_length=1, max_length=limits.PERMIT_ID_CHARS_MAX)]
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=limits.NAME_CHARS_MAX)]
_Month = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{4}-(0[1-9]|1[0-2])\Z")]


class _Period(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    first: _Month
    last: _Month


class _Document(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    format: Literal["nskd permit 1"]
    id: _Id
    kind: PermitKind
    issuer: Annotated[str, msgspec.Meta(min_length=1, max_length=limits.TITLE_CHARS_MAX)]
    holder: _Name
    purposes: Annotated[list[_Name], msgspec.Meta(min_length=1, max_length=limits.PURPOSES_MAX)]
    categories: Annotated[list[_Name], msgspec.Meta(min_length=1, max_length=limits.POLICY_VARIABLES_MAX)]
    period: _Period
    valid_from: datetime.date
    valid_until: datetime.date
    retention_end: datetime.date


@attrs.frozen
class Permit:
    """``holder`` is a centre of the charter, ``purposes`` ids of its purposes, ``categories`` codebook variables.

    ``first`` and ``last`` are months of the data (``2025-03``).  ``valid_until`` and ``retention_end`` are last
    days, in UTC; after the second the results are erased.
    """

    id: str
    kind: PermitKind
    issuer: str
    holder: str
    purposes: frozenset[str]
    categories: frozenset[str]
    first: str
    last: str
    valid_from: datetime.date
    valid_until: datetime.date
    retention_end: datetime.date

    @property
    def erase_at(self) -> int:
        """The first second after its retention, since 1970."""
        day_after = self.retention_end + datetime.timedelta(days=1)
        return int(datetime.datetime.combine(day_after, datetime.time(), datetime.UTC).timestamp())

    def standing(self, today: datetime.date) -> Refusal | None:
        """Why it does not hold on that day; None when it does."""
        if today < self.valid_from:
            what, remedy = f"permit {self.id} holds from {self.valid_from} on", "Wait until then."
            return Refusal(Rule.PERMIT_EARLY, self.id, what, remedy)
        if today > self.valid_until:
            what, remedy = f"permit {self.id} ended on {self.valid_until}", "Have it renewed where it was issued."
            return Refusal(Rule.PERMIT_EXPIRED, self.id, what, remedy)
        return None


@attrs.frozen
class Use:
    """What a request would do with a permit; ``months`` are those from which its filter can select a visit.

    ``months`` is ``None`` where the codebook knows none: then no period can be kept to.
    """

    requester: str
    purpose: str
    variables: Collection[str]
    months: Collection[str] | None


def review_by_permit(
    permit: Permit, use: Use, *, sources: Callable[[str], Collection[str]], today: datetime.date
) -> tuple[Refusal, ...]:
    """Every rule of the permit that a request breaks; empty when it keeps to it."""
    return tuple(_outside(permit, use, sources, today))


def _outside(
    permit: Permit, use: Use, sources: Callable[[str], Collection[str]], today: datetime.date
) -> Iterator[Refusal]:
    over = permit.standing(today)
    if over is not None:
        yield over
    if use.requester != permit.holder:
        what = f"permit {permit.id} is held by {permit.holder}, not by {use.requester}"
        yield Refusal(Rule.PERMIT_HOLDER, use.requester, what, f"Have {permit.holder} submit the request.")
    if use.purpose not in permit.purposes:
        what = f"permit {permit.id} does not cover purpose {use.purpose}"
        yield Refusal(Rule.PERMIT_PURPOSE, use.purpose, what, f"It covers: {', '.join(sorted(permit.purposes))}.")
    for name in dict.fromkeys(use.variables):
        if not _covered(name, permit.categories, sources):
            what = f"permit {permit.id} does not cover variable {name}"
            yield Refusal(Rule.PERMIT_CATEGORY, name, what, "Leave it out, or have the permit extended.")
    outside = sorted(month for month in use.months or () if not permit.first <= month <= permit.last)
    if use.months is None or outside:
        what = f"permit {permit.id} covers {permit.first} to {permit.last}, and the request reaches beyond"
        remedy = f"Add to where: visit_month BETWEEN '{permit.first}' AND '{permit.last}'."
        yield Refusal(Rule.PERMIT_PERIOD, outside[0] if outside else "period", what, remedy)


def _covered(name: str, categories: Collection[str], sources: Callable[[str], Collection[str]]) -> bool:
    """Whether a variable is listed, or tells no more than listed ones do: it is derived from these alone."""
    derived_from = sources(name)
    return name in categories or (
        bool(derived_from) and all(_covered(source, categories, sources) for source in derived_from)
    )


@attrs.frozen
class Permits:
    """All permits that this centre knows; ``required`` when a request without one is refused."""

    permits: tuple[Permit, ...] = ()
    required: bool = False

    def find(self, permit_id: str) -> Permit | None:
        """Return the permit of that id, if any."""
        return next((permit for permit in self.permits if permit.id == permit_id), None)

    def review(
        self,
        permit_id: str | None,
        use: Callable[[], Use],
        *,
        sources: Callable[[str], Collection[str]],
        today: datetime.date,
    ) -> tuple[Refusal, ...]:
        """Every rule of the permit it names that a request breaks; ``use`` is asked only when there is one."""
        if permit_id is None:
            if not self.required:
                return ()
            what, remedy = "this centre takes no request without a permit", 'Name one: permit = "…".'
            return (Refusal(Rule.PERMIT_REQUIRED, "permit", what, remedy),)
        permit = self.find(permit_id)
        if permit is None:
            near = closest(permit_id, [permit.id for permit in self.permits])
            what = f"this centre knows no permit {shown(permit_id)}{near}"
            remedy = "Have the permit put into the directory that [governance] permits names."
            return (Refusal(Rule.PERMIT_UNKNOWN, permit_id, what, remedy),)
        return review_by_permit(permit, use(), sources=sources, today=today)


def parse_permit(raw: bytes, *, where: str = "permit") -> Permit:
    """Read a permit; :class:`PermitError` and nothing else comes out of bad input."""

    def fault(key: str, what: str, remedy: str = "Correct that key, as the permit says.") -> PermitError:
        return PermitError(what, where=f"{where}: {key}" if key else where, remedy=remedy)

    if len(raw) > limits.PERMIT_BYTES_MAX:
        raise fault("", f"{len(raw)} bytes is more than the {limits.PERMIT_BYTES_MAX} allowed", "Shorten it.")
    try:
        document = json.loads(raw.decode("utf-8"), object_pairs_hook=_once)
    except _TwiceError as exc:
        raise fault("", str(exc), "Write it once.") from None
    except (ValueError, RecursionError):
        raise fault("", "it is not a JSON document in UTF-8", "See configs/permit.json.") from None
    try:
        read = msgspec.convert(document, _Document)
    except msgspec.ValidationError as exc:
        raise fault(*_sentence(exc)) from None
    texts = {"id": read.id, "issuer": read.issuer, "holder": read.holder}
    texts |= {f"purposes[{i}]": text for i, text in enumerate(read.purposes)}
    texts |= {f"categories[{i}]": text for i, text in enumerate(read.categories)}
    for key, text in texts.items():
        if not is_plain(text) or text != text.strip():
            raise fault(key, "the text has invisible characters, or space around it", "Type it anew without them.")
    if not PERMIT_ID.fullmatch(read.id):
        raise fault("id", f"{shown(read.id)} is not an id of letters, digits and . _ / -")
    for first, last in (("valid_from", "valid_until"), ("valid_until", "retention_end")):
        if getattr(read, first) > getattr(read, last):
            raise fault(last, f"it lies before {first}")
    if read.period.first > read.period.last:
        raise fault("period", "its last month lies before its first")
    if read.retention_end.year > limits.YEAR_MAX:
        raise fault("retention_end", f"the year {read.retention_end.year} is out of bounds")
    return Permit(
        id=read.id,
        kind=read.kind,
        issuer=read.issuer,
        holder=read.holder,
        purposes=frozenset(read.purposes),
        categories=frozenset(read.categories),
        first=read.period.first,
        last=read.period.last,
        valid_from=read.valid_from,
        valid_until=read.valid_until,
        retention_end=read.retention_end,
    )


def load_permits(paths: Collection[Path], *, required: bool = False) -> Permits:
    """Read permit files, and all ``*.json`` of directories; raises :class:`PermitError`."""
    found: dict[str, tuple[Permit, Path]] = {}
    for path in [each for given in paths for each in _files(given)]:
        permit = parse_permit(_read(path), where=str(path))
        if permit.id in found:
            what = f"permit {permit.id} is also in {found[permit.id][1]}"
            raise PermitError(what, where=str(path), remedy="Keep one of the two files.")
        found[permit.id] = permit, path
        if len(found) > limits.PERMITS_MAX:
            what = f"there are more than {limits.PERMITS_MAX} permits"
            raise PermitError(what, where=str(path), remedy="Take away those whose retention has ended.")
    return Permits(tuple(permit for permit, _ in found.values()), required)


def _files(path: Path) -> list[Path]:
    try:
        return sorted(path.glob("*.json")) if path.is_dir() else [path]
    except OSError as exc:
        raise _unreadable(path, exc) from None


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(limits.PERMIT_BYTES_MAX + 1)
    except OSError as exc:
        raise _unreadable(path, exc) from None


def _unreadable(path: Path, error: OSError) -> PermitError:
    return PermitError(
        f"cannot be read: {error.strerror}", where=str(path), remedy="Check the path and its permissions."
    )


class _TwiceError(ValueError):
    pass


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of a JSON document, in which no key may stand twice: readers disagree on which of two counts."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _TwiceError("a key stands in it twice")
    return found


def _sentence(error: msgspec.ValidationError) -> tuple[str, str]:
    """The key, and the library's sentence about it."""
    what, _, place = str(error).partition(" - at `$")
    what = "".join(c if c.isprintable() else "?" for c in what.replace("`", "'"))
    return place.rstrip("`").lstrip(".") or "?", what[:1].lower() + what[1:]
