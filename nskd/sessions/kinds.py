"""What the owner of a kind of session provides, and what it is given."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import attrs

from nskd.errors import OperatorError
from nskd.peers.channel import SessionChannel
from nskd.peers.lanes import Lane
from nskd.sessions.proposal import Offer, Proposal
from protocol.party import Entropy, Party, Worker

BUSY: Final = "busy with another session"


class Refusal(Exception):  # noqa: N818 - an answer, not a mishap
    """Raised by a judge: this centre takes no part, for a reason that the coordinator's operator may read."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class SessionRefused(OperatorError):  # noqa: N818 - an answer as well
    """A proposal did not become a session; ``reasons`` by centre."""

    def __init__(self, session: bytes, reasons: Mapping[str, str]) -> None:
        self.session = session
        self.reasons = dict(reasons)
        said = "; ".join(f"{name}: {reason}" for name, reason in self.reasons.items())
        super().__init__(
            f"the proposal was refused ({said})",
            where=f"session {session.hex()[:8]}",
            remedy="Propose it again later." if self.busy else "Settle this with the centre named.",
        )

    @property
    def busy(self) -> bool:
        """Whether a later attempt may succeed with nothing else changed."""
        return set(self.reasons.values()) == {BUSY}


@attrs.frozen(eq=False)
class AgreedSession:
    """A session all parties have agreed on: our seat in it.

    ``give_up_slot`` lets the next session of this lane begin here while this one sees to its last steps.
    """

    offer: Offer
    index: int
    channel: SessionChannel
    give_up_slot: Callable[[], None]

    @property
    def session(self) -> bytes:
        """The session id, 16 bytes."""
        return self.channel.session

    @property
    def proposal(self) -> Proposal:
        """What was agreed."""
        return self.offer.proposal

    @property
    def parties(self) -> tuple[str, ...]:
        """Names in party order."""
        return self.offer.proposal.parties

    def party(self, entropy: Entropy, work: Worker) -> Party:
        """Take the seat; once per session."""
        return Party(
            session=self.session,
            index=self.index,
            parties=len(self.parties),
            channel=self.channel,
            entropy=entropy,
            work=work,
        )


Judge = Callable[[Offer], Awaitable[None]]
Run = Callable[[AgreedSession], Awaitable[Any]]
Finished = Callable[[Offer, BaseException | None], Awaitable[None]]


async def nothing_to_finish(offer: Offer, error: BaseException | None) -> None:
    """Clean up after a kind of session that leaves nothing behind."""


@attrs.frozen
class SessionKind:
    """How one kind of session is judged, run and cleaned up.

    ``judge`` raises :class:`Refusal`, leaving nothing behind, or returns, having reserved what the session
    needs.  ``run`` is the session itself; its value goes to whoever proposed.  ``finished`` is called exactly
    once for each offer that was judged and not refused, however it ended (``None`` for success): the place to
    burn what was reserved and not used.  It is shielded from cancellation, and bounded by
    ``SESSION_CLEANUP_TIMEOUT_S``.

    ``lane`` is the only one it may take place on: what may be under way beside what follows from it (step 5.9).
    """

    name: str
    lane: Lane
    judge: Judge
    run: Run
    finished: Finished = nothing_to_finish
