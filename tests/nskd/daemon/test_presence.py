"""Pausing, resuming and leaving among five centres, a lying daemon among them (protocol, section 14)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import attrs
import msgspec
import pytest
import trio

from nskd.control import answers, methods
from nskd.control.codes import ControlError
from nskd.daemon import joint as joint_module
from nskd.daemon.answers import request_detail
from nskd.daemon.failures import describe_failure
from nskd.daemon.generation import Generator
from nskd.daemon.joint import Job, JointPart
from nskd.daemon.requester import Requester
from nskd.daemon.run_judge import RunJudge
from nskd.daemon.runs import Runs
from nskd.daemon.wanted import Wanted
from nskd.errors import OperatorError
from nskd.governance import limits, signing
from nskd.governance.audit import Event, read_entry
from nskd.governance.database import LedgerError
from nskd.governance.ledger import Entry, Ledger
from nskd.governance.lifecycle import State
from nskd.governance.policy import PolicyError, Rule
from nskd.governance.presence import Move, Presence, Word, sign_word
from nskd.governance.request import SignedRequest
from nskd.governance.statement import Verdict
from nskd.sessions.kinds import Refusal
from nskd.sessions.proposal import Offer
from nskd.stockpile import SharedStockpile
from protocol.errors import Fault
from protocol.messages import PresenceNotice
from tests.nskd.governance import workshop as papers
from tests.nskd.governance.workshop import HEAD, NOW, policy_text

from .centres import CALL, NAMES, Seat, World, world

LIAR = "west"
VERSION_2 = papers.AMENDED_HEAD
RETITLED = HEAD + 'title = "Another edition"\n'


async def pause(seat: Seat, reason: str = "") -> answers.PresenceAnswer:
    return await seat.presence.pause(CALL, methods.WithdrawParams(reason=reason))


async def resume(seat: Seat) -> answers.PresenceAnswer:
    return await seat.presence.resume(CALL, methods.Changing())


async def leave(seat: Seat, reason: str = "") -> answers.PresenceAnswer:
    return await seat.presence.leave(CALL, methods.WithdrawParams(reason=reason))


def seen(here: World, centre: str) -> dict[str, Presence]:
    """How a centre stands in the eyes of each."""
    found = {name: seat.workshop.attendance.absence(centre) for name, seat in here.seats.items()}
    return {name: Presence.PRESENT if absence is None else absence.presence for name, absence in found.items()}


def all_see(here: World, centre: str) -> Presence:
    (presence,) = set(seen(here, centre).values())
    return presence


def word(
    here: World, move: Move, number: int, centre: str = "zuid", *, key: str | None = None, reason: str = ""
) -> Word:
    sign = papers.signing_key(key or centre).sign
    return sign_word(move, number=number, now=here.now, centre=centre, charter=here.charter, sign=sign, reason=reason)


def on_record(seat: Seat, event: Event) -> list[Any]:
    lines = seat.audit.lines(0, bytes_max=1 << 20, count_max=1000)
    bodies = [read_entry(line, number).body for number, line in enumerate(lines, 1)]
    return [body for body in bodies if body.event is event]


def remove(directory: Path, pattern: str) -> None:
    for path in directory.glob(pattern):
        path.unlink()


def held_up(check: Callable[[], None]) -> Rule | None:
    try:
        check()
    except PolicyError as error:
        return error.rule
    return None


# --- pausing ----------------------------------------------------------------------------------------------------


async def test_all_know_at_once_and_again_when_it_resumes(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        here.deaf.add("oost")
        answer = await pause(here["zuid"], "the extract is being corrected")
        assert (answer.state, answer.since, answer.not_told) == ("paused", here.now, ["oost"])
        await here.settle()
        here.deaf.clear()
        assert seen(here, "zuid") == dict.fromkeys(NAMES, Presence.PAUSED) | {"oost": Presence.PRESENT}
        await here.greet("oost", "zuid")
        assert all_see(here, "zuid") is Presence.PAUSED
        for seat in here.seats.values():
            assert held_up(seat.workshop.attendance.require_all) is Rule.CENTRE_PAUSED
            note = str(*seat.presence.findings())
            assert "zuid has paused since 2026-05-28 20:26 UTC (the extract is being corrected)" in note
            assert ("nskctl resume" in note) == (seat is here["zuid"])
        here.now += 60
        assert (await resume(here["zuid"])).state == "present"
        await here.settle()
        assert all_see(here, "zuid") is Presence.PRESENT
        assert [seat.presence.findings() for seat in here.seats.values()] == [[]] * 5
        for seat in here.others("zuid"):
            moves = [body.details["move"] for body in on_record(seat, Event.PRESENCE_HEARD)]
            assert moves == ["pause", "resume"]
            assert on_record(seat, Event.PRESENCE_REJECTED) == []
        assert [body.uid for body in on_record(here["zuid"], Event.PRESENCE_SAID)] == [0, 0]


async def test_only_checked_nothing_changes(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        checked = await here["zuid"].presence.pause(CALL, methods.WithdrawParams(check=True))
        assert (checked.state, checked.checked) == ("present", True)
        await here["zuid"].presence.leave(CALL, methods.WithdrawParams(check=True))
        with pytest.raises(ControlError, match="nothing to resume"):
            await here["zuid"].presence.resume(CALL, methods.Changing(check=True))
        with pytest.raises(OperatorError, match="one line"):
            await pause(here["zuid"], "two\nlines")
        await here.settle()
        assert all_see(here, "zuid") is Presence.PRESENT
        assert here["zuid"].ledger.presence("test") == []


async def test_nothing_is_approved_during_a_pause_but_refused_and_withdrawn(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        first, second, third = [await here.submit(number=number) for number in range(3)]
        await here["zuid"].decide(first, Verdict.APPROVE)
        written = await here["zuid"].decisions.statement(
            here["zuid"].entry(third), methods.StatementParams(request=third.digest.hex(), verdict="approve")
        )
        await pause(here["zuid"])
        await here.settle()
        here.now += 1
        for attempt in (
            here["zuid"].decide(second, Verdict.APPROVE),
            here["zuid"].decide(second, Verdict.APPROVE, check=True),
            here["zuid"].hand_in(third, Verdict.APPROVE, written.statement, "zuid"),  # written before the pause
        ):
            with pytest.raises(PolicyError) as caught:
                await attempt
            assert caught.value.rule is Rule.CENTRE_PAUSED
        await here["zuid"].decide(first, Verdict.WITHDRAW)
        assert await here["zuid"].decide(second, Verdict.REFUSE) is State.REFUSED
        await here["noord"].decide(third, Verdict.APPROVE)  # the others go on deciding
        await here.settle()
        words = {(each.centre, each.verdict) for each in here["oost"].ledger.approvals(third.digest)}
        assert words == {("noord", Verdict.APPROVE)}


async def test_a_pause_keeps_what_was_approved(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        sent = await here.submit()
        await here.approve_all(sent)
        await pause(here["zuid"])
        await here.settle()
        for seat in here.seats.values():
            await seat.presence.refresh()
            detail = await request_detail(
                seat.workshop, seat.entry(sent), seat.ledger.approvals(sent.digest), opt_out=False
            )
            assert detail.waits_for == ["zuid has paused since 2026-05-28 20:26 UTC"]
            (section,) = (section for section in detail.pages["nl"] if section.key == "absent")
            assert "heeft zijn deelname sinds 28 mei 2026 onderbroken" in section.sentences[0]
        assert here.states(sent) == {State.APPROVED}


async def test_said_twice_is_said_once_and_a_new_reason_is_a_new_word(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        await pause(here["zuid"], "a")
        here.now += 5
        await pause(here["zuid"], "a")
        (first,) = here["zuid"].ledger.presence("test")
        assert (first.number, first.issued_at) == (NOW, NOW)
        await pause(here["zuid"], "b")
        (second,) = here["zuid"].ledger.presence("test")
        assert (second.reason, second.number > first.number) == ("b", True)
        await here.settle()
        assert [seat.rejected("presence.rejected") for seat in here.seats.values()] == [[]] * 5


async def test_numbers_grow_when_a_clock_does_not(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        for _ in range(3):
            here.now -= 100
            await pause(here["zuid"])
            await here.settle()
            assert all_see(here, "zuid") is Presence.PAUSED
            await resume(here["zuid"])
            await here.settle()
            assert all_see(here, "zuid") is Presence.PRESENT


# --- the standing policy ----------------------------------------------------------------------------------------


async def test_the_policy_is_silent_during_a_pause_and_does_not_catch_up(tmp_path: Path) -> None:
    policies = {"zuid": policy_text(per_month="9")}

    def approved(here: World, *requests: SignedRequest) -> list[bool]:
        return [any(w.centre == "zuid" for w in here["noord"].ledger.approvals(r.digest)) for r in requests]

    async with world(tmp_path, policies=policies) as here:
        before = await here.submit(number=1)
        await pause(here["zuid"])
        await here.settle()
        here.now += 10
        during = await here.submit(number=2)
        assert approved(here, before, during) == [True, False]
        here.now += 10
        await resume(here["zuid"])
        await here["zuid"].decisions.consider()
        await here.settle()
        assert approved(here, before, during) == [True, False]
    async with world(tmp_path, policies=policies) as here:
        here.now = NOW + 30
        await here["zuid"].decisions.consider()
        await here.settle()
        after = await here.submit(number=3)
        assert approved(here, before, during, after) == [True, False, True]
        await here["zuid"].decide(during, Verdict.APPROVE)  # for a person it is
        await here.settle()
        assert approved(here, during) == [True]


# --- restarts and amended charters -------------------------------------------------------------------------------


async def test_a_restart_changes_nothing(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        await pause(here["zuid"], "why")
        await leave(here["oost"])
        await here.settle()
    async with world(tmp_path) as here:
        assert all_see(here, "zuid") is Presence.PAUSED
        assert all_see(here, "oost") is Presence.LEFT
        await resume(here["zuid"])
        await here.settle()
    async with world(tmp_path) as here:
        assert all_see(here, "zuid") is Presence.PRESENT


async def test_an_amended_charter_revives_nobody_who_paused(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        await pause(here["zuid"])
        await pause(here["oost"])
        await leave(here["oost"])
        await here.settle()
    async with world(tmp_path, head=RETITLED) as here:  # another charter, not a later one
        assert all_see(here, "zuid") is Presence.PAUSED
        assert all_see(here, "oost") is Presence.LEFT
    async with world(tmp_path, head=VERSION_2) as here:
        assert all_see(here, "zuid") is Presence.PAUSED
        assert all_see(here, "oost") is Presence.PRESENT  # it has signed this one
        await pause(here["oost"])
        await here.settle()
        assert all_see(here, "oost") is Presence.PAUSED


async def test_a_paused_centre_with_a_new_key_says_so_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with world(tmp_path) as here:
        await pause(here["zuid"], "why")
        await here.settle()
        old = here["zuid"].ledger.presence("test")[0]
    genuine = papers.signing_key
    monkeypatch.setattr(papers, "signing_key", lambda name: genuine("new" + name if name == "zuid" else name))
    remove(tmp_path, "*.ndjson")  # its chain verifies under the key of its time
    async with world(tmp_path, head=VERSION_2) as here:
        assert all_see(here, "zuid") is Presence.PAUSED  # those that had taken it hold on to it
        await here["noord"].presence.tell_all("midden")
        assert {message.signature for _, to, message in here.under_way if to == "midden"} != {old.signature}
        here.under_way.clear()
        here["midden"].workshop.attendance._standings.clear()
        await here.greet("midden", "noord")  # what the present key does not verify is not passed on
        assert here["midden"].workshop.attendance.absence("zuid") is None
        await here.greet("midden", "zuid")
        assert all_see(here, "zuid") is Presence.PAUSED
        (new,) = here["midden"].ledger.presence("test")
        assert (new.reason, new.issued_at, new.number > old.number) == ("why", old.issued_at, True)


# --- leaving ----------------------------------------------------------------------------------------------------


async def test_leaving_ends_every_open_request_and_every_hope_of_another(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        waiting, approved, running, done = [await here.submit(number=number) for number in range(4)]
        for request in (approved, running, done):
            await here.approve_all(request)
        for seat in here.seats.values():
            for request in (running, done):
                seat.ledger.start(request.digest, bytes(16), charter=here.charter, now=here.now)
            seat.ledger.finish(done.digest, b"{}", now=here.now)
        answer = await leave(here["zuid"], "merged with oost")
        assert (answer.state, answer.waiting, answer.running) == ("left", 0, 1)
        await here.settle()
        assert all_see(here, "zuid") is Presence.LEFT
        assert here.states(waiting) == here.states(approved) == {State.REFUSED}
        assert (here.states(running), here.states(done)) == ({State.RUNNING}, {State.DONE})
        for seat in here.seats.values():
            assert seat.entry(approved).fault == Rule.CENTRE_LEFT
            assert "zuid left the workshop" in (seat.entry(approved).detail or "")
            ended = on_record(seat, Event.REQUEST_ENDED)
            assert {body.request for body in ended} == {waiting.digest.hex(), approved.digest.hex()}
            assert {(body.peer, body.details["rule"]) for body in ended} == {("zuid", "centre-left")}
            assert held_up(seat.workshop.attendance.require_nobody_left) is Rule.CENTRE_LEFT
            # What was under way ends as it ends, and is not run again.
            seat.ledger.fail(running.digest, fault="f", detail="d", retryable=True, charter=here.charter, now=here.now)
            await seat.presence.refresh()
        assert here.states(running) == {State.REFUSED}
        late = await here.submit(number=9)  # by a centre that has not heard yet
        for seat in here.seats.values():
            await seat.presence.refresh()
        assert here.states(late) == {State.REFUSED}


async def test_who_has_left_can_neither_pause_nor_resume(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        await leave(here["zuid"])
        for attempt in (pause, resume):
            with pytest.raises(PolicyError, match="a later version") as caught:
                await attempt(here["zuid"])
            assert caught.value.rule is Rule.CENTRE_LEFT
        assert (await leave(here["zuid"])).state == "left"


async def test_who_left_and_shut_down_is_known_to_have_left(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        here.deaf.update({"midden", "oost", "west"})
        await leave(here["zuid"])
        await here.settle()
        here.deaf.clear()
        here.deaf.add("zuid")
        sent = await here.submit(by="west")
        for one, other in (("noord", "midden"), ("midden", "oost"), ("oost", "west")):  # by way of each other
            assert seen(here, "zuid")[other] is Presence.PRESENT
            await here.greet(one, other)
            assert seen(here, "zuid")[other] is Presence.LEFT
        assert {seat.state(sent) for seat in here.others("zuid") if seat is not here["noord"]} == {State.REFUSED}


# --- what a cheating daemon tells everybody -----------------------------------------------------------------------


def resigned(here: World, body: bytes, centre: str = "zuid") -> Word:
    signature = papers.signing_key(centre).sign(signing.framed("nskd presence signature v1", body))
    return attrs.evolve(word(here, Move.PAUSE, 9, centre), body=body, signature=signature)


def _elsewhere(here: World) -> Word:
    other = papers.charter(head='workshop = "other"\npack = "nsk"\n')
    sign = papers.signing_key("zuid").sign
    return sign_word(Move.PAUSE, number=NOW + 9, now=NOW, centre="zuid", charter=other, sign=sign)


LIES: dict[str, tuple[Fault, Callable[[World], Word]]] = {
    "in another's name": (Fault.SIGNATURE, lambda here: word(here, Move.PAUSE, NOW + 9, key=LIAR)),
    "of a stranger": (Fault.SIGNATURE, lambda here: word(here, Move.PAUSE, NOW + 9, "nobody")),
    "with another number": (
        Fault.SIGNATURE,
        lambda here: attrs.evolve(word(here, Move.PAUSE, NOW + 9), signature=word(here, Move.PAUSE, NOW + 8).signature),
    ),
    "about another": (Fault.MALFORMED, lambda here: resigned(here, word(here, Move.PAUSE, 9).body, LIAR)),
    "malformed": (Fault.MALFORMED, lambda here: resigned(here, b"\xc0")),
    "oversized": (Fault.OVERSIZED, lambda here: resigned(here, bytes(limits.PRESENCE_WORD_BYTES_MAX + 1))),
    "in another workshop": (Fault.SESSION, _elsewhere),
    "an old one": (Fault.UNEXPECTED, lambda here: word(here, Move.PAUSE, NOW - 1)),
    "another under its number": (Fault.EQUIVOCATION, lambda here: word(here, Move.RESUME, NOW, reason="really")),
}


@pytest.mark.parametrize("lie", LIES)
async def test_each_lie_is_named_audited_and_of_no_effect(tmp_path: Path, lie: str) -> None:
    fault, make = LIES[lie]
    async with world(tmp_path) as here:
        await here.tell_word("zuid", word(here, Move.PAUSE, NOW))
        if lie != "another under its number":
            await here.tell_word("zuid", word(here, Move.RESUME, NOW))
            for seat in here.seats.values():
                seat.rejected("presence.rejected")
        told = make(here)
        told_to = [here[name] for name in ("noord", "midden", "oost")]
        before = [seat.ledger.presence("test") for seat in told_to]
        counted = [len(on_record(seat, Event.PRESENCE_REJECTED)) for seat in told_to]
        await here.tell_word(LIAR, told)
        for seat, words, count in zip(told_to, before, counted, strict=True):
            (detail,) = seat.rejected("presence.rejected")
            (body,) = on_record(seat, Event.PRESENCE_REJECTED)[count:]
            assert (body.peer, body.outcome, body.details["fault"]) == (LIAR, "refused", fault.value)
            assert body.details["detail"] == detail
            assert seat.ledger.presence("test") == words
            assert list(seat.workshop.attendance.standing("zuid").words) == words


async def test_an_old_resume_told_again_ends_no_pause(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        await pause(here["zuid"])
        await resume(here["zuid"])
        old = here["zuid"].ledger.presence("test")[0]
        here.now += 60
        await pause(here["zuid"])
        await here.settle()
        for liar in ("west", "zuid"):  # whoever tells it
            await here.tell_word(liar, old)
        assert all_see(here, "zuid") is Presence.PAUSED
        for seat in here.others("zuid"):
            assert any("an old word of presence of zuid" in detail for detail in seat.rejected("presence.rejected"))


async def test_two_stories_come_to_the_same_once_they_meet(tmp_path: Path) -> None:
    """zuid tells noord that it pauses and the others, under the same number, that it does not."""
    async with world(tmp_path) as here:
        stories = word(here, Move.PAUSE, NOW), word(here, Move.RESUME, NOW)
        for name in ("noord", "midden", "oost", "west"):
            said = stories[name != "noord"]
            notice = PresenceNotice(word=said.body, centre="zuid", signature=said.signature)
            await here[name].mesh.handlers[PresenceNotice]("zuid", notice)
        for name in ("midden", "oost", "west"):
            await here.greet("noord", name)
            assert seen(here, "zuid")[name] is Presence.PAUSED
            (detail,) = here[name].rejected("presence.rejected")
            assert "two words of presence of zuid under number" in detail
        assert seen(here, "zuid")["noord"] is Presence.PAUSED


# --- a ledger put back from a backup ------------------------------------------------------------------------------


async def test_a_centre_put_back_is_reminded_of_its_pause(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        await pause(here["zuid"], "why")
        await here.settle()
        (said,) = here["noord"].ledger.presence("test")
    remove(tmp_path, "zuid.sqlite*")
    async with world(tmp_path) as here:
        assert seen(here, "zuid")["zuid"] is Presence.PRESENT
        await here.greet("noord", "zuid")
        assert all_see(here, "zuid") is Presence.PAUSED
        assert here["zuid"].ledger.presence("test") == [said]


async def test_nobody_but_its_own_people_ends_a_pause(tmp_path: Path) -> None:
    """A resume that zuid signed once and has forgotten: its pause is said anew, above it."""
    async with world(tmp_path) as here:
        await pause(here["zuid"], "why")
        await here.settle()
        forgotten = word(here, Move.RESUME, NOW + 500)
        for number in (0, 1):
            await here.tell_word(LIAR, forgotten)
            assert all_see(here, "zuid") is Presence.PAUSED
            (held,) = here["oost"].ledger.presence("test")
            assert (held.number, held.reason, held.issued_at) == (NOW + 501, "why", NOW)
            assert len(on_record(here["zuid"], Event.PRESENCE_REJECTED)) == 1 + number
        await resume(here["zuid"])
        await here.settle()
        assert all_see(here, "zuid") is Presence.PRESENT


# --- a full disk --------------------------------------------------------------------------------------------------


async def test_a_pause_counts_on_a_full_disk_and_a_resume_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise LedgerError("cannot be used: database or disk is full", where="ledger", remedy="Free some.")

    async with world(tmp_path) as here:
        zuid, noord = here["zuid"], here["noord"]
        with monkeypatch.context() as patched:
            patched.setattr(Ledger, "keep_presence", full)
            with pytest.raises(OperatorError, match="in force and the other centres are told, but it is not on disk"):
                await pause(zuid)
            await here.settle()
            assert all_see(here, "zuid") is Presence.PAUSED
            assert noord.ledger.presence("test") == zuid.ledger.presence("test") == []
            assert any("not all on disk yet" in note.what for note in zuid.presence.findings())
            with pytest.raises(LedgerError):
                await zuid.presence.refresh()
            with pytest.raises(LedgerError):
                await resume(zuid)
            for _ in range(5):  # words cost who says them nothing
                with pytest.raises(OperatorError):
                    await pause(zuid)
            await here.settle()
            assert len(noord.presence._unkept) == len(zuid.presence._unkept) == 1
            assert all_see(here, "zuid") is Presence.PAUSED
        for seat in (zuid, noord):
            await seat.presence.refresh()
            assert [said.move for said in seat.ledger.presence("test")] == [Move.PAUSE]
            assert not any("not all on disk yet" in note.what for note in seat.presence.findings())


# --- runs ---------------------------------------------------------------------------------------------------------


RUN_PARTS = (
    *("stock", "epochs", "generator", "turns", "notices", "wanted", "failures", "dataset", "objections"),
    *("contributions", "populations", "history", "workers", "judge"),
)
JUDGE_PARTS = ("stock", "epochs", "failures", "objections", "history", "doubt")


def taking_part(seat: Seat, **parts: Any) -> Runs:
    """A centre's side of runs, with nothing behind it but what is given."""
    nothing = SimpleNamespace(person_key=None, find=None)
    return Runs(workshop=seat.workshop, **{**dict.fromkeys(RUN_PARTS, cast(Any, nothing)), **parts})


