"""The joint part of a run: what it tests before it tells more than counts, and how often that may end in nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from nskd.analysis.contribution import VENTURES_MAX, ContributionError, Contributions
from nskd.daemon import joint as joint_module
from nskd.daemon.joint import Job, JointPart, Outcome
from nskd.errors import OperatorError

from .centres import world

EPOCH = bytes(32)
Stand = Callable[..., Awaitable[object]]


async def nothing(*_: object, **__: object) -> None:
    """Stands in for what is not looked at here."""


async def ventures(*_: object, before_pattern: Callable[[], None], **__: object) -> None:
    """Stands in for the table, as far as that a pattern is about to be opened."""
    before_pattern()


@asynccontextmanager
async def joint_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, opens: Stand = nothing, compares: Stand = nothing
) -> AsyncIterator[tuple[JointPart, Contributions, Job, list[bytes]]]:
    """A joint part whose protocol is stood in for, a job that tells of hospitals, and the epoch that is current."""
    current = [EPOCH]
    for name, stands_in in (("contribute", nothing), ("release_contributed", opens), ("compare", compares)):
        monkeypatch.setattr(joint_module, name, stands_in)
    monkeypatch.setattr(joint_module, "told", lambda asked, compared: {"points": compared})
    differences, table = SimpleNamespace(children=None, cell=None), SimpleNamespace(values=None, children=None)
    own = cast(Any, SimpleNamespace(table=table, differences=differences, patterns=None))
    epochs = SimpleNamespace(mac_key=lambda: None, current_id=lambda: current[0], destroy_if_tested=nothing)
    contributions = Contributions(tmp_path / "contributions", lambda label: bytes(32))
    async with world(tmp_path) as here:
        sent = await here.submit()
        seat = here["zuid"]
        monkeypatch.setattr(seat.workshop.__class__, "rules", lambda self, plan: None)
        plan, hospitals = cast(Any, SimpleNamespace(shape=None)), cast(Any, "asked")
        job = Job(seat.entry(sent), (), EPOCH, plan, cast(Any, None), own, hospitals)
        yield JointPart(seat.workshop, cast(Any, epochs), contributions), contributions, job, current


async def run(part: JointPart, job: Job) -> Outcome:
    return await part.run(cast(Any, None), cast(Any, None), job)


async def test_nothing_is_told_of_hospitals_once_the_epoch_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    held: list[list[bytes]] = []

    async def opens(*_: object, **__: object) -> None:
        held[0][0] = b"another"

    async def compares(*_: object, **__: object) -> None:
        told.append("points")

    async with joint_part(tmp_path, monkeypatch, opens=opens, compares=compares) as (part, _, job, current):
        held.append(current)
        with pytest.raises(OperatorError, match="epoch"):
            await run(part, job)
        assert not told


async def test_more_than_counts_is_not_told_in_run_after_run_that_comes_to_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A peer that hangs up once it has seen an estimate, and comes back with other numbers (11.10, 18.15)."""
    told: list[str] = []

    async def compares(*_: object, **__: object) -> None:
        told.append("points")
        raise ConnectionError

    async with joint_part(tmp_path, monkeypatch, opens=ventures, compares=compares) as (part, _, job, _):
        for _ in range(VENTURES_MAX):
            with pytest.raises(ConnectionError):
                await run(part, job)
        with pytest.raises(ContributionError, match="broke off"):
            await run(part, job)
    assert len(told) == VENTURES_MAX


async def test_runs_whose_release_all_confirmed_count_for_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with joint_part(tmp_path, monkeypatch, opens=ventures) as (part, contributions, job, _):
        for _ in range(2 * VENTURES_MAX):
            await run(part, job)
            contributions.end_venture(job.request)  # as a run does once its release is confirmed
        for _ in range(VENTURES_MAX):  # finished here, but never confirmed
            await run(part, job)
        with pytest.raises(ContributionError):
            await run(part, job)
