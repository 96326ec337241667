"""Whoever objects is left out of this centre's data, anew before each run, and no run goes on without that."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import attrs
import trio

from nskd.daemon.workshop import Workshop
from nskd.data.load import Dataset, LeftOut
from nskd.data.optout import OptOuts, read_opt_outs
from nskd.errors import OperatorError
from nskd.governance.audit import Event
from nskd.monitor.findings import Finding, Name


@attrs.frozen
class Account:
    """Which list was applied, and what it took out of the extract."""

    listed: OptOuts
    left_out: LeftOut


class Objections:
    """The list that the configuration names; without one nobody objects."""

    def __init__(self, *, workshop: Workshop, dataset: Dataset | None, path: Path | None) -> None:
        self._workshop = workshop
        self._dataset = dataset
        self._path = path
        self._problem: str | None = None
        self._account: Account | None = None

    @property
    def configured(self) -> bool:
        """Whether there is a list."""
        return self._path is not None

    async def readable(self) -> bool:
        """Whether the list can be read now; if not, the log and the status say why."""
        try:
            await self._read()
        except OperatorError:
            return False
        return True

    async def apply(self) -> Account | None:
        """Read the list and leave out whom it names, and nobody else.  Raises ``DataError``: fail closed."""
        if self._dataset is None or (listed := await self._read()) is None:
            return None
        left_out = await trio.to_thread.run_sync(self._dataset.leave_out, listed.people)
        self._account = Account(listed, left_out)
        await self._workshop.audit.record(
            Event.OPT_OUT_APPLIED,
            details={
                "sha256": listed.digest,
                "listed": len(listed.people),
                "void": listed.void,
                "people_left_out": left_out.people,
                "visits_left_out": left_out.visits,
            },
        )
        self._workshop.log.info(
            "people who object left out",
            digest=listed.digest.hex(),
            listed=len(listed.people),
            people=left_out.people,
            visits=left_out.visits,
        )
        return self._account

    def findings(self) -> list[Finding]:
        """What an operator should know of it."""
        if self._problem is not None:
            what = f"no run takes place with this centre: {self._problem}"
            return [Finding(Name.OPT_OUT_UNREADABLE, what, "The list is read anew before each run.")]
        if self._account is not None and self._account.listed.people and not self._account.left_out.people:
            what = "nobody on the opt-out list is in the extract"
            remedy = "Does it hold the extract's own pseudonyms?"
            return [Finding(Name.OPT_OUT_MATCHES_NOBODY, what, remedy)]
        return []

    async def _read(self) -> OptOuts | None:
        if self._path is None:
            return None
        now = self._workshop.clock()
        try:
            listed = await trio.to_thread.run_sync(partial(read_opt_outs, self._path, now=now))
        except OperatorError as error:
            if self._problem != str(error):
                self._workshop.log.error("the opt-out list cannot be read", reason=str(error))
                self._workshop.events.publish("opt-out.unreadable")
                await self._workshop.audit.note(
                    Event.OPT_OUT_UNREADABLE, outcome="failed", details={"reason": str(error)}
                )
            self._problem = str(error)
            raise
        self._problem = None
        return listed