def judging(seat: Seat, **parts: Any) -> RunJudge:
    """A centre's judgement of runs, likewise."""
    given = {**dict.fromkeys(JUDGE_PARTS, cast(Any, SimpleNamespace())), **parts}
    return RunJudge(workshop=seat.workshop, draining=lambda: False, **given)


async def test_every_centre_refuses_a_run_while_one_is_absent(tmp_path: Path) -> None:
    offer = cast(Offer, SimpleNamespace(sender="noord", proposal=SimpleNamespace(request=bytes(32))))
    async with world(tmp_path) as here:
        for act, rule in ((pause, Rule.CENTRE_PAUSED), (leave, Rule.CENTRE_LEFT)):
            await act(here["zuid"])
            await here.settle()
            for seat in here.seats.values():
                with pytest.raises(Refusal, match=f"rule {rule}: zuid "):
                    await judging(seat).judge(offer)
                assert f"rule {rule}: " in on_record(seat, Event.RUN_REFUSED)[-1].details["reason"]


async def test_a_centre_that_was_restored_repeats_nothing_of_before(tmp_path: Path) -> None:
    """Not even for one that lacks the release: how often it ran is among what was forgotten."""
    async with world(tmp_path) as here:
        sent = await here.submit()
        await here.approve_all(sent)
        seat = here["zuid"]
        seat.ledger.start(sent.digest, bytes(16), charter=here.charter, now=here.now)
        seat.ledger.finish(sent.digest, b"{}", now=here.now)
        offer = cast(Offer, SimpleNamespace(sender="noord", proposal=SimpleNamespace(request=sent.digest)))

        async def record() -> None: ...

        for restored_at, refused in ((None, False), (here.now - 1, False), (here.now, True)):
            workshop = attrs.evolve(seat.workshop, restored_at=restored_at)
            judge = judging(attrs.evolve(seat, workshop=workshop), failures=SimpleNamespace(record=record))
            try:
                await judge.judge(offer)
            except Refusal as refusal:
                assert ("restored from a backup" in refusal.reason) is refused
            except AttributeError:  # it went on to what is not there in this test
                assert not refused


