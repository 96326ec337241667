from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nskd.governance import limits, signing
from nskd.governance.approval import (
    ApprovalError,
    SignedApproval,
    Verdict,
    approvals_complete,
    receive_approval,
    sign_approval,
    standing,
)
from nskd.governance.charter import Charter
from protocol.errors import Fault, RemoteProtocolError

from .mutations import mutated
from .workshop import CHARTER, NAMES, NOW, OTHER_CHARTER, approval, charter, request, signing_key

REQUEST = request().digest
OTHER_REQUEST = request(nonce=b"o" * 16).digest


def refused(
    given_: SignedApproval,
    *,
    under: Charter = CHARTER,
    now: int = NOW,
    of: bytes | None = REQUEST,
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


def test_travels_and_verifies() -> None:
    sent = approval(REQUEST, "zuid")
    got = receive_approval(sent.body, "zuid", sent.signature, charter=CHARTER, now=NOW, request=REQUEST)
    assert got == sent
    assert (got.verdict, got.steward, got.expires_at) == (Verdict.APPROVE, "dr. zuid", NOW + 1000)


def test_each_fault_is_named() -> None:
    good = approval(REQUEST, "zuid")
    assert "forged" in refused(approval(REQUEST, "zuid", key="noord"))
    assert "forged" in refused(good, centre="noord")
    assert "forged" in refused(good, centre="west")
    assert "forged" in refused(good, signature=b"\0" * 64)
    assert "forged" in refused(good, signature=b"")
    assert "transplanted: it is for request" in refused(good, of=OTHER_REQUEST)
    assert "another charter" in refused(good, under=OTHER_CHARTER)
    assert "another charter" in refused(approval(REQUEST, "zuid", under=OTHER_CHARTER))
    assert "expired 0 s ago" in refused(good, now=good.expires_at)
    assert "in the future" in refused(good, now=NOW - limits.CLOCK_SKEW_MAX_S - 1)
    limited = charter(zuid="roles = ['compute']")
    assert "without the role contribute" in refused(approval(REQUEST, "zuid", under=limited), under=limited)


def test_validity_is_bounded_by_the_reader_too() -> None:
    """A centre that signs what our own daemon would not: ten years, or none at all."""
    for validity in (limits.APPROVAL_VALIDITY_MAX_S + 1, 0, -5):
        fields = msgspec.msgpack.decode(approval(REQUEST, "zuid").body)
        fields[6] = fields[5] + validity
        body = msgspec.msgpack.encode(fields)
        with pytest.raises(RemoteProtocolError, match="period of validity"):
            receive_approval(*signed_by_zuid(body), charter=CHARTER, now=NOW)


def signed_by_zuid(body: bytes) -> tuple[bytes, str, bytes]:
    return body, "zuid", signing_key("zuid").sign(signing.framed("nskd approval signature v1", body))


def test_a_centre_may_not_approve_in_anothers_name() -> None:
    with pytest.raises(RemoteProtocolError, match="the body names another centre"):
        receive_approval(*signed_by_zuid(approval(REQUEST, "noord").body), charter=CHARTER, now=NOW)


def test_only_the_canonical_encoding_is_read() -> None:
    fields = msgspec.msgpack.decode(approval(REQUEST, "zuid").body)
    loose = b"\xdc\x00\x08" + b"".join(msgspec.msgpack.encode(field) for field in fields)
    with pytest.raises(RemoteProtocolError, match="malformed"):
        receive_approval(*signed_by_zuid(loose), charter=CHARTER, now=NOW)


def test_our_own_terms_are_checked() -> None:
    with pytest.raises(ApprovalError, match="no validity"):
        approval(REQUEST, "zuid", validity_s=limits.APPROVAL_VALIDITY_MAX_S + 1)
    for steward in ("", " ", "x" * 201, "a\nb"):
        with pytest.raises(ApprovalError, match="steward's name"):
            sign_approval(
                request=REQUEST,
                charter=CHARTER,
                centre="zuid",
                verdict=Verdict.APPROVE,
                steward=steward,
                sign=signing_key("zuid").sign,
                now=NOW,
            )


def test_complete_only_with_every_contributor() -> None:
    given_ = [approval(REQUEST, name) for name in NAMES]
    assert approvals_complete(REQUEST, given_, CHARTER, NOW)
    for missing in range(3):
        some = given_[:missing] + given_[missing + 1 :]
        assert not approvals_complete(REQUEST, some, CHARTER, NOW)
        assert standing(REQUEST, some, charter=CHARTER, now=NOW).missing == (NAMES[missing],)
    assert not approvals_complete(REQUEST, [given_[0]] * 3, CHARTER, NOW)


def test_a_compute_only_centre_is_not_asked() -> None:
    limited = charter(zuid="roles = ['compute']")
    some = [approval(REQUEST, name, under=limited) for name in NAMES[:2]]
    assert approvals_complete(REQUEST, some, limited, NOW)


@given(st.permutations(range(4)))
def test_a_refusal_wins_in_any_order(order: list[int]) -> None:
    given_ = [
        *(approval(REQUEST, name) for name in NAMES),
        approval(REQUEST, "midden", verdict=Verdict.REFUSE),
    ]
    stands = standing(REQUEST, [given_[index] for index in order], charter=CHARTER, now=NOW)
    assert (stands.approved, stands.refused) == (("noord", "zuid"), ("midden",))
    assert not stands.complete


def test_a_late_refusal_is_heard_and_does_not_lapse() -> None:
    late = approval(REQUEST, "zuid", verdict=Verdict.REFUSE, validity_s=10)
    assert receive_approval(late.body, "zuid", late.signature, charter=CHARTER, now=NOW + 99) == late
    assert standing(REQUEST, [late], charter=CHARTER, now=NOW + 99).refused == ("zuid",)


def test_lapsed_and_renewed() -> None:
    old = [approval(REQUEST, name) for name in NAMES]
    assert standing(REQUEST, old, charter=CHARTER, now=NOW + 1000).lapsed == NAMES
    renewed = [*old, *(approval(REQUEST, name, now=NOW + 1000) for name in NAMES)]
    assert approvals_complete(REQUEST, renewed, CHARTER, NOW + 1000)


def test_not_yet_valid_is_missing() -> None:
    early = approval(REQUEST, "zuid", now=NOW + limits.CLOCK_SKEW_MAX_S + 1)
    assert standing(REQUEST, [early], charter=CHARTER, now=NOW).missing == NAMES


def test_counting_verifies_anew() -> None:
    good = [approval(REQUEST, name) for name in NAMES[:2]]
    for bad in (
        approval(OTHER_REQUEST, "zuid"),
        approval(REQUEST, "zuid", key="noord"),
    ):
        with pytest.raises(RemoteProtocolError) as caught:
            approvals_complete(REQUEST, [*good, bad], CHARTER, NOW)
        assert caught.value.fault is Fault.APPROVAL
        assert caught.value.party == "zuid"


def test_a_former_charters_approvals_count_for_nothing() -> None:
    """Nor are they a fault, even if that charter gave the centre another key: the ledger keeps them."""
    former = [approval(REQUEST, name, under=OTHER_CHARTER, key="retired") for name in NAMES]
    assert standing(REQUEST, former, charter=CHARTER, now=NOW).missing == NAMES


@given(body=mutated(approval(REQUEST, "zuid").body))
def test_mutated_bodies_are_never_accepted(body: bytes) -> None:
    good = approval(REQUEST, "zuid")
    if body != good.body:
        with pytest.raises(RemoteProtocolError) as caught:
            receive_approval(body, "zuid", good.signature, charter=CHARTER, now=NOW)
        assert caught.value.fault is Fault.APPROVAL


@given(signature=mutated(approval(REQUEST, "zuid").signature))
def test_mutated_signatures_are_never_accepted(signature: bytes) -> None:
    good = approval(REQUEST, "zuid")
    if signature != good.signature:
        assert "forged" in refused(good, signature=signature)


@given(
    body=st.one_of(mutated(approval(REQUEST, "zuid").body), st.binary(max_size=200)),
    centre=st.text(max_size=70),
)
def test_an_authentic_centre_signing_rubbish_causes_the_declared_error_only(body: bytes, centre: str) -> None:
    signature = signing_key("zuid").sign(signing.framed("nskd approval signature v1", body))
    for name in ("zuid", centre):
        try:
            got = receive_approval(body, name, signature, charter=CHARTER, now=NOW)
        except RemoteProtocolError as exc:
            assert exc.fault is Fault.APPROVAL
            assert exc.detail.isprintable()
        else:
            assert got.body == body
            assert got.centre == "zuid"
