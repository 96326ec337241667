"""Numbers as they are read in Dutch and in English, and the words that every page has."""

from __future__ import annotations

import math
from typing import Final

from nskd.governance.explain.page import Language
from nskd.governance.explain.words import same
from nskd.packs.codebook import Text
from nskd.statistics.figure import Figure, Interval

SUPPRESSED: Final = "."
_THIN: Final = "\u202f"  # between groups of digits: a point would look suppressed, a comma decimal
_GROUPED_FROM: Final = 10_000
_TINY: Final = 1e-4
_HUGE: Final = 1e6
_NARROW: Final = 0.005  # of an interval of a share: half a per cent

SUPPRESSED_LEGEND: Final = Text(
    f"{SUPPRESSED} = niet getoond, om kinderen in kleine groepen te beschermen, of niet te berekenen",
    f"{SUPPRESSED} = not shown, to protect children in small groups, or not computable",
)


def count(value: int | None) -> str:
    """A whole number; a suppressed one is a dot."""
    if value is None:
        return SUPPRESSED
    return f"{value:,}".replace(",", _THIN) if abs(value) >= _GROUPED_FROM else str(value)


def decimal(value: float, language: Language, digits: int) -> str:
    """A number with so many digits after the sign of its language."""
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    shown = f"{value:.{digits}f}".replace("-", "−")
    return shown.replace(".", ",") if language == "nl" else shown


def percent(share: float, language: Language, digits: int = 1) -> str:
    """A share of 1 in per cent."""
    return f"{decimal(100.0 * share, language, digits)}\u00a0%"


def ratio(value: float, language: Language) -> str:
    """A ratio to three digits or so."""
    if math.isinf(value) or value == 0.0:
        return decimal(value, language, 0)
    if not _TINY <= abs(value) < _HUGE:
        return f"{value:.2e}".replace(".", "," if language == "nl" else ".")
    return decimal(value, language, max(2 - math.floor(math.log10(abs(value))), 0) if abs(value) < 100 else 0)


def p_value(value: float, language: Language) -> str:
    """A probability to three digits after the sign; below a thousandth, that it is."""
    return f"<\u00a0{decimal(0.001, language, 3)}" if value < 0.001 else decimal(value, language, 3)


def percent_interval(within: Interval, language: Language, digits: int = 1) -> str:
    """From–to in per cent."""
    low, high = (decimal(100.0 * end, language, digits) for end in (within.low, within.high))
    return f"{low}–{high}\u00a0%"


def share_digits(within: Interval | None) -> int:
    """Digits of a share in per cent: more where its interval is so narrow that its ends would look alike."""
    wide = 1.0 if within is None else within.high - within.low
    return 1 if wide >= _NARROW or wide == 0.0 else 2 if wide >= _NARROW / 10 else 3


def percent_figure(figure: Figure, language: Language) -> str:
    """A share and its interval in per cent; a dot when there is none."""
    if figure.value is None:
        return SUPPRESSED
    digits = share_digits(figure.interval)
    shown = percent(figure.value, language, digits)
    return shown if figure.interval is None else f"{shown} ({percent_interval(figure.interval, language, digits)})"


def ratio_figure(figure: Figure, language: Language) -> str:
    """A ratio and its interval; a dot when there is none."""
    if figure.value is None:
        return SUPPRESSED
    shown = ratio(figure.value, language)
    if figure.interval is None:
        return shown
    return f"{shown} ({ratio(figure.interval.low, language)}–{ratio(figure.interval.high, language)})"


WHO: Final = Text("Wie deden mee", "Who took part")
PURPOSE: Final = Text("Doel", "Purpose")
RELEASED: Final = Text("Vrijgegeven", "Released")
SUMMARY: Final = Text("Samenvatting", "Summary")
METHOD: Final = Text("Methode", "Method")
DISCLOSURE: Final = Text("Regels die hebben beschermd", "Rules that protected")
VERIFY: Final = Text("Om na te gaan", "For verification")
VERIFY_WHY: Final = Text(
    "Elk centrum heeft dezelfde uitkomst onder hetzelfde kenmerk. Klopt het kenmerk van de uitkomst met dat van een "
    "ander centrum, dan hebben beide dezelfde getallen.",
    "Every centre has the same result under the same digest. If the digest of the result agrees with another centre's, "
    "both have the same numbers.",
)
NUMBERS: Final = Text("De getallen achter deze figuur", "The numbers behind this figure")
MADE_BY: Final = same("nskd")
