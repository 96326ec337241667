"""The corpus of each target and some mutations of it: what hunts have found stays mended.  ``make fuzz`` hunts."""

from __future__ import annotations

import random

import pytest

from .catalogue import CORPUS, GROUPS, NAMES, corpus, find
from .mutate import mutated
from .replay import FoundError, replay, tried
from .target import Script, Target

SLOW = frozenset({"daemon"})  # a daemon takes seconds to start; its lines are those of ``socket``


@pytest.mark.parametrize("name", [name for name in NAMES if name not in SLOW])
def test_nothing_but_documented_errors(name: str) -> None:
    assert replay(name).inputs >= 3


def test_every_target_has_a_corpus_and_no_other() -> None:
    assert {path.name for path in CORPUS.iterdir()} == set(NAMES)
    for name in NAMES:
        inputs = corpus(name)
        assert 1 <= len(inputs) <= 60, name
        assert all(len(data) <= 1 << 16 for data in inputs), name


def test_the_catalogue_is_whole() -> None:
    for names in GROUPS.values():
        for name in names:
            target = find(name)
            assert target.name == name and list(target.seeds())


def test_a_target_that_does_not_hold_is_found() -> None:
    """Another error, and too much work."""

    def wrong(data: bytes) -> None:
        raise KeyError(data)

    def slow(data: bytes) -> None:
        while True:
            sum(range(10_000))
            if random.random() < 1e-3:
                return

    target = Target("x", lambda: wrong, lambda: [b"x"], seconds_max=0)
    with pytest.raises(FoundError, match="KeyError"):
        tried(target, wrong, b"x")
    with pytest.raises(FoundError, match="took"):
        tried(target, slow, b"x")


def test_mutations_are_the_same_every_time_and_bounded() -> None:
    made = [[mutated(random.Random(seed), [b"abc" * 50], [b"word"], 200) for seed in range(200)] for _ in range(2)]
    assert made[0] == made[1]
    assert len(set(made[0])) > 150 and max(map(len, made[0])) <= 200


def test_a_script_runs_out_quietly() -> None:
    script = Script(b"\x05ab")
    assert (script.number(10), script.take(1), script.rest(), bool(script)) == (5, b"a", b"b", False)
    assert (script.number(3), script.blob(9), script.edited(b"genuine")) == (0, b"", b"genuine")
