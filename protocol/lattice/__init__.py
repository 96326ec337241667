"""Lattice layer: linearly homomorphic encryption of vectors over F_p, and proofs of plaintext knowledge.

BGV at depth zero (``docs/protocol-lattice.md``).  Synchronous and pure: bytes and arrays in and out,
randomness as seeds.  Heavy parts release the GIL; every function may run in any thread.  Read in this order:

``params``
    all constants, and every bound that follows from them
``lanes``, ``arithmetic``, ``butterflies``, ``transform``, ``slots``
    vectors inside kernels; residues in floating point; stages in registers; transforms modulo the primes of q, and
    modulo p
``packing``, ``digest``, ``sampling``, ``kernels``, ``proof_kernels``
    bytes of polynomials and their hashes; random polynomials; the compiled inner loops
``keys``, ``encryption``, ``proof``, ``switching``
    what callers use: keys, ciphertexts, proofs, replies and their decryption
``selftest``, ``rehearsal``, ``machine``
    the start-up check of machine and compiler; everything once; what the kernels are compiled for
"""

from __future__ import annotations

from protocol.lattice.encryption import CiphertextBatch, Openings, Slots, VerifiedCiphertexts, encrypt
from protocol.lattice.keys import PublicKey, SecretKey, keygen
from protocol.lattice.params import PARAMETERS, Parameters
from protocol.lattice.proof import ProverState, commit, verify
from protocol.lattice.selftest import selftest
from protocol.lattice.switching import Polynomials, Question, Reply, decrypt, reply, reply_scaled, to_slots

__all__ = [
    "PARAMETERS",
    "CiphertextBatch",
    "Openings",
    "Parameters",
    "Polynomials",
    "ProverState",
    "PublicKey",
    "Question",
    "Reply",
    "SecretKey",
    "Slots",
    "VerifiedCiphertexts",
    "commit",
    "decrypt",
    "encrypt",
    "keygen",
    "reply",
    "reply_scaled",
    "selftest",
    "to_slots",
    "verify",
]
