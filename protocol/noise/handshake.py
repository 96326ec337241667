"""HandshakeState (Noise revision 34, section 5.3) for XX and for its hybrid XXhfs with ML-KEM-768.

::

    XX:               XXhfs:
      -> e              -> e, e1
      <- e, ee, s, es   <- e, ee, ekem1, s, es
      -> s, se          -> s, se

The two extra tokens are those of the hybrid-forward-secrecy extension, draft 5.  ``e1`` carries an
ephemeral encapsulation key through EncryptAndHash; ``ekem1`` carries the ciphertext through
EncryptAndHash and *then* mixes the encapsulated secret, so that the ciphertext travels under what was
agreed before it.  A recorded conversation stays closed unless X25519 and ML-KEM both fall.

Every message is worked out on a copy of the state that replaces the original only at the very end.
"""

from __future__ import annotations

import enum
from typing import Final, TypeVar

from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from ..errors import Fault, LocalProtocolError, RemoteProtocolError
from ..limits import NOISE_MESSAGE_BYTES_MAX
from ..secret import Secret
from .cipherstate import TAG_BYTES
from .keys import KEY_BYTES, StaticKey, diffie_hellman
from .symmetricstate import SymmetricState
from .transport import Transport

T = TypeVar("T")

KEM_PUBLIC_BYTES: Final = 1184  # FIPS 203, table 3
KEM_CIPHERTEXT_BYTES: Final = 1088
KEM_SECRET_BYTES: Final = 32
KEM_SEED_BYTES: Final = 64


class Pattern(enum.Enum):
    """The two handshakes spoken here; the value is the protocol name both sides hash first.

    Names of algorithms are alphanumeric (section 8.2), hence no hyphens in ``MLKEM768``.
    """

    XX = "Noise_XX_25519_AESGCM_SHA256"
    XX_HFS = "Noise_XXhfs_25519+MLKEM768_AESGCM_SHA256"


_TOKENS: Final = {
    Pattern.XX: (("e",), ("e", "ee", "s", "es"), ("s", "se")),
    Pattern.XX_HFS: (("e", "e1"), ("e", "ee", "ekem1", "s", "es"), ("s", "se")),
}


class _State(Secret):
    """What a message changes."""

    __slots__ = ("ephemeral", "kem", "remote_ephemeral", "remote_kem", "remote_static", "symmetric")

    def __init__(self, symmetric: SymmetricState) -> None:
        self.symmetric = symmetric
        self.ephemeral: X25519PrivateKey | None = None
        self.kem: MLKEM768PrivateKey | None = None
        self.remote_ephemeral: bytes | None = None
        self.remote_kem: MLKEM768PublicKey | None = None
        self.remote_static: bytes | None = None

    def copy(self) -> _State:
        twin = _State(self.symmetric.copy())
        twin.ephemeral, twin.kem = self.ephemeral, self.kem
        twin.remote_ephemeral, twin.remote_kem = self.remote_ephemeral, self.remote_kem
        twin.remote_static = self.remote_static
        return twin


