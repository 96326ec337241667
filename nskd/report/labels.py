"""The codebook's words for the names and keys of a release, and words for a request's own axes."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from nskd.control.render import TOTAL
from nskd.governance.explain.words import listed, same
from nskd.packs.codebook import MISSING, Codebook, Text

ALL: Final = Text("totaal", "total")
_AXES: Final = MappingProxyType(
    {
        "@of": Text("Voorwaarde van de teller", "Condition of the numerator"),
        "@exposure": Text("Kenmerk", "Exposure"),
        "@outcome": Text("Uitkomst", "Outcome"),
        "@event": Text("Uitkomst van het model", "Outcome of the model"),
        "@step": Text("Verst bereikte stap", "Last step reached"),
        "@bin": Text("Waarde", "Value"),
    }
)
_KEYS: Final = MappingProxyType(
    {
        "yes": Text("voldoet", "meets it"),
        "no": Text("voldoet niet", "does not"),
        "none": Text("geen enkele stap", "no step at all"),
        MISSING: Text("ontbreekt", "missing"),
    }
)
COUNTED: Final = MappingProxyType({"children": Text("kinderen", "children"), "visits": Text("bezoeken", "visits")})
_NUMBERS: Final = MappingProxyType(
    {
        "children": Text("aantal kinderen", "number of children"),
        "visits": Text("aantal bezoeken", "number of visits"),
    }
)


class Labels:
    """Words for names and keys; a name that nobody knows stands for itself.

    ``own`` are words for levels of a request's own axes, by axis and key, before the general ones.
    """

    def __init__(self, codebook: Codebook, own: Mapping[str, Mapping[str, Text]] | None = None) -> None:
        self._variables = codebook.variables
        self._own = own or {}

    def variable(self, name: str) -> Text:
        """What a variable or an axis is called."""
        known = self._variables.get(name)
        return _AXES.get(name, same(name)) if known is None else known.label

    def level(self, name: str, key: str) -> Text:
        """What a level of it is called."""
        if key == TOTAL:
            return ALL
        if name.startswith("@"):
            said = self._own.get(name, {}).get(key) or _KEYS.get(key)
            # Bins are written with a hyphen as keys, and as a range where they are read.
            return said or same(key.replace("-", "–") if name == "@bin" else key)
        levels = self._variables[name].levels if name in self._variables else ()
        found = next((level for level in levels if level.key == key), None)
        return same(key) if found is None else Text(found.nl, found.en)

    def crossing(self, names: tuple[str, ...], keys: tuple[str, ...]) -> Text:
        """One level of each variable, or once the word for the total."""
        if not keys:
            return ALL
        labels = [self.level(name, key) for name, key in zip(names, keys, strict=True)]
        if TOTAL in keys:
            labels = list(dict.fromkeys(labels))
        return Text(" × ".join(label.nl for label in labels), " × ".join(label.en for label in labels))

    def variables(self, names: tuple[str, ...]) -> Text:
        """Several, inside a sentence."""
        return listed([inside(self.variable(name)) for name in names]) if names else same("")


def number_of(measure: str) -> Text:
    """What a cell holds: number of children, of visits."""
    return _NUMBERS.get(measure, same(measure))


def counted(measure: str) -> Text:
    """Whom it counts: children, visits."""
    return COUNTED.get(measure, same(measure))


def inside(label: Text) -> Text:
    """A label as it is written inside a sentence: small, unless it begins with an abbreviation."""

    def small(words: str) -> str:
        return words if words[1:2].isupper() else words[:1].lower() + words[1:]

    return Text(small(label.nl), small(label.en))


def capital(words: Text) -> Text:
    """The beginning of a sentence or a title."""
    return Text(words.nl[:1].upper() + words.nl[1:], words.en[:1].upper() + words.en[1:])
