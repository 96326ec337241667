"""What goes wrong in a sandbox is told in one sentence, before any daemon starts where that is possible."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from io import StringIO
from pathlib import Path

import attrs
import pytest
import trio
from click.testing import CliRunner, Result
from rich.console import Console

from nskd.__main__ import main
from nskd.control.answers import ResultAnswer
from nskd.control.release_text import rate
from nskd.control.render import Crosstab
from nskd.packs.pack import load_pack
from nskd.packs.synthetic import generate, write_visits
from nskd.sandbox import centres, workshop
from nskd.sandbox.centres import last_complaint
from nskd.sandbox.layout import lay_out
from nskd.sandbox.options import Language, Options, Rules
from nskd.sandbox.prepare import prepare
from nskd.sandbox.show import show_result
from nskd.sandbox.watch import PhaseLine, Watch

PACK = load_pack("nsk")
BUILT_IN = Path(centres.__file__).parents[1] / "packs" / "nsk"
REQUEST = """\
kind = "table"
title = "A question"
purpose = "improvement"
rows = "age_band"
measure = "visits"
"""


@pytest.fixture
def data(tmp_path: Path) -> list[str]:
    """Options for three good files."""
    options = []
    for centre in range(3):
        path = tmp_path / f"{'abc'[centre]}.csv"
        write_visits(generate(PACK, seed=1, centre=centre, visits=50), path)
        options += ["--data", str(path)]
    return options


def never(*_: object) -> None:
    raise AssertionError("this should have been found out earlier")


def sandbox(*arguments: str) -> Result:
    """Run the command in this process; no mistake may come as far as the kernels, let alone a daemon."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(workshop, "rehearse", never)
        patch.setattr(centres, "start", never)
        return CliRunner().invoke(main, ["sandbox", *arguments])


def refused(*arguments: str) -> str:
    """The sentence of a sandbox that ends with status 1."""
    result = sandbox(*arguments)
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == 1, result.output
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    before, mark, sentence = result.stderr.rpartition("nskd sandbox: ")
    assert mark
    assert "nskd sandbox: " not in before
    return sentence


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('rows = "age_bnd"', ['"age_bnd"', 'Did you mean "age_band"?']),
        ('rows = "age_months"', ['"age_months"', "age_band"]),
        ('rows = "person_link"', ["singles out"]),
        ('rows = ["age_band", "complaint_group", "visit_month", "triage"]', ["cells"]),
        ('rows = "age_band"\nwhere = "DROP TABLE visits"', ["where"]),
        ('rows = "age_band"\nwhere = "delay = \'yes\'"', ["'yes' is not a level of delay"]),
        ('rows = "age_band"\ncolour = "blue"', ["colour"]),
        ('rows = "age_band', ["line"]),
        ('rows = "followup_outcome"', ["may not be used for purpose improvement"]),
        ('rows = "age_band"\ncolumns = "age_band"', ["columns"]),
    ],
)
def test_a_bad_request(tmp_path: Path, data: list[str], line: str, words: Sequence[str]) -> None:
    path = tmp_path / "question.toml"
    path.write_text(REQUEST.replace('rows = "age_band"', line))
    sentence = refused(*data, "--request", str(path))
    assert sentence.startswith(str(path))
    for word in words:
        assert word in sentence


def test_a_request_for_another_purpose(tmp_path: Path, data: list[str]) -> None:
    path = tmp_path / "question.toml"
    path.write_text(REQUEST.replace("improvement", "improvment"))
    sentence = refused(*data, "--request", str(path))
    assert str(path) in sentence
    assert "improvement" in sentence


def test_a_request_that_cannot_be_read(tmp_path: Path) -> None:
    assert "No such file" in refused("--request", str(tmp_path / "none.toml"))
    assert "Is a directory" in refused("--request", str(tmp_path))
    (tmp_path / "latin.toml").write_bytes(b'title = "\xe9"')
    assert "not UTF-8" in refused("--request", str(tmp_path / "latin.toml"))


