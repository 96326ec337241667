"""Two families of error, and the names of everything a peer can do wrong.

A peer's bytes may raise :class:`RemoteProtocolError` and nothing else; misuse by our own code
raises :class:`LocalProtocolError`.  Any third exception out of this package is a bug.
"""

from __future__ import annotations

import enum


class Fault(enum.StrEnum):
    """What a remote party did.  The value is stable: logs, tests and operators rely on it."""

    MALFORMED = "malformed-message"
    OVERSIZED = "oversized-message"
    UNEXPECTED = "unexpected-message"  # wrong step, replayed or reordered
    CHANNEL = "channel-authentication"  # a transport message that does not decrypt
    HANDSHAKE = "handshake"
    IDENTITY = "unknown-static-key"
    EXHAUSTED = "channel-exhausted"
    DISCONNECTED = "disconnected"
    TIMEOUT = "timeout"
    EQUIVOCATION = "inconsistent-broadcast"
    COMMITMENT = "commitment-mismatch"  # also a copied or wrongly opened coin
    MAC_CHECK = "mac-check"
    BATCH_CHECK = "batch-check"
    PROOF_EQUATION = "proof-equation"
    PROOF_BOUND = "proof-bound"
    DECRYPTION = "decryption-anomaly"
    CONTRIBUTION = "inconsistent-contribution"  # out of range, or not that of an earlier run of the same request
    UNLUCKY = "unlucky-mask"  # chance, once in millions of runs, or a false opening that looks like it
    VERSION = "protocol-version"  # of another version of the protocol; nobody's fault, and nothing can be said
    SESSION = "session-mismatch"  # version, charter, request or party order differ
    APPROVAL = "invalid-approval"
    SIGNATURE = "invalid-signature"


class ProtocolError(Exception):
    """Root of both families; never raised itself."""


class LocalProtocolError(ProtocolError):
    """Our own code broke the contract of this package."""


class RemoteProtocolError(ProtocolError):
    """A peer broke the protocol.

    ``fault`` says how, ``party`` who (an index in the party order, a centre's name, or ``None`` when the
    protocol cannot tell), ``detail`` is one sentence for an operator, free of secrets.
    """

    def __init__(self, fault: Fault, detail: str, *, party: int | str | None = None) -> None:
        self.fault = fault
        self.detail = detail
        self.party = party
        who = "" if party is None else f" (party {party})"
        super().__init__(f"{fault.value}{who}: {detail}")
