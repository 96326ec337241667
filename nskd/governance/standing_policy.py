"""A standing policy: a steward's signed word in advance on requests of a certain shape.

A TOML file, signed as ``ssh-keygen -Y sign -n nskd-standing-policy`` does it (by two stewards, one signature after the
other, where the charter asks for two).  A daemon cannot invent one.  An approval that rests on it carries text and
signatures along, so every centre verifies for itself that the policy covers the request (``docs/protocol.md``, 12.8).
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator
from typing import Final

import attrs

from nskd.errors import OperatorError
from nskd.governance import limits, signing
from nskd.governance.charter import NAME, Charter
from nskd.governance.policy import Refusal, Rule
from nskd.governance.question import Kind, TableRequest
from nskd.governance.toml import Keys, read_document, shown

NAMESPACE: Final = "nskd-standing-policy"
_LABEL: Final = "nskd standing policy v1"
_KINDS: Final = tuple(Kind)
_KEYS: Final = (
    "title",
    "workshop",
    "centre",
    "kinds",
    "purposes",
    "requesters",
    "variables",
    "threshold_min",
    "margins",
    "where",
    "per_month",
    "approval_days",
    "valid_until",
)
_VARIABLE: Final = re.compile(r"[a-z][a-z0-9_]{0,62}")
_QUOTED: Final = re.compile(r"'[^']*'")
_WORD: Final = re.compile(r'"([^"]*)"|(\w+)\s*(\()?')
# Words of a condition that are no variables; whatever else occurs in one must be covered.
_KEYWORDS: Final = frozenset(("and", "or", "not", "in", "between", "is", "null", "true", "false"))
_FUNCTIONS: Final = _KEYWORDS | {"abs", "coalesce", "lower", "upper"}


class StandingPolicyError(OperatorError):
    """A standing policy that cannot be used; the message names the key."""


@attrs.frozen
class StandingPolicy:
    """``raw`` are the bytes signed.  Covers what keeps to every field; ``valid_until`` is the last day, in UTC.

    ``margins`` and ``where``: whether a request may have totals, or a filter.  ``per_month``: requests approved in
    one calendar month (UTC).  ``approval_s``: how long each approval holds.
    """

    raw: bytes = attrs.field(repr=False)
    title: str
    workshop: str
    centre: str
    kinds: tuple[str, ...]
    purposes: tuple[str, ...]
    requesters: tuple[str, ...]
    variables: frozenset[str]
    threshold_min: int
    margins: bool
    where: bool
    per_month: int
    approval_s: int
    valid_until: datetime.date

    @property
    def digest(self) -> bytes:
        """Names the policy."""
        return signing.digest(_LABEL, self.raw)

    @property
    def ends_at(self) -> int:
        """The first second after it, since 1970."""
        day_after = self.valid_until + datetime.timedelta(days=1)
        return int(datetime.datetime.combine(day_after, datetime.time(), datetime.UTC).timestamp())


def parse_standing_policy(raw: bytes, *, where: str = "standing policy") -> StandingPolicy:
    """Read a policy's text; :class:`StandingPolicyError` and nothing else comes out of bad input."""
    document = read_document(raw, where=where, bytes_max=limits.STANDING_POLICY_BYTES_MAX, error=StandingPolicyError)
    keys = Keys(document, allowed=_KEYS, where=where, error=StandingPolicyError)
    valid_until = keys.date("valid_until")
    if valid_until is None or valid_until.year > limits.YEAR_MAX:
        raise keys.fault("valid_until", "its last day is missing, or is none", "Write valid_until = 2027-12-31")
    return StandingPolicy(
        raw=raw,
        title=keys.text("title", chars_max=limits.STEWARD_CHARS_MAX, example='"Monthly screening rates"').strip(),
        workshop=_names(keys, "workshop", '"nsk-2026"', 1)[0],
        centre=_names(keys, "centre", '"ziekenhuis-noord"', 1)[0],
        kinds=_chosen(keys, "kinds", _KINDS),
        purposes=_names(keys, "purposes", '["improvement"]', limits.PURPOSES_MAX),
        requesters=_names(keys, "requesters", '["ziekenhuis-zuid"]', limits.CENTRES_MAX),
        variables=frozenset(
            keys.texts(
                "variables",
                count_max=limits.POLICY_VARIABLES_MAX,
                chars_max=limits.NAME_CHARS_MAX,
                example='["age_band", "nsk_positive"]',
                pattern=_VARIABLE,
                meaning="the name of a variable",
            )
        ),
        threshold_min=keys.integer(
            "threshold_min",
            default=limits.THRESHOLD_DEFAULT,
            least=limits.THRESHOLD_MIN,
            most=limits.THRESHOLD_MAX,
        ),
        margins=keys.boolean("margins", default=False),
        where=keys.boolean("where", default=False),
        per_month=keys.integer("per_month", default=1, least=1, most=limits.POLICY_PER_MONTH_MAX),
        approval_s=keys.integer(
            "approval_days",
            default=limits.APPROVAL_VALIDITY_DEFAULT_S // limits.DAY_S,
            least=1,
            most=limits.APPROVAL_VALIDITY_MAX_S // limits.DAY_S,
        )
        * limits.DAY_S,
        valid_until=valid_until,
    )