async def test_a_pause_is_in_time_up_to_the_moment_at_which_data_enters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered: list[str] = []

    async def enters(*_: object, **__: object) -> None:
        entered.append("data")

    async def opens(*_: object, **__: object) -> None:
        assert entered == ["data"]

    monkeypatch.setattr(joint_module, "contribute", enters)
    monkeypatch.setattr(joint_module, "release_contributed", opens)
    own = cast(
        Any,
        SimpleNamespace(
            table=SimpleNamespace(values=None, children=None),
            differences=SimpleNamespace(children=None, cell=None),
            patterns=None,
        ),
    )
    async with world(tmp_path) as here:
        sent = await here.submit()
        seat = here["zuid"]
        epochs = SimpleNamespace(mac_key=lambda: None, current_id=lambda: bytes(32))
        side = JointPart(seat.workshop, cast(Any, epochs), cast(Any, None))
        monkeypatch.setattr(seat.workshop.__class__, "rules", lambda self, plan: None)
        job = Job(seat.entry(sent), (), bytes(32), cast(Any, SimpleNamespace(shape=None)), cast(Any, None), own, None)
        rest: list[Any] = [None, None, job]
        await side.run(*rest)
        assert entered == ["data"]
        for absent in ("zuid", "oost"):  # its own pause, and that of another
            await pause(here[absent])
            await here.settle()
            with pytest.raises(PolicyError) as caught:
                await side.run(*rest)
            assert describe_failure(caught.value)[::2] == ("centre-paused", True)  # it may run after the resume
            await resume(here[absent])
            await here.settle()
        assert entered == ["data"]


