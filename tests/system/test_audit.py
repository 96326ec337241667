"""What a centre keeps to itself and what it has to answer for: people who object, and the log of it all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.system.workshop import Daemon, Workshop, lay_out, request_text, shown


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    workshop = lay_out(tmp_path_factory.mktemp("a"))
    name_opt_outs(workshop.daemons[1])
    try:
        workshop.start()
        yield workshop
    finally:
        workshop.reap()


def opt_outs(daemon: Daemon) -> Path:
    return daemon.directory / "opt-out.csv"


def name_opt_outs(daemon: Daemon) -> None:
    source = f'source = "{daemon.directory / "visits.csv"}"'
    text = daemon.config.read_text()
    assert source in text
    daemon.config.write_text(text.replace(source, f'{source}\nopt_out = "{opt_outs(daemon)}"'))


def leave_out(extract: dict[str, Any], people: set[str]) -> None:
    keep = np.array([person not in people for person in extract["person_link"]])
    for name in extract:
        extract[name] = np.asarray(extract[name])[keep]


async def test_a_person_added_to_the_list_is_out_of_the_next_run(workshop: Workshop) -> None:
    """First the list is not there, and no run takes place; then each run has the list of its moment."""
    noord, midden, _ = workshop.daemons
    await workshop.connected()
    status = await midden.call("status")
    assert any("no run takes place with this centre" in note and "opt-out.csv" in note for note in status["notes"])
    first = await workshop.ask(noord, request_text("Before"))
    await noord.until_logged("its list of people who object cannot be read")
    assert str(opt_outs(midden)) not in noord.words()
    assert noord.request_state(first) == "approved"

    opt_outs(midden).write_text("person_link\n")
    assert shown(await workshop.all_done(first), "sex") == workshop.expected("sex")

    boys = [
        str(p) for p, sex in zip(*(workshop.extracts[1][k] for k in ("person_link", "sex")), strict=True) if sex == "M"
    ]
    gone = set(boys[:20])
    opt_outs(midden).write_text("person_link\n" + "".join(f"{person}\n" for person in gone))
    before = workshop.expected("sex")
    leave_out(workshop.extracts[1], gone)
    after = workshop.expected("sex")
    assert before["M"] != after["M"]
    second = await workshop.ask(noord, request_text("After"))
    assert shown(await workshop.all_done(second), "sex") == after
    assert not any(person in midden.words() for person in gone)
