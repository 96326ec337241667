from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import nskd.packs
from nskd.analysis.table import plan_table
from nskd.data.load import load_visits
from nskd.data.query import local_table
from nskd.packs.codebook import MISSING
from nskd.packs.errors import PackError
from nskd.packs.pack import load_pack
from nskd.packs.synthetic import generate, write_visits

NSK = Path(nskd.packs.__file__).parent / "nsk"
FILES = ("pack.toml", "codebook.toml", "synthetic.toml", "fhir.toml", "questionnaire.json", "codesystem.json")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The NSK pack as somebody else's directory."""
    directory = tmp_path / "own"
    directory.mkdir()
    for name in FILES:
        shutil.copy(NSK / name, directory)
    return directory


def change(directory: Path, name: str, old: str, new: str) -> None:
    path = directory / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_the_minimal_data_set_is_all_there() -> None:
    names = set(load_pack("nsk").codebook.variables)
    expected = """
        visit_id person_link visit_month daypart age_months sex triage complaint_group arrival_mode
        referrer nsk_status delay interaction injury_fit other_signals delay_abnormal
        interaction_abnormal injury_fit_abnormal other_signals_abnormal nsk_positive screener_role
        top_to_toe colleague_consult leck_consult vt_advice vt_report parents_informed admitted
        followup_outcome ehr hospital_type age_band screened
    """
    assert names >= set(expected.split())


def test_every_variable_has_words_in_both_languages_and_a_purpose() -> None:
    book = load_pack("nsk").codebook
    for variable in book.variables.values():
        assert variable.label.nl
        assert variable.label.en
        assert variable.purposes
        assert all(level.nl and level.en for level in variable.levels)
    assert book.unsuited("improvement", ["sex", "followup_outcome"]) == ("followup_outcome",)
    note = book.variables["person_link"].note
    assert note is not None
    assert "counts once in each" in note.en
    assert book.variables["delay"].keys == ("ja", "nee", "nvt", MISSING)
    assert book.variables["age_band"].keys == ("0-3", "4-8", "9-11", "12-17")


def test_the_digest_covers_every_byte_and_no_path(copy: Path) -> None:
    first = load_pack(copy)
    assert first.digest == load_pack("nsk").digest
    assert len(first.digest) == 32
    digests = {first.digest}
    for name in FILES:
        with (copy / name).open("a") as file:
            file.write("# seen\n")
        digests.add(load_pack(copy).digest)
    (copy / "synthetic.toml").unlink()
    digests.add(load_pack(str(copy)).digest)
    assert len(digests) == 8


@pytest.mark.parametrize(
    ("name", "old", "new", "place", "what"),
    [
        ("pack.toml", 'name = "nsk"', 'name = "N S"', "name", "cannot name a pack"),
        ("pack.toml", 'version = "1"', "version = 1", "version", "Expected `str`, got `int`"),
        ("pack.toml", 'version = "1"', "colour = 1", "", "unknown field `colour`"),
        ("codebook.toml", "[roles]", "[roles", "", "is not TOML"),
        ("codebook.toml", "max = 215", f"max = {'9' * 5000}", "", "is not TOML"),
        (
            "codebook.toml",
            'type = "month"',
            'type = "moon"',
            'variable "visit_month".type',
            "Invalid enum value 'moon'",
        ),
        ("codebook.toml", "max = 215", 'max = "215"', 'variable "age_months".max', "Expected `int | null`"),
        ("codebook.toml", "max = 215", "", 'variable "age_months"', "needs min ≤ max"),
        (
            "codebook.toml",
            "max = 215",
            "max = 215\nlevels = 'answer'",
            'variable "age_months"',
            "does not apply",
        ),
        ("codebook.toml", 'first = "2024-01"', 'first = "2024-00"', 'variable "visit_month"', "YYYY-MM"),
        (
            "codebook.toml",
            'levels = "answer"',
            'levels = "answers"',
            'variable "delay"',
            'Did you mean "answer"?',
        ),
        ("codebook.toml", 'name = "sex"', 'name = "daypart"', 'variable "daypart"', "defined twice"),
        ("codebook.toml", 'name = "sex"', 'name = "Sex"', 'variable "Sex"', "lower-case"),
        ("codebook.toml", 'key = "X"', 'key = "total"', 'variable "sex"', "reserved"),
        ("codebook.toml", 'key = "X"', 'key = "missing"', 'variable "sex"', "reserved"),
        ("codebook.toml", 'key = "X"', 'key = "M"', 'variable "sex"', "reserved, repeated"),
        (
            "codebook.toml",
            'otherwise = "12-17"',
            'otherwise = "12-18"',
            'variable "age_band"',
            'Did you mean "12-17"?',
        ),
        ("codebook.toml", 'otherwise = "12-17"', "", 'variable "age_band"', "half a derivation"),
        (
            "codebook.toml",
            "when = { delay = ",
            "when = { dealy = ",
            'variable "delay_abnormal"',
            'mean "delay"?',
        ),
        (
            "codebook.toml",
            'when = { delay = "ja"',
            'when = { delay = "JA"',
            'variable "delay_abnormal"',
            'mean "ja"?',
        ),
        (
            "codebook.toml",
            'when = { delay = "ja"',
            "when = { delay = {max = 1}",
            'variable "delay_abnormal"',
            "by a range",
        ),
        (
            "codebook.toml",
            'of = "visit_month"',
            'of = "visit_id"',
            'variable "visit_quarter"',
            "not a month variable",
        ),
        (
            "codebook.toml",
            'purposes = ["research"]',
            'purposes = ["reserch"]',
            'variable "followup_outcome"',
            '"research"?',
        ),
        (
            "codebook.toml",
            'month = "visit_month"',
            'month = "daypart"',
            "roles.month",
            "cannot play this role",
        ),
        (
            "codebook.toml",
            'person_link = "person_link"',
            'person_link = "visit_id"',
            "roles",
            "the same column",
        ),
        ("codebook.toml", 'names = ["photo"', 'names = ["sex"', "sex", "both forbidden and a variable"),
        (
            "codebook.toml",
            'when = { nsk_status = "partial" }',
            'when = { nsk_status = "some" }',
            "rule ",
            "not a level",
        ),
        ("synthetic.toml", "visits = 7000", "visits = 0", "visits", "out of range"),
        ("synthetic.toml", "[0.88, 0.09", "[-0.88, 0.09", "visits_per_child", "are not weights"),
        ("synthetic.toml", 'variable = "sex"', 'variable = "age_band"', 'draw "age_band"', "can be drawn"),
        ("synthetic.toml", "{ M = 0.545", "{ W = 0.545", 'draw "sex"', '"W" is not a level'),
        ("synthetic.toml", "max = 210", "max = 300", 'draw "age_months"', "within the codebook"),
        ("synthetic.toml", "factor = 3.45", "factor = -1", 'draw "delay"', "positive number"),
        ("synthetic.toml", 'status = "free"', 'status = "guess"', "source.status", "Invalid enum value"),
        (
            "synthetic.toml",
            'maltreatment = "yes" }, factor = 3.45',
            'maltreated = "yes" }, factor = 3.45',
            'draw "delay"',
            '"maltreatment"?',
        ),
    ],
)
def test_a_fault_names_file_key_and_remedy(copy: Path, name: str, old: str, new: str, place: str, what: str) -> None:
    change(copy, name, old, new)
    with pytest.raises(PackError) as caught:
        load_pack(copy)
    error = caught.value
    assert error.file == str(copy / name)
    assert place in error.key
    assert what in str(error)
    assert error.remedy