async def test_material_is_made_with_a_paused_centre_and_not_with_one_that_left(tmp_path: Path) -> None:
    offer = SimpleNamespace(sender="noord", proposal=SimpleNamespace(parties=NAMES))
    offer.proposal.extra = msgspec.msgpack.encode(("triples", 1, False))
    async with world(tmp_path) as here:
        nothing: dict[str, Any] = dict.fromkeys(("mesh", "sessions", "stock", "turns", "workers"))

        async def ample(_: object) -> bool:
            return False

        nothing["needs"] = SimpleNamespace(ample=ample)
        nothing["epochs"] = SimpleNamespace(may_end=lambda: True)
        makers = [Generator(workshop=seat.workshop, **nothing) for seat in here.seats.values()]
        await pause(here["zuid"])
        await here.settle()
        for maker in makers:
            await maker.judge(cast(Offer, offer))
        await leave(here["zuid"])
        await here.settle()
        for maker in makers:
            with pytest.raises(Refusal, match="zuid left the workshop"):
                await maker.judge(cast(Offer, offer))


async def test_the_requester_proposes_nothing_and_loses_no_attempt(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        sent = await here.submit()
        await here.approve_all(sent)
        seat = here["noord"]
        attempted: list[bytes] = []
        third = trio.Event()
        looked = [trio.Event() for _ in range(100)]
        parts: dict[str, Any] = dict.fromkeys(("mesh", "sessions", "stock", "epochs", "history"))

        class Asked:
            """In each round, whether this centre is about to stop."""

            rounds = 0

            @property
            def draining(self) -> bool:
                looked[self.rounds].set()
                self.rounds += 1
                return False

        requester = Requester(
            workshop=seat.workshop,
            notices=seat.notices,
            wanted=Wanted(),
            runs=cast(Runs, Asked()),
            **parts,
        )

        async def attempt(entry: Entry) -> None:
            attempted.append(entry.request.digest)
            if len(attempted) == 3:
                third.set()
                await trio.sleep_forever()

        setattr(requester, "_attempt", attempt)  # noqa: B010 - what a test does to it
        await pause(here["zuid"])
        await here.settle()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(requester.drive)
            for number in range(3):
                with trio.fail_after(60):
                    await looked[number].wait()
                seat.notices.poke()
            assert attempted == []
            assert requester.will_retry(sent)
            await resume(here["zuid"])
            await here.settle()
            with trio.fail_after(60):
                await third.wait()
            assert attempted == [sent.digest] * 3
            nursery.cancel_scope.cancel()


async def test_a_requester_that_waits_for_stock_stops_waiting_when_a_centre_pauses(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        sent = await here.submit()
        await here.approve_all(sent)
        seat = here["noord"]
        parts: dict[str, Any] = dict.fromkeys(("mesh", "sessions", "epochs", "history"))

        waiting, stopped = trio.Event(), trio.Event()

        async def never(_: object) -> None:
            waiting.set()
            await trio.sleep_forever()

        requester = Requester(
            workshop=seat.workshop,
            notices=seat.notices,
            wanted=Wanted(),
            runs=taking_part(seat),
            stock=cast(SharedStockpile, SimpleNamespace(wait_for=never)),
            **parts,
        )
        outcome: list[bool] = []

        async def wait() -> None:
            outcome.append(await requester._turn(seat.entry(sent), {}))
            stopped.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            with trio.fail_after(60):
                await waiting.wait()
            await pause(here["zuid"])
            await here.settle()
            with trio.fail_after(60):
                await stopped.wait()
            assert outcome == [False]
            nursery.cancel_scope.cancel()
