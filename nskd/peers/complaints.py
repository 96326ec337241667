"""Saying what is wrong with a connection once, in words an operator can act on."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

import structlog
import trio

from protocol import limits
from protocol.errors import Fault, RemoteProtocolError

_CHECK: Final = "check that nskd runs there and the firewall lets us in"


class Complaints:
    """Logs a problem when it appears or changes, and is silent while it stays the same.

    A dialer that fails every thirty seconds for a weekend is one line.  ``key`` says whose problem it is.
    """

    def __init__(self, log: structlog.typing.FilteringBoundLogger) -> None:
        self._log = log
        self._current: OrderedDict[tuple[str, ...], str] = OrderedDict()

    def report(self, key: tuple[str, ...], event: str, **fields: object) -> None:
        """Log ``event`` as a warning unless it was the last said of ``key``."""
        known = self._current.get(key) == event
        self._current[key] = event
        self._current.move_to_end(key)
        while len(self._current) > limits.FAULT_MEMORY:
            self._current.popitem(last=False)
        if not known:
            self._log.warning(event, **fields)

    def resolved(self, key: tuple[str, ...]) -> None:
        """Forget the problem, so that it is news when it returns."""
        self._current.pop(key, None)


def explain_call(error: BaseException, *, peer: str, where: str, charter_digest: bytes) -> str:
    """Why calling a peer failed, and what to do."""
    match error:
        case RemoteProtocolError(fault=Fault.IDENTITY, party=str()):
            return f"the daemon at {where} {error.detail}: check the name in its configuration"
        case RemoteProtocolError(fault=Fault.IDENTITY):
            return (
                f"the daemon at {where} does not hold the key that the charter gives to {peer} "
                f"({error.detail}): check address and noise_key of {peer} in the charter"
            )
        case RemoteProtocolError(fault=Fault.VERSION):
            return f"{peer} at {where} {error.detail}"
        case RemoteProtocolError(fault=Fault.HANDSHAKE):
            return (
                f"the handshake with {peer} at {where} does not verify: most likely its charter or version "
                f"of nskd differs from ours; compare its charter digest with ours, {_short(charter_digest)}"
            )
        case RemoteProtocolError(fault=Fault.DISCONNECTED):
            return f"{peer} at {where} let us go: {error.detail}; its log says why"
        case RemoteProtocolError():
            return f"{peer} at {where} broke the protocol: {error.fault.value}: {error.detail}"
        case trio.TooSlowError():
            return f"{peer} at {where} does not answer in time: {_CHECK}"
        case OSError():
            why = error.strerror or str(error) or type(error).__name__
            return f"cannot connect to {peer} at {where} ({why}): {_CHECK}"
        case _:
            return f"the connection to {peer} at {where} broke before it was up"


def explain_answer(error: BaseException, *, who: str, charter_digest: bytes) -> str:
    """Why somebody who called was not let in, and what to do."""
    match error:
        case RemoteProtocolError(fault=Fault.IDENTITY, party=str()):
            return f"{who} was turned away: {error.detail}: check the name in its configuration"
        case RemoteProtocolError(fault=Fault.IDENTITY):
            return (
                f"{who} was turned away: {error.detail}; if it belongs to the workshop, its key in the "
                f"charter is not the one it uses"
            )
        case RemoteProtocolError(fault=Fault.VERSION):
            return f"{who} was turned away: it {error.detail}"
        case RemoteProtocolError(fault=Fault.DISCONNECTED) | trio.BrokenResourceError() | trio.EndOfChannel():
            return (
                f"{who} left during the handshake: if it belongs to the workshop, its charter or version of "
                f"nskd may differ; compare its charter digest with ours, {_short(charter_digest)}"
            )
        case RemoteProtocolError():
            return f"{who} was turned away: {error.fault.value}: {error.detail}"
        case trio.TooSlowError():
            return f"{who} connected but did not finish the handshake in {limits.HANDSHAKE_TIMEOUT_S:.0f} s"
        case _:
            return f"{who} was lost during the handshake"


def _short(digest: bytes) -> str:
    return digest.hex()[:16]