class Handshake(Secret):
    """One side of a handshake: alternate :meth:`write` and :meth:`read`, then take :meth:`transport`.

    ``prologue`` is what both must already agree on (protocol version, charter digest).  The last three
    arguments exist for vectors alone: a fixed X25519 ephemeral key (32 bytes), the seed of the
    initiator's ML-KEM key pair (64 bytes) and the responder's encapsulation as (ciphertext, secret),
    which has to be given whole because the library takes no randomness for it.  Without them, and so
    always in service, every secret is drawn afresh by OpenSSL.
    """

    __slots__ = (
        "_encapsulation",
        "_fixed_ephemeral",
        "_initiator",
        "_kem_seed",
        "_position",
        "_state",
        "_static",
        "_tokens",
    )

    def __init__(
        self,
        *,
        initiator: bool,
        static: StaticKey,
        prologue: bytes,
        pattern: Pattern,
        ephemeral: bytes | None = None,
        kem_seed: bytes | None = None,
        encapsulation: tuple[bytes, bytes] | None = None,
    ) -> None:
        _check_injected(ephemeral, kem_seed, encapsulation)
        symmetric = SymmetricState(pattern.value.encode("ascii"))
        symmetric.mix_hash(prologue)
        self._state: _State | None = _State(symmetric)
        self._initiator = initiator
        self._static = static
        self._tokens = _TOKENS[pattern]
        self._position = 0
        self._fixed_ephemeral = ephemeral
        self._kem_seed = kem_seed
        self._encapsulation = encapsulation

    @property
    def finished(self) -> bool:
        """Whether all messages have passed, so that :meth:`transport` may be taken."""
        return self._position == len(self._tokens)

    @property
    def may_write(self) -> bool:
        """Whether the next message is ours."""
        return not self.finished and self._initiator == (self._position % 2 == 0)

    @property
    def remote_static(self) -> bytes:
        """The peer's static public key; known, and proved, once its ``s`` message has been read."""
        state = self._open()
        if state.remote_static is None:
            raise LocalProtocolError("the peer has not sent its static key yet")
        return state.remote_static

    def write(self, payload: bytes = b"") -> bytes:
        """Make the next handshake message, carrying ``payload``.

        Mind what protects it: nothing in the first message, only the peer's claim in the second.
        ``RemoteProtocolError`` if a key the peer sent before turns out, now that it is used, to be none.
        """
        state = self._begin(writing=True)
        message = bytearray()
        for token in self._tokens[self._position]:
            message += self._write_token(state, token)
        message += state.symmetric.encrypt_and_hash(payload)
        if len(message) > NOISE_MESSAGE_BYTES_MAX:
            raise LocalProtocolError(f"a handshake message of {len(message)} bytes is longer than Noise allows")
        self._commit(state)
        return bytes(message)

    def read(self, message: bytes) -> bytes:
        """Take the peer's next message and return its payload; a ``RemoteProtocolError`` changes nothing."""
        state = self._begin(writing=False)
        if len(message) > NOISE_MESSAGE_BYTES_MAX:
            raise RemoteProtocolError(Fault.HANDSHAKE, f"a handshake message of {len(message)} bytes is too long")
        reader = _Reader(message)
        for token in self._tokens[self._position]:
            self._read_token(state, token, reader)
        payload = state.symmetric.decrypt_and_hash(reader.rest())
        self._commit(state)
        return payload

    def transport(self) -> Transport:
        """Consume the finished handshake; nothing can be asked of it afterwards."""
        state = self._open()
        if not self.finished:
            raise LocalProtocolError("the handshake is not finished")
        to_responder, to_initiator = state.symmetric.split()
        ours, theirs = (to_responder, to_initiator) if self._initiator else (to_initiator, to_responder)
        transport = Transport(ours, theirs, state.symmetric.hash, self.remote_static)
        self._state = None  # and with it the ephemeral secrets
        self._fixed_ephemeral = self._kem_seed = self._encapsulation = None
        return transport

    # --- the copy that a message is worked out on -------------------------------------------------------

    def _open(self) -> _State:
        if self._state is None:
            raise LocalProtocolError("this handshake has become a transport")
        return self._state

    def _begin(self, *, writing: bool) -> _State:
        state = self._open()
        if self.finished:
            raise LocalProtocolError("the handshake is finished; take its transport")
        if writing != self.may_write:
            raise LocalProtocolError("not our turn to " + ("write" if writing else "read"))
        return state.copy()

    def _commit(self, state: _State) -> None:
        self._state = state
        self._position += 1

    # --- tokens -----------------------------------------------------------------------------------------

    def _write_token(self, state: _State, token: str) -> bytes:
        match token:
            case "e":
                if self._fixed_ephemeral is None:
                    state.ephemeral = X25519PrivateKey.generate()
                else:
                    state.ephemeral = X25519PrivateKey.from_private_bytes(self._fixed_ephemeral)
                public = state.ephemeral.public_key().public_bytes_raw()
                state.symmetric.mix_hash(public)
                return public
            case "s":
                return state.symmetric.encrypt_and_hash(self._static.public)
            case "e1":
                if self._kem_seed is None:
                    state.kem = MLKEM768PrivateKey.generate()
                else:
                    state.kem = MLKEM768PrivateKey.from_seed_bytes(self._kem_seed)
                return state.symmetric.encrypt_and_hash(state.kem.public_key().public_bytes_raw())
            case "ekem1":
                ciphertext, secret = self._encapsulate(state)
                sealed = state.symmetric.encrypt_and_hash(ciphertext)
                state.symmetric.mix_key(secret)
                return sealed
            case _:
                self._mix_diffie_hellman(state, token)
                return b""

    def _read_token(self, state: _State, token: str, reader: _Reader) -> None:
        tag = TAG_BYTES if state.symmetric.has_key else 0
        match token:
            case "e":
                state.remote_ephemeral = reader.take(KEY_BYTES)
                state.symmetric.mix_hash(state.remote_ephemeral)
            case "s":
                state.remote_static = state.symmetric.decrypt_and_hash(reader.take(KEY_BYTES + tag))
            case "e1":
                public = state.symmetric.decrypt_and_hash(reader.take(KEM_PUBLIC_BYTES + tag))
                try:
                    state.remote_kem = MLKEM768PublicKey.from_public_bytes(public)
                except ValueError:  # the modulus check of FIPS 203, section 7.2
                    raise RemoteProtocolError(
                        Fault.HANDSHAKE, "the peer sent an encapsulation key that is not one"
                    ) from None
            case "ekem1":
                ciphertext = state.symmetric.decrypt_and_hash(reader.take(KEM_CIPHERTEXT_BYTES + tag))
                state.symmetric.mix_key(_required(state.kem).decapsulate(ciphertext))
            case _:
                self._mix_diffie_hellman(state, token)

    def _mix_diffie_hellman(self, state: _State, token: str) -> None:
        """``ee``, ``es``, ``se``: the initiator's key is named first, the responder's second."""
        ours, theirs = tuple(token) if self._initiator else tuple(reversed(token))
        public = _required(state.remote_ephemeral if theirs == "e" else state.remote_static)
        if ours == "e":
            secret = diffie_hellman(_required(state.ephemeral), public)
        else:
            secret = self._static.exchange(public)
        state.symmetric.mix_key(secret)

    def _encapsulate(self, state: _State) -> tuple[bytes, bytes]:
        if self._encapsulation is not None:
            return self._encapsulation
        secret, ciphertext = _required(state.remote_kem).encapsulate()
        return ciphertext, secret


