"""The epoch's keys at this centre: taken up, founded together, destroyed (``docs/protocol.md``, sections 5.9 and 6)."""

from __future__ import annotations

from collections import Counter
from typing import Final

import trio

from nskd.daemon.allowance import Allowance
from nskd.daemon.phases import Stopwatch
from nskd.daemon.workshop import Workshop
from nskd.errors import OperatorError
from nskd.governance import limits
from nskd.governance.audit import Event
from nskd.peers.channel import SessionAborted
from nskd.stockpile import SharedStockpile, Stockpile
from protocol.errors import Fault, LocalProtocolError, RemoteProtocolError
from protocol.offline.epoch import Epoch, found, seal, unseal
from protocol.party import DIGEST_BYTES, Party, octets
from protocol.shares import MacKey

_NO_EPOCH: Final = bytes(DIGEST_BYTES)

# After these an adversary may have tested our keys: the epoch is never used again (step 6.4).
_FATAL: Final = frozenset(
    {Fault.MAC_CHECK, Fault.BATCH_CHECK, Fault.PROOF_EQUATION, Fault.PROOF_BOUND, Fault.DECRYPTION}
)
_BROKEN_OFF: Final = "broken-off"  # within a check, by whatever


class EpochEndedError(OperatorError):
    """What stops a session whose keys were destroyed beside it: the centres have said why already, and mend it."""

    def __init__(self) -> None:
        super().__init__(
            "the epoch has ended meanwhile", where="this centre", remedy="The centres found a new one and try again."
        )


class Epochs:
    """Holds the current epoch, if there is one."""

    def __init__(self, *, workshop: Workshop, stock: SharedStockpile) -> None:
        self._workshop = workshop
        self._stock = stock
        self._epoch: Epoch | None = None
        # By the fault that this centre saw, since the start; at 0 from then on, or the first would not show as a rise.
        self.failed_checks = Counter({_BROKEN_OFF: 0, **{fault.value: 0 for fault in sorted(_FATAL)}})
        self.failed_at: int | None = None  # when one last did
        self.ended = 0  # epochs, since the start
        self._allowance = Allowance(limits.EPOCHS_ENDED_BURST, limits.EPOCH_ENDED_EVERY_S, workshop.clock())

    async def recover(self) -> None:
        """Take up the stored epoch, if there is one that can be read."""
        stored = await self._stock(Stockpile.epoch)
        if stored is None:
            return
        try:
            self._epoch = await trio.to_thread.run_sync(unseal, stored.state)
        except (LocalProtocolError, RemoteProtocolError) as error:
            self._workshop.log.warning("the stored epoch cannot be used", reason=str(error))
            await self._stock(Stockpile.destroy_epoch, "its keys cannot be read")
            return
        if self._epoch.charter != self._workshop.charter.digest:  # step 15.6
            await self.destroy("it was founded under another charter")

    def may_end(self) -> bool:
        """Whether another may end: whoever says each time that it holds another one has all of them found a new one."""
        return self._allowance.has_left(self._workshop.clock())

    def current_id(self) -> bytes:
        """The current epoch's id; empty when there is none."""
        return b"" if self._epoch is None else self._epoch.epoch_id

    def name(self) -> str | None:
        """The current epoch for a person."""
        return None if self._epoch is None else self._epoch.epoch_id.hex()[:16]

    def mac_key(self) -> MacKey:
        """This centre's share of the MAC key."""
        if self._epoch is None:
            raise LocalProtocolError("there is no epoch")
        return self._epoch.mac_key

    async def destroy(self, reason: str) -> None:
        """Throw the epoch and its stock away: an adversary may have learnt something by testing it."""
        if self._epoch is None:
            return
        self._workshop.log.error("epoch destroyed", epoch=self.name(), reason=reason)
        self._workshop.events.publish("epoch.destroyed", reason=reason)
        ended, self._epoch = self._epoch, None
        self.ended += 1
        self._allowance.take(self._workshop.clock())
        with trio.CancelScope(shield=True):
            try:
                await self._stock(Stockpile.destroy_epoch, reason)
            except OperatorError as error:  # its files are gone all the same, and the next epoch replaces the rest
                self._workshop.log.error("the end of the epoch could not be recorded", reason=str(error))
        await self._workshop.audit.note(Event.EPOCH_ENDED, details={"epoch": ended.epoch_id, "reason": reason})

    async def destroy_if_tested(self, party: Party, error: BaseException, what: str) -> None:
        """Destroy the epoch after an end of a session that may have taught somebody about its keys (step 6.4).

        What a peer merely claims is no reason.  But our own part of a MAC check that has not passed is one, whatever
        the session ended with: the cheat may just as well have hung up (step 5.9).
        """
        fault = error.fault if isinstance(error, RemoteProtocolError) else None
        told = isinstance(error, SessionAborted)
        if self._epoch is not None and (party.at_stake or (fault in _FATAL and not told)):
            self.failed_checks[fault.value if fault in _FATAL and not told else _BROKEN_OFF] += 1
            self.failed_at = self._workshop.clock()
        if party.at_stake:
            await self.destroy(f"{what} ended within a MAC check")
        elif fault in _FATAL and not told:
            await self.destroy(f"{what} ended with {fault.value}")

    async def agree(self, party: Party, watch: Stopwatch) -> Epoch:
        """The epoch all parties hold, or a new one when they do not hold the same (step 12.4)."""
        own = self.current_id() or _NO_EPOCH
        told = await party.broadcast("epoch", octets(own))
        await party.confirm()
        if self._epoch is not None and all(part.tobytes() == own for part in told):
            return self._epoch
        if self._epoch is not None:
            await self.destroy("not every centre holds it any more")
        with watch.phase("epoch"):
            epoch = await found(party, self._workshop.charter.digest)
        await self._stock(Stockpile.begin_epoch, epoch.epoch_id, seal(epoch, party.index))
        await party.broadcast("epoch/stored", octets(epoch.epoch_id))
        await party.confirm()
        self._epoch = epoch
        self._workshop.log.info("epoch founded", epoch=self.name())
        await self._workshop.audit.note(Event.EPOCH_FOUNDED, details={"epoch": epoch.epoch_id})
        self._workshop.events.publish("epoch.founded", epoch=self.name())
        return epoch

    def require(self, epoch: Epoch) -> None:
        """Raise unless this epoch is still the current one: nothing may be decrypted after its end."""
        if self._epoch is not epoch:
            raise EpochEndedError
