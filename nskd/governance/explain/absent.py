"""Who does not take part at this moment, and what that means for the request."""

from __future__ import annotations

from collections.abc import Sequence

from nskd.governance.charter import Charter
from nskd.governance.explain import words
from nskd.governance.explain.page import Section
from nskd.governance.presence import Absence, Presence
from nskd.packs.codebook import Text


def absent(absences: Sequence[Absence], own: str, charter: Charter) -> tuple[Section, ...]:
    """Say who has paused or left; no section when nobody has."""
    if not absences:
        return ()
    sentences = [sentence for each in absences for sentence in _one(each, own, charter)]
    if any(each.presence is Presence.LEFT for each in absences):
        sentences.append(
            Text(
                "Onder dit handvest kan deze vraag niet meer worden uitgerekend: dat kan alleen samen.",
                "Under this charter this request cannot be computed any more: that takes all centres together.",
            )
        )
    else:
        sentences.append(
            Text(
                "Zolang dat zo is, wordt er niets uitgerekend. Goedkeuringen die er al zijn, blijven staan.",
                "As long as that is so, nothing is computed. Approvals that have been given stay.",
            )
        )
    return (Section("absent", Text("Wie nu niet meedoet", "Who does not take part now"), tuple(sentences)),)


def _one(absence: Absence, own: str, charter: Charter) -> list[Text]:
    centre = charter.find(absence.centre)
    name, day = absence.centre if centre is None else centre.title, words.moment(absence.since)
    nl, en = (f"Dit centrum ({name})", f"This centre ({name})") if absence.centre == own else (name, name)
    if absence.presence is Presence.LEFT:
        said = Text(f"{nl} heeft de samenwerking op {day.nl} verlaten.", f"{en} left the workshop on {day.en}.")
    else:
        said = Text(f"{nl} heeft zijn deelname sinds {day.nl} onderbroken.", f"{en} has paused since {day.en}.")
    reason = " ".join(absence.reason.split())
    return [said, Text(f"Opgegeven reden: {reason}", f"Reason given: {reason}")] if reason else [said]