def test_bad_data(tmp_path: Path, data: list[str]) -> None:
    second = Path(data[3])
    good = second.read_text()
    lines = good.splitlines()
    second.write_text("\n".join([lines[0], lines[1].replace("2025-", "1925-"), *lines[2:]]) + "\n")
    sentence = refused(*data)
    assert sentence.startswith(f"{second}: row 2, visit_month")
    second.write_text(good.replace("person_link", "person_lnk", 1))
    assert 'did you mean "person_link"?' in refused(*data)
    second.write_text(lines[0] + "\n")
    assert "no visit" in refused(*data)
    second.write_bytes(b"PAR1 and no more")
    assert "cannot be read as Parquet" in refused(*data)
    second.unlink()
    assert f"{second}: cannot be opened: No such file" in refused(*data)
    second.mkdir()
    assert f"{second}: is not a regular file" in refused(*data)


def test_packs(tmp_path: Path, data: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert 'pack "nsc"' in refused("--pack", "nsc")
    assert "is not a directory" in refused("--pack", str(tmp_path / "none"))
    (tmp_path / "empty").mkdir()
    assert "is missing from the pack" in refused("--pack", str(tmp_path / "empty"))
    shutil.copytree(BUILT_IN, tmp_path / "own", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "own" / "synthetic.toml").unlink()
    assert "synthetic.toml" in refused("--pack", str(tmp_path / "own"))
    codebook = tmp_path / "own" / "codebook.toml"
    codebook.write_text(codebook.read_text().replace('"age_band"', '"years"'))
    sentence = refused(*data, "--pack", str(tmp_path / "own"))
    assert sentence.startswith("the default request")
    assert "--request" in sentence
    monkeypatch.chdir(tmp_path / "own")
    codebook.write_text("[")
    assert str(codebook) in refused(*data, "--pack", ".")


def test_usage(data: list[str], tmp_path: Path) -> None:
    for arguments, words in [
        (data[:2], "Give 2 to 16 --data files, not 1."),
        ([*data, "--centres", "2"], "--centres 2 does not fit 3 --data files"),
        (["--centres", "1"], "--centres"),
        (["--threshold", "2"], "--threshold"),
        (["--threshold", "1001"], "--threshold"),
        ([*data, "--seed", "1"], "--seed is for synthetic extracts"),
        (["--seed", "-1"], "--seed"),
        (["--language", "fr"], "--language"),
        (["--colour"], "--colour"),
    ]:
        result = sandbox(*arguments)
        assert result.exit_code == 2
        assert words in result.stderr


def test_places_that_cannot_be_written(tmp_path: Path, data: list[str]) -> None:
    assert "its directory does not exist" in refused(*data, "--json", str(tmp_path / "none" / "out.json"))
    assert "it is a directory" in refused(*data, "--json", str(tmp_path))
    assert "does not exist yet" in refused(*data, "--keep", str(tmp_path))
    assert "too long for a socket" in refused(*data, "--keep", str(tmp_path / ("x" * 100)))


# --- daemons that end -----------------------------------------------------------------------------------------------


def options_for(tmp_path: Path, data: list[str]) -> Options:
    return Options(
        centres=3,
        data=tuple(Path(word) for word in data[1::2]),
        pack="nsk",
        request=None,
        seed=None,
        json_path=None,
        rules=Rules(10, True),
        language="en",
        keep=tmp_path / "kept",
    )


async def test_a_daemon_that_does_not_start_says_why(tmp_path: Path, data: list[str]) -> None:
    options = options_for(tmp_path, data)
    errand = prepare(options)
    directory = tmp_path / "w"
    directory.mkdir()
    files = lay_out(directory, errand.pack, errand.pack_source, options)
    config = files[1].config
    config.write_text(config.read_text().replace("[log]", "[logs]"))
    watch = Watch(Console(file=StringIO()))
    with pytest.raises(BaseExceptionGroup) as caught:
        await workshop._answer(options, errand, files, watch)
    sentence = str(caught.value.exceptions[0])
    assert sentence.startswith("centre midden: its daemon ended (status 78): ")
    assert "logs" in sentence
    for centre in files:
        assert not centre.socket.exists()


async def test_termination_stops_every_daemon(tmp_path: Path, data: list[str]) -> None:
    command = [sys.executable, "-m", "nskd", "sandbox", *data, "--keep", str(tmp_path / "kept")]
    process = await trio.lowlevel.open_process(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stderr is not None
    assert process.stdout is not None
    told = b""
    with trio.fail_after(120):
        while b"approving" not in told:
            part = await process.stderr.receive_some()
            assert part, told
            told += part
        process.send_signal(signal.SIGTERM)
        async for part in process.stderr:
            told += part
        assert await process.stdout.receive_some() == b""
        assert await process.wait() == 130
    assert told.endswith(b"nskd sandbox: stopped\n")
    assert b"Traceback" not in told
    for name in ("noord", "midden", "zuid"):
        assert not (tmp_path / "kept" / name / "control.sock").exists()
        log = (tmp_path / "kept" / name / "log.jsonl").read_text()
        assert "Traceback" not in log


def test_complaints() -> None:
    ready, warning = '{"level": "info", "event": "ready"}', '{"level": "warning", "event": "w", "reason": "odd"}'
    error = '{"level": "error", "event": "broken"}'
    refusal = "nskd: visits.csv: 2 faults:\n  row 2: a\n  row 3: b. Correct the file."
    assert last_complaint("") == "it gave no reason"
    assert last_complaint(ready) == "it gave no reason"
    assert last_complaint("\n".join([ready, error, warning])) == "broken"
    assert last_complaint("\n".join([ready, warning])) == "odd"
    assert last_complaint("\n".join([warning, refusal, ready])) == refusal.removeprefix("nskd: ")
    assert last_complaint("Traceback (most recent call last):\n  File\nSyntaxError: no") == "SyntaxError: no"
    assert last_complaint("[1]\n7") == "7"


# --- what is shown --------------------------------------------------------------------------------------------------


def shown_table(tmp_path: Path, data: list[str], language: Language) -> list[str]:
    request = tmp_path / "q.toml"
    request.write_text(REQUEST + 'columns = "nsk_positive"\nmargins = true\n')
    options = attrs.evolve(options_for(tmp_path, data), request=request, language=language)
    errand = prepare(options)
    values = iter([3, None, 7, 1, 2, 3, 0, 0, 4, 15, 0, 1, None, 6, 4, 16, 19, None, 15, 36])
    release = {
        "format": 1,
        "rows": ["age_band"],
        "columns": ["nsk_positive"],
        "measure": "visits",
        "cells": [{**cell, "value": next(values)} for cell in errand.plan.cells],
    }
    answer = ResultAnswer(request="ab", title="A [b]q", state="done", digest="cd", recorded_at=0, release=release)
    out = StringIO()
    show_result(Console(file=out, width=200), errand, answer, options)
    return [" ".join(line.split()) for line in out.getvalue().splitlines()]


def test_the_table_in_words(tmp_path: Path, data: list[str]) -> None:
    english = shown_table(tmp_path, data, "en")
    assert "A [b]q" in english  # a title is text, not markup
    assert "Age band in years positive negative not screened total positive / (positive + negative)" in english
    assert "0–3 years 3 . 7 . ." in english
    assert "4–8 years 1 2 3 6 33.3 %" in english
    assert "9–11 years 0 0 4 4 ." in english
    assert "12–17 years 15 0 1 16 100.0 %" in english
    assert "total 19 . 15 36 ." in english
    assert ". = not shown (3 of 20 cells), to protect children in small groups" in english
    dutch = shown_table(tmp_path, data, "nl")
    assert "Leeftijdsgroep in jaren positief negatief niet gescreend totaal positief / (positief + negatief)" in dutch
    assert "totaal 19 . 15 36 ." in dutch


def test_rates() -> None:
    assert [rate(*pair) for pair in [(1, 2), (1, 1999), (1, 2000), (0, 5), (5, 0)]] == [
        "33.3 %",
        "0.1 %",
        "0.0 %",
        "0.0 %",
        "100.0 %",
    ]
    assert [rate(*pair) for pair in [(None, 2), (2, None), (None, None), (0, 0)]] == ["."] * 4

    def tab(columns: list[str], *keys: str) -> Crosstab:
        cells = [{"a": "x", columns[0]: key, "value": 1} for key in keys] if columns else [{"a": "x", "value": 1}]
        return Crosstab.of({"rows": ["a"], "columns": columns, "cells": cells})

    assert tab(["b"], "ja", "nee", "missing").pair == ("ja", "nee")
    assert tab(["b"], "yes", "no").pair == ("yes", "no")
    assert tab(["b"], "red", "green").pair is None
    assert tab([]).pair is None
    assert tab(["b", "c"], "ja", "nee").pair is None


def test_progress_on_a_terminal_and_elsewhere() -> None:
    def told(terminal: bool) -> str:
        out = StringIO()
        with Watch(Console(file=out, force_terminal=terminal, width=80)) as watch:
            watch.begin("working")
            watch.phase_begins("triples")
            watch._live.refresh()
            watch.phase(PhaseLine("triples", 1.5, 3, 2000))
            watch.phase(PhaseLine("local part", 0.25, 0, 0))
        return out.getvalue()

    assert told(False) == "· working\n    triples: 1.50 s, 3 rounds, 2.0 kB sent\n    local part: 0.25 s\n"
    assert "working: triples" in told(True)
    assert "0:00:00" in told(True)


# --- a pack of one's own --------------------------------------------------------------------------------------------


async def test_a_pack_in_a_directory_of_ones_own(tmp_path: Path) -> None:
    own = tmp_path / "own"
    shutil.copytree(BUILT_IN, own, ignore=shutil.ignore_patterns("__pycache__"))
    for name, old, new in (
        ("pack.toml", 'name = "nsk"', 'name = "ours"'),
        ("codebook.toml", '"not_screened"', '"unasked"'),
        ("synthetic.toml", "visits = 7000", "visits = 400"),
    ):
        text = (own / name).read_text()
        assert old in text
        (own / name).write_text(text.replace(old, new))
    command = ["sandbox", "--centres", "2", "--seed", "3", "--threshold", "3", "--no-insider"]
    done = await trio.run_process(
        [sys.executable, "-m", "nskd", *command, "--pack", "./own", "--json", "out.json"],
        cwd=tmp_path,
        capture_stdout=True,
        capture_stderr=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == 0, done.stderr.decode()
    document = json.loads((tmp_path / "out.json").read_text())
    assert document["seed"] == 3
    assert document["centres"] == 2
    phases = {phase["name"] for phase in document["phases"]}
    assert phases >= {"epoch", "triples", "bits", "masks", "local part", "joint part", "compare releases"}
    levels = [cell["nsk_positive"] for cell in document["cells"]]
    assert levels == ["ja", "nee", "unasked"] * 4
    # The extracts are remade here; what was counted jointly is the sum over them.
    pack = load_pack(own)
    extracts = [generate(pack, seed=3, centre=centre) for centre in range(2)]
    for cell in document["cells"]:
        counts = []
        for rows in extracts:
            chosen = (rows["age_band"] == cell["age_band"]) & (rows["nsk_positive"] == cell["nsk_positive"])
            counts.append(len(set(rows["person_link"][chosen].tolist())))
        children, centres = sum(counts), sum(map(bool, counts))
        assert cell["value"] == ((children + 2) // 5 * 5 if children >= 3 and centres == 2 else None)
