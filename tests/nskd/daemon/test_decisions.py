"""Stewards' words among five centres, a lying daemon among them: what is taken, and what is refused by which rule."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import attrs
import pytest

from nskd.control.codes import ControlError
from nskd.governance import limits
from nskd.governance.approval import SignedApproval, sign_approval
from nskd.governance.charter import parse_charter
from nskd.governance.lifecycle import State
from nskd.governance.policy import PolicyError, Rule
from nskd.governance.request import SignedRequest
from nskd.governance.standing_policy import month_of
from nskd.governance.statement import Verdict
from tests.nskd.governance import workshop as papers
from tests.nskd.governance.workshop import NOW, policy_text, stewards_toml

from .centres import NAMES, World, world

LIAR = "zuid"
TEXT = papers.TEXT


async def test_all_approve_all_know(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        sent = await here.submit()
        await here.approve_all(sent, but="west")
        assert here.states(sent) == {State.SUBMITTED}
        assert await here["west"].decide(sent, Verdict.APPROVE, check=True) is State.SUBMITTED
        await here.settle()
        assert here.states(sent) == {State.SUBMITTED}  # it was only checked
        await here["west"].decide(sent, Verdict.APPROVE)
        await here.settle()
        assert here.states(sent) == {State.APPROVED}


async def test_one_refusal_is_enough_everywhere(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        sent = await here.submit()
        await here.approve_all(sent)
        assert await here["oost"].decide(sent, Verdict.REFUSE) is State.REFUSED
        await here.settle()
        assert here.states(sent) == {State.REFUSED}
        with pytest.raises(ControlError, match="nothing is left to decide"):
            await here["west"].decide(sent, Verdict.APPROVE)


async def test_withdrawn_is_withdrawn_until_approved_anew(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        sent = await here.submit()
        await here.approve_all(sent)
        (old,) = [word for word in here["noord"].ledger.approvals(sent.digest) if word.centre == LIAR]
        here.now += 5
        assert await here[LIAR].decide(sent, Verdict.WITHDRAW) is State.SUBMITTED
        await here.settle()
        assert here.states(sent) == {State.SUBMITTED}
        await here.tell(LIAR, old)
        await here.tell("west", old)  # whoever tells it
        assert here.states(sent) == {State.SUBMITTED}
        # The old text, signed and handed in once more, is refused at its own centre by name.
        with pytest.raises(PolicyError) as caught:
            await here[LIAR].hand_in(sent, Verdict.APPROVE, old.statement.text().decode(), LIAR)
        assert caught.value.rule is Rule.APPROVAL_WITHDRAWN
        here.now -= 60  # a clock that was set back does not keep a new word from counting
        await here[LIAR].decide(sent, Verdict.APPROVE)
        await here.settle()
        assert here.states(sent) == {State.APPROVED}


async def test_a_withdrawal_comes_too_late_once_the_run_has_begun(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        sent = await here.submit()
        with pytest.raises(ControlError, match="has not approved"):
            await here[LIAR].decide(sent, Verdict.WITHDRAW)
        await here.approve_all(sent)
        here[LIAR].ledger.start(sent.digest, bytes(16), charter=here.charter, now=here.now)
        with pytest.raises(PolicyError) as caught:
            await here[LIAR].decide(sent, Verdict.WITHDRAW)
        assert caught.value.rule is Rule.RUN_BEGUN


async def test_two_persons(tmp_path: Path) -> None:
    async with world(tmp_path, zuid=f"{stewards_toml('a', 'b')}\napprovals_needed = 2") as here:
        sent = await here.submit()
        await here.approve_all(sent, but="zuid")
        for person, state in (("a", State.SUBMITTED), ("a", State.SUBMITTED), ("b", State.APPROVED)):
            await here["zuid"].decide(sent, Verdict.APPROVE, person=person)
            await here.settle()
            assert here.states(sent) == {state}
        here.now += 1
        await here["zuid"].decide(sent, Verdict.WITHDRAW, person="b")
        await here.settle()
        assert here.states(sent) == {State.SUBMITTED}


async def test_each_steward_is_heard_of_by_name_fingerprint_or_key(tmp_path: Path) -> None:
    async with world(tmp_path, zuid=stewards_toml("a", "b")) as here:
        sent = await here.submit()
        with pytest.raises(PolicyError, match=r"dr\. a, dr\. b") as caught:
            await here["zuid"].decide(sent, Verdict.APPROVE, person="noord")
        assert caught.value.rule is Rule.STEWARD_UNKNOWN


# --- what a cheating daemon tells everybody -------------------------------------------------------------------

Lie = Callable[[World, SignedRequest], SignedApproval]


def _statement_with(here: World, sent: SignedRequest, signer: str, **changes: object) -> SignedApproval:
    said = attrs.evolve(papers.statement(sent.digest, LIAR, under=here.charter), **changes).text()  # type: ignore[arg-type]
    return sign_approval(said, (papers.signed_by(signer, said),), centre=LIAR, sign=papers.signing_key(LIAR).sign)


def _moved(here: World, sent: SignedRequest) -> SignedApproval:
    """The steward's real signature of another request, under this one's statement."""
    said = papers.statement(sent.digest, LIAR, under=here.charter).text()
    other = papers.statement(bytes(32), LIAR, under=here.charter).text()
    return sign_approval(said, (papers.signed_by(LIAR, other),), centre=LIAR, sign=papers.signing_key(LIAR).sign)


OTHER_CHARTER = parse_charter(papers.charter_toml(head=papers.AMENDED_HEAD, names=NAMES))
LIES: list[tuple[Rule, Lie]] = [
    (Rule.APPROVAL_FORGED, lambda here, sent: papers.approval(sent.digest, LIAR, under=here.charter, key="west")),
    (Rule.APPROVAL_CHARTER, lambda here, sent: papers.approval(sent.digest, LIAR, under=OTHER_CHARTER)),
    (Rule.APPROVAL_EXPIRED, lambda here, sent: papers.approval(sent.digest, LIAR, under=here.charter, now=NOW - 2000)),
    (Rule.APPROVAL_EARLY, lambda here, sent: papers.approval(sent.digest, LIAR, under=here.charter, now=NOW + 2000)),
    (
        Rule.APPROVAL_VALIDITY,
        lambda here, sent: papers.approval(sent.digest, LIAR, under=here.charter, validity_s=93 * limits.DAY_S),
    ),
    (Rule.STEWARD_UNKNOWN, lambda here, sent: _statement_with(here, sent, "west")),
    (Rule.STEWARD_UNKNOWN, lambda here, sent: _statement_with(here, sent, "the daemon")),
    (Rule.STEWARD_SIGNATURE, _moved),
    (Rule.STEWARD_SIGNATURE, lambda here, sent: _statement_with(here, sent, LIAR, name="dr. Nobody")),
    (
        Rule.POLICY_WHERE,
        lambda here, sent: papers.policy_approval(sent.digest, policy_text(where="false"), under=here.charter),
    ),
    (
        Rule.POLICY_VARIABLE,
        lambda here, sent: papers.policy_approval(
            sent.digest, policy_text(variables='["age_band"]'), under=here.charter
        ),
    ),
    (
        Rule.STEWARD_UNKNOWN,
        lambda here, sent: papers.policy_approval(sent.digest, policy_text(), signers=("west",), under=here.charter),
    ),
]


@pytest.mark.parametrize(("rule", "lie"), LIES)
async def test_every_centre_refuses_a_false_word_by_name(tmp_path: Path, rule: Rule, lie: Lie) -> None:
    async with world(tmp_path) as here:
        sent = await here.submit()
        await here.approve_all(sent, but=LIAR)
        await here.tell(LIAR, lie(here, sent))
        for seat in here.others(LIAR):
            (detail,) = seat.rejected()
            assert f"rule {rule}:" in detail
            assert {word.centre for word in seat.ledger.approvals(sent.digest)} == set(NAMES) - {LIAR}
            assert seat.state(sent) is State.SUBMITTED
        await here.tell(LIAR, papers.approval(sent.digest, LIAR, under=here.charter))  # the same seat, honestly
        assert {seat.state(sent) for seat in here.others(LIAR)} == {State.APPROVED}


async def test_a_false_withdrawal_withdraws_nothing(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        sent = await here.submit()
        await here.approve_all(sent)
        for centre, person, key in (("oost", "oost", LIAR), ("oost", LIAR, LIAR), (LIAR, "oost", LIAR)):
            word = papers.approval(
                sent.digest,
                centre,
                verdict=Verdict.WITHDRAW,
                now=NOW + 1,
                under=here.charter,
                person=person,
                key=key,
            )
            await here.tell(LIAR, word)
            assert all(len(seat.rejected()) == 1 for seat in here.others(LIAR))
        assert here.states(sent) == {State.APPROVED}


async def test_a_word_put_under_another_centres_name(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        sent = await here.submit()
        await here.tell(LIAR, papers.approval(sent.digest, LIAR, under=here.charter), centre="oost")
        for seat in here.others(LIAR):
            assert f"rule {Rule.APPROVAL_MALFORMED}:" in seat.rejected()[0]
            assert seat.ledger.approvals(sent.digest) == ()


# --- what a steward hands in at the own centre ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "changes"),
    [
        (Rule.APPROVAL_REQUEST, {"request": bytes(32)}),
        (Rule.APPROVAL_CHARTER, {"charter": bytes(32)}),
        (Rule.APPROVAL_CHARTER, {"workshop": "another"}),
        (Rule.APPROVAL_FORGED, {"centre": "oost"}),
        (Rule.APPROVAL_EXPIRED, {"issued_at": NOW - 2000, "expires_at": NOW}),
        (Rule.APPROVAL_EARLY, {"issued_at": NOW + 2000, "expires_at": NOW + 3000}),
        (Rule.APPROVAL_VALIDITY, {"expires_at": NOW - 1}),
        (Rule.APPROVAL_MALFORMED, {"verdict": Verdict.REFUSE, "expires_at": None}),
        (Rule.APPROVAL_MALFORMED, {"name": "a\nb"}),
        (Rule.STEWARD_SIGNATURE, {"name": "dr. Nobody"}),
        (Rule.STEWARD_SIGNATURE, {"by": papers.steward("west").fingerprint}),
    ],
)
async def test_a_false_statement_is_refused_at_home_too(tmp_path: Path, rule: Rule, changes: dict[str, object]) -> None:
    async with world(tmp_path) as here:
        sent = await here.submit()
        said = papers.statement(sent.digest, LIAR, under=here.charter)
        with pytest.raises(PolicyError) as caught:
            await here[LIAR].hand_in(
                sent,
                Verdict.APPROVE,
                attrs.evolve(said, **changes).text().decode(),  # type: ignore[arg-type]
                LIAR,
            )
        assert caught.value.rule is rule
        await here.settle()
        assert all(seat.ledger.approvals(sent.digest) == () for seat in here.seats.values())


async def test_a_statement_signed_by_another_is_refused(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        sent = await here.submit()
        said = papers.statement(sent.digest, LIAR, under=here.charter).text().decode()
        with pytest.raises(PolicyError) as caught:
            await here[LIAR].hand_in(sent, Verdict.APPROVE, said, "west")
        assert caught.value.rule is Rule.STEWARD_UNKNOWN


async def test_nobody_approves_what_the_own_check_refuses(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        sent = await here.submit(TEXT.replace(b'"improvement"', b'"curiosity"'))
        with pytest.raises(PolicyError) as caught:
            await here["west"].decide(sent, Verdict.APPROVE)
        assert caught.value.rule is Rule.PURPOSE_UNKNOWN


# --- the standing policy --------------------------------------------------------------------------------------


async def test_a_policy_approves_what_it_covers_so_many_times_a_month(tmp_path: Path) -> None:
    async with world(tmp_path, policies={"zuid": policy_text(per_month="2")}) as here:
        sent = [await here.submit(number=number) for number in range(3)]
        for request in sent:
            await here.approve_all(request, but="zuid")
        assert [here.states(request) for request in sent] == [{State.APPROVED}] * 2 + [{State.SUBMITTED}]
        here.now = month_of(here.now)[1]
        await here["zuid"].decisions.consider()
        await here.settle()
        assert all(len(seat.ledger.approvals(sent[2].digest)) == 5 for seat in here.seats.values())


async def test_a_daemon_that_forgets_to_count_is_counted_by_the_others(tmp_path: Path) -> None:
    policy = policy_text(per_month="1")
    async with world(tmp_path) as here:
        sent = [await here.submit(number=number) for number in range(2)]
        for request in sent:
            await here.tell(LIAR, papers.policy_approval(request.digest, policy, under=here.charter))
        for seat in here.others(LIAR):
            (detail,) = seat.rejected()
            assert f"rule {Rule.POLICY_MONTH}:" in detail
            assert [len(seat.ledger.approvals(request.digest)) for request in sent] == [1, 0]


@pytest.mark.parametrize(
    ("policy", "text"),
    [
        (policy_text(where="false"), TEXT),
        (policy_text(requesters='["zuid"]'), TEXT),
        (policy_text(valid_until="2020-01-01"), TEXT),
        (policy_text(), TEXT + b"margins = true\n"),
        (policy_text(), TEXT.replace(b"nsk_positive", b"triage")),
        (policy_text(purposes='["curiosity"]'), TEXT.replace(b'"improvement"', b'"curiosity"')),
    ],
)
async def test_a_policy_is_silent_on_the_rest(tmp_path: Path, policy: bytes, text: bytes) -> None:
    async with world(tmp_path, policies={"zuid": policy}) as here:
        sent = await here.submit(text)
        assert all(seat.ledger.approvals(sent.digest) == () for seat in here.seats.values())


async def test_what_a_person_took_back_no_policy_gives_again(tmp_path: Path) -> None:
    async with world(tmp_path, policies={"zuid": policy_text()}) as here:
        sent = await here.submit()
        await here.approve_all(sent, but="zuid")
        assert here.states(sent) == {State.APPROVED}
        here.now += 1
        await here["zuid"].decide(sent, Verdict.WITHDRAW)
        await here.settle()
        here.now += 1
        await here["zuid"].decisions.consider()
        await here.settle()
        assert here.states(sent) == {State.SUBMITTED}


async def test_a_policy_of_one_still_needs_the_second_person(tmp_path: Path) -> None:
    extra = f"{stewards_toml('zuid', 'b')}\napprovals_needed = 2"
    async with world(tmp_path, policies={"zuid": policy_text()}, zuid=extra) as here:
        sent = await here.submit()
        await here.approve_all(sent, but="zuid")
        assert here.states(sent) == {State.SUBMITTED}
        await here["zuid"].decide(sent, Verdict.APPROVE, person="b")
        await here.settle()
        assert here.states(sent) == {State.APPROVED}


async def test_told_late_by_another_all_come_to_the_same_view(tmp_path: Path) -> None:
    """oost hears nothing until one peer tells it everything, as after a reconnect."""
    async with world(tmp_path) as here:
        here.deaf.add("oost")
        sent = await here.submit()
        await here.approve_all(sent, but="oost")
        here.now += 1
        await here["west"].decide(sent, Verdict.WITHDRAW)
        await here.settle()
        here.deaf.clear()
        await here["noord"].notices.tell_all("oost")
        await here.settle()
        words = [
            {(word.centre, word.verdict) for word in seat.ledger.approvals(sent.digest)} for seat in here.seats.values()
        ]
        assert words == [words[0]] * len(NAMES)
        assert len(words[0]) == 5
        assert here.states(sent) == {State.SUBMITTED}
