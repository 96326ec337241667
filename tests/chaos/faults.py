"""What goes wrong, drawn from a seed: daemons killed, and links that break, lose, delay, narrow or move."""

from __future__ import annotations

import enum
import itertools
import random
from collections.abc import Iterator
from typing import Final

import attrs

from tests.chaos.network import Path, Place, Way


class Kind(enum.StrEnum):
    """The values are the headings of the account."""

    KILL = "daemon killed"
    PARTITION = "partition"
    ONE_WAY_LOSS = "loss in one direction"
    LOSS = "loss of 1 %"
    DELAY = "200 ms latency"
    NARROW = "bandwidth collapse"
    MOVE = "address of a centre changed"


# A daemon is killed at once, or the moment that it enters one of these: phases, and rounds that matter.
MOMENTS: Final = (
    None,
    None,
    "epoch",
    "bits",
    "check bits",
    "store bits",
    "triples",
    "check triples",
    "store triples",
    "check masks",
    "local part",
    "joint part",
    "cells/0",
    "compare releases",
)
_WEIGHTS: Final = {
    Kind.KILL: 18,
    Kind.PARTITION: 10,
    Kind.ONE_WAY_LOSS: 8,
    Kind.LOSS: 6,
    Kind.DELAY: 8,
    Kind.NARROW: 8,
    Kind.MOVE: 1,  # seldom: up to 45 s in which nothing can be done, and other faults are wasted
}
_PATHS: Final = {
    Kind.PARTITION: Path(up=False),
    Kind.ONE_WAY_LOSS: Path(loss=0.3),
    Kind.LOSS: Path(loss=0.01),
    Kind.DELAY: Path(delay_s=0.2),
    Kind.NARROW: Path(bytes_per_s=30_000),
}
_SHORT_S, _LONG_S = (1.0, 8.0), (37.0, 45.0)  # the longer outlast the patience with a silent peer
_LONG_SHARE: Final = 0.03  # as seldom, for the same reason
_DOWN_S: Final = (0.0, 6.0)  # until systemd starts a daemon that was killed


@attrs.frozen
class Fault:
    """``after_s`` the one before something befalls ``places``; ``lasts_s`` until it is over, or a daemon starts again.

    ``path`` is how packets then fare on ``ways``; ``moment`` is when a daemon is killed, None for at once.
    """

    number: int
    after_s: float
    kind: Kind
    places: tuple[Place, ...]
    lasts_s: float
    ways: tuple[Way, ...] = ()
    path: Path | None = None
    moment: str | None = None


def drawn(seed: int, centres: int, every_s: float, *, links: bool) -> Iterator[Fault]:
    """Faults without end; ``every_s`` seconds apart in the mean.  Without ``links`` daemons are killed and no more."""
    rng = random.Random(f"faults {seed}")
    kinds = [kind for kind in Kind if links or kind is Kind.KILL]
    weights = [_WEIGHTS[kind] for kind in kinds]
    for number in itertools.count(1):
        after_s = rng.expovariate(1 / every_s)
        yield _fault(rng, number, after_s, rng.choices(kinds, weights)[0], centres)


def _fault(rng: random.Random, number: int, after_s: float, kind: Kind, centres: int) -> Fault:
    if kind is Kind.KILL:
        return Fault(
            number, after_s, kind, (rng.randrange(centres),), rng.uniform(*_DOWN_S), moment=rng.choice(MOMENTS)
        )
    if kind is Kind.MOVE:
        return Fault(number, after_s, kind, (rng.randrange(centres),), 0.0)
    lasts_s = rng.uniform(*(_LONG_S if rng.random() < _LONG_SHARE else _SHORT_S))
    apart = tuple(sorted(rng.sample(range(centres), rng.randint(1, centres // 2))))
    rest = [place for place in range(centres) if place not in apart]
    out = [(a, b) for a in apart for b in rest]
    ways = out if kind is Kind.ONE_WAY_LOSS else out + [(b, a) for a, b in out]
    return Fault(number, after_s, kind, apart, lasts_s, tuple(ways), _PATHS[kind])
