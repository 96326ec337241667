"""One deliberate defect."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AbstractContextManager

import attrs

from tests.simulation.run import Report, Setting, simulate

Put = Callable[[], AbstractContextManager[object]]


@attrs.frozen
class Defect:
    """``put`` breaks the daemon for a while; ``found_as`` is a pattern of the problems that may show it."""

    name: str
    what: str
    found_as: str
    put: Put
    favoured: tuple[str, ...] = ()  # faults under which it shows
    contrary: float = 0.25  # of requests

    def setting(self, seed: int, hours: float) -> Setting:
        """A busy workshop with many faults."""
        return Setting(
            seed,
            hours,
            requests_per_hour=5,
            faults_per_hour=20,
            calm_s=1200,
            centres=3,
            contrary=self.contrary,
            favoured=self.favoured,
        )

    def simulate(self, setting: Setting) -> Report:
        """One seed of a workshop in which all daemons have it."""
        with self.put():
            return simulate(setting)

    def explains(self, problem: str) -> bool:
        """Whether a problem is what this defect does."""
        return re.search(self.found_as, problem) is not None
