"""A released table in a terminal, in the words of the codebook: its counts, and what follows from them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from rich.console import Console
from rich.text import Text as Line

from nskd.control import render
from nskd.control.model_text import model
from nskd.governance.explain.page import Language, say
from nskd.packs.codebook import Codebook, Text
from nskd.report.context import Context
from nskd.report.figures import FigureRow, Figures
from nskd.report.kinds import figures, labels
from nskd.report.labels import Labels, capital, number_of
from nskd.report.words import decimal, p_value, percent, percent_interval, ratio, share_digits
from nskd.statistics.association import VERIFICATION_BIAS

_SHARE: Final = Text("aandeel", "share")
_FIGURE: Final = Text("maat", "figure")
_VALUE: Final = Text("waarde", "value")
_INTERVAL: Final = Text("95 %-interval", "95 % interval")
_REACH: Final = Text("interval of grenzen", "interval or limits")
_COUNTS: Final = Text("aantallen", "counts")


def release(console: Console, content: Mapping[str, Any], codebook: Codebook, language: Language) -> None:
    """Print counts, and shares or other figures with their intervals."""
    named, tab = labels(content, codebook), render.Crosstab.of(content)
    computed = figures(content, Context.bare(codebook))
    _counts(console, tab, named, language, shares=computed is None)
    if "model" in content:
        model(console, content)
    elif computed is not None:
        _figures(console, computed, named, language)


def _counts(console: Console, tab: render.Crosstab, named: Labels, language: Language, *, shares: bool) -> None:
    number = number_of(tab.measure)
    if tab.columns:
        over = named.variables(tab.columns)
        number = Text(f"{number.nl} naar {over.nl}", f"{number.en} by {over.en}")
    console.print(Line(render.plain(say(capital(number), language))))
    heads = [say(named.variable(name), language) for name in tab.rows]
    heads += [say(named.crossing(tab.columns, keys) if tab.columns else number, language) for keys in tab.across]
    pair = tab.pair if shares else None
    if pair is not None:
        yes, no = (say(named.level(tab.columns[0], key), language) for key in pair)
        heads.append(f"{yes} / ({yes} + {no})")
    rows = []
    for levels in tab.down:
        words = (say(named.level(name, key), language) for name, key in zip(tab.rows, levels, strict=True))
        rates = () if pair is None else (rate(*(tab.values.get((levels, (key,))) for key in pair), language=language),)
        rows.append((*words, *tab.line(levels), *rates))
    render.table(console, heads, rows, right=len(tab.rows))


def rate(yes: int | None, no: int | None, *, language: Language = "en") -> str:
    """The share of ``yes``, from shown cells alone; a tenth of a per cent, half a tenth rounded up."""
    if yes is None or no is None or yes + no == 0:
        return render.SUPPRESSED
    tenths = (2000 * yes + yes + no) // (2 * (yes + no))
    return f"{tenths // 10}{',' if language == 'nl' else '.'}{tenths % 10} %"


def _figures(console: Console, computed: Figures, named: Labels, language: Language) -> None:
    """A line a figure; of those that need a count that is not shown, how many there are."""
    known = [row for row in computed.rows if row.value is not None or row.within is not None]
    names = {row.name for row in computed.rows}
    alone = names == {"share"}
    heads = [say(named.variable(name), language) for name in computed.by]
    heads += [] if alone else [say(_FIGURE, language)]
    heads += [say(each, language) for each in ((_SHARE, _INTERVAL) if alone else (_VALUE, _REACH))]
    heads.append(say(_COUNTS, language))
    rows = []
    for row in known:
        keys = row.keys or (render.TOTAL,) * len(computed.by)
        words = [say(named.level(name, key), language) for name, key in zip(computed.by, keys, strict=True)]
        words += [] if alone else [say(_SHARE, language) if row.name == "share" else row.name]
        rows.append((*words, *_shown(row, language), _of(row)))
    if known:
        console.print()
        render.table(console, heads, rows, right=len(heads) - 3)
    if "sensitivity" in names:
        console.print(Line(say(VERIFICATION_BIAS, language), style="dim"))
    missing = len(computed.rows) - len(known)
    if missing:
        text = Text(
            f"niet te berekenen uit wat getoond is: {missing} van de {len(computed.rows)}",
            f"not computable from what is shown: {missing} of the {len(computed.rows)}",
        )
        console.print(Line(say(text, language), style="dim"))


def _shown(row: FigureRow, language: Language) -> tuple[str, str]:
    """Its value, and from where to where it reaches."""
    if row.numerator is not None or row.name == "centre" or row.name.startswith("chart-"):  # shares
        digits = share_digits(row.within)
        value = "" if row.value is None else percent(row.value, language, digits)
        return value, "" if row.within is None else percent_interval(row.within, language, digits)
    whole = row.name.startswith("reached:")
    if row.value is not None and row.name.endswith("-p"):
        return p_value(row.value, language), ""
    value = "" if row.value is None else decimal(row.value, language, 0) if whole else ratio(row.value, language)
    if row.within is None:
        return value, ""
    ends = (decimal(end, language, 0) if whole else ratio(end, language) for end in (row.within.low, row.within.high))
    return value, "–".join(ends)


def _of(row: FigureRow) -> str:
    return "" if row.numerator is None else f"{row.numerator} / {row.denominator}"
