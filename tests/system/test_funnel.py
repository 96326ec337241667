"""A funnel among five real daemons, under a charter that lets hospitals' points and φ be told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nskd.governance.charter_signatures import signatures_path
from tests.system.workshop import THRESHOLD, Plan, Workshop, lay_out, sign

PLANS = (
    Plan("noord"),
    Plan("midden"),
    Plan("west", roles=("compute", "request")),  # computes, and is no hospital
    Plan("zuid"),
    Plan("oost"),
)
TEXT = """kind = "funnel"
title = "Boys, of all children"
purpose = "improvement"
measure = "children"
of = "sex = 'M'"
where = "{}"
"""


def own_counts(rows: dict[str, Any], least_months: int) -> tuple[int, int, int]:
    """Distinct children with the event, among the others, and in all."""
    with_event, others = set(), set()
    for child, sex, age in zip(rows["person_link"], rows["sex"], rows["age_months"], strict=True):
        if int(age) >= least_months:
            (with_event if str(sex) == "M" else others).add(child)
    return len(with_event), len(others), len(with_event | others)


def nearest(value: int) -> int:
    return (value + 2) // 5 * 5


def lay_out_open(directory: Path) -> Workshop:
    """The charter of the other tests, with what a funnel may tell."""
    workshop = lay_out(directory, PLANS, visits=200)
    text = workshop.charter.read_text()
    told = 'centres_min = 3\nhospital_points = "shuffled"\noverdispersion = true\n'
    assert "centres_min = 3\n" in text
    workshop.charter.write_text(text.replace("centres_min = 3\n", told))
    signatures_path(workshop.charter).unlink()
    sign(workshop.charter, workshop.daemons)
    return workshop


async def ask(workshop: Workshop, where: str) -> tuple[str, dict[str, Any]]:
    """Submit, have all hospitals approve, wait for the release."""
    digest = await workshop.submit(workshop["noord"], TEXT.format(where))
    for daemon in workshop.daemons:
        if daemon.plan.contributes:
            await workshop.approve(daemon, digest)
    return digest, await workshop.all_done(digest)


@pytest.mark.long  # in memory: tests/protocol/test_hospitals.py, test_kinds.py
async def test_points_and_phi_are_what_plain_counting_gives(tmp_path: Path) -> None:
    workshop = lay_out_open(tmp_path)
    try:
        workshop.start()
        await workshop.connected()
        digest, release = await ask(workshop, "age_months >= 0")
        counts = [own_counts(rows, 0) for rows in workshop.extracts]
        assert all(min(e, o, n - e) >= THRESHOLD for e, o, n in counts)
        assert release["points"] == sorted([nearest(e), nearest(n)] for e, _, n in counts)
        events, _, size = (nearest(int(total)) for total in np.sum(counts, axis=0))
        rate = events / size
        scores = [round(10 * (e - n * rate) ** 2 / (n * rate * (1 - rate))) for e, _, n in counts]
        assert release["phi"] == round(nearest(sum(scores)) / 40, 3)
        contributing = [daemon for daemon in workshop.daemons if daemon.plan.contributes]
        for daemon, (e, _, n) in zip(contributing, counts, strict=True):
            assert (await daemon.call("result.show", request=digest))["own_point"] == [e, n]
        assert (await workshop["west"].call("result.show", request=digest))["own_point"] is None
        for daemon in contributing:  # a run that all confirmed is none that broke off
            assert (daemon.state / "contributions" / f"{digest}.ventures").read_bytes() == b""

        # The same again: nobody differs, and the same points are shown, shuffled anew.
        _, release = await ask(workshop, "age_months >= 0 AND age_months >= 0")
        assert release["points"] == sorted([nearest(e), nearest(n)] for e, _, n in counts)

        # Nearly the same: enough children are left out in all, but too few at one hospital.  Its second point is
        # withheld, and with it those of the others that would give it away; all pass by their numbers.
        left = [n - own_counts(rows, 10)[2] for rows, (_, _, n) in zip(workshop.extracts, counts, strict=True)]
        assert sorted(left)[0] < THRESHOLD < sorted(left)[1]
        again = [own_counts(rows, 10) for rows in workshop.extracts]
        assert all(min(e, o, n - e) >= THRESHOLD for e, o, n in again)
        _, release = await ask(workshop, "age_months >= 10")
        assert all(cell["value"] is not None for cell in release["cells"])
        assert (release["phi"], release["points"]) == (None, None)
    finally:
        workshop.reap()
