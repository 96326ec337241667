"""What an amendment changes, in sentences that those who sign it read: Dutch and English.

Everything that a charter says is compared; what differs in its bytes only – comments, order of keys – is said so.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import attrs

from nskd.governance.charter import Centre, Charter, Purpose
from nskd.governance.steward import Steward
from nskd.packs.codebook import Text

_RULES: Final = {
    "threshold": Text("kleinste aantal kinderen in een cel", "least number of children in a cell"),
    "insider": Text("ook zonder de eigen kinderen van één centrum", "also without any one centre's own children"),
    "centres_min": Text("kleinste aantal centra in een cel", "least number of centres in a cell"),
    "dominance": Text("hoogste aandeel van één centrum, in %", "most that one centre has, in %"),
    "nk": Text("hoogste aandeel van twee centra, in %", "most that two centres have, in %"),
    "p_percent": Text("p%-regel", "p % rule"),
    "rounding": Text("afronding op veelvouden van", "rounding to multiples of"),
    "zeros": Text("nullen", "zeros"),
    "differencing": Text("vergelijking met eerdere tabellen", "comparison with earlier tables"),
    "hospital_points": Text("punten van ziekenhuizen in een trechterfiguur", "hospitals' points in a funnel plot"),
    "overdispersion": Text("spreiding tussen ziekenhuizen (φ)", "variation between hospitals (φ)"),
    "models": Text("regressiemodellen toegestaan", "regression models allowed"),
}
_FIELDS: Final = {
    "title": Text("naam", "title"),
    "address": Text("adres", "address"),
    "noise_key": Text("sleutel voor verbindingen", "channel key"),
    "signing_key": Text("sleutel voor ondertekening", "signing key"),
    "roles": Text("rollen", "roles"),
    "approvals_needed": Text("beslissers die moeten goedkeuren", "stewards who must approve"),
    "text": Text("tekst", "text"),
    "legal_basis": Text("grondslag", "legal basis"),
    "ehds": Text("letter van EHDS artikel 53(1)", "letter of EHDS Article 53(1)"),
    "valid_until": Text("laatste dag", "last day"),
}
_CENTRE_FIELDS: Final = ("title", "address", "noise_key", "signing_key", "roles", "approvals_needed")
_PURPOSE_FIELDS: Final = ("text", "legal_basis", "ehds", "valid_until")


def changes(before: Charter, after: Charter) -> tuple[Text, ...]:
    """Every difference, the most important first: who takes part, what for, under which rules, the rest."""
    found = (
        *_of_centres(before, after),
        *_of_purposes(before, after),
        *_of_rules(before, after),
        *_of_the_rest(before, after),
    )
    if not found and before.raw != after.raw:
        return (
            Text(
                "Alleen de opmaak of het commentaar is anders, of het versienummer.",
                "Only layout or comments differ, or the version's number.",
            ),
        )
    return found


def _of_centres(before: Charter, after: Charter) -> Iterator[Text]:
    for centre in after.centres:
        if before.find(centre.name) is None:
            who = f"{centre.name} ({centre.title}, {centre.address})"
            yield Text(f"Nieuw centrum: {who}.", f"New centre: {who}.")
            for steward in centre.stewards:
                yield _steward(centre, steward, "beslist voor", "decides for")
    for centre in before.centres:
        if after.find(centre.name) is None:
            yield Text(f"{centre.name} ({centre.title}) doet niet meer mee.", f"{centre.name} ({centre.title}) leaves.")
    for centre in after.centres:
        was = before.find(centre.name)
        if was is not None:
            yield from _fields(f"Centrum {centre.name}", f"Centre {centre.name}", was, centre, _CENTRE_FIELDS)
            yield from _of_stewards(was, centre)
    kept = [name for name in before.names if name in after.names]
    if kept != [name for name in after.names if name in before.names]:
        order = ", ".join(after.names)
        yield Text(f"De volgorde van de centra wordt {order}.", f"The order of the centres becomes {order}.")


def _of_stewards(before: Centre, after: Centre) -> Iterator[Text]:
    for steward in after.stewards:
        if steward not in before.stewards:
            yield _steward(after, steward, "beslist voortaan voor", "now decides for")
    for steward in before.stewards:
        if steward not in after.stewards:
            yield _steward(after, steward, "beslist niet meer voor", "no longer decides for")


def _steward(centre: Centre, steward: Steward, nl: str, en: str) -> Text:
    who = f"{steward.name} ({steward.fingerprint})"
    return Text(f"{who} {nl} {centre.name}.", f"{who} {en} {centre.name}.")


def _of_purposes(before: Charter, after: Charter) -> Iterator[Text]:
    for purpose in after.purposes:
        was = before.purpose(purpose.id)
        if was is None:
            yield Text(f"Nieuw doel {purpose.id}: {purpose.text}", f"New purpose {purpose.id}: {purpose.text}")
        else:
            yield from _fields(f"Doel {purpose.id}", f"Purpose {purpose.id}", was, purpose, _PURPOSE_FIELDS)
    for purpose in before.purposes:
        if after.purpose(purpose.id) is None:
            yield Text(f"Doel {purpose.id} vervalt.", f"Purpose {purpose.id} is dropped.")


def _of_rules(before: Charter, after: Charter) -> Iterator[Text]:
    for field in attrs.fields(type(after.disclosure)):
        was, now = getattr(before.disclosure, field.name), getattr(after.disclosure, field.name)
        if was != now:
            name = _RULES[field.name]
            yield Text(
                f"Onthullingsregel {field.name} ({name.nl}): {_nl(was)} wordt {_nl(now)}.",
                f"Disclosure rule {field.name} ({name.en}): {_en(was)} becomes {_en(now)}.",
            )


def _of_the_rest(before: Charter, after: Charter) -> Iterator[Text]:
    for was, now, nl, en in (
        (before.workshop, after.workshop, "De werkplaats heet", "The workshop's id"),
        (before.title, after.title, "De titel", "The title"),
        (before.pack, after.pack, "Het codeboek", "The codebook"),
        (before.pack_digest, after.pack_digest, "De uitgave van het codeboek", "The codebook's edition"),
    ):
        if was != now:
            yield Text(f"{nl}: {_nl(was)} wordt {_nl(now)}.", f"{en}: {_en(was)} becomes {_en(now)}.")


def _fields(
    nl: str, en: str, before: Centre | Purpose, after: Centre | Purpose, names: tuple[str, ...]
) -> Iterator[Text]:
    for name in names:
        was, now = getattr(before, name), getattr(after, name)
        if was != now:
            label = _FIELDS[name]
            yield Text(
                f"{nl}, {label.nl}: {_nl(was)} wordt {_nl(now)}.", f"{en}, {label.en}: {_en(was)} becomes {_en(now)}."
            )


def _nl(value: object) -> str:
    return _shown(value, nothing="niets", yes="ja", no="nee")


def _en(value: object) -> str:
    return _shown(value, nothing="nothing", yes="yes", no="no")


def _shown(value: object, *, nothing: str, yes: str, no: str) -> str:
    if value is None:
        return nothing
    if isinstance(value, bool):
        return yes if value else no
    if isinstance(value, bytes):
        return f"{value.hex()[:12]}…"
    if isinstance(value, frozenset):
        return ", ".join(sorted(value))
    return str(value)
