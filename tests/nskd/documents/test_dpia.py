"""The assessment says what charter, codebook and configuration say, and lists every gap it leaves."""

from __future__ import annotations

import re

import attrs
import pytest

from nskd.backup import AUDIT, DIRECTORIES, DIRECTORY, LEDGER
from nskd.documents.dpia import MODEL, dpia
from nskd.documents.facts import Activity, Facts
from nskd.documents.report import MARK, Open, Part, Point, Report, plain
from nskd.governance.lifecycle import State
from nskd.packs.pack import load_pack

from .facts import CHARTER, config_text, facts

TITLES = (
    "Voorstel",
    "Persoonsgegevens",
    "Gegevensverwerkingen",
    "Technieken en methoden van de gegevensverwerkingen",
    "Verwerkingsdoeleinden",
    "Betrokken partijen",
    "Belangen bij de gegevensverwerkingen",
    "Verwerkingslocaties",
    "Juridisch en beleidsmatig kader",
    "Bewaartermijnen",
    "Rechtsgrond",
    "Bijzondere persoonsgegevens, strafrechtelijke persoonsgegevens en nationale identificatienummers",
    "Doelbinding",
    "Noodzaak en evenredigheid",
    "Rechten van de betrokkenen",
    "Risico's voor betrokkenen",
    "Maatregelen",
)


def text(about: Facts) -> str:
    return dpia(about).markdown()


def point(number: int, about: Facts) -> str:
    whole = text(about)
    start = whole.index(f"\n### {number}. ")
    return whole[start : whole.index("\n## ", start)].split("\n### ")[1]


def test_the_seventeen_points_stand_in_order_under_their_letters() -> None:
    heads = re.findall(r"^##+ (.*)$", text(facts()), flags=re.MULTILINE)
    letters = [head[0] for head in heads if re.match(r"[A-D]\. ", head)]
    points = [head for head in heads if re.match(r"\d", head)]
    assert letters == ["A", "B", "C", "D"]
    assert points == [f"{number}. {title}" for number, title in enumerate(TITLES, 1)]
    places = [heads.index(head) for head in heads if re.match(r"[A-D]\. ", head)]
    assert [sum(head[0].isdigit() for head in heads[:place]) for place in places] == [0, 10, 15, 16]
    assert MODEL in text(facts())


def test_every_gap_is_marked_where_it_stands_and_listed_at_the_end() -> None:
    report = dpia(facts())
    body, listed = report.markdown().split("\n## Open punten\n")
    marked = re.findall(rf"^\*\*{MARK} (\d+\.\d+)\*\* (.*)$", body, flags=re.MULTILINE)
    assert marked == report.gaps
    assert re.findall(r"^\* \*\*(\d+\.\d+)\*\* (.*)$", listed, flags=re.MULTILINE) == report.gaps
    assert len(report.gaps) >= 17
    assert len({number for number, _ in report.gaps}) == len(report.gaps)


def test_a_report_without_gaps_says_so() -> None:
    report = Report("T", (), (Part("A", "a", (Point(1, "p", ("x",)),)),))
    assert report.markdown().endswith("## Open punten\n\nEr zijn geen open punten.\n")
    one = attrs.evolve(report, parts=(Part("A", "a", (Point(1, "p", (Open("q"), "x")),)),))
    assert "**OPEN PUNT 1.1** q" in one.markdown()


def test_every_column_of_the_codebook_is_named_with_its_meaning() -> None:
    shown = point(2, facts())
    for variable in load_pack("nsk").codebook.variables.values():
        assert f"| `{variable.name}` | {plain(variable.label.nl)} |" in shown
    assert "/srv/nsk/visits.parquet" in shown


def test_purposes_and_their_legal_basis_come_from_the_charter() -> None:
    about = facts()
    assert "letter f: verbetering van de zorg" in point(5, about)
    assert "tot en met 31 december 2030" in point(5, about)
    assert "niet `followup_outcome`" in point(5, about)
    assert "Rechtsgrond voor doel `research`: het handvest noemt er geen" in point(11, about)
    settled = facts(charter=CHARTER.replace('ehds = "e"', 'ehds = "e"\nlegal_basis = "AVG artikel 9"'))
    assert "Doel `research`, volgens het handvest: AVG artikel 9" in point(11, settled)
    assert len(dpia(settled).gaps) == len(dpia(about).gaps) - 1


def test_a_purpose_that_no_column_may_serve_is_a_gap() -> None:
    lonely = CHARTER + '\n[[purpose]]\nid = "billing"\ntext = "B"\n'
    assert "Geen enkele kolom mag voor doel `billing` dienen" in point(5, facts(charter=lonely))


