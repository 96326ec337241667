"""Uniform digits nobody knows, from roots of unity (``docs/protocol.md``, step 10.6).

For a prime b that divides p − 1 and a uniform s ≠ 0, the b-th power of s says everything about s but which of its b
roots it is.  Dividing s by one fixed root leaves ζ^j, ζ of order b, with j uniform on 0 … b − 1 and known to nobody,
as a bit is made from an opened square (step 8.3).  Whatever depends on j alone is linear in the powers of ζ^j.
"""

from __future__ import annotations

from typing import Final

import attrs
import numpy as np
import numpy.typing as npt

from protocol import field
from protocol.errors import LocalProtocolError
from protocol.field import Elements
from protocol.material import Cost
from protocol.online.arithmetic import Evaluator
from protocol.secret import Secret
from protocol.shares import Shared, constant

BASES: Final = (3, 5)  # primes that divide p − 1 = 2^21·3·5²·11·17·31·41·61681, and that anybody rounds to


@attrs.frozen(eq=False, repr=False)
class Digits(Secret):
    """⟨j⟩ for uniform digits j of one base, as ``powers``: ⟨ζ^(j·m)⟩ for m = 1 … base − 1."""

    base: int
    powers: list[Shared]

    def value(self, evaluator: Evaluator) -> Shared:
        """⟨j⟩."""
        everywhere = np.zeros(len(self.powers[0]), dtype=np.int64)
        return self._function([list(range(self.base))], everywhere, evaluator)

    def above(self, public: npt.NDArray[np.int64], evaluator: Evaluator) -> Shared:
        """⟨j > c⟩ as 0 or 1, for public digits c."""
        tables = [[int(j > c) for j in range(self.base)] for c in range(self.base)]
        return self._function(tables, public, evaluator)

    def _function(self, tables: list[list[int]], choice: npt.NDArray[np.int64], evaluator: Evaluator) -> Shared:
        """⟨f(j)⟩ for the chosen one of some functions, given as tables: Σ_k f(k)·[j = k], by the inverse transform."""
        root, inverse = _unity(self.base), pow(self.base, -1, field.P)
        weights = np.array(
            [
                [
                    inverse * sum(f * pow(root, -k * m, field.P) for k, f in enumerate(table)) % field.P
                    for m in range(self.base)
                ]
                for table in tables
            ],
            dtype=np.uint64,
        )[choice]
        total = constant(np.ascontiguousarray(weights[:, 0]), evaluator.key)
        for m, power in enumerate(self.powers, 1):
            total = total + power.times(np.ascontiguousarray(weights[:, m]))
        return total


def digits_cost(base: int, count: int) -> Cost:
    """What :func:`uniform_digits` consumes: s, its power, and the powers of ζ^j."""
    power = base.bit_length() - 1 + base.bit_count() - 1
    return Cost(triples=count * (1 + power + base - 2))


async def uniform_digits(evaluator: Evaluator, count: int, base: int) -> Digits:
    """``count`` digits.  The opened powers are MAC-checked before anything is made of them.

    With a false power the "digit" could be made to tell itself apart from all others by its size.
    """
    if base not in BASES:
        raise LocalProtocolError(f"there are digits of base {' or '.join(map(str, BASES))}, not {base}")
    secret = evaluator.material.triples(count).a  # uniform and known to nobody; the rest of the triple is not used
    power = secret
    for bit in bin(base)[3:]:
        power = await evaluator.multiply(power, power)
        if bit == "1":
            power = await evaluator.multiply(power, secret)
    opened = await evaluator.reveal("digit", {"power": power})
    root = inverse_root(opened["power"], base)
    powers = [secret.times(root)]
    while len(powers) < base - 1:
        # ζ^(j·m) for the next m, from the largest power there is: as many at once as that allows
        more = powers[: base - 1 - len(powers)]
        powers += await evaluator.multiply_many([(powers[-1], each) for each in more])
    return Digits(base, powers)


def inverse_root(powers: Elements, base: int) -> Elements:
    """For opened b-th powers w ≠ 0 one z each with z^b·w = 1, the same at every party (Adleman, Manders, Miller 1977).

    Raises :class:`LocalProtocolError` for a w that is none.
    """
    order, times = (field.P - 1) // base, 1
    while order % base == 0:
        order, times = order // base, times + 1
    # z = w^−e with e·b = 1 + q·order misses by w^(−q·order), which lies in a small subgroup
    e = pow(base, -1, order)
    q = (e * base - 1) // order
    found = _power(powers, (field.P - 1 - e) % (field.P - 1))
    rest, generator = _power(powers, order), pow(_no_power(base), order, field.P)
    for k in range(base ** (times - 1)):
        here = rest == np.uint64(pow(generator, base * k, field.P))
        found[here] = field.scale(found[here], pow(generator, k * q, field.P))
    if not np.all(field.mul(_power(found, base), powers) == 1):
        raise LocalProtocolError(f"an opened value is not the {base}-th power of anything but zero")
    return found


def _power(values: Elements, exponent: int) -> Elements:
    result = np.ones_like(values)
    for bit in bin(exponent)[2:]:
        result = field.mul(result, result)
        if bit == "1":
            result = field.mul(result, values)
    return result


def _no_power(base: int) -> int:
    """The least element that is not a b-th power."""
    candidate = 2
    while pow(candidate, (field.P - 1) // base, field.P) == 1:
        candidate += 1
    return candidate


def _unity(base: int) -> int:
    """ζ: an element of order ``base``."""
    return pow(_no_power(base), (field.P - 1) // base, field.P)
