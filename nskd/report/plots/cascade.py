"""The follow-up cascade: a bar per step, how many reach it, of the step before and of the first."""

from __future__ import annotations

from typing import Final

import attrs

from nskd.governance.explain.page import Language, say
from nskd.packs.codebook import Text
from nskd.report import svg
from nskd.report.document import REMARK, Cell, Table
from nskd.report.markup import Markup, join
from nskd.report.plots.frame import NARROW
from nskd.report.words import SUPPRESSED, count, percent, percent_figure
from nskd.statistics.binomial import Proportion
from nskd.statistics.cascade import Stage
from nskd.statistics.figure import REASONS

_BAR: Final = 24
_TEXT: Final = 16  # a line of it
_NOT_COMPUTABLE: Final = Text("niet te berekenen", "not computable")
OF_BEFORE: Final = Text("van de stap ervoor", "of the step before")
OF_FIRST: Final = Text("van de eerste stap", "of the first step")


@attrs.frozen
class CascadePlot:
    """``names`` of the stages, in both languages and in order."""

    title: Text
    stages: tuple[Stage, ...]
    names: tuple[Text, ...]

    def describe(self) -> Text:
        """Each step with its number and share of the first."""
        nl, en = [], []
        for name, stage in zip(self.names, self.stages, strict=True):
            nl.append(f"{name.nl}: {count(stage.step.count)} ({_share(stage.of_first, 'nl')} {OF_FIRST.nl})")
            en.append(f"{name.en}: {count(stage.step.count)} ({_share(stage.of_first, 'en')} {OF_FIRST.en})")
        return Text("; ".join(nl) + ".", "; ".join(en) + ".")

    def draw(self, width: int, language: Language) -> tuple[int, Markup]:
        """Words above each bar, the interval of its share of the first on it."""
        first = self.stages[0].step.count if self.stages else None
        room = svg.wide(count(first)) + 10
        scale = svg.Scale(0.0, 1.0, 0.0, width - room)
        parts: list[Markup] = []
        y = 0.0
        for name, stage in zip(self.names, self.stages, strict=True):
            parts.append(svg.words(0, y + 14, svg.shortened(say(name, language), width), css="strong"))
            share = stage.of_first.share
            end = scale(share.value) if share.value is not None else 0.0
            parts.append(svg.box(0, y + 22, width - room, _BAR, "track"))
            if share.value is not None:
                parts.append(svg.box(0, y + 22, end, _BAR, "c1"))
            if share.interval is not None and stage.of_before is not None:
                middle = y + 22 + _BAR / 2
                low, high = scale(share.interval.low), scale(share.interval.high)
                for css in ("halo", "whisker"):  # seen on the bar and beyond it, in light and in dark
                    parts.append(svg.line(low, middle, high, middle, css))
                    parts += [svg.line(x, middle - 5, x, middle + 5, css) for x in (low, high)]
            if stage.step.count is None:
                parts.append(svg.hidden(width, y + 22 + 16, anchor="end"))
            else:
                parts.append(svg.words(width, y + 22 + 17, count(stage.step.count), anchor="end"))
            y += 22 + _BAR
            if stage.of_before is not None:
                before = _said(stage.of_before, OF_BEFORE, language)
                first_words = _said(stage.of_first, OF_FIRST, language)
                lines = [f"{before} · {first_words}"] if width >= NARROW else [before, first_words]
                for line in lines:
                    y += _TEXT
                    parts.append(svg.words(0, y, line, css="small muted"))
            y += 14
        return round(y), join(parts)

    def data(self) -> Table:
        """The stages with their intervals; where a number is known to a range only, with that."""
        heads = [Text("stap", "step"), Text("aantal", "number"), OF_BEFORE, OF_FIRST]
        ranged = any(
            stage.step.within is not None and stage.step.within[0] < stage.step.within[1] for stage in self.stages
        )
        rows: list[tuple[Cell, ...]] = []
        for name, stage in zip(self.names, self.stages, strict=True):
            within = [_within(stage)] if ranged else []
            rows.append(
                (name, stage.step.count, *within, _cell(stage.of_before), _cell(stage.of_first), _remark(stage))
            )
        if ranged:
            heads.insert(2, Text("echt aantal, van–tot", "true number, from–to"))
        return Table(self.title, (*heads, REMARK), tuple(rows))


def _within(stage: Stage) -> Cell:
    if stage.step.count is None or stage.step.within is None:
        return None
    low, high = (count(end) for end in stage.step.within)
    return Text(f"{low}–{high}", f"{low}–{high}")


def _remark(stage: Stage) -> Cell:
    """Why a figure is missing."""
    shares = [each.share for each in (stage.of_before, stage.of_first) if each is not None]
    reason = next((each.reason for each in shares if each.reason is not None), None)
    return Text("", "") if reason is None else REASONS[reason]


def _said(found: Proportion, of: Text, language: Language) -> str:
    if found.share.value is None:
        return f"{say(of, language)}: {say(_NOT_COMPUTABLE, language)}"
    return f"{percent(found.share.value, language)} {say(of, language)}"


def _share(found: Proportion, language: Language) -> str:
    return SUPPRESSED if found.share.value is None else percent(found.share.value, language)


def _cell(found: Proportion | None) -> Cell:
    if found is None:
        return Text("–", "–")
    if found.share.value is None:
        return None
    return Text(percent_figure(found.share, "nl"), percent_figure(found.share, "en"))
