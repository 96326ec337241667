"""What a centre tells one that has just connected, and what that one makes of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nskd.daemon.notices import request_notice
from nskd.governance.database import LedgerError
from nskd.governance.ledger import Ledger
from nskd.governance.lifecycle import State
from nskd.governance.limits import CLOCK_SKEW_MAX_S
from nskd.governance.request import SignedRequest
from nskd.governance.statement import Verdict
from nskd.governance.verification import receive_approval
from protocol.errors import RemoteProtocolError
from tests.nskd.daemon.centres import Seat, World, world
from tests.nskd.daemon.test_queue import approved, begin, fail
from tests.nskd.governance import workshop as papers
from tests.nskd.governance.workshop import NOW


def finish(here: World, seat: Seat, request: SignedRequest) -> None:
    seat.ledger.finish(request.digest, b"{}", now=here.now)


async def test_only_a_centre_whose_run_failed_is_taken_to_lack_the_release(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        sent = await approved(here, "noord", 1)
        noord, zuid = here["noord"], here["zuid"]
        for seat in (noord, zuid):
            begin(seat, sent)
        await here.greet("noord", "zuid")
        assert sent.digest not in noord.wanted
        finish(here, noord, sent)
        await here.greet("noord", "zuid")  # zuid is a moment behind
        assert sent.digest not in noord.wanted
        fail(zuid, sent, retryable=True)
        await zuid.notices.tell_again()
        await here.settle()
        assert sent.digest in noord.wanted


async def test_what_came_to_an_end_while_it_was_to_be_told_is_not_told(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        first, second = await approved(here, "noord", 1), await approved(here, "noord", 2)
        noord, zuid = here["noord"], here["zuid"]
        for seat in (noord, zuid):
            for sent in (first, second):
                begin(seat, sent)
        finish(here, noord, first)
        finish(here, noord, second)
        for sent in (first, second):
            fail(zuid, sent, retryable=True)
        send = zuid.mesh.send_control

        async def send_slowly(name: str, message: Any) -> None:
            await send(name, message)
            if zuid.entry(second).state == "failed":  # it is run again while the first is told
                zuid.ledger.retry(second.digest, charter=here.charter, now=here.now)
                begin(zuid, second)
                finish(here, zuid, second)

        setattr(zuid.mesh, "send_control", send_slowly)  # noqa: B010 - what a test does to it
        await zuid.notices.tell_all("noord")
        await here.settle()
        assert set(noord.wanted) == {first.digest}


async def test_a_lapsed_approval_is_told_to_nobody(tmp_path: Path) -> None:
    """A centre that never had it would have to refuse it, and have that on record against an honest one."""
    async with world(tmp_path) as here:
        sent = await here.submit()
        here.deaf.add("zuid")
        await here["noord"].decide(sent, Verdict.APPROVE)
        await here.settle()
        here.deaf.clear()
        (approval,) = here["noord"].ledger.approvals(sent.digest)
        for here.now, known in ((approval.expires_at, []), (approval.expires_at - 1, [approval])):
            await here["noord"].notices.tell_again()
            await here.settle()
            assert list(here["zuid"].ledger.approvals(sent.digest)) == known
            assert here["zuid"].rejected() == []


async def test_a_request_dated_ahead_is_the_fault_of_its_centre_alone(tmp_path: Path) -> None:
    """Each clock may be within bounds of the next one, and the first not of the last."""
    async with world(tmp_path) as here:
        here.now = NOW + CLOCK_SKEW_MAX_S + 1
        ahead = papers.request(papers.TEXT, now=here.now, under=here.charter)
        here.now = NOW
        notice = request_notice(ahead)
        take = here["zuid"].mesh.handlers[type(notice)]
        await take("midden", notice)
        assert here["zuid"].ledger.entries() == []
        with pytest.raises(RemoteProtocolError, match="301 s from now"):
            await take("noord", notice)


async def test_a_ledger_that_cannot_be_read_ends_no_daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise LedgerError("cannot be read: disk I/O error", where="ledger", remedy="See to the disk.")

    async with world(tmp_path) as here:
        sent = await here.submit()
        with monkeypatch.context() as patch:
            patch.setattr(Ledger, "holds", broken)
            await here["noord"].decide(sent, Verdict.APPROVE)
            await here.settle()
        assert here["zuid"].ledger.approvals(sent.digest) == ()
        await here["noord"].notices.tell_again()
        await here.settle()
        assert len(here["zuid"].ledger.approvals(sent.digest)) == 1


async def test_who_was_away_when_it_was_refused_hears_of_it(tmp_path: Path) -> None:
    """Also the centre that asked, and from one that has only heard of the refusal: who refused may be away by now."""
    async with world(tmp_path) as here:
        sent = await here.submit()
        await here["midden"].decide(sent, Verdict.APPROVE)
        here.deaf.add("noord")
        await here["zuid"].decide(sent, Verdict.REFUSE)
        await here.settle()
        here.deaf.add("zuid")
        here.deaf.discard("noord")
        assert here["noord"].state(sent) is State.SUBMITTED
        await here["noord"].notices.tell_again()
        await here.settle()
        assert here.states(sent) == {State.REFUSED}
        (word,) = (each for each in here["noord"].ledger.approvals(sent.digest) if each.verdict is Verdict.REFUSE)
        assert word.centre == "zuid"
        await here["noord"].notices.tell_again()
        assert not here.under_way  # nothing is open any more


async def test_an_approval_told_again_is_not_verified_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a reconnection everything open is told; a proposal stands behind all of it."""
    async with world(tmp_path) as here:
        sent = await approved(here, "noord", 1)
        verified: list[str] = []

        def verify(*words: Any, **more: Any) -> Any:
            verified.append(words[1])
            return receive_approval(*words, **more)

        monkeypatch.setattr("nskd.daemon.notices.receive_approval", verify)
        await here.greet("noord", "zuid")
        assert verified == []
        other = await approved(here, "noord", 2)
        assert len(verified) == len(here.seats) * (len(here.seats) - 1)
        assert here.states(sent) == here.states(other) == {"approved"}
