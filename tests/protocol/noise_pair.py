"""A pair of parties in the middle of a Noise conversation, for the tests of the channel."""

from __future__ import annotations

from protocol.noise import Handshake, Pattern, StaticKey, Transport

PROLOGUE = b"nskd 1"
INITIATOR = StaticKey(b"i" * 32)
RESPONDER = StaticKey(b"r" * 32)


def handshakes(
    pattern: Pattern, *, prologue_i: bytes = PROLOGUE, prologue_r: bytes = PROLOGUE
) -> tuple[Handshake, Handshake]:
    return (
        Handshake(initiator=True, static=INITIATOR, prologue=prologue_i, pattern=pattern),
        Handshake(initiator=False, static=RESPONDER, prologue=prologue_r, pattern=pattern),
    )


def talk(initiator: Handshake, responder: Handshake, messages: int = 3) -> None:
    for index in range(messages):
        sender, receiver = (initiator, responder) if index % 2 == 0 else (responder, initiator)
        receiver.read(sender.write(b"payload %d" % index))


def transports(pattern: Pattern = Pattern.XX) -> tuple[Transport, Transport]:
    initiator, responder = handshakes(pattern)
    talk(initiator, responder)
    return initiator.transport(), responder.transport()
