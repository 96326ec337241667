"""A follow-up cascade: how many reach each step, of the step before and of the first."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from nskd.governance.explain.words import same
from nskd.governance.question import STEP
from nskd.governance.request_text import NONE
from nskd.packs.codebook import Text
from nskd.report.context import unreadable
from nskd.report.document import REMARK, Block, Cell, Document, Section, Table
from nskd.report.figures import FigureRow, Figures
from nskd.report.kinds import table
from nskd.report.labels import capital
from nskd.report.parts import ASKED, RESULT, View, assemble, closed, counts_section, exact_intervals, spoken
from nskd.report.plots.cascade import CascadePlot
from nskd.report.released import Group, Released, everybody
from nskd.report.words import count, percent_figure
from nskd.statistics.cascade import Stage, cascade, reached
from nskd.statistics.figure import REASONS, Reason


@attrs.frozen
class _Name:
    """A step: its key and what it is called."""

    key: str
    label: Text


def names(released: Released) -> tuple[_Name, ...]:
    """The steps in order, as the reading has them."""
    steps = released.reading.get("steps")
    if not isinstance(steps, list) or not steps or not all(isinstance(each, dict) for each in steps):
        raise unreadable("the release does not name the steps of its cascade")
    found = []
    for each in steps:
        key = str(each.get("key", ""))
        found.append(_Name(key, Text(str(each.get("nl") or key), str(each.get("en") or key))))
    keys = [each.key for each in found]
    if {level.key for level in released.axis(STEP)} != {*keys, NONE} or len(set(keys)) < len(keys):
        raise unreadable("the steps of the release and its counts do not agree")
    return tuple(found)


def words(released: Released) -> dict[str, dict[str, Text]]:
    """What the levels of the axis are called."""
    return {STEP: {each.key: each.label for each in names(released)}}


def document(view: View) -> Document:
    """The page of a cascade."""
    steps, found = names(view.released), view.released.groups(STEP)
    by = view.released.by(STEP)
    whole = everybody(found)
    blocks: list[Block] = []
    stages: tuple[Stage, ...] = ()
    if whole is not None:
        stages = _stages(whole, steps, view.released)
        title = Text("Hoeveel er elke stap bereiken", "How many reach each step")
        blocks.append(CascadePlot(title, stages, tuple(step.label for step in steps)))
        blocks += _where_lost(stages, steps)
    if by:
        blocks.append(_by_group(view, found, steps, by))
    return assemble(
        view,
        summary=[*_summary(view, whole, stages, steps), closed(view)],
        sections=[
            _asked(view, steps),
            Section(RESULT, tuple(blocks)),
            counts_section(view, table.counts(view), _partition()),
        ],
        method=[*_ranges(view.released), *exact_intervals(view.released)],
    )


def figures(view: View) -> Figures:
    """Each step of each group: its number with its range, of the step before and of the first."""
    steps, rows = names(view.released), []
    for group in view.released.groups(STEP):
        for step, stage in zip(steps, _stages(group, steps, view.released), strict=True):
            low, high = stage.step.within or (None, None)
            value = stage.step.count
            note = Reason.SUPPRESSED.value if value is None else "" if low == high else f"from {low} to {high}"
            rows.append(
                FigureRow(group.keys, f"reached:{step.key}", None if value is None else float(value), note=note)
            )
            if stage.of_before is not None:
                rows.append(FigureRow.share(group.keys, f"of-step-before:{step.key}", stage.of_before))
                rows.append(FigureRow.share(group.keys, f"of-first-step:{step.key}", stage.of_first))
    return Figures(view.released.by(STEP), tuple(rows))


def _stages(group: Group, steps: Sequence[_Name], released: Released) -> tuple[Stage, ...]:
    found = reached(
        [step.key for step in steps],
        group.count(NONE),
        [group.count(step.key) for step in steps],
        group.count("total"),
        distinct=released.children,
        rounding=released.rounding,
    )
    return cascade(found)


def _asked(view: View, steps: Sequence[_Name]) -> Section:
    whom, by = view.selected(), view.released.by(STEP)
    conditions = {level.key: level.where for level in view.released.axis(STEP)}
    said = [Text(f"Begonnen is met {whom.nl}.", f"The start is {whom.en}.")]
    before = ""
    for index, step in enumerate(steps, 1):
        where = conditions[step.key] or ""
        of = view.said(_added(where, before))
        before = where
        said.append(Text(f"Stap {index}, {step.label.nl}: {of.nl}.", f"Step {index}, {step.label.en}: {of.en}."))
    said.append(
        Text(
            "Wie een stap bereikt, voldeed ook aan alle stappen ervoor.",
            "Who reaches a step met all steps before it as well.",
        )
    )
    if by:
        over = view.labels.variables(by)
        said.append(Text(f"Uitgesplitst naar {over.nl}.", f"Broken down by {over.en}."))
    return Section(ASKED, tuple(said))


def _added(where: str, before: str) -> str:
    """What a step asks beside all that the one ``before`` does: a release writes them joined, each in parentheses."""
    for start in (f"{before} AND ", f"({before}) AND "):
        if before and where.startswith(start):
            return where.removeprefix(start)
    return where


def _partition() -> Text:
    return Text(
        "Vrijgegeven is per stap wie deze bereikte en geen verdere; samen met wie geen enkele stap bereikte zijn dat "
        "allen. De aantallen in de figuur zijn daaruit opgeteld.",
        "What was released is, for each step, who reached it and none further; with those who reached no step these "
        "are all. The numbers in the figure are sums of these.",
    )


def _summary(view: View, whole: Group | None, stages: Sequence[Stage], steps: Sequence[_Name]) -> list[Text]:
    who = view.counted
    if whole is None or not stages:
        return []
    first, last = stages[0], stages[-1]
    said = [
        Text(
            f"{_number(first)} {who.nl}{_of(whole).nl} bereikten de eerste stap ({steps[0].label.nl}).",
            f"{_number(first)} {who.en}{_of(whole).en} reached the first step ({steps[0].label.en}).",
        )
        if first.step.count is not None
        else Text(
            f"Hoeveel {who.nl} de eerste stap bereikten ({steps[0].label.nl}), is niet getoond.",
            f"How many {who.en} reached the first step ({steps[0].label.en}) is not shown.",
        )
    ]
    if len(stages) > 1:
        share = spoken(last.of_first)
        end = steps[-1].label
        said.append(
            Text(
                f"De laatste stap ({end.nl}) bereikte daarvan {share.nl}.",
                f"The last step ({end.en}) was reached by {share.en} of these.",
            )
            if last.of_first.share.value is not None
            else Text(
                f"Welk deel de laatste stap ({end.nl}) bereikte, is {share.nl}.",
                f"Which part reached the last step ({end.en}) is {share.en}.",
            )
        )
    return said


def _of(whole: Group) -> Text:
    """How many there are at the start, where that is known."""
    everyone = whole.count("total")
    return same("") if everyone is None else Text(f" van {count(everyone)}", f" of {count(everyone)}")


def _number(stage: Stage) -> str:
    return count(stage.step.count)


def _where_lost(stages: Sequence[Stage], steps: Sequence[_Name]) -> list[Text]:
    """At which step most are lost, as far as that is known."""
    known = [
        (stage.of_before.share.value, index)
        for index, stage in enumerate(stages)
        if stage.of_before is not None and stage.of_before.share.value is not None
    ]
    if len(known) < 2:
        return []
    _, index = min(known)
    of_before = stages[index].of_before
    if of_before is None:
        return []
    share, step, before = spoken(of_before), steps[index].label, steps[index - 1].label
    return [
        Text(
            f"Het kleinste deel gaat door van „{before.nl}” naar „{step.nl}”: {share.nl}.",
            f"The smallest part goes on from “{before.en}” to “{step.en}”: {share.en}.",
        )
    ]


def _by_group(view: View, found: Sequence[Group], steps: Sequence[_Name], by: tuple[str, ...]) -> Table:
    """Of each group: the number at the first step, and the share of these at every later one."""
    over = view.labels.variables(by)
    heads = [view.labels.variable(name) for name in by]
    heads += [steps[0].label, *(step.label for step in steps[1:]), REMARK]
    rows: list[tuple[Cell, ...]] = []
    for group in found:
        stages = _stages(group, steps, view.released)
        names = [view.labels.level(name, key) for name, key in zip(by, group.keys, strict=True)]
        shares = [stage.of_first.share for stage in stages[1:]]
        cells = [
            None if each.value is None else Text(percent_figure(each, "nl"), percent_figure(each, "en"))
            for each in shares
        ]
        reasons = dict.fromkeys(each.reason for each in shares if each.reason is not None)
        because = [REASONS[each] for each in reasons]
        remark = Text("; ".join(each.nl for each in because), "; ".join(each.en for each in because))
        rows.append((*names, stages[0].step.count, *cells, remark))
    caption = capital(Text(f"aandeel van de eerste stap naar {over.nl}", f"share of the first step by {over.en}"))
    return Table(caption, tuple(heads), tuple(rows), labels=len(by))


def _ranges(released: Released) -> list[Text]:
    if released.children:
        return [
            Text(
                "Een kind dat vaker kwam, kan bij twee stappen meetellen. Het getoonde aantal is de som en kan daarom "
                "iets te hoog zijn; tussen welke grenzen het echte aantal ligt, staat erbij en zit in de intervallen.",
                "A child that came more often can count at two steps. The number shown is the sum and can therefore be "
                "a little too high; between which limits the true number lies is beside it, and in the intervals.",
            )
        ]
    if released.rounding.exact:
        return []
    return [
        Text(
            "Elk aantal is apart afgerond; een som van zulke aantallen is dus een bereik. Dat bereik staat erbij, en "
            "de intervallen houden er rekening mee.",
            "Each count was rounded by itself, so that a sum of them is a range. That range is beside it, and the "
            "intervals allow for it.",
        )
    ]
