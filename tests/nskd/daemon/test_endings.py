"""What ends with a charter's version, or with a purpose (docs/protocol.md, step 15.6)."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import attrs
import pytest

from nskd.control.codes import ControlError
from nskd.daemon.decisions import Decisions
from nskd.daemon.endings import end_requests
from nskd.daemon.epochs import Epochs
from nskd.governance.amendment import amended_text
from nskd.governance.charter import Charter, parse_charter
from nskd.governance.lifecycle import State
from nskd.governance.limits import REQUEST_OPEN_MAX_S
from nskd.governance.policy import Rule
from nskd.governance.request import SignedRequest
from nskd.governance.statement import Verdict
from nskd.stockpile import Stockpile
from protocol.offline.epoch import Epoch, found, seal
from tests.cluster import Cluster
from tests.nskd.governance import workshop as papers

from .centres import NAMES, Seat, World, world


def under(seat: Seat, charter: Charter) -> Seat:
    """The same centre, its daemon started anew under another charter."""
    workshop = attrs.evolve(seat.workshop, charter=charter)
    return attrs.evolve(seat, workshop=workshop, decisions=Decisions(workshop, seat.notices, None))


async def in_every_state(here: World) -> dict[State, SignedRequest]:
    """A request in each state from which something may still come, and two for which all is over."""
    requests = {state: await here.submit(number=number) for number, state in enumerate(State)}
    for state in (State.APPROVED, State.FAILED, State.DONE):
        await here.approve_all(requests[state])
    await here["oost"].decide(requests[State.REFUSED], Verdict.REFUSE)
    await here.settle()
    for seat in here.seats.values():
        for state in (State.FAILED, State.DONE):
            seat.ledger.start(requests[state].digest, b"s" * 16, charter=here.charter, now=here.now)
        failed = requests[State.FAILED].digest
        seat.ledger.fail(
            failed, fault="timeout", detail="zuid is silent", retryable=True, charter=here.charter, now=here.now
        )
        seat.ledger.finish(requests[State.DONE].digest, b"{}", now=here.now)
    return requests


async def test_an_amendment_ends_what_is_open(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        requests = await in_every_state(here)
        amended = parse_charter(amended_text(here.charter))
        for name in NAMES:
            seat = under(here[name], amended)
            assert await end_requests(seat.workshop)
            for state in (State.SUBMITTED, State.APPROVED, State.FAILED):
                entry = seat.entry(requests[state])
                assert (entry.state, entry.fault) == (State.EXPIRED, Rule.CHARTER_AMENDED)
                with pytest.raises(ControlError, match="nothing is left to decide"):
                    await seat.decide(requests[state], Verdict.APPROVE)
            assert seat.state(requests[State.DONE]) is State.DONE
            assert seat.ledger.result(requests[State.DONE].digest) is not None
            assert seat.state(requests[State.REFUSED]) is State.REFUSED
            assert not await end_requests(seat.workshop)  # once
            ended = (tmp_path / f"{name}.ndjson").read_bytes().count(b'"event":"request.ended"')
            assert ended == 5  # of seven: all but the one done and the one refused


async def test_what_nobody_decides_on_ends_on_record(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        requests = await in_every_state(here)
        seat, begun = here["zuid"], here.now
        for here.now, ended in ((begun + REQUEST_OPEN_MAX_S - 1, False), (begun + REQUEST_OPEN_MAX_S, True)):
            assert await end_requests(seat.workshop) is ended
        for state in (State.SUBMITTED, State.APPROVED, State.FAILED):
            entry = seat.entry(requests[state])
            assert (entry.state, entry.fault) == (State.EXPIRED, Rule.REQUEST_LAPSED)
            assert (
                entry.detail
                == "it did not come to a result within 90 days"
                + {
                    State.SUBMITTED: ": not all centres have approved",
                    State.APPROVED: "",
                    State.FAILED: ", and last failed: zuid is silent",
                }[state]
            )
        assert seat.state(requests[State.DONE]) is State.DONE
        assert (tmp_path / "zuid.ndjson").read_bytes().count(b'"rule":"request-lapsed"') == 5


async def test_nothing_ends_under_the_same_charter(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        await in_every_state(here)
        for seat in here.seats.values():
            assert not await end_requests(seat.workshop)


async def test_a_purpose_ends_its_requests_on_the_day_after_its_last(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        purpose = papers.PURPOSE + "valid_until = 2026-05-30\n"  # NOW is in the evening of the 28th
        until = parse_charter(papers.charter_toml(names=NAMES, purpose=purpose))
        seat = under(here["noord"], until)
        request = papers.request(under=until)
        seat.ledger.add_request(request, now=here.now)
        for day, ends in ((0, False), (2, False), (3, True)):
            here.now = papers.NOW + day * 86_400
            assert await end_requests(seat.workshop) is ends
        entry = seat.entry(request)
        assert (entry.state, entry.fault) == (State.EXPIRED, Rule.PURPOSE_EXPIRED)


async def recovered(epoch: Epoch, charter: bytes) -> tuple[Epochs, list[object]]:
    """A daemon that finds this epoch in its stock, and what it asks of the stock beside."""
    asked: list[object] = []

    async def stock(method: object, *_: object) -> object:
        asked.append(method)
        return SimpleNamespace(state=seal(epoch, 0)) if method is Stockpile.epoch else None

    async def note(*_: object, **__: object) -> None:
        return

    quiet = SimpleNamespace(error=lambda *_, **__: None, publish=lambda *_, **__: None, note=note)
    named = SimpleNamespace(digest=charter)
    workshop = SimpleNamespace(log=quiet, events=quiet, audit=quiet, charter=named, clock=lambda: 0)
    epochs = Epochs(workshop=workshop, stock=stock)  # type: ignore[arg-type]
    await epochs.recover()
    return epochs, asked


async def test_an_epoch_is_of_one_charter() -> None:
    epoch = (await Cluster(2).run(lambda party: found(party, b"c" * 32)))[0]
    same, asked = await recovered(epoch, b"c" * 32)
    assert same.current_id() == epoch.epoch_id and asked == [Stockpile.epoch]
    other, asked = await recovered(epoch, b"d" * 32)
    assert not other.current_id() and asked == [Stockpile.epoch, Stockpile.destroy_epoch]
