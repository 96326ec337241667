"""One ciphertext through its whole life, for a machine on which nothing has been compiled yet.

Compiled kernels are cached on disk; several daemons started on an empty cache would each compile all of them.  Takes
a second once they are cached, a dozen of one core before.
"""

from __future__ import annotations

import numpy as np

from protocol import field
from protocol.errors import LocalProtocolError
from protocol.field import Elements
from protocol.lattice.encryption import encrypt
from protocol.lattice.keys import SecretKey, keygen
from protocol.lattice.params import PARAMETERS
from protocol.lattice.proof import commit, verify
from protocol.lattice.switching import Question, Reply, decrypt, reply, reply_scaled, to_slots
from protocol.prg import Prg

_FACTOR = 3
_ATTEMPTS = 9  # an honest proof restarts with probability below 2^−7


def rehearse() -> None:
    """Encrypt, prove, multiply and decrypt public values; :class:`LocalProtocolError` if the product is wrong."""
    prg = Prg(bytes(32), "lattice rehearsal")
    x, y = (prg.elements(PARAMETERS.slots).reshape(1, -1) for _ in range(2))
    secret, key = keygen(bytes(32), prg.bytes(32))
    ciphertexts, openings = encrypt(key, y, prg.bytes(32))
    for _ in range(_ATTEMPTS):
        challenge = prg.bytes(32)
        state, commitment = commit(key, openings, b"rehearsal", prg.bytes(32))
        response = state.respond(challenge)
        if response is not None:
            break
    else:
        raise LocalProtocolError("the rehearsal of a proof never succeeded")
    verified = verify(key, ciphertexts, commitment, b"rehearsal", challenge, response, constant=False, party=0)
    (answer,) = reply([Question(key, verified, prg.bytes(32))], x)
    product = _opened(secret, answer)
    if not np.array_equal(product, field.mul(x.reshape(-1), y.reshape(-1))):
        raise LocalProtocolError("the rehearsal gave a wrong product: this machine computes wrongly")
    (answer,) = reply_scaled([Question(key, verified, prg.bytes(32))], _FACTOR, 1)
    product = _opened(secret, answer)
    if not np.array_equal(product, field.scale(y.reshape(-1), _FACTOR)):
        raise LocalProtocolError("the rehearsal gave a wrong multiple: this machine computes wrongly")
    roots = field.inverse_sqrt(field.mul(product, product))
    field.dots(roots, product, field.sub(roots, field.scale(roots, 2)))


def _opened(secret: SecretKey, answer: Reply) -> Elements:
    """What both ends of a reply to one ciphertext add up to, slots uint64[N]."""
    total = field.add(decrypt(secret, answer.packed, 1).reshape(-1), answer.kept.reshape(-1))
    return to_slots(total.reshape(1, -1)).reshape(-1)
