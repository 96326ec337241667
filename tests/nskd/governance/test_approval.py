from __future__ import annotations

from typing import Any

import attrs
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nskd.governance import limits, signing
from nskd.governance.approval import SIGN_LABEL, SignedApproval, sign_approval
from nskd.governance.charter import Charter
from nskd.governance.policy import Rule
from nskd.governance.request import SignedRequest
from nskd.governance.statement import StatementError, Verdict, read_statement
from nskd.governance.verification import receive_approval
from protocol.errors import Fault, RemoteProtocolError

from .mutations import mutated
from .workshop import (
    CHARTER,
    NOW,
    OTHER_CHARTER,
    PAIR_HEAD,
    approval,
    charter,
    policy_approval,
    policy_text,
    request,
    signed_by,
    signing_key,
    statement,
    steward,
    stewards_toml,
)

SENT = request()
REQUEST = SENT.digest
OTHER = request(nonce=b"o" * 16)
GOOD = approval(REQUEST, "zuid")


def refused(
    given_: SignedApproval,
    *,
    under: Charter = CHARTER,
    now: int = NOW,
    of: SignedRequest | None = SENT,
    centre: str | None = None,
    signature: bytes | None = None,
) -> str:
    with pytest.raises(RemoteProtocolError) as caught:
        receive_approval(
            given_.body,
            centre or given_.centre,
            given_.signature if signature is None else signature,
            charter=under,
            now=now,
            request=of,
        )
    assert caught.value.fault is Fault.APPROVAL
    return caught.value.detail


def breaks(rule: Rule, detail: str) -> bool:
    return f"the rule {rule}:" in detail


def resigned(body: bytes, centre: str = "zuid") -> SignedApproval:
    """A body of somebody's making under the daemon's real signature, as a cheating daemon sends it."""
    signature = signing_key(centre).sign(signing.framed(SIGN_LABEL, body))
    return attrs.evolve(GOOD, body=body, centre=centre, signature=signature)


def test_travels_and_verifies() -> None:
    got = receive_approval(GOOD.body, "zuid", GOOD.signature, charter=CHARTER, now=NOW, request=SENT)
    assert got == GOOD
    assert (got.verdict, got.steward, got.expires_at) == (Verdict.APPROVE, "dr. zuid", NOW + 1000)
    assert got.keys == {steward("zuid").key}


def test_each_fault_is_named() -> None:
    early = NOW - limits.CLOCK_SKEW_MAX_S - 1
    limited = charter(head=PAIR_HEAD, zuid="roles = ['compute']")
    for rule, detail in (
        (Rule.APPROVAL_FORGED, refused(approval(REQUEST, "zuid", key="noord"))),
        (Rule.APPROVAL_FORGED, refused(GOOD, signature=b"\0" * 64)),
        (Rule.APPROVAL_FORGED, refused(GOOD, signature=b"")),
        (Rule.APPROVAL_MALFORMED, refused(GOOD, centre="noord")),
        (Rule.APPROVAL_MALFORMED, refused(GOOD, centre="west")),
        (Rule.APPROVAL_REQUEST, refused(GOOD, of=OTHER)),
        (Rule.APPROVAL_CHARTER, refused(GOOD, under=OTHER_CHARTER)),
        (Rule.APPROVAL_CHARTER, refused(approval(REQUEST, "zuid", under=OTHER_CHARTER))),
        (Rule.APPROVAL_EXPIRED, refused(GOOD, now=GOOD.expires_at)),
        (Rule.APPROVAL_EARLY, refused(GOOD, now=early)),
        (Rule.APPROVAL_ROLE, refused(approval(REQUEST, "zuid", under=limited), under=limited)),
    ):
        assert breaks(rule, detail), (rule, detail)
    assert "transplanted: it is for request" in refused(GOOD, of=OTHER)
    assert "expired 0 s ago" in refused(GOOD, now=GOOD.expires_at)


