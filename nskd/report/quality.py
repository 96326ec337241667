"""The two quality reports of a centre, as a page for that centre alone: nothing in it is rounded or left out.

The *spiegelrapport* shows how far each field is filled, the *kwaliteitsrapport* how well fields agree with each other.
"""

from __future__ import annotations

from typing import Final

from nskd.data.quality import Fill, Kept, Quality
from nskd.governance.explain.words import same
from nskd.packs.codebook import Text
from nskd.report.document import Cell, Document, Section, Table
from nskd.report.plots.bars import BarChart
from nskd.report.words import count, percent

NOTICE: Final = Text(
    "Alleen voor dit centrum. Dit rapport is op deze machine gemaakt uit de eigen gegevens en toont ook kleine "
    "aantallen: stuur het niet door. Geen ander centrum krijgt er iets van te zien.",
    "For this centre alone. This report was made on this machine from its own data and shows small numbers too: do "
    "not send it on. No other centre gets to see any of it.",
)
FILL: Final = Text("Spiegelrapport: vulling per veld", "Mirror report: how far each field is filled")
RULES: Final = Text("Kwaliteitsrapport: samenhang tussen velden", "Quality report: logic between fields")
FILL_HEADS: Final = (
    Text("veld", "field"),
    Text("ingevuld", "recorded"),
    Text("n.v.t.", "not applicable"),
    Text("ontbreekt", "missing"),
    Text("gevuld", "filled"),
)
RULE_HEADS: Final = (
    Text("regel", "rule"),
    Text("gaat over", "applies to"),
    Text("klopt niet", "broken"),
    Text("deel", "share"),
)
_NONE: Final = same("–")
_TITLE: Final = Text("Kwaliteit van de eigen gegevens", "Quality of our own data")
_PURPOSE: Final = Text(
    "Nagaan of de gegevens volledig zijn en onderling kloppen, voordat er iets mee wordt berekend.",
    "To see whether the data are complete and agree with each other, before anything is computed from them.",
)
_MONTHLY_FILL: Final = Text("Gevuld per maand", "Filled by month")
_MONTHLY_MISSING: Final = Text("Ontbreekt per maand", "Missing by month")
_MONTHLY_AWAY: Final = Text("Niet van toepassing per maand", "Not applicable by month")
_ALL: Final = Text("Alle bezoeken", "All visits")
_COUNTS: Final = Text("Ingevuld, niet van toepassing en ontbrekend", "Recorded, not applicable and missing")
_MONTHLY_RULES: Final = Text("Bezoeken die een regel breken, per maand", "Visits that break a rule, by month")
_VISITS: Final = Text("bezoeken", "visits")
_METHOD: Final = (
    Text(
        "Gevuld is het deel van de bezoeken met een waarde of met het antwoord dat de vraag niet van toepassing is.",
        "Filled is the part of the visits with a value, or with the answer that the question does not apply.",
    ),
    Text(
        "Een regel gaat over de bezoeken waarvoor zijn voorwaarde opgaat; een gebroken regel kan een fout in het "
        "bestand zijn, of een bezoek dat echt zo was.",
        "A rule is about the visits for which its condition holds; a broken rule may be a fault in the extract, or a "
        "visit that really was so.",
    ),
    Text(
        "Waarden die het codeboek niet kent komen hier niet voor: daarmee wordt het hele bestand geweigerd.",
        "Values that the codebook does not know do not occur here: with these the whole extract is refused.",
    ),
)


def quality_document(
    found: Quality, *, title: Text, source: str, digest: str, left_out: int | None, made: Text
) -> Document:
    """Make the page.

    ``title`` is the pack's; ``left_out`` counts the visits of people who object, None without a list of them; ``made``
    is a day in words.
    """
    basis = Text(
        f"Gemaakt op {made.nl} uit {source} (SHA-256 {digest}).", f"Made on {made.en} from {source} (SHA-256 {digest})."
    )
    return Document(
        title=f"{_TITLE.nl} / {_TITLE.en}",
        purpose=_PURPOSE,
        centres=(),
        summary=_summary(found, title, left_out),
        sections=(_fill(found), _rules(found)),
        method=(*_METHOD, basis),
        disclosure=(),
        digests=(),
        notice=NOTICE,
    )


