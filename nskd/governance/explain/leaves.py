"""What leaves this centre, in which form, and who gets which result."""

from __future__ import annotations

from nskd.governance.charter import Charter, Role
from nskd.governance.explain import words
from nskd.governance.explain.hospitals import of_this_hospital, point_is_shown
from nskd.governance.explain.page import Question, Section
from nskd.governance.question import AsRegression, Measure
from nskd.packs.codebook import Text
from protocol.limits import REGRESSION_STEPS_MAX


def leaves(question: Question, own: str, charter: Charter, opt_out: bool) -> Section:
    """Say what is computed here, and in what form it goes out."""
    centre = charter.find(own)
    name = own if centre is None else centre.title
    title = Text("Wat dit centrum verlaat", "What leaves this centre")
    if centre is not None and Role.CONTRIBUTE not in centre.roles:
        alone = Text(
            f"Dit centrum ({name}) brengt geen gegevens in: het rekent mee, en verder niets.",
            f"This centre ({name}) brings no data: it takes part in the computation, and that is all.",
        )
        return Section("leaves", title, (alone,))
    parties = len(charter.centres)
    numbers = (
        Text("het aantal verschillende kinderen", "the number of distinct children")
        if question.table.measure is Measure.CHILDREN
        else Text(
            "het aantal bezoeken en het aantal verschillende kinderen",
            "the number of visits and the number of distinct children",
        )
    )
    return Section(
        "leaves",
        title,
        (
            Text(
                f"De gegevens van de kinderen blijven in dit centrum ({name}). Het telt zelf, op zijn eigen computer, "
                f"per vakje {numbers.nl}.",
                f"The children's data stay in this centre ({name}). It counts by itself, on its own computer, for each "
                f"cell {numbers.en}.",
            ),
            _objections(opt_out),
            Text(
                f"Elk getal wordt geheim in {parties} delen gesplitst, voor elk centrum één. Een deel is een "
                "willekeurig getal: wie het ziet, weet niets. Alle andere centra samen weten ook niets, want het "
                "deel van dit centrum gaat er niet uit.",
                f"Each number is secretly split into {parties} shares, one for each centre. A share is a random "
                "number: whoever sees it knows nothing. All other centres together know nothing either, for this "
                "centre's own share does not leave it.",
            ),
            Text(
                "Alleen die delen gaan naar de andere centra, versleuteld. Geen regels, geen kinderen, geen cijfer "
                "van dit centrum apart.",
                "Only those shares go to the other centres, encrypted. No rows, no children, no figure of this centre "
                "alone.",
            )
            if not point_is_shown(question, charter)
            else Text(
                "Alleen die delen gaan naar de andere centra, versleuteld. Geen regels en geen kinderen.",
                "Only those shares go to the other centres, encrypted. No rows, and no children.",
            ),
            Text(
                "Met de delen rekenen de centra uit welke vakjes veilig zijn. Daarna, en alleen voor die vakjes, "
                f"komt het totaal van {_contributors(charter).nl} samen tevoorschijn.",
                "With the shares the centres work out which cells are safe. After that, and for those cells only, the "
                f"total of {_contributors(charter).en} together comes to light.",
            ),
            *of_this_hospital(question, charter),
            *(_model(charter) if isinstance(question.table.reading, AsRegression) else ()),
        ),
    )


def _model(charter: Charter) -> tuple[Text, ...]:
    """What a regression tells on its way, and what it does not."""
    return (
        Text(
            f"Daarna wordt het model in stappen berekend, hoogstens {REGRESSION_STEPS_MAX}. Bij elke stap berekent dit "
            "centrum op zijn eigen rijen hoe goed de schatting van dat moment past. Ook die getallen gaan alleen in "
            "delen de deur uit: niemand ziet ze, ook niet opgeteld.",
            f"Then the model is computed in steps, {REGRESSION_STEPS_MAX} at most. At each step this centre works out "
            "on its own rows how well the estimate of that moment fits. Those numbers leave in shares only, too: "
            "nobody sees them, not even added up.",
        ),
        Text(
            f"Wat alle {len(charter.centres)} centra wel zien: de schatting na elke stap, aan het eind hoe onzeker "
            "elke schatting is, en één of twee getallen over hoe goed het model past.",
            f"What all {len(charter.centres)} centres do see: the estimate after each step, at the end how uncertain "
            "each estimate is, and one or two numbers on how well the model fits.",
        ),
        Text(
            "Let op: een centrum dat tijdens de berekening liegt over zijn eigen rijen, kan uit de stappen meer "
            "afleiden over de andere centra samen dan het model zegt: ook hoeveel van hun kinderen in twee groepen "
            "tegelijk zitten, al is het er één. Het aantal en de grootte van de stappen zijn daarom begrensd.",
            "Mind: a centre that lies about its own rows during the computation can work out more from the steps about "
            "the other centres together than the model says: also how many of their children are in two groups at "
            "once, be it one. The number and the length of steps are bounded for that.",
        ),
    )


def results(question: Question, charter: Charter) -> Section:
    """Say who gets to see the table, and what nobody does."""
    titles = words.listed([words.same(centre.title) for centre in charter.centres])
    return Section(
        "results",
        Text("Wie wat te zien krijgt", "Who gets to see what"),
        (
            Text(
                f"Alle {len(charter.centres)} centra krijgen dezelfde tabel: {titles.nl}.",
                f"All {len(charter.centres)} centres get the same table: {titles.en}.",
            ),
            Text(
                "Een vakje dat niet open mag, wordt een punt. Dat aantal krijgt niemand te zien, ook de vrager niet. "
                "Welke vakjes een punt zijn, ziet ieder centrum.",
                "A cell that may not be opened becomes a dot. Nobody gets to see its number, not even who asked. Which "
                "cells are dots every centre sees.",
            ),
            Text(
                "Wat een centrum later met de tabel doet, houdt dit programma niet tegen. Dat regelen de centra "
                "onderling.",
                "What a centre does with the table later, this program does not control. The centres settle that among "
                "themselves.",
            ),
        ),
    )


def _objections(opt_out: bool) -> Text:
    if opt_out:
        return Text(
            "Wie bij dit centrum bezwaar heeft gemaakt, telt niet mee: die bezoeken gaan eruit voordat er iets geteld "
            "wordt.",
            "Whoever has objected at this centre does not count: their visits are left out before anything is counted.",
        )
    return Text(
        "Dit centrum heeft geen lijst ingesteld van mensen die bezwaar maken.",
        "This centre has configured no list of people who object.",
    )


def _contributors(charter: Charter) -> Text:
    count = len(charter.contributors)
    if count == len(charter.centres):
        return Text(f"alle {count} centra", f"all {count} centres")
    return Text(f"de {count} centra die gegevens inbrengen", f"the {count} centres that bring data")
