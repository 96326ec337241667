"""What the kinds with a numerator and a denominator share: rate, control chart, funnel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from nskd.governance.explain.words import same
from nskd.governance.question import NO, OF, YES
from nskd.packs.codebook import Codebook, Text, VariableType
from nskd.packs.conditions import Period as Calendar
from nskd.report.document import Section
from nskd.report.parts import ASKED, View, spoken
from nskd.report.plots.forest import Row
from nskd.report.released import Group, Released
from nskd.report.words import count
from nskd.statistics.binomial import Proportion, proportion, share
from nskd.statistics.figure import Count

YES_NO: Final = (YES, NO)
SHARE: Final = Text("aandeel", "share")


def groups(view: View) -> tuple[Group, ...]:
    """The counts that meet the numerator's condition or do not, group by group."""
    view.released.axis(OF, levels=YES_NO)
    return view.released.groups(OF)


def share_of(group: Group, released: Released) -> Proportion:
    """The share that meets it: of visits yes of yes and no, of children those with such a visit of all."""
    yes = group.count("yes")
    if released.children:
        return proportion(yes, group.count("total"), rounding=released.rounding)
    return share(yes, group.count("no"), rounding=released.rounding)


def size_of(group: Group, released: Released) -> Count:
    """The denominator of that share."""
    if released.children:
        return group.count("total")
    yes, no = group.count("yes"), group.count("no")
    return None if yes is None or no is None else yes + no


def condition(view: View) -> Text:
    """The numerator's condition in words."""
    said = view.said(view.released.axis(OF)[0].where)
    if view.released.children:
        return Text(f"ten minste één bezoek waarvoor geldt: {said.nl}", f"at least one visit for which: {said.en}")
    return said


def asked(view: View, *, more: Sequence[Text] = ()) -> Section:
    """The question in words."""
    whom, counted, of = view.selected(), view.counted, condition(view)
    by = view.released.by(OF)
    said = [
        Text(f"Noemer: {whom.nl}.", f"Denominator: {whom.en}."),
        Text(f"Teller, daarvan: {counted.nl} met {of.nl}.", f"Numerator, of these: {counted.en} with {of.en}.")
        if view.released.children
        else Text(f"Teller, daarvan die waarvoor geldt: {of.nl}.", f"Numerator, those of these for which: {of.en}."),
    ]
    if by:
        names = view.labels.variables(by)
        said.append(Text(f"Uitgesplitst naar {names.nl}.", f"Broken down by {names.en}."))
    return Section(ASKED, (*said, *more))


def overall(view: View, found: Proportion) -> list[Text]:
    """The share of all in a sentence or two."""
    of, whom, counted = condition(view), view.selected(), view.counted
    who = Text(f"van {whom.nl}", f"of {whom.en}") if not view.released.where else same("")
    said = []
    if view.released.where:
        said.append(Text(f"Het gaat om {whom.nl}.", f"This is about {whom.en}."))
        who = Text(f"van deze {counted.nl}", f"of these {counted.en}")
    if found.share.value is None:
        without = spoken(found)
        return [*said, Text(f"Het aandeel van allen samen is {without.nl}.", f"The share of all is {without.en}.")]
    shown = spoken(found)
    numbers = Text(
        f"{count(found.successes)} van {count(found.trials)}", f"{count(found.successes)} of {count(found.trials)}"
    )
    return [
        *said,
        Text(
            f"Voor {shown.nl} {who.nl} geldt: {of.nl}. Dat zijn er {numbers.nl}.",
            f"For {shown.en} {who.en} this holds: {of.en}. That is {numbers.en}.",
        ),
    ]


def row(label: Text, found: Proportion) -> Row:
    """A share as a row of a figure."""
    return Row(label, found.share, f"{count(found.successes)} / {count(found.trials)}")


def counted_how(view: View) -> list[Text]:
    """What numerator and denominator are, for the method; the condition as it is written."""
    where = view.released.axis(OF)[0].where
    said = []
    if where is not None:
        said.append(Text(f"Teller: {where}", f"Numerator: {where}"))
    if view.released.children:
        said.append(
            Text(
                "Van kinderen is de noemer het aantal verschillende kinderen, ook als een kind bezoeken van beide "
                "soorten had.",
                "Of children the denominator is the number of distinct children, also where a child had visits of both "
                "sorts.",
            )
        )
    elif not view.released.rounding.exact:
        said.append(
            Text(
                "De noemer is de som van de twee afgeronde aantallen, niet het afgeronde totaal: zo blijft de marge "
                "het kleinst.",
                "The denominator is the sum of the two rounded counts, not the rounded total: that leaves the smallest "
                "margin.",
            )
        )
    return said


def calendar(name: str, codebook: Codebook) -> bool:
    """Whether a variable is a month, a quarter or a year: its levels are in the order of time."""
    variable = codebook.variables.get(name)
    return variable is not None and (variable.type is VariableType.MONTH or isinstance(variable.derivation, Calendar))


def trimmed(found: Sequence[Group]) -> tuple[Group, ...]:
    """Periods from the first to the last with a count: a codebook's months begin before the data and end after."""
    there = [index for index, group in enumerate(found) if group.count("yes") is not None and size(group)]
    return tuple(found[there[0] : there[-1] + 1]) if there else ()


def size(group: Group) -> int:
    """What is known of how many a group holds."""
    return sum(value or 0 for value in group.counts.values())


def beside(found: Sequence[Group], kept: Sequence[Group]) -> frozenset[tuple[str, ...]]:
    """The keys of the periods left off."""
    return frozenset(group.keys for group in found) - frozenset(group.keys for group in kept)


def left_off(found: Sequence[Group], kept: Sequence[Group]) -> Text:
    """That periods at the ends are left off; nothing if none are."""
    off = len(found) - len(kept)
    if not off:
        return same("")
    return Text(
        f"Perioden aan het begin en aan het eind zonder getoonde aantallen zijn weggelaten: {off}.",
        f"Periods at the beginning and at the end without counts shown are left off: {off}.",
    )
