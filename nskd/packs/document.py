"""A pack's codebook as a page to read: what a hospital's data manager needs to write an extract.

``docs/codebook.md`` is the built-in pack's, printed by ``nskd codebook``; a test keeps it current.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, Literal

from nskd.packs.codebook import Codebook, Text, Variable, VariableType
from nskd.packs.conditions import Condition, Period, PeriodUnit, Within, Written
from nskd.packs.pack import Pack

Language = Literal["en", "nl"]

_WORDS: Final = {
    "head": Text("Codeboek van pack `{name}`, versie {version}", "Codebook of pack `{name}`, version {version}"),
    "generated": Text(
        "Gemaakt uit het pack met `nskd codebook --language nl`; wijzig het pack, niet deze tekst.",
        "Made from the pack by `nskd codebook`; change the pack, not this text.",
    ),
    "file": Text("Het bestand", "The file"),
    "recorded": Text("Kolommen die er moeten zijn", "Columns that must be there"),
    "derived": Text("Afgeleide kolommen", "Derived columns"),
    "derived_why": Text(
        "Laat ze weg, dan worden ze berekend. Staan ze er wel, dan wordt elke rij met de "
        "berekening vergeleken. De eerste voorwaarde die opgaat, beslist.",
        "Leave them out and they are computed. If they are there, each row is compared with the computation. "
        "The first condition that holds decides.",
    ),
    "rules": Text("Samenhang tussen kolommen", "Relations between columns"),
    "rules_why": Text(
        "Een *opmerking* wordt gemeld en het bestand wordt gebruikt; bij een *fout* wordt het bestand geweigerd.",
        "A *remark* is reported and the file is used; with a *fault* the file is refused.",
    ),
    "fault": Text("fout", "fault"),
    "remark": Text("opmerking", "remark"),
    "forbidden": Text("Wat er nooit in mag", "What must never be in it"),
    "forbidden_why": Text(
        "Namen, nummers van personen (ook een BSN), geboortedatums, adressen en vrije tekst worden altijd geweigerd, "
        "en verder, als kolomnaam of als woord daarin:",
        "Names, numbers of persons (a BSN too), dates of birth, addresses and free text are always refused, and "
        "besides, as a column's name or as a word in it:",
    ),
    "column": Text("kolom", "column"),
    "meaning": Text("betekenis", "meaning"),
    "values": Text("waarden", "values"),
    "computed": Text("berekening", "computation"),
    "pseudonym": Text(
        "1 tot 64 letters, cijfers, punten, streepjes of liggende streepjes",
        "1 to 64 letters, digits, dots, dashes or underscores",
    ),
    "integer": Text("geheel getal van {first} tot en met {last}", "whole number from {first} to {last}"),
    "month": Text("`JJJJ-MM`, van `{first}` tot en met `{last}`", "`YYYY-MM`, from `{first}` to `{last}`"),
    "empty": Text("of leeg", "or empty"),
    "if": Text("als", "if"),
    "and": Text("en", "and"),
    "or": Text("of", "or"),
    "otherwise": Text("anders", "otherwise"),
    "at_least": Text("minstens {bound}", "at least {bound}"),
    "at_most": Text("hoogstens {bound}", "at most {bound}"),
    "year": Text("het jaar van {of}, als `JJJJ`", "the year of {of}, as `YYYY`"),
    "quarter": Text("het kwartaal van {of}, als `JJJJ-Q1`", "the quarter of {of}, as `YYYY-Q1`"),
    "only": Text("Alleen voor het doel: {purposes}.", "Only for the purpose: {purposes}."),
}
_FILE: Final = {
    "en": (
        "One file per hospital: CSV (UTF-8, a header line, separated by comma, semicolon, tab or bar) or Parquet.",
        "One row per visit; the order of rows and columns does not matter.",
        "A value is written as its key below, exactly: small and capital letters differ.",
        "What was not recorded is `missing` or an empty cell, where `missing` is among the values; elsewhere an empty "
        "cell is a fault.",
        "A column that is not in this codebook is a fault: nothing is carried along unseen.",
        "`nskd check FILE` says what is wrong, by row and column; no daemon is needed and nothing leaves the machine.",
    ),
    "nl": (
        "Eén bestand per ziekenhuis: CSV (UTF-8, met een kopregel, gescheiden door komma, puntkomma, tab of "
        "verticale streep) of Parquet.",
        "Eén rij per bezoek; de volgorde van rijen en kolommen doet er niet toe.",
        "Een waarde wordt geschreven als de sleutel hieronder, precies zo: hoofdletters en kleine letters verschillen.",
        "Wat niet is vastgelegd is `missing` of een lege cel, waar `missing` bij de waarden staat; elders is een lege "
        "cel een fout.",
        "Een kolom die niet in dit codeboek staat is een fout: er lift niets ongezien mee.",
        "`nskd check BESTAND` zegt per rij en kolom wat er mis is; daar is geen daemon voor nodig en niets verlaat "
        "de machine.",
    ),
}


def markdown(pack: Pack, language: Language = "en") -> str:
    """Return the whole page."""
    return "\n".join(_Page(pack, language).lines()) + "\n"


class _Page:
    def __init__(self, pack: Pack, language: Language) -> None:
        self._pack = pack
        self._codebook: Codebook = pack.codebook
        self._language: Language = language

    def lines(self) -> Iterator[str]:
        pack, book = self._pack, self._codebook
        yield f"# {self._say('head', name=pack.name, version=pack.version)}"
        yield from ("", f"{self._text(pack.title)}.", "", self._say("generated"))
        yield from self._head("file")
        yield from (f"* {line}" for line in _FILE[self._language])
        yield from ("", "```text", ",".join(variable.name for variable in book.recorded), "```")
        yield from self._head("recorded")
        yield from self._table("values", ((variable, self._values(variable)) for variable in book.recorded))
        yield from self._head("derived", "derived_why")
        yield from self._table("computed", ((variable, self._derivation(variable)) for variable in book.derived))
        if book.rules:
            yield from self._head("rules", "rules_why")
            for rule in book.rules:
                weight = self._say("fault" if rule.fatal else "remark")
                yield f"* `{rule.id}` ({weight}): {self._text(rule.text)}"
        yield from self._head("forbidden", "forbidden_why")
        by_reason: dict[str, list[str]] = {}
        for name, why in book.forbidden.items():
            by_reason.setdefault(self._text(why), []).append(f"`{name}`")
        yield from (f"* {', '.join(names)}: {reason}" for reason, names in by_reason.items())

    def _head(self, title: str, text: str = "") -> Iterator[str]:
        yield from ("", f"## {self._say(title)}", "")
        if text:
            yield from (self._say(text), "")

    def _table(self, third: str, rows: Iterable[tuple[Variable, str]]) -> Iterator[str]:
        yield f"| {self._say('column')} | {self._say('meaning')} | {self._say(third)} |"
        yield "|---|---|---|"
        for variable, content in rows:
            cells = (f"`{variable.name}`", self._meaning(variable), content)
            yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"

    def _meaning(self, variable: Variable) -> str:
        label = self._text(variable.label)
        parts = [label if label.endswith("?") else f"{label}."]
        if variable.note is not None:
            parts.append(self._text(variable.note))
        if {purpose.id for purpose in self._pack.purposes} - set(variable.purposes):
            parts.append(self._say("only", purposes=", ".join(variable.purposes)))
        return " ".join(parts)

    def _values(self, variable: Variable) -> str:
        if variable.type is VariableType.IDENTIFIER:
            return self._say("pseudonym")
        if variable.type is VariableType.INTEGER:
            number = self._say("integer", first=variable.minimum, last=variable.maximum)
            return f"{number}, {self._say('empty')}" if variable.missing else number
        if variable.type is VariableType.MONTH:
            return self._say("month", first=variable.keys[0], last=variable.keys[-1])
        shown = []
        for level in variable.levels:
            label = level.nl if self._language == "nl" else level.en
            shown.append(f"`{level.key}`" if label == level.key else f"`{level.key}` ({label})")
        return ", ".join(shown)

    def _derivation(self, variable: Variable) -> str:
        how = variable.derivation
        if how is None or isinstance(how, Written):
            return ""
        if isinstance(how, Period):
            return self._say("year" if how.unit is PeriodUnit.YEAR else "quarter", of=f"`{how.of}`")
        cases = [f"`{level}` {self._say('if')} {self._condition(when)}" for when, level in how.cases]
        return "; ".join((*cases, f"{self._say('otherwise')} `{how.otherwise}`"))

    def _condition(self, condition: Condition) -> str:
        glue = f" {self._say('and')} "
        parts = []
        for name, test in condition.tests:
            if isinstance(test, Within):
                bounds = (("at_least", test.minimum), ("at_most", test.maximum))
                said = [self._say(word, bound=bound) for word, bound in bounds if bound is not None]
                parts.append(f"`{name}` {glue.join(said)}")
            else:
                keys = f" {self._say('or')} ".join(f"`{key}`" for key in test.keys)
                parts.append(f"`{name}` = {keys}")
        return glue.join(parts)

    def _text(self, text: Text) -> str:
        return text.nl if self._language == "nl" else text.en

    def _say(self, word: str, **values: object) -> str:
        return self._text(_WORDS[word]).format(**values)