def test_a_daemon_cannot_decide_without_a_steward() -> None:
    """Each is signed by the daemon's own key; what is missing is the word of a person whom the charter lists."""
    said = statement(REQUEST, "zuid").text()
    sign = signing_key("zuid").sign
    for rule, signer in ((Rule.STEWARD_UNKNOWN, "nobody"), (Rule.STEWARD_UNKNOWN, "noord")):
        forged = sign_approval(said, (signed_by(signer, said),), centre="zuid", sign=sign)
        assert breaks(rule, refused(forged))
    elsewhere = sign_approval(said, (signed_by("zuid", said, namespace="file"),), centre="zuid", sign=sign)
    assert breaks(Rule.STEWARD_SIGNATURE, refused(elsewhere))
    other = statement(OTHER.digest, "zuid").text()  # the steward's real signature, of another request
    moved = sign_approval(said, (signed_by("zuid", other),), centre="zuid", sign=sign)
    assert breaks(Rule.STEWARD_SIGNATURE, refused(moved))
    twice = sign_approval(said, (signed_by("zuid", said),) * 2, centre="zuid", sign=sign)
    assert breaks(Rule.APPROVAL_MALFORMED, refused(twice))


def test_a_steward_cannot_decide_in_anothers_name_or_for_another_centre() -> None:
    both = charter(zuid=two_stewards())
    assert breaks(
        Rule.STEWARD_SIGNATURE, refused(approval(REQUEST, "zuid", under=both, person="a", signer="b"), under=both)
    )
    said = statement(REQUEST, "noord").text()
    stolen = sign_approval(said, (signed_by("noord", said),), centre="zuid", sign=signing_key("zuid").sign)
    assert breaks(Rule.APPROVAL_FORGED, refused(stolen))
    renamed = attrs.evolve(statement(REQUEST, "zuid"), name="dr. Somebody Else").text()
    lied = sign_approval(renamed, (signed_by("zuid", renamed),), centre="zuid", sign=signing_key("zuid").sign)
    assert breaks(Rule.STEWARD_SIGNATURE, refused(lied))


def two_stewards(needed: int = 1) -> str:
    return f"{stewards_toml('a', 'b')}\napprovals_needed = {needed}"


def test_validity_is_bounded_by_the_reader_too() -> None:
    """A steward who signs what our own daemon would not write: ten years, or none at all."""
    for validity in (limits.APPROVAL_VALIDITY_MAX_S + 1, 0, -5):
        assert breaks(Rule.APPROVAL_VALIDITY, refused(approval(REQUEST, "zuid", validity_s=validity)))


def test_only_the_canonical_encoding_is_read() -> None:
    fields = msgspec.msgpack.decode(GOOD.body)
    loose = b"\xdc\x00\x05" + b"".join(msgspec.msgpack.encode(field) for field in fields)
    assert breaks(Rule.APPROVAL_MALFORMED, refused(resigned(loose)))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("version 1", "version 2"),
        ("Ik keur", "Ik  keur"),
        ("verdict: approve", "verdict: refuse"),  # the sentence says otherwise
        ("verdict: approve", "verdict: maybe"),
        ("\nworkshop", "\n\nworkshop"),
        ("expires: 2", "expires: 02"),
        ("dr. zuid", "dr. zuid "),
        ("dr. zuid", "dr. \u202ezuid"),
        ("dr. zuid\n", "dr. zuid"),
        ("issued: 2026", "issued: 1950"),
    ],
)
def test_a_statement_has_one_spelling(old: str, new: str) -> None:
    text = statement(REQUEST, "zuid").text().decode()
    assert old in text
    said = text.replace(old, new).encode()
    with pytest.raises(StatementError):
        read_statement(said)
    body = msgspec.msgpack.decode(GOOD.body)
    body[2], body[4] = said, [signed_by("zuid", said)]
    assert breaks(Rule.APPROVAL_MALFORMED, refused(resigned(msgspec.msgpack.encode(body))))


