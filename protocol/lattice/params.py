"""Every constant of the lattice layer and every bound that follows (``docs/protocol-lattice.md``, section
L.2 on).

Bounds are Python integers computed from the constants; a set of constants that does not fit cannot be
constructed.  Nothing here is secret or negotiable: all parties use :data:`PARAMETERS`.
"""

from __future__ import annotations

from fractions import Fraction
from functools import cached_property
from typing import Final

import attrs

from protocol.errors import LocalProtocolError
from protocol.field import P

LOG_Q_MAX: Final = 438  # Homomorphic Encryption Standard: N = 16384, ternary secret, 128 bits
PRIME_BITS: Final = 50  # 8q < 2^53: eight residues still add up exactly in a float64
KEPT: Final = 2  # primes that survive the modulus switch of a reply
DIGIT_BITS: Final = 49  # wide integers travel and are lifted in digits of this size
FLOOD_DIGITS: Final = 4  # of v' in a reply
FLOOD_DIGIT_BITS: Final = 50  # as in packed words
FLOOD_HIGH_BITS: Final = 63  # of e' in a reply, above the product of all dropped primes but the last
TIE_BITS: Final = 32
TURNS_HALF: Final = 1 << 12  # about half of what e' amounts to, in units of all dropped primes
REJECTION_BITS: Final = 7  # an honest proof restarts with probability below 2^−7
STATISTICAL_BITS_MIN: Final = 64
_EXACT: Final = 8  # kernels hold |x| < 8q < 2^53

# Sizes of residues in units of q (step L.3).
FACTOR_MAX: Final = Fraction(4)  # |x| of a product x·w with |w| ≤ q/2
CENTRED: Final = Fraction(51, 100)


def is_prime(n: int) -> bool:
    """Miller–Rabin with the first twelve primes as bases: a proof below 2^81 (Sorenson, Webster 2015)."""
    odd, twos = n - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    for base in (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37):
        power = pow(base, odd, n)
        if power in (1, n - 1):
            continue
        for _ in range(twos - 1):
            power = power * power % n
            if power == n - 1:
                break
        else:
            return False
    return True


