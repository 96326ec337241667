from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nskd.governance import limits
from nskd.governance.statement import Verdict
from nskd.governance.tally import approvals_complete, standing
from protocol.errors import Fault, RemoteProtocolError

from .workshop import (
    CHARTER,
    NAMES,
    NOW,
    OTHER_CHARTER,
    PAIR_HEAD,
    approval,
    charter,
    policy_approval,
    policy_text,
    request,
    stewards_toml,
)

SENT = request()
REQUEST = SENT.digest
OTHER_REQUEST = request(nonce=b"o" * 16).digest
PAIR = charter(zuid=f"{stewards_toml('a', 'b')}\napprovals_needed = 2")
OF_PAIR = request(under=PAIR)


def test_complete_only_with_every_contributor() -> None:
    given_ = [approval(REQUEST, name) for name in NAMES]
    assert approvals_complete(SENT, given_, CHARTER, NOW)
    for missing in range(3):
        some = given_[:missing] + given_[missing + 1 :]
        assert not approvals_complete(SENT, some, CHARTER, NOW)
        assert standing(SENT, some, charter=CHARTER, now=NOW).missing == (NAMES[missing],)
    assert not approvals_complete(SENT, [given_[0]] * 3, CHARTER, NOW)


def test_a_compute_only_centre_is_not_asked() -> None:
    limited = charter(head=PAIR_HEAD, zuid="roles = ['compute']")
    asked = request(under=limited)
    some = [approval(asked.digest, name, under=limited) for name in NAMES[:2]]
    assert approvals_complete(asked, some, limited, NOW)


@given(st.permutations(range(4)))
def test_a_refusal_wins_in_any_order(order: list[int]) -> None:
    given_ = [
        *(approval(REQUEST, name) for name in NAMES),
        approval(REQUEST, "midden", verdict=Verdict.REFUSE),
    ]
    stands = standing(SENT, [given_[index] for index in order], charter=CHARTER, now=NOW)
    assert (stands.approved, stands.refused) == (("noord", "zuid"), ("midden",))
    assert not stands.complete


def test_a_refusal_does_not_lapse() -> None:
    late = approval(REQUEST, "zuid", verdict=Verdict.REFUSE)
    assert standing(SENT, [late], charter=CHARTER, now=NOW + 10**8).refused == ("zuid",)


def test_lapsed_and_renewed() -> None:
    old = [approval(REQUEST, name) for name in NAMES]
    assert standing(SENT, old, charter=CHARTER, now=NOW + 1000).lapsed == NAMES
    renewed = [*old, *(approval(REQUEST, name, now=NOW + 1000) for name in NAMES)]
    assert approvals_complete(SENT, renewed, CHARTER, NOW + 1000)


def test_not_yet_valid_is_missing() -> None:
    early = approval(REQUEST, "zuid", now=NOW + limits.CLOCK_SKEW_MAX_S + 1)
    assert standing(SENT, [early], charter=CHARTER, now=NOW).missing == NAMES


@given(st.permutations(range(5)), st.booleans())
def test_a_withdrawal_voids_what_came_before_and_is_not_undone_by_telling_it_again(
    order: list[int], by_policy: bool
) -> None:
    first = policy_approval(REQUEST, policy_text()) if by_policy else approval(REQUEST, "zuid")
    words = [
        approval(REQUEST, "noord"),
        approval(REQUEST, "midden"),
        first,
        approval(REQUEST, "zuid", verdict=Verdict.WITHDRAW, now=NOW + 5),
        first,
    ]
    stands = standing(SENT, [words[index] for index in order], charter=CHARTER, now=NOW + 6)
    assert (stands.withdrawn, stands.approved) == (("zuid",), ("noord", "midden"))
    assert not stands.complete
    again = approval(REQUEST, "zuid", now=NOW + 6)
    assert approvals_complete(SENT, [*words, again], CHARTER, NOW + 6)