def test_faults_of_the_directory(tmp_path: Path, copy: Path) -> None:
    for wrong, what in (
        ("nks", "Built in: nsk"),
        (tmp_path / "none", "is not a directory"),
        (tmp_path, "is missing"),
    ):
        with pytest.raises(PackError, match=what):
            load_pack(wrong)
    (copy / "pack.toml").write_bytes(b"\xff")
    with pytest.raises(PackError, match="UTF-8"):
        load_pack(copy)
    (copy / "pack.toml").write_bytes(b"#" * (1 << 21))
    with pytest.raises(PackError, match="too large"):
        load_pack(copy)


def test_another_institution_needs_files_and_no_code(tmp_path: Path) -> None:
    source = 'source = { status = "free", note = "made up" }'
    (tmp_path / "pack.toml").write_text(
        'name = "falls"\nversion = "1"\nnl = "Vallen"\nen = "Falls"\n'
        '[[purpose]]\nid = "care"\nnl = "zorg"\nen = "care"\nehds = "f"\n'
    )
    (tmp_path / "codebook.toml").write_text(
        'default_purposes = ["care"]\n[roles]\nvisit_id = "fall"\nperson_link = "resident"\n'
        '[[variable]]\nname = "fall"\ntype = "identifier"\nnl = "val"\nen = "fall"\n'
        '[[variable]]\nname = "resident"\ntype = "identifier"\nnl = "bewoner"\nen = "resident"\n'
        '[[variable]]\nname = "height_cm"\ntype = "integer"\nmin = -5\nmax = 400\nmissing = true\n'
        'nl = "hoogte in cm"\nen = "height in cm"\n'
        '[[variable]]\nname = "height"\ntype = "category"\nnl = "hoogte"\nen = "height"\nmissing = true\n'
        'levels = [{ key = "low", nl = "laag", en = "low" }, { key = "high", nl = "hoog", en = "high" }]\n'
        'cases = [{ when = { height_cm = { max = 50 } }, level = "low" },'
        ' { when = { height_cm = { min = 51 } }, level = "high" }]\notherwise = "missing"\n'
    )
    (tmp_path / "synthetic.toml").write_text(
        f"visits = 30\nvisits_per_child = [1]\nvisits_source = {source.removeprefix('source = ')}\n"
        f'[[draw]]\nvariable = "height_cm"\nspans = [{{ min = 0, max = 99, weight = 1 }}]\n{source}\n'
    )
    pack = load_pack(tmp_path)
    rows = generate(pack, seed=1)
    write_visits(rows, tmp_path / "falls.csv")
    text = (tmp_path / "falls.csv").read_text()
    (tmp_path / "falls.csv").write_text(text + "x1,r1,,\nx2,r1,,missing\n")
    with load_visits(tmp_path / "falls.csv", pack.codebook) as data:
        table = local_table(
            data,
            plan_table(
                pack.codebook,
                rows=["height"],
            ),
        )
        unknown = local_table(data, plan_table(pack.codebook, rows=["height"], where="height_cm IS NULL"))
    low = int((rows["height_cm"] <= 50).sum())
    assert table.values.tolist() == [low, 30 - low, 2]
    assert unknown.values.tolist() == [0, 0, 2]
    assert unknown.children.tolist() == [0, 0, 1]
