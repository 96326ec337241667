"""Every message that a daemon can send another, with every lie in it, before a daemon's own parts."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any, cast

import pytest
import trio
import trio.testing

from nskd.peers.lanes import Lane
from protocol.errors import RemoteProtocolError
from protocol.wire import Message

from .control import FALSE, HONEST, KINDS, LIAR, NOT_HERE, NOT_OF_THESE, RECEIVER, Receiver, raw_lies, receiver, sent
from .lies import Lie

EVERYTHING = "NSKD_ADVERSARY" in os.environ
Clock = trio.testing.MockClock


def test_every_type_has_its_entry() -> None:
    """A new message cannot be added without its lies."""
    assert set(HONEST) == set(FALSE) == set(NOT_HERE) == set(KINDS)
    assert all(type(honest) is kind for kind, honest in HONEST.items())
    assert all(type(each) is kind for kind, false in FALSE.items() for each in false)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_lie_is_made_or_its_absence_explained(kind: type[Any]) -> None:
    made = {lie for lie, _, _ in raw_lies(HONEST[kind])} | {Lie.REPLAYED, Lie.REORDERED}
    made |= {Lie.FALSE} if FALSE[kind] else set()
    explained = set(NOT_HERE[kind]) | set(NOT_OF_THESE)
    assert made | explained == set(Lie), kind
    assert not made & explained


async def tell(here: Receiver, message: Message) -> None:
    """Send it, whatever it is, and let the receiver see it through; the link is there again afterwards."""
    with trio.fail_after(600):
        await here.liar.mesh.wait_connected()
        await here.node.mesh.wait_connected()
        link = await here.liar.mesh.wait_link(RECEIVER, Lane.CONTROL)
        cast(Any, link._pipe)._message_bytes_max = 1 << 30  # a liar keeps to no bound
        with contextlib.suppress(RemoteProtocolError):  # it is let go before all is said
            await link.send(message)
        await trio.sleep(1)  # of a clock that jumps when nothing else can happen


@pytest.mark.timeout(1800)
async def test_what_is_no_message_of_its_type_changes_nothing(tmp_path: Path, autojump_clock: Clock) -> None:
    """All of it with ``make adversary``, every fifth lie here."""
    told = 0
    async with receiver(tmp_path) as here:
        before = here.state()
        for offset, kind in enumerate(KINDS):
            for number, (lie, name, message) in enumerate(raw_lies(HONEST[kind])):
                if EVERYTHING or (number + offset) % 5 == 0:
                    await tell(here, message)
                    assert here.state() == before, (kind, lie, name)
                    told += 1
        assert here.incidents() == []
    assert told > 50


async def test_what_is_valid_but_false_changes_nothing(tmp_path: Path, autojump_clock: Clock) -> None:
    async with receiver(tmp_path) as here:
        before = here.state()
        for kind, false in FALSE.items():
            for number, each in enumerate(false):
                await tell(here, sent(each))
                assert here.state() == before, (kind, number)
        assert here.incidents() == []


async def test_in_any_order_and_twice_each_does_what_it_does_once(tmp_path: Path, autojump_clock: Clock) -> None:
    """Replayed and reordered: all types forwards, backwards and forwards again come to what forwards came to."""
    (tmp_path / "once").mkdir()
    (tmp_path / "again").mkdir()
    order = [kind for kind in KINDS if kind.__name__ != "Bye"]
    async with receiver(tmp_path / "once") as here:
        nothing = here.state()
        for kind in order:
            await tell(here, sent(HONEST[kind]))
        once = here.state()
        assert once != nothing and here.incidents() == []
    async with receiver(tmp_path / "again") as here:
        for kind in [*reversed(order), *order, KINDS[-1], *order]:
            await tell(here, sent(HONEST[kind]))
        assert here.state() == once
        assert here.incidents() == []
    assert LIAR in str(once)
