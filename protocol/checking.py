"""Openings, and the MAC check every one of them waits for (``docs/protocol.md``, steps 4.3 and 5.7 to 5.9)."""

from __future__ import annotations

from typing import Final

import attrs
import numpy as np

from protocol import field
from protocol.errors import Fault, LocalProtocolError, RemoteProtocolError
from protocol.field import ELEMENT_BYTES, Elements
from protocol.opening import open_values
from protocol.party import Party
from protocol.prg import Prg
from protocol.secret import Secret
from protocol.shares import MacKey, Shared

_STRIP: Final = 1 << 15  # coefficients at a time, to stay in the processor's cache


class Unchecked(Secret):
    """Values that were opened but whose MACs were not checked yet.

    Any attempt to use them as numbers fails; :meth:`released` gives them after :meth:`Checker.check` only.
    """

    __slots__ = ("_checked", "_values")

    def __init__(self, values: Elements) -> None:
        self._values = values
        self._checked = False

    def __len__(self) -> int:
        return int(self._values.size)

    def __array__(self, *_: object, **__: object) -> np.ndarray:
        raise LocalProtocolError("an unchecked opening is not a number")

    def released(self) -> Elements:
        """The values, once the MAC check that covers them has passed."""
        if not self._checked:
            raise LocalProtocolError("this opening was not covered by a MAC check")
        return self._values

    def mark_checked(self) -> None:
        """Called by the checker, nobody else."""
        self._checked = True


@attrs.frozen(eq=False, repr=False)
class _Pending(Secret):
    values: Elements
    mac: Elements
    opening: Unchecked | None = None


class Checker:
    """Opens shares and checks, in one random linear combination, everything opened since the last check."""

    def __init__(self, party: Party, key: MacKey, fault: Fault = Fault.MAC_CHECK) -> None:
        self._party = party
        self._key = key
        self._fault = fault
        self._pending: list[_Pending] = []
        self._led_on = False  # something was computed from values that are not checked

    async def open_masked(self, label: str, shared: Shared) -> Elements:
        """Sum everybody's value shares (step 5.7) of what a mask hides, to compute with; the MAC check is still due."""
        values = await open_values(self._party, label, shared.value)
        self._pending.append(_Pending(values, shared.mac))
        self._led_on = True
        return values

    async def open(self, label: str, shared: Shared) -> Unchecked:
        """Sum everybody's value shares of what nothing hides (step 5.10); the MAC check is still due.

        Raises :class:`LocalProtocolError` while anything is unchecked that it may have been computed from.
        """
        if self._led_on:
            raise LocalProtocolError("what nothing masks is opened only after all that led to it has been checked")
        values = await open_values(self._party, label, shared.value)
        opening = Unchecked(values)
        self._pending.append(_Pending(values, shared.mac, opening))
        return opening

    def expect_zero(self, shared: Shared) -> None:
        """Add values that must be zero to the next check, without opening their shares."""
        self._pending.append(_Pending(np.zeros(len(shared), dtype=np.uint64), shared.mac))

    async def check(self, label: str = "mac") -> None:
        """Check every opening since the last check (step 5.8).

        Raises :class:`RemoteProtocolError` with this checker's fault when the MACs do not fit, naming neither a
        party nor a position: which one failed must not leak.  However else it ends short of passing, once our
        own part is out ``party.at_stake`` stays set, and the caller must destroy the MAC key (step 5.9).
        """
        pending, self._pending = self._pending, []
        if not pending:
            return
        party, key = self._party, self._key
        challenge = Prg(await party.coin(label), "mac-check coefficients")
        sigma = await party.work(_combination, challenge, pending, key.delta)
        opened = await party.commit_then_open(f"{label}/sigma", sigma.to_bytes(ELEMENT_BYTES, "little"), staking=True)
        parts = [int.from_bytes(value, "little") for value in opened]
        if any(part >= field.P for part in parts):
            raise RemoteProtocolError(Fault.MALFORMED, "a MAC-check value is not below p", party=None)
        if sum(parts) % field.P != 0:
            raise RemoteProtocolError(self._fault, "the MAC check failed: somebody changed a value or its MAC")
        party.at_stake = False
        self._led_on = False
        for item in pending:
            if item.opening is not None:
                item.opening.mark_checked()


def _combination(challenge: Prg, pending: list[_Pending], delta: int) -> int:
    sigma = 0
    for item in pending:
        values, macs = item.values, item.mac
        for start in range(0, macs.size, _STRIP):
            strip = slice(start, start + _STRIP)
            coefficients = challenge.elements(macs[strip].size)
            value, mac = field.dots(coefficients, values[strip], macs[strip])
            sigma += mac - delta * value
    return sigma % field.P