def test_a_withdrawal_of_the_same_second_counts_and_an_older_one_does_not() -> None:
    rest = [approval(REQUEST, name) for name in NAMES[:2]]
    for moment, complete in ((NOW, False), (NOW - 1, True)):
        words = [*rest, approval(REQUEST, "zuid"), approval(REQUEST, "zuid", verdict=Verdict.WITHDRAW, now=moment)]
        assert approvals_complete(SENT, words, CHARTER, NOW) is complete


def test_a_withdrawal_does_not_reach_another_centre_or_request() -> None:
    given_ = [approval(REQUEST, name) for name in NAMES]
    with pytest.raises(RemoteProtocolError) as caught:
        standing(
            SENT,
            [*given_, approval(OTHER_REQUEST, "zuid", verdict=Verdict.WITHDRAW)],
            charter=CHARTER,
            now=NOW,
        )
    assert caught.value.fault is Fault.APPROVAL
    with pytest.raises(RemoteProtocolError):
        approvals_complete(
            SENT, [*given_, approval(REQUEST, "zuid", verdict=Verdict.WITHDRAW, person="noord")], CHARTER, NOW
        )


# --- two persons ----------------------------------------------------------------------------------------------


def pair(*words: object, now: int = NOW) -> str:
    rest = [approval(OF_PAIR.digest, name, under=PAIR) for name in NAMES[:2]]
    stands = standing(OF_PAIR, [*rest, *words], charter=PAIR, now=now)  # type: ignore[list-item]
    (place,) = [
        place for place in ("approved", "refused", "lapsed", "withdrawn", "missing") if "zuid" in getattr(stands, place)
    ]
    return place


def word(person: str, verdict: Verdict = Verdict.APPROVE, now: int = NOW, validity_s: int = 1000) -> object:
    return approval(OF_PAIR.digest, "zuid", under=PAIR, person=person, verdict=verdict, now=now, validity_s=validity_s)


def test_two_different_stewards_are_needed() -> None:
    assert pair(word("a")) == "missing"
    assert pair(word("a"), word("a", now=NOW + 1)) == "missing"
    assert pair(word("a"), word("b")) == "approved"
    assert pair(word("a"), word("b", validity_s=10), now=NOW + 10) == "lapsed"


def test_either_of_two_refuses_or_withdraws() -> None:
    for person in "ab":
        assert pair(word("a"), word("b"), word(person, Verdict.REFUSE)) == "refused"
        assert pair(word("a"), word("b"), word(person, Verdict.WITHDRAW)) == "withdrawn"
    assert pair(word("a"), word("b"), word("b", Verdict.WITHDRAW), word("b", now=NOW + 1)) == "withdrawn"
    assert pair(word("a", now=NOW + 1), word("b", Verdict.WITHDRAW), word("b", now=NOW + 1)) == "approved"


def test_a_policy_counts_for_whoever_signed_it() -> None:
    def policy(*signers: str) -> object:
        return policy_approval(OF_PAIR.digest, policy_text(), signers=signers, under=PAIR)

    assert pair(policy("a")) == "missing"
    assert pair(policy("a"), word("a")) == "missing"
    assert pair(policy("a"), word("b")) == "approved"
    assert pair(policy("a", "b")) == "approved"


# --- verified anew --------------------------------------------------------------------------------------------


def test_counting_verifies_anew() -> None:
    good = [approval(REQUEST, name) for name in NAMES[:2]]
    for bad in (
        approval(OTHER_REQUEST, "zuid"),
        approval(REQUEST, "zuid", key="noord"),
        approval(REQUEST, "zuid", signer="noord"),
        policy_approval(REQUEST, policy_text(where="false")),
    ):
        with pytest.raises(RemoteProtocolError) as caught:
            approvals_complete(SENT, [*good, bad], CHARTER, NOW)
        assert caught.value.fault is Fault.APPROVAL
        assert caught.value.party == "zuid"


def test_a_former_charters_approvals_count_for_nothing() -> None:
    """Nor are they a fault, even if that charter gave the centre another key: the ledger keeps them."""
    former = [approval(REQUEST, name, under=OTHER_CHARTER, key="retired") for name in NAMES]
    assert standing(SENT, former, charter=CHARTER, now=NOW).missing == NAMES