def test_an_approval_ends_and_the_rest_does_not() -> None:
    for verdict, expires_at in ((Verdict.APPROVE, None), (Verdict.REFUSE, NOW + 5), (Verdict.WITHDRAW, NOW + 5)):
        said = attrs.evolve(statement(REQUEST, "zuid", verdict=verdict), expires_at=expires_at)
        with pytest.raises(StatementError, match="has an end"):
            read_statement(said.text())


def test_a_late_refusal_and_withdrawal_are_heard() -> None:
    for verdict in (Verdict.REFUSE, Verdict.WITHDRAW):
        late = approval(REQUEST, "zuid", verdict=verdict)
        assert receive_approval(late.body, "zuid", late.signature, charter=CHARTER, now=NOW + 10**8) == late


# --- under a standing policy ----------------------------------------------------------------------------------


def test_a_policy_carries_its_proof_along() -> None:
    given_ = policy_approval(REQUEST, policy_text())
    got = receive_approval(given_.body, "zuid", given_.signature, charter=CHARTER, now=NOW, request=SENT)
    assert (got.steward, got.keys) == ("Screening by age", {steward("zuid").key})
    assert got.statement.of_policy


@pytest.mark.parametrize(
    ("rule", "changes"),
    [
        (Rule.POLICY_PURPOSE, {"purposes": '["research"]'}),
        (Rule.POLICY_REQUESTER, {"requesters": '["midden", "zuid"]'}),
        (Rule.POLICY_VARIABLE, {"variables": '["age_band", "nsk_positive"]'}),  # `sex` is in the filter
        (Rule.POLICY_VARIABLE, {"variables": '["age_band", "sex"]'}),
        (Rule.POLICY_THRESHOLD, {"threshold_min": "11"}),
        (Rule.POLICY_WHERE, {"where": "false"}),
        (Rule.POLICY_WHERE, {"where": ""}),
        (Rule.POLICY_EXPIRED, {"valid_until": "2020-01-01"}),
        (Rule.POLICY_ELSEWHERE, {"centre": "noord"}),
        (Rule.POLICY_ELSEWHERE, {"workshop": '"another"'}),
        (Rule.APPROVAL_VALIDITY, {"approval_days": "1"}),
    ],
)
def test_a_policy_covers_no_more_than_it_says(rule: Rule, changes: dict[str, Any]) -> None:
    """The daemon cheats: it lets a genuine policy speak on what that does not cover; every other centre notices."""
    validity_s = 2 * limits.DAY_S if "approval_days" in changes else 1000
    given_ = policy_approval(REQUEST, policy_text(**changes), validity_s=validity_s)
    if rule is Rule.POLICY_EXPIRED:
        rule = Rule.APPROVAL_VALIDITY  # whatever it approves now would outlast it
    assert breaks(rule, refused(given_))


def test_a_policy_does_not_speak_before_the_request_was_made() -> None:
    """Or a daemon could date an approval back, into a month that has room."""
    before = NOW - limits.CLOCK_SKEW_MAX_S
    validity_s = 10 * limits.DAY_S
    receive_approval(
        (good := policy_approval(REQUEST, policy_text(), now=before, validity_s=validity_s)).body,
        "zuid",
        good.signature,
        charter=CHARTER,
        now=NOW,
        request=SENT,
    )
    early = policy_approval(REQUEST, policy_text(), now=before - 1, validity_s=validity_s)
    assert breaks(Rule.APPROVAL_VALIDITY, refused(early))


def test_margins_are_covered_when_the_policy_says_so() -> None:
    text = SENT.text + b"margins = true\n"
    asked = request(text)
    assert breaks(Rule.POLICY_MARGINS, refused(policy_approval(asked.digest, policy_text()), of=asked))
    given_ = policy_approval(asked.digest, policy_text(margins="true"))
    receive_approval(given_.body, "zuid", given_.signature, charter=CHARTER, now=NOW, request=asked)


