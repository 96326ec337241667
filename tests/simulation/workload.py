"""People: they ask, approve, refuse, withdraw, pause, and repeat what failed, at the service of a daemon."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import trio

from nskd.control import methods
from nskd.control.codes import ControlError
from nskd.control.roles import Credentials, Role
from nskd.control.service import Call, Service
from nskd.errors import OperatorError
from nskd.governance import sshsig
from protocol.errors import ProtocolError
from tests.nskd.governance import workshop as papers
from tests.simulation.invariants import Asked, Invariants
from tests.simulation.machine import Machine, PowerCut, on
from tests.simulation.workshop import Centre, Workshop

CALL: Final = Call(credentials=Credentials(pid=1, uid=0, gid=0), role=Role.ADMIN)
AXES: Final = (("sex",), ("age_band",), ("screened",), ("hospital_type",), ("parents_informed",))
T = TypeVar("T")


def table(rng: random.Random) -> str:
    """A small request."""
    (rows,) = rng.choice(AXES)
    measure = rng.choice(("children", "visits"))
    lines = ('kind = "table"', f'title = "{measure} by {rows}"', 'purpose = "improvement"')
    return "\n".join((*lines, f'rows = "{rows}"', f'measure = "{measure}"', ""))


class People:
    """All who work with the daemons."""

    def __init__(self, workshop: Workshop, invariants: Invariants, rng: random.Random) -> None:
        self._workshop = workshop
        self._invariants = invariants
        self._rng = rng
        self.counts: Counter[str] = Counter()

    async def ask(self, centre: Centre) -> bytes | None:
        """Submit a request; its digest, None where that was not possible."""
        text = table(self._rng)
        answer = await self._at(centre, lambda s: s.request_submit(CALL, methods.SubmitParams(text=text, again=True)))
        if answer is None:
            self.counts["requests not taken: the centre was down or its disk would not have it"] += 1
            return None
        digest = bytes.fromhex(answer.request)
        self.counts["requests"] += 1
        self._invariants.asked[digest] = Asked(text)
        return digest

    async def decide(self, centre: Centre, digest: bytes, verdict: str) -> bool:
        """Have the statement written, sign it, hand it in; whether it was taken."""
        said = self._invariants.asked[digest].said[centre.name]

        async def decided(service: Service) -> bool:
            asked = methods.StatementParams(request=digest.hex(), verdict=verdict)  # type: ignore[arg-type]
            text = (await service.request_statement(CALL, asked)).statement
            signature = sshsig.armoured(papers.signed_by(centre.name, text.encode()))
            params = methods.DecideParams(request=digest.hex(), statement=text, signature=signature)
            if verdict == "approve":
                said.approving, said.against = True, False
                await service.request_approve(CALL, params)
            elif verdict == "refuse":
                await service.request_refuse(CALL, params)
            else:
                await service.request_revoke(CALL, params)
            if verdict != "approve":
                said.against = True
            return True

        return bool(await self._at(centre, decided))

    async def see_to(self, digest: bytes, contrary: bool) -> None:
        """Every centre decides in its own time, and again while its machine would not have it."""
        async with trio.open_nursery() as nursery:
            for centre in self._workshop.centres.values():
                rng = random.Random(self._rng.getrandbits(64))
                nursery.start_soon(self._steward, centre, digest, contrary and rng.random() < 0.3, rng)

    async def _steward(self, centre: Centre, digest: bytes, contrary: bool, rng: random.Random) -> None:
        await trio.sleep(rng.uniform(5, 400))
        if contrary and rng.random() < 0.4 and await self.decide(centre, digest, "refuse"):
            self.counts["requests refused by a steward"] += 1
            return
        for _ in range(20):
            if await self.decide(centre, digest, "approve"):
                self.counts["approvals"] += 1
                break
            await trio.sleep(rng.uniform(30, 300))
        if contrary and rng.random() < 0.5:
            await trio.sleep(rng.uniform(0, 300))
            if await self.decide(centre, digest, "withdraw"):
                self.counts["approvals withdrawn"] += 1
                if rng.random() < 0.5:
                    await trio.sleep(rng.uniform(1, 300))
                    if await self.decide(centre, digest, "approve"):
                        self.counts["approvals given anew"] += 1

    async def flurry(self, centre: Centre, number: int) -> None:
        """Requests one after another, each refused by its own centre at once: words for everybody, and no runs."""
        for _ in range(number):
            digest = await self.ask(centre)
            if digest is not None:
                self.counts["requests refused by a steward"] += await self.decide(centre, digest, "refuse")

    async def pause(self, centre: Centre, seconds: float) -> None:
        """A centre pauses for a while."""
        if await self._at(centre, lambda s: s.pause(CALL, methods.WithdrawParams(reason="the extract is renewed"))):
            self.counts["pauses"] += 1
        await trio.sleep(seconds)
        await self.resume(centre)

    async def resume(self, centre: Centre) -> None:
        """End a pause, if there is one, however often that takes."""
        while self._paused(centre):
            await self._at(centre, lambda s: s.resume(CALL, methods.Changing()))
            await trio.sleep(30)

    @staticmethod
    def _paused(centre: Centre) -> bool:
        machine = centre.up
        return machine is None or machine.daemon is None or machine.daemon.workshop.attendance.own is not None

    async def run_again(self, centre: Centre, digest: bytes) -> bool:
        """Ask for a failed request to be run once more."""
        params = methods.RunParams(request=digest.hex())
        return await self._at(centre, lambda s: s.request_run(CALL, params)) is not None

    async def _at(self, centre: Centre, act: Callable[[Service], Awaitable[T]]) -> T | None:
        """Do something at a centre's console; None when it is down, says no, or loses power meanwhile."""
        machine: Machine | None = centre.up
        if machine is None or machine.service is None:
            await trio.lowlevel.checkpoint()
            return None
        try:
            async with on(machine):
                return await act(machine.service)
        except (OperatorError, ControlError, ProtocolError) as error:
            self.counts[f"said no: {getattr(error, 'code', type(error).__name__)}"] += 1
            return None
        except PowerCut:
            return None