def share(filled: float | None) -> Text:
    """A share in per cent, or a dash."""
    return _NONE if filled is None else Text(percent(filled, "nl"), percent(filled, "en"))


def fill_rows(found: Quality) -> tuple[tuple[Cell, ...], ...]:
    """Under ``FILL_HEADS``, one for each field."""
    return tuple(
        (
            each.variable.label,
            each.whole.recorded,
            each.whole.not_applicable,
            each.whole.missing,
            share(each.whole.share),
        )
        for each in found.fields
    )


def rule_rows(found: Quality) -> tuple[tuple[Cell, ...], ...]:
    """Under ``RULE_HEADS``, one for each rule."""
    return tuple((each.rule.text, each.applies, each.broken, _broken(each)) for each in found.rules)


def _broken(each: Kept) -> Text:
    return share(each.broken / each.applies if each.applies else None)


def _fill(found: Quality) -> Section:
    table = Table(_ALL, FILL_HEADS, fill_rows(found))
    chart = BarChart(
        title=_COUNTS,
        axis=_VISITS,
        groups=tuple(each.variable.label for each in found.fields),
        series=FILL_HEADS[1:4],
        values=tuple(_counts(each.whole) for each in found.fields),
    )
    blocks: list[Table | BarChart | Text] = [table, *_by_month(found)]
    if chart.readable:
        blocks.append(chart)
    return Section(FILL, tuple(blocks))


def _by_month(found: Quality) -> tuple[Table, ...]:
    """How far each field is filled in each month, and how many visits have nothing, or say that it does not apply."""
    if not found.months:
        return ()
    heads = (FILL_HEADS[0], *map(same, found.months))
    visits: tuple[Cell, ...] = (_VISITS, *found.by_month)
    filled: list[tuple[Cell, ...]] = [(f.variable.label, *(share(m.share) for m in f.months)) for f in found.fields]
    missing: list[tuple[Cell, ...]] = [
        (f.variable.label, *(m.missing for m in f.months)) for f in found.fields if f.whole.missing
    ]
    away: list[tuple[Cell, ...]] = [
        (f.variable.label, *(m.not_applicable for m in f.months)) for f in found.fields if f.whole.not_applicable
    ]
    tables = ((_MONTHLY_FILL, filled), (_MONTHLY_MISSING, missing), (_MONTHLY_AWAY, away))
    return tuple(Table(caption, heads, (visits, *rows)) for caption, rows in tables if rows)


def _counts(fill: Fill) -> tuple[int, int, int]:
    return fill.recorded, fill.not_applicable, fill.missing


def _rules(found: Quality) -> Section:
    if not found.rules:
        return Section(RULES, (Text("Het codeboek heeft geen regels.", "The codebook has no rules."),))
    blocks: list[Table | Text] = [Table(_ALL, RULE_HEADS, rule_rows(found))]
    if found.months and any(each.broken for each in found.rules):
        broken: tuple[tuple[Cell, ...], ...] = tuple((each.rule.text, *each.months) for each in found.rules)
        blocks.append(Table(_MONTHLY_RULES, (RULE_HEADS[0], *map(same, found.months)), broken))
    return Section(RULES, tuple(blocks))


def _summary(found: Quality, title: Text, left_out: int | None) -> tuple[Text, ...]:
    visits = count(found.visits)
    sentences = [Text(f"{title.nl}: {visits} bezoeken.", f"{title.en}: {visits} visits.")]
    known = [(each.whole.share, each) for each in found.fields if each.whole.share is not None]
    if known:
        least, field = min(known, key=lambda each: each[0])
        label, shown = field.variable.label, share(least)
        sentences.append(
            Text(
                f"Het minst gevulde veld is “{label.nl}”: {shown.nl}.",
                f"The least filled field is “{label.en}”: {shown.en}.",
            )
        )
    broken, rules = sum(1 for each in found.rules if each.broken), len(found.rules)
    sentences.append(
        Text(
            f"Regels die door een of meer bezoeken worden gebroken: {broken} van {rules}.",
            f"Rules that one or more visits break: {broken} of {rules}.",
        )
    )
    if left_out is not None:
        out = count(left_out)
        sentences.append(
            Text(
                f"Bezoeken van mensen die bezwaar maken zijn vooraf weggelaten: {out}.",
                f"Visits of people who object were left out beforehand: {out}.",
            )
        )
    return tuple(sentences)
