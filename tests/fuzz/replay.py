"""The same targets without a fuzzer: everything in the corpus, and a fixed number of mutations of it."""

from __future__ import annotations

import random
import time

import attrs

from .catalogue import corpus, find
from .mutate import mutated, words_of
from .target import Check, Target


class FoundError(Exception):
    """A target did not hold; says on which input."""

    def __init__(self, name: str, data: bytes, what: str) -> None:
        self.data = data
        super().__init__(f"{name} on {data[:200]!r}{'…' if len(data) > 200 else ''} ({len(data)} bytes): {what}")


@attrs.frozen
class Replayed:
    """How many inputs were tried, and the longest that one took, in seconds of this process."""

    inputs: int
    slowest_s: float


def replay(name: str, *, mutations: int | None = None) -> Replayed:
    """Raises :class:`FoundError` for the first input on which the target does not hold."""
    target = find(name)
    check, samples = target.make(), corpus(name) or list(target.seeds())
    rng, words = random.Random(name), words_of(samples)
    slowest = max((tried(target, check, data) for data in samples), default=0.0)
    count = target.mutations if mutations is None else mutations
    for _ in range(count):
        slowest = max(slowest, tried(target, check, mutated(rng, samples, words, target.bytes_max)))
    return Replayed(len(samples) + count, slowest)


def tried(target: Target, check: Check, data: bytes) -> float:
    """Check one input; the time it took.  A hang is for the time limit of whoever calls."""
    begun = time.thread_time()
    try:
        check(data)
    except Exception as error:
        raise FoundError(target.name, data, repr(error)) from error
    took = time.thread_time() - begun
    if took > target.seconds_max:
        raise FoundError(target.name, data, f"took {took:.1f} s, and may take {target.seconds_max}")
    return took
