"""Documents about this centre, from what is in force at this moment."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Literal

from nskd.config import Config
from nskd.control import answers
from nskd.daemon.workshop import Workshop
from nskd.documents.catalogue import catalogue
from nskd.documents.dpia import dpia
from nskd.documents.facts import Activity, Facts
from nskd.governance.ledger import Ledger


class Documents:
    """``config`` gives the configuration as last reloaded; ``visits`` counts those read, ``None`` without data."""

    def __init__(self, workshop: Workshop, config: Callable[[], Config], visits: int | None) -> None:
        self._workshop = workshop
        self._config = config
        self._visits = visits

    async def write(self, kind: Literal["dpia", "catalogue"]) -> answers.DocumentAnswer:
        """Write one; raises an ``OperatorError`` when the configuration lacks something that it needs."""
        facts = await self._facts()
        if kind == "catalogue":
            return answers.DocumentAnswer(kind=kind, text=catalogue(facts))
        report = dpia(facts)
        return answers.DocumentAnswer(
            kind=kind, text=report.markdown(), gaps=[f"{number} {what}" for number, what in report.gaps]
        )

    async def _facts(self) -> Facts:
        workshop = self._workshop
        counts = await workshop.ledger(Ledger.counts)
        return Facts(
            config=self._config(),
            charter=workshop.charter,
            pack=workshop.pack,
            today=datetime.datetime.fromtimestamp(workshop.clock(), datetime.UTC).date(),
            activity=Activity(counts, self._visits),
        )