def primitive_root(prime: int, order: int) -> int:
    """An element of exactly this order, a power of two: the smallest candidate's power that has it."""
    candidate = 2
    while pow(candidate, (prime - 1) // 2, prime) != prime - 1:
        candidate += 1
    return pow(candidate, (prime - 1) // order, prime)


def _largest_primes(count: int, bits: int, order: int) -> tuple[int, ...]:
    primes: list[int] = []
    candidate = (1 << bits) + 1
    while len(primes) < count:
        candidate -= order
        if is_prime(candidate):
            primes.append(candidate)
    return tuple(primes)


def _product(values: tuple[int, ...]) -> int:
    result = 1
    for value in values:
        result *= value
    return result


@attrs.frozen
class Range:
    """One kind of secret coefficient and its mask in a proof (steps L.6 and L.7).

    A secret is at most ``secret``; the mask is uniform in [−2^mask_bits, 2^mask_bits).
    """

    secret: int
    mask_bits: int
    batch_max: int

    @property
    def mask(self) -> int:
        """Masks lie in [−mask, mask)."""
        return 1 << self.mask_bits

    @property
    def shift(self) -> int:
        """The most that a sum of secrets can move a mask: U·B."""
        return self.batch_max * self.secret

    @property
    def accepted(self) -> int:
        """Responses lie in [−accepted, accepted)."""
        return self.mask - self.shift

    @property
    def proved(self) -> int:
        """What two accepted responses to different challenges prove about the secret."""
        return 2 * self.accepted - 1


@attrs.frozen
class Parameters:
    """A set of constants, its derived bounds, and the inequalities that must hold between them."""

    slots: int = 1 << 14  # N
    primes: tuple[int, ...] = attrs.field(factory=lambda: _largest_primes(6, PRIME_BITS, 1 << 15))
    noise: int = 21  # centred binomial: 21 bits less 21 bits, σ = 3.24
    rows: int = 64  # V: a false proof survives one coin with probability 2^−V
    batch_max: int = 256  # U: ciphertexts under one proof

    def __attrs_post_init__(self) -> None:
        for holds, what in self.inequalities():
            if not holds:
                raise LocalProtocolError(f"lattice parameters do not fit: {what}")

    # --- secrets and masks (L.6, L.7) -----------------------------------------------------------------------

    def _range(self, secret: int) -> Range:
        least = (4 * self.slots * self.rows * self.batch_max * secret) << REJECTION_BITS
        return Range(secret, (least - 1).bit_length(), self.batch_max)

    @cached_property
    def message(self) -> Range:
        """Plaintext coefficients, centred."""
        return self._range((P - 1) // 2)

    @cached_property
    def ternary(self) -> Range:
        """The randomness v."""
        return self._range(1)

    @cached_property
    def error(self) -> Range:
        """The errors e0 and e1."""
        return self._range(self.noise)

    @property
    def rejection(self) -> Fraction:
        """An upper bound of the probability that an honest proof restarts."""
        parts = (self.message, self.ternary, self.error, self.error)
        return self.rows * self.slots * sum((Fraction(r.shift, r.mask) for r in parts), Fraction(0))

    # --- flooding (L.8) -------------------------------------------------------------------------------------

    @property
    def flood(self) -> int:
        """How many consecutive integers a coefficient of v' is uniform over."""
        return 1 << (FLOOD_DIGITS * FLOOD_DIGIT_BITS)

    @property
    def flood_max(self) -> int:
        """The largest magnitude of a coefficient of v': all digits at −2^49."""
        digit = 1 << (FLOOD_DIGIT_BITS - 1)
        return sum(digit << (FLOOD_DIGIT_BITS * j) for j in range(FLOOD_DIGITS))

    @property
    def error_flood(self) -> int:
        """How many consecutive integers a coefficient of e0' and e1' is uniform over."""
        return (self.dropped // self.primes[-1]) << FLOOD_HIGH_BITS

    @property
    def turns_max(self) -> int:
        """The largest magnitude of a flooding error after the switch, in units of the plaintext modulus (step L.9)."""
        return -(-(1 << FLOOD_HIGH_BITS) // self.primes[-1]) - TURNS_HALF

    @property
    def tie_error(self) -> Fraction:
        """By how much the probability of the bit errs that decides between two neighbours (step L.9)."""
        return 1 - Fraction(self.primes[-2], 1 << PRIME_BITS) + Fraction(1, 1 << TIE_BITS)

    @property
    def plain_max(self) -> int:
        """The largest magnitude of a coefficient of x."""
        return (P - 1) // 2

    def spills(self, message: int, ternary: int, error: int) -> tuple[int, int, int]:
        """What x leaves in (v, e0, e1) of a reply to a ciphertext with these bounds."""
        spread = self.slots * self.plain_max
        carry = (spread * message + P) // P + 1
        return spread * ternary, spread * error + carry, spread * error

    @property
    def proved_spills(self) -> tuple[int, int, int]:
        """The spills of a ciphertext of which only the proof is known."""
        return self.spills(self.message.proved, self.ternary.proved, self.error.proved)

    @property
    def honest_spills(self) -> tuple[int, int, int]:
        """The spills of an honest ciphertext."""
        return self.spills(self.message.secret, self.ternary.secret, self.error.secret)

    @property
    def distance(self) -> Fraction:
        """Statistical distance of a reply from one in which nothing of x but x·y + r occurs (steps L.8 and L.9)."""
        ternary, error_0, error_1 = self.proved_spills
        ties = 2 * self.tie_error / (1 << FLOOD_HIGH_BITS)
        return self.slots * (Fraction(ternary, self.flood) + Fraction(error_0 + error_1, self.error_flood) + ties)

    @property
    def statistical_bits(self) -> int:
        """Largest k with distance ≤ 2^−k."""
        return (self.distance.denominator // self.distance.numerator).bit_length() - 1

    # --- decryption (L.9, L.10) -----------------------------------------------------------------------------

    @property
    def modulus(self) -> int:
        """The modulus q."""
        return _product(self.primes)

    @property
    def kept(self) -> int:
        """The modulus q' of a reply."""
        return _product(self.primes[:KEPT])

    @property
    def dropped(self) -> int:
        """The factor q / q' of the modulus switch."""
        return _product(self.primes[KEPT:])

    @property
    def reply_phase(self) -> int:
        """The phase of an honest reply before errors and switch, at most."""
        v, e0, e1 = self.honest_spills
        return P * (self.slots * self.noise * (v + self.flood_max) + e0 + self.slots * e1) + P

    @property
    def switched_phase(self) -> int:
        """The phase of an honest reply after errors and switch, at most."""
        # what is added before the division is p times less than turns_max + 1 dropped moduli, in both halves
        return self.reply_phase // self.dropped + 1 + P * (self.turns_max + 1) * (self.slots + 1)

    @property
    def phase_digits(self) -> int:
        """The anomaly check: a phase within ± this many times the first prime passes."""
        return self.switched_phase // self.primes[0] + 1

    def inequalities(self) -> list[tuple[bool, str]]:
        """Everything the derivations assume, with its name."""
        n, order = self.slots, 2 * self.slots
        digit = Fraction(1 << (FLOOD_DIGIT_BITS - 1), min(self.primes))
        return [
            (n == 1 << 14, "the kernels are written for N = 16384"),
            (len(set(self.primes)) == len(self.primes) > KEPT, "primes repeat or are too few"),
            (all(q % order == 1 and is_prime(q) for q in self.primes), "a factor is no prime ≡ 1 mod 2N"),
            (
                all(1 << (PRIME_BITS - 1) < q < 1 << PRIME_BITS for q in self.primes),
                "a prime has a wrong size",
            ),
            (P % order == 1, "p ≢ 1 mod 2N"),
            (self.modulus.bit_length() <= LOG_Q_MAX, "q is too large for 128 bits of security"),
            (digit + 4 * product_size(digit) < _EXACT, "a flooding digit leaves the exact range"),
            (self.rejection < Fraction(1, 1 << REJECTION_BITS), "proofs restart too often"),
            (self.message.mask_bits + 1 <= 2 * DIGIT_BITS, "a masked message needs more than two digits"),
            (self.error.mask_bits + 1 <= DIGIT_BITS, "a masked error needs more than one digit"),
            (self.batch_max * 2 * self.noise < 1 << 14, "a sum of errors leaves its field of an opening"),
            (self.batch_max << PRIME_BITS < 1 << 63, "a sum of residues leaves 64 bits"),
            (self.statistical_bits >= STATISTICAL_BITS_MIN, "flooding hides too little"),
            (2 * self.reply_phase < self.modulus, "a reply does not decrypt before the switch"),
            (
                2 * (self.phase_digits + 1) * self.primes[0] < self.kept,
                "a reply does not decrypt after the switch",
            ),
        ]


def product_size(size: Fraction, *, exact: bool = False) -> Fraction:
    """A bound of x·w mod q for |x| ≤ size and |w| ≤ 1/2; ``exact``: the quotient w/q was rounded once."""
    return Fraction(1, 2) + size * (Fraction(1, 32) if exact else Fraction(3, 32))


PARAMETERS: Final = Parameters()
