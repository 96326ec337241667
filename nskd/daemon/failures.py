"""How runs ended without a release: put into words, written down as soon as the disk allows."""

from __future__ import annotations

from typing import Final, NoReturn

import trio

from nskd.daemon.notices import Notices
from nskd.daemon.workshop import Workshop
from nskd.errors import OperatorError
from nskd.governance.audit import Event
from nskd.governance.ledger import Ledger
from nskd.governance.lifecycle import StateError
from nskd.governance.policy import PolicyError, Rule
from nskd.governance.request import SignedRequest
from protocol.errors import Fault, RemoteProtocolError

# Faults that a crash, a bad line or chance explains; anything else shows that somebody cheats or is broken.
_ACCIDENTS: Final = frozenset({Fault.DISCONNECTED, Fault.TIMEOUT, Fault.SESSION, Fault.UNLUCKY})

RECORD_AGAIN_S: Final = 5.0  # while the disk has no room for how a run ended

_ABSENT: Final = frozenset({Rule.CENTRE_PAUSED, Rule.CENTRE_LEFT})


class Failures:
    """What could not be recorded yet is kept in mind, and tried again."""

    def __init__(self, workshop: Workshop, notices: Notices) -> None:
        self._workshop = workshop
        self._notices = notices
        self._unrecorded: dict[bytes, tuple[str, str, bool]] = {}
        self._noted = trio.Event()
        self._one = trio.Lock()  # or the second would write down the end of what runs again by then

    async def drive(self) -> NoReturn:
        """Go on trying what could not be recorded, for ever."""
        while True:
            await self._noted.wait()
            self._noted = trio.Event()
            while self._unrecorded:
                await trio.sleep(RECORD_AGAIN_S)
                await self.record()

    async def note(self, request: SignedRequest, error: BaseException) -> None:
        """A run of this request ended with this error."""
        workshop, digest = self._workshop, request.digest
        fault, detail, retryable = describe_failure(error)
        if isinstance(error, OperatorError):
            workshop.log.error("a run failed here", request=digest.hex(), reason=detail)
        self._unrecorded[digest] = (fault, detail, retryable)
        self._noted.set()
        with trio.CancelScope(shield=True):
            await self.record()
        await workshop.audit.note(
            Event.RUN_FAILED, outcome="failed", request=digest, details={"fault": fault, "detail": detail}
        )
        workshop.events.publish("run.failed", request=digest.hex(), fault=fault, detail=detail)

    async def record(self) -> None:
        """Write down how runs ended; what the disk has no room for is kept in mind, and tried again."""
        async with self._one:
            for digest in tuple(self._unrecorded):
                await self._record(digest, *self._unrecorded[digest])

    async def _record(self, digest: bytes, fault: str, detail: str, retryable: bool) -> None:
        workshop = self._workshop
        try:
            state = await workshop.ledger(
                Ledger.fail,
                digest,
                fault=fault,
                detail=detail,
                retryable=retryable,
                charter=workshop.charter,
                now=workshop.clock(),
            )
            entry = await workshop.ledger(Ledger.get, digest)
        except StateError:
            del self._unrecorded[digest]  # it has ended otherwise
            return
        except OperatorError as error:
            workshop.log.error("a failure could not be recorded", request=digest.hex(), reason=str(error))
            return
        del self._unrecorded[digest]
        workshop.publish_state(digest, state)
        if retryable:  # a centre that has the release so hears that it is lacking here
            await self._notices.publish(entry.request, ())
        else:
            self._notices.poke()  # others wait for its end


def describe_failure(error: BaseException) -> tuple[str, str, bool]:
    """A failure's name, one sentence on it, and whether trying again makes sense."""
    if isinstance(error, RemoteProtocolError):
        return error.fault.value, error.detail, error.fault in _ACCIDENTS
    if isinstance(error, PolicyError) and error.rule in _ABSENT:
        return error.rule.value, str(error), True
    if isinstance(error, OperatorError):
        return "local-error", str(error), True
    if isinstance(error, trio.Cancelled):
        return "interrupted", "the session was stopped", True
    return "internal-error", f"{type(error).__name__}, see this centre's log", False