def test_rules_of_the_charter_are_stated_as_they_are() -> None:
    assert "minstens 10 verschillende kinderen" in point(17, facts())
    lax = facts(charter=CHARTER.replace("threshold = 10", "threshold = 7").replace("insider = true", "insider = false"))
    assert "minstens 7 verschillende kinderen" in point(17, lax)
    assert "het handvest zet deze regel uit" in point(17, lax)
    assert "maar twee centra" not in point(16, facts())
    pair = CHARTER[: CHARTER.index('[[centre]]\nname = "ziekenhuis-zuid"')].replace(
        "centres_min = 3", "centres_min = 2"
    )
    assert "elk kent na aftrek het cijfer van het andere, op de afronding na." in point(16, facts(charter=pair))
    exact = pair.replace("rounding = 5 ", "rounding = 1 ")
    assert "elk kent na aftrek het cijfer van het andere, precies." in point(16, facts(charter=exact))


def test_people_with_rights_come_from_the_configuration() -> None:
    assert "`@nskd-stewards`" in point(6, facts())
    nobody = facts(config=config_text().replace('approve = ["@nskd-stewards"]', "approve = []"))
    assert "wijs stewards aan" in point(6, nobody)
    assert "wijs stewards aan" not in point(6, facts())


def test_a_running_daemon_adds_what_it_knows() -> None:
    assert "ingelezen" not in point(2, facts()).split("Het bestand van")[0].split("| herkomst")[0]
    live = attrs.evolve(facts(), activity=Activity({State.DONE: 3, State.REFUSED: 1, State.RUNNING: 0}, 1234))
    assert "1234 bezoeken" in point(2, live)
    assert "3 vrijgegeven, 1 geweigerd." in point(3, live)
    quiet = attrs.evolve(facts(), activity=Activity(dict.fromkeys(State, 0), None))
    assert "tot nu toe: geen." in point(3, quiet)


def test_objections_are_spoken_of_as_configured() -> None:
    assert "`/srv/nsk/opt-out.csv`" in point(15, facts())
    assert "wie zet hem op de lijst?" in point(15, facts())
    without = facts(config=config_text().replace("opt_out =", "# opt_out ="))
    assert "Er is geen lijst ingesteld" in point(15, without)


def test_everything_that_a_centre_keeps_has_its_term() -> None:
    """What a backup takes along is what outlives a run; a new directory that nobody describes is noticed here."""
    shown = point(10, facts())
    not_personal = {"charter"}
    for kept in {*DIRECTORIES, LEDGER, AUDIT, DIRECTORY, "stock"} - not_personal:
        assert f"`{kept}`" in shown, kept
    assert "`/srv/nsk/opt-out.csv`" in shown
    assert "opt-out" not in point(10, facts(config=config_text().replace("opt_out =", "# opt_out =")))
    assert "Wissen in het zorgsysteem wist niet" in point(15, facts())
    assert "(punt 10)" in point(2, facts())


def test_what_is_done_about_two_tables_is_what_the_charter_says() -> None:
    assert "minder dan 10 kinderen scheelt met een vakje van een van de laatste 100 tabellen" in point(17, facts())
    off = facts(charter=CHARTER.replace("differencing = 100", "differencing = 0"))
    assert "Het handvest laat tabellen niet vergelijken." in point(17, off)
    assert "een van de laatste" not in point(17, off)


def test_laws_of_the_field_come_from_the_pack() -> None:
    assert "meldcode" in point(9, facts())
    bare = facts()
    assert "meldcode" not in point(9, attrs.evolve(bare, pack=attrs.evolve(bare.pack, framework=())))


@pytest.mark.parametrize(
    "hostile", ["# Kop", "a | b", "<script>x</script>", "**vet** _x_ `c`", "[x](y)", "a\nb\n\n## c", "!x"]
)
def test_text_of_others_is_text(hostile: str) -> None:
    toml = hostile.replace("\n", "\\n")
    changed = facts(
        charter=CHARTER.replace("Wetenschappelijk onderzoek naar het signaleren van kindermishandeling.", toml).replace(
            'title = "NSK-screening, drie ziekenhuizen"', f'title = "{toml}"'
        )
    )
    usual = text(facts())
    shown = text(changed)
    for pattern in (r"^#+ ", r"^\|.*\|$", r"^\* ", r"^$"):
        assert len(re.findall(pattern, shown, flags=re.MULTILINE)) == len(
            re.findall(pattern, usual, flags=re.MULTILINE)
        )
    assert not re.search(r"(?<!\\)<", shown)
    assert plain(hostile) in shown
    assert re.sub(r"\\(.)", r"\1", plain(hostile)) == " ".join(hostile.split())
