"""The joint table is the one plain SQL gives, with exactly the cells suppressed that the rules demand."""

from __future__ import annotations

import json
import os
import secrets
import sys
import tempfile
from pathlib import Path

import attrs
import numpy as np
import pytest
import trio
from hypothesis import HealthCheck, event, given
from hypothesis import strategies as st

from nskd.packs.pack import load_pack
from tests.examples import examples
from tests.system.joint import joint
from tests.system.oracle import (
    RECORDED,
    Question,
    ask_sql,
    check,
    random_question,
    random_visits,
    repeat_child,
    write_centres,
    write_file,
)

PACK = load_pack("nsk")


async def in_memory(question: Question, files: list[Path], seed: int) -> bytes:
    """What each seat releases."""
    rules = {"threshold": question.threshold, "insider": question.insider, "centres_min": min(len(files), 3)}
    return await joint(PACK, question.text, files, rules, seed)


@examples(3, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 2**32 - 1),
    centres=st.integers(2, 5),
    visits_max=st.sampled_from([10, 60, 250]),
    margins=st.booleans(),
)
def test_random_tables_equal_plain_sql(seed: int, centres: int, visits_max: int, margins: bool) -> None:
    rng = np.random.default_rng(seed)
    question = attrs.evolve(random_question(rng, cells_max=40), margins=margins)
    with tempfile.TemporaryDirectory() as directory:
        files = write_centres(Path(directory), rng, centres, visits_max)
        cells = json.loads(trio.run(in_memory, question, files, seed))["cells"]
        check(question, files, cells)
    shown = sum(cell["value"] is not None for cell in cells)
    event("nothing shown" if not shown else "all shown" if shown == len(cells) else "some shown")


def telling_question(rng: np.random.Generator, files: list[Path]) -> Question:
    """A random question with some safe cells and some unsafe ones, on paper."""
    while True:
        question = random_question(rng, cells_max=24 if len(files) < 5 else 12)
        if len(set(ask_sql(files, question).safe(question))) == 2:
            return question


async def test_visits_are_not_children(tmp_path: Path) -> None:
    """Twelve visits of one child stay closed, a centre without a selected visit changes nothing, zeros are closed."""
    rng = np.random.default_rng(1)
    files = []
    for centre, kind in enumerate(("general", "teaching", "general", "general")):
        rows = random_visits(rng, 40, {name: list(levels) for name, levels in RECORDED.items()})
        for number, row in enumerate(rows):
            row.update(person_link=f"p{number}", hospital_type=kind, complaint_group="injury", triage="green")
        if centre == 0:
            rows[0]["complaint_group"] = "fever"
            repeat_child(rows[:12])
        files.append(tmp_path / ("visits.parquet" if centre == 1 else f"visits{centre}.csv"))
        write_file(files[-1], rows, rng)
    question = Question(
        rows=("complaint_group",),
        columns=(),
        measure="visits",
        condition=("hospital_type = 'general'", "hospital_type = 'general'"),
        margins=False,
        threshold=10,
        insider=True,
    )
    cells = json.loads(await in_memory(question, files, seed=1))["cells"]
    check(question, files, cells)
    assert {cell["complaint_group"]: cell["value"] for cell in cells if cell["value"] is not None} == {"injury": 110}


# In the normal suite a pack of one's own does this over two centres, as the README does without a sandbox.
@pytest.mark.long
@pytest.mark.parametrize("centres", [3, 5])
async def test_the_sandbox_equals_plain_sql(centres: int, tmp_path: Path) -> None:
    seed = secrets.randbits(32)
    print(f"seed {seed}")  # shown when the test fails
    rng = np.random.default_rng(seed)
    files = write_centres(tmp_path, rng, centres, visits_max=150)
    question = telling_question(rng, files)
    request, out = tmp_path / "request.toml", tmp_path / "out.json"
    request.write_text(question.text)
    options = [word for path in files for word in ("--data", str(path))]
    options += ["--request", str(request), "--json", str(out), "--threshold", str(question.threshold)]
    options += ["--insider" if question.insider else "--no-insider"]
    done = await trio.run_process(
        [sys.executable, "-m", "nskd", "sandbox", *options],
        capture_stdout=True,
        capture_stderr=True,
        check=False,
        env={**os.environ, "PYTHONWARNINGS": "default"},
    )
    print(done.stdout.decode(), done.stderr.decode(), question.text)
    assert done.returncode == 0
    assert b"Warning" not in done.stderr
    document = json.loads(out.read_text())
    check(question, files, document["cells"])
    assert document["request"]["rows"] == list(question.rows)
    assert document["request"]["where"] == question.condition[0]
    names = {phase["name"] for phase in document["phases"]}
    assert names >= {"epoch", "triples", "bits", "masks", "local part", "joint part", "compare releases"}
    assert all(phase.keys() == {"name", "seconds", "rounds", "bytes_sent"} for phase in document["phases"])
    assert str(out).encode() in done.stdout
    printed = done.stdout.decode().split()
    for cell in document["cells"]:
        assert ("." if cell["value"] is None else str(cell["value"])) in printed