def test_a_daemon_cannot_invent_a_policy() -> None:
    policy = policy_text()
    assert breaks(Rule.STEWARD_UNKNOWN, refused(policy_approval(REQUEST, policy, signers=("nobody",))))
    assert breaks(Rule.STEWARD_AGAIN, refused(policy_approval(REQUEST, policy, signers=("zuid", "zuid"))))
    wide = policy_text(per_month="90")
    fields = msgspec.msgpack.decode(policy_approval(REQUEST, wide).body)
    fields[4] = msgspec.msgpack.decode(policy_approval(REQUEST, policy).body)[4]  # the signature of the narrow one
    assert breaks(Rule.STEWARD_SIGNATURE, refused(resigned(msgspec.msgpack.encode(fields))))
    fields[3] = policy
    assert breaks(Rule.POLICY_MALFORMED, refused(resigned(msgspec.msgpack.encode(fields))))
    fields[3] = None
    assert breaks(Rule.APPROVAL_MALFORMED, refused(resigned(msgspec.msgpack.encode(fields))))


def test_a_person_does_not_borrow_a_policy_nor_a_policy_a_person() -> None:
    person = msgspec.msgpack.decode(GOOD.body)
    person[3] = policy_text()
    assert breaks(Rule.APPROVAL_MALFORMED, refused(resigned(msgspec.msgpack.encode(person))))
    for verdict in (Verdict.REFUSE, Verdict.WITHDRAW):
        assert breaks(Rule.APPROVAL_MALFORMED, refused(policy_approval(REQUEST, policy_text(), verdict=verdict)))


# --- bytes that are almost right ------------------------------------------------------------------------------

BY_POLICY = policy_approval(REQUEST, policy_text())


@given(st.sampled_from((GOOD, BY_POLICY)).flatmap(lambda good: st.tuples(st.just(good), mutated(good.body))))
def test_mutated_bodies_are_never_accepted(pair: tuple[SignedApproval, bytes]) -> None:
    good, body = pair
    if body == good.body:
        return
    for signature in (good.signature, resigned(body).signature):
        try:
            got = receive_approval(body, "zuid", signature, charter=CHARTER, now=NOW, request=SENT)
        except RemoteProtocolError as exc:
            assert exc.fault is Fault.APPROVAL
            assert exc.detail.isprintable()
        else:  # under a standing policy the daemon says when, and nothing else
            assert signature != good.signature and good is BY_POLICY
            when = attrs.evolve(BY_POLICY.statement, issued_at=got.issued_at, expires_at=got.expires_at)
            assert (got.statement, got.policy, got.signatures) == (when, BY_POLICY.policy, BY_POLICY.signatures)


@given(signature=mutated(GOOD.signature))
def test_mutated_signatures_are_never_accepted(signature: bytes) -> None:
    if signature != GOOD.signature:
        assert breaks(Rule.APPROVAL_FORGED, refused(GOOD, signature=signature))


@given(said=mutated(statement(REQUEST, "zuid").text()))
def test_a_changed_statement_is_never_what_the_steward_signed(said: bytes) -> None:
    fields = msgspec.msgpack.decode(GOOD.body)
    if said != fields[2]:
        fields[2] = said
        refused(resigned(msgspec.msgpack.encode(fields)))


@given(
    body=st.one_of(mutated(GOOD.body), mutated(BY_POLICY.body), st.binary(max_size=200)), centre=st.text(max_size=70)
)
def test_an_authentic_centre_signing_rubbish_causes_the_declared_error_only(body: bytes, centre: str) -> None:
    signature = signing_key("zuid").sign(signing.framed(SIGN_LABEL, body))
    for name in ("zuid", centre):
        try:
            got = receive_approval(body, name, signature, charter=CHARTER, now=NOW)
        except RemoteProtocolError as exc:
            assert exc.fault is Fault.APPROVAL
            assert exc.detail.isprintable()
        else:
            assert got.body == body
            assert got.centre == "zuid"