def _names(keys: Keys, key: str, example: str, most: int) -> tuple[str, ...]:
    return keys.texts(
        key,
        count_max=most,
        chars_max=limits.NAME_CHARS_MAX,
        example=example,
        pattern=NAME,
        meaning="a name of small letters, digits and inner hyphens",
    )


def _chosen(keys: Keys, key: str, choices: tuple[str, ...]) -> tuple[str, ...]:
    return keys.texts(
        key,
        count_max=len(choices),
        chars_max=limits.NAME_CHARS_MAX,
        example=f'["{choices[0]}"]',
        pattern=re.compile("|".join(choices)),
        meaning=f"one of: {', '.join(choices)}",
    )


def review_by_policy(
    policy: StandingPolicy, table: TableRequest, *, requester: str, centre: str, charter: Charter, at: int
) -> tuple[Refusal, ...]:
    """Why the policy of ``centre`` does not cover a request at that time; empty when it does."""
    return tuple(_outside(policy, table, requester, centre, charter, at))


def _outside(
    policy: StandingPolicy, table: TableRequest, requester: str, centre: str, charter: Charter, at: int
) -> Iterator[Refusal]:
    def refusal(rule: Rule, subject: str, what: str) -> Refusal:
        return Refusal(rule, subject, f"the standing policy {what}", "Have a steward decide on this request.")

    if policy.centre != centre or policy.workshop != charter.workshop:
        yield refusal(Rule.POLICY_ELSEWHERE, policy.centre, f"is of {policy.centre} in workshop {policy.workshop}")
    if at >= policy.ends_at:
        yield refusal(Rule.POLICY_EXPIRED, str(policy.valid_until), f"ended on {policy.valid_until}")
    if table.kind not in policy.kinds:
        yield refusal(Rule.POLICY_KIND, table.kind, f"does not cover requests for a {table.kind}")
    if table.purpose not in policy.purposes:
        yield refusal(Rule.POLICY_PURPOSE, table.purpose, f"does not cover purpose {table.purpose}")
    if requester not in policy.requesters:
        yield refusal(Rule.POLICY_REQUESTER, requester, f"does not cover requests of {shown(requester)}")
    for name in sorted(variables_named(table) - policy.variables):
        yield refusal(Rule.POLICY_VARIABLE, name, f"does not cover variable {shown(name)}")
    if charter.disclosure.threshold < policy.threshold_min:
        yield refusal(
            Rule.POLICY_THRESHOLD,
            str(charter.disclosure.threshold),
            f"asks for a threshold of {policy.threshold_min}, the charter's is {charter.disclosure.threshold}",
        )
    if table.margins and not policy.margins:
        yield refusal(Rule.POLICY_MARGINS, "margins", "does not cover tables with totals")
    if table.where is not None and not policy.where:
        yield refusal(Rule.POLICY_WHERE, "where", "does not cover requests with a filter")


def variables_named(table: TableRequest) -> frozenset[str]:
    """Every variable a request names, those in its conditions included; whether they exist is the codebook's to say."""
    named = set(table.variables)
    conditions = " ".join(table.conditions)
    for quoted, word, called in _WORD.findall(_QUOTED.sub(" ", conditions)):
        name = (quoted or word).lower()
        if quoted or not (name in (_FUNCTIONS if called else _KEYWORDS) or name.isdigit()):
            named.add(name)
    return frozenset(named)


def month_of(moment: int) -> tuple[int, int]:
    """The first second of a moment's calendar month (UTC), and the first one after that month."""
    first = datetime.datetime.fromtimestamp(moment, datetime.UTC).replace(
        day=1, hour=0, minute=0, second=0, microsecond=0
    )
    following = (first + datetime.timedelta(days=31)).replace(day=1)
    return int(first.timestamp()), int(following.timestamp())