class _Reader:
    """Takes a message apart from the front; too short is the peer's fault."""

    def __init__(self, message: bytes) -> None:
        self._message = message
        self._offset = 0

    def take(self, count: int) -> bytes:
        end = self._offset + count
        if end > len(self._message):
            raise RemoteProtocolError(Fault.HANDSHAKE, f"a handshake message ends after {len(self._message)} bytes")
        field = self._message[self._offset : end]
        self._offset = end
        return field

    def rest(self) -> bytes:
        return self._message[self._offset :]


def _required(value: T | None) -> T:
    """Unwrap a key that the order of the tokens promises to be there."""
    if value is None:
        raise LocalProtocolError("a token was reached before the key it needs")
    return value


def _check_injected(ephemeral: bytes | None, kem_seed: bytes | None, encapsulation: tuple[bytes, bytes] | None) -> None:
    if ephemeral is not None and len(ephemeral) != KEY_BYTES:
        raise LocalProtocolError(f"an ephemeral key has {KEY_BYTES} bytes")
    if kem_seed is not None and len(kem_seed) != KEM_SEED_BYTES:
        raise LocalProtocolError(f"an ML-KEM seed has {KEM_SEED_BYTES} bytes")
    if encapsulation is not None and tuple(map(len, encapsulation)) != (
        KEM_CIPHERTEXT_BYTES,
        KEM_SECRET_BYTES,
    ):
        raise LocalProtocolError("an encapsulation is (ciphertext, secret) of ML-KEM-768")
