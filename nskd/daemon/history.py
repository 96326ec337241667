"""Which earlier tables a new one is compared with: agreed by all centres before the run, fixed with its contribution.

Earlier are all requests of which a run began, whether or not it came to a release: somebody may have seen the table all
the same.  The charter says how many are looked back at; the newest count, by the time and digest that are part of the
request, so that all centres have the same order.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np
import trio

from nskd.analysis.hospitals import own_point
from nskd.analysis.pairs import NO_PAIRS, TESTS_MAX, Pairing, corresponding, too_many
from nskd.analysis.populations import Populations, Record, split
from nskd.analysis.table import TablePlan
from nskd.daemon.workshop import Workshop
from nskd.errors import OperatorError
from nskd.governance.ledger import Entry, Ledger, UnknownRequestError
from nskd.governance.question import Kind
from nskd.governance.request import SignedRequest
from nskd.governance.statement import Verdict
from nskd.sessions.kinds import Refusal
from protocol.online.differences import tests_per_pair

_Header = tuple[tuple[str, ...], tuple[bytes, ...]]  # contributors, and earlier tables


@attrs.frozen
class Earlier:
    """A table that a new one is compared with, by the digest of its request."""

    request: bytes
    plan: TablePlan


class History:
    """This centre's view of what came before."""

    def __init__(self, workshop: Workshop, populations: Populations) -> None:
        self._workshop = workshop
        self._populations = populations
        self._headers: dict[bytes, _Header] = {}  # of records, which never change
        self._reading = trio.Lock()  # so that two who ask at the same time have a file read once

    async def listed(self, request: bytes) -> tuple[bytes, ...]:
        """What this centre would have a request compared with: as it was at its first run, or as things are now."""
        held = await self._header(request)
        if held is not None:
            return held[1]
        return tuple(digest for digest, _ in await self._before(request))

    async def earlier(self, listed: Sequence[bytes]) -> list[Earlier]:
        """The tables of a list that can still be laid out: variables may have left the codebook since.

        Raises :class:`Refusal` for one that is not known here.
        """
        found = []
        for digest in listed:
            request = await self._known(digest)
            try:
                found.append(Earlier(digest, self._workshop.plan(request.table)))
            except OperatorError:
                continue
        return found

    async def check(self, request: bytes, extra: bytes) -> tuple[bytes, ...]:
        """Accept the list of a proposal, or raise :class:`Refusal`: nothing may be left out, and once is for good."""
        listed = split(extra)
        back = self._workshop.charter.disclosure.differencing
        if listed is None or len(listed) > back or request in listed:
            raise Refusal("the list of earlier tables is no such list")
        held = await self._header(request)
        if held is not None:
            if held[1] != listed:
                raise Refusal("the table was first compared with other earlier ones; submit the request again")
            return listed
        places = [((await self._known(digest)).submitted_at, digest) for digest in listed]  # none made up as a filler
        oldest = min(places, default=None) if len(listed) == back else None
        for digest, submitted_at in await self._before(request):
            if digest in listed or (oldest is not None and (submitted_at, digest) < oldest):
                continue
            header = await self._header(digest)
            if header is None or request not in header[1]:  # else that one was compared with this one
                raise Refusal(f"an earlier table is left out: {digest.hex()[:12]}")
        return listed

    async def newest(self) -> tuple[bytes, ...]:
        """The tables that the next one is compared with, oldest first."""
        return tuple(digest for digest, _ in await self._before(b""))

    async def comparable(self, plan: TablePlan) -> None:
        """Raise :class:`~nskd.analysis.pairs.TooManyPairsError` for a table that could not run if it were asked now."""
        pairs_of(self._workshop, plan, await self.earlier(await self.newest()))

    def find(self, request: bytes) -> Record | None:
        """What this centre contributed to a table; raises an ``OperatorError`` if it cannot be read."""
        return self._populations.find(request)

    async def own_point(self, request: SignedRequest) -> tuple[int, int] | None:
        """This centre's (events, size) in a funnel, from what it contributed; None where that is not kept."""
        if request.table.kind is not Kind.FUNNEL:
            return None
        try:
            plan = self._workshop.plan(request.table)
            record = await trio.to_thread.run_sync(self._populations.find, request.digest)
        except OperatorError:  # what was released is shown all the same; the next run says what is wrong
            return None
        if record is None or self._workshop.own not in record.contributors:
            return None
        return own_point(record.population, plan)

    async def _known(self, digest: bytes) -> SignedRequest:
        """A listed request; raises :class:`Refusal` for one that cannot have begun anywhere (step 11.6).

        None begins without this centre's approval, if it brings data.  Were others taken, a requester could fill the
        list with requests of its own making, older than which everything may be left out.
        """
        workshop = self._workshop
        try:
            entry = await workshop.ledger(Ledger.get, digest)
        except UnknownRequestError as error:
            raise Refusal(f"an earlier table is listed that is not known here: {digest.hex()[:12]}") from error
        if not entry.runs and workshop.own in workshop.charter.contributors:
            words = await workshop.ledger(Ledger.approvals, digest)
            if not any(each.centre == workshop.own and each.verdict is Verdict.APPROVE for each in words):
                raise Refusal(f"an earlier table is listed that was never approved here: {digest.hex()[:12]}")
        return entry.request

    async def _before(self, request: bytes) -> list[tuple[bytes, int]]:
        """Digests and times of the newest requests that a run began of, oldest first."""
        back = self._workshop.charter.disclosure.differencing
        if not back:
            return []
        entries = {entry.request.digest: entry for entry in await self._workshop.ledger(Ledger.begun)}
        for forgotten in self._headers.keys() - entries.keys():
            del self._headers[forgotten]
        ordered = sorted((entry.request.submitted_at, digest) for digest, entry in entries.items() if digest != request)
        newest: list[tuple[bytes, int]] = []
        for submitted_at, digest in reversed(ordered):  # no further back than counts: each costs a file after a start
            if await self._counts(entries[digest]):
                newest.append((digest, submitted_at))
                if len(newest) == back:
                    break
        return newest[::-1]

    async def _counts(self, entry: Entry) -> bool:
        """Whether the same centres contributed: one that has joined since knows nothing of it."""
        header = await self._header(entry.request.digest)
        charter = self._workshop.charter
        if header is not None:
            return header[0] == charter.contributors
        under = self._workshop.charter_of(entry.request.charter_digest)
        return under is not None and under.contributors == charter.contributors

    async def _header(self, request: bytes) -> _Header | None:
        """What a record says besides who was in it; a file, of some megabytes, is read once, and in a worker thread."""
        header = self._headers.get(request)
        if header is not None or not self._populations.holds(request):
            return header
        async with self._reading:
            header = self._headers.get(request)
            if header is None:
                record = await trio.to_thread.run_sync(self._populations.find, request)
                if record is None:
                    return None
                header = self._headers[request] = (record.contributors, record.earlier)
            return header


def pairs_of(workshop: Workshop, plan: TablePlan, earlier: Sequence[Earlier]) -> Pairing:
    """The pairs of cells that are compared; raises :class:`~nskd.analysis.pairs.TooManyPairsError`."""
    per_pair = tests_per_pair(workshop.rules(plan), len(workshop.charter.centres))
    apart = 0 if workshop.hospitals(plan) is None else len(workshop.charter.contributors)
    pairs, tests, funnels = 0, 0, [NO_PAIRS.funnels]
    for each in earlier:
        more = corresponding(plan, each.plan).shape[1]
        tests += more * per_pair
        if apart and each.plan.reading.kind is Kind.FUNNEL:  # a hospital's two points are compared as well
            funnels.append(np.arange(pairs, pairs + more))
            tests += more * apart
        pairs += more
        if tests > TESTS_MAX:
            raise too_many(tests)
    return Pairing(pairs, np.concatenate(funnels))
