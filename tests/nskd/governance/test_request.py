from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nskd.governance import limits, signing
from nskd.governance.question import Measure, TableRequest
from nskd.governance.request import read_request, receive_request
from nskd.governance.request_text import RequestError, parse_request
from protocol.errors import Fault, RemoteProtocolError

from .mutations import mutated
from .workshop import CHARTER, NOW, OTHER_CHARTER, TEXT, charter, request, signing_key

BASE = b'kind = "table"\ntitle = "T"\npurpose = "improvement"\nmeasure = "visits"\n'


def refused(raw: bytes) -> str:
    with pytest.raises(RequestError) as caught:
        parse_request(raw, where="r.toml")
    return str(caught.value)


def test_reads_all_there_is() -> None:
    assert parse_request(TEXT + b"margins = true\n") == TableRequest(
        title="Positive by age",
        purpose="improvement",
        rows=("age_band",),
        columns=("nsk_positive",),
        measure=Measure.CHILDREN,
        where="sex = 'V'",
        margins=True,
    )


def test_defaults_and_lists() -> None:
    table = parse_request(BASE + b'rows = ["a", "b"]\n')
    assert (table.rows, table.columns, table.where, table.margins) == (("a", "b"), (), None, False)
    assert parse_request(BASE + b'rows = "a"\nwhere = """\na = 1\nAND b = 2"""\n').where == "a = 1\nAND b = 2"


def test_sample_is_in_order() -> None:
    raw = (Path(__file__).parents[3] / "configs" / "request.toml").read_bytes()
    assert parse_request(raw).variables == ("age_band", "nsk_positive")


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (BASE, 'r.toml: rows: this key is missing. Add for example: rows = "age_band"'),
        (BASE + b'rows = "a"\ncolums = "b"\n', "unknown key 'colums' (did you mean 'columns'?)"),
        (BASE + b'rows = "a"\ncolumns = "a"\n', "'a' is among the rows already"),
        (BASE + b'rows = ["a", "a"]\n', "listed twice"),
        (BASE + b"rows = []\n", "0 entries, 1 to 4"),
        (BASE + b'rows = ["a", "b", "c", "d", "e"]\n', "5 entries"),
        (BASE + b'rows = "a; drop table"\n', "is not the name of a variable"),
        (BASE + b"rows = 3\n", "text in quotes is expected, not 3"),
        (BASE + b'rows = "a"\nwhere = ""\n', "the text is empty"),
        (BASE + b'rows = "a"\nwhere = "' + b"x" * 4001 + b'"\n', "4001 characters, at most 4000"),
        (BASE + b'rows = "a"\nmargins = 1\n', "true or false is expected, not 1"),
        (BASE.replace(b"visits", b"rows") + b'rows = "a"\n', "'rows' is not known"),
        (BASE.replace(b"visits", b"visit") + b'rows = "a"\n', "did you mean 'visits'"),
        (BASE.replace(b"table", b"forest") + b'rows = "a"\n', "kind: 'forest' is not known"),
        (BASE.replace(b'"T"', b'"a\\u0000"') + b'rows = "a"\n', "invisible or control"),
        (BASE.replace(b'"T"', b'"a\\u200bb"') + b'rows = "a"\n', "invisible or control"),
        (BASE.replace(b'"T"', b'"a\\nb"') + b'rows = "a"\n', "invisible or control"),
        (BASE + b'rows = "a"\n' + b"#" * 8192, "more than the 8192 allowed"),
        (b"\xff" + BASE, "byte 0 is not UTF-8"),
        (b"kind table", "not TOML"),
    ],
)
def test_each_fault_is_named(raw: bytes, said: str) -> None:
    assert said in refused(raw)


@given(raw=st.one_of(mutated(TEXT), st.binary(max_size=200), st.text(max_size=200).map(str.encode)))
def test_any_text_gives_a_request_or_the_declared_error(raw: bytes) -> None:
    try:
        table = parse_request(raw)
    except RequestError as exc:
        assert "\n" not in str(exc)
        assert str(exc).isprintable()
        return
    assert len(set(table.variables)) == len(table.variables) >= 1


# --- signed -------------------------------------------------------------------------


def test_travels_and_verifies() -> None:
    sent = request()
    got = receive_request(sent.body, sent.centre, sent.signature, charter=CHARTER, now=NOW)
    assert got == sent
    assert got.table == parse_request(TEXT)
    assert read_request(sent.body, sent.centre, sent.signature) == sent


def test_same_text_twice_is_two_requests_and_one_body_twice_is_one() -> None:
    first, second = request(nonce=b"1" * 16), request(nonce=b"2" * 16)
    assert first.digest != second.digest
    assert first.text_digest == second.text_digest
    assert request(nonce=b"1" * 16).digest == first.digest
    assert request(now=NOW + 1).digest != request().digest


def test_signing_refuses_bad_text_and_nonce() -> None:
    with pytest.raises(RequestError):
        request(b"kind = 'table'")
    with pytest.raises(ValueError, match="16 bytes"):
        request(nonce=b"short")


def fault_of(body: bytes, centre: str, signature: bytes, *, under: object = CHARTER, now: int = NOW) -> Fault:
    with pytest.raises(RemoteProtocolError) as caught:
        receive_request(body, centre, signature, charter=under, now=now)  # type: ignore[arg-type]
    return caught.value.fault


def test_named_faults() -> None:
    sent = request()
    assert fault_of(sent.body, "west", sent.signature) is Fault.SIGNATURE
    assert fault_of(sent.body, "zuid", sent.signature) is Fault.SIGNATURE
    assert fault_of(sent.body, "noord", sent.signature[:-1]) is Fault.SIGNATURE
    assert fault_of(sent.body, "noord", b"") is Fault.SIGNATURE
    assert fault_of(sent.body, "noord", sent.signature, under=OTHER_CHARTER) is Fault.SIGNATURE
    assert fault_of(b"\0" * 20_000, "noord", sent.signature) is Fault.OVERSIZED
    early = NOW - limits.CLOCK_SKEW_MAX_S - 1
    assert fault_of(sent.body, "noord", sent.signature, now=early) is Fault.UNEXPECTED
    late = NOW + limits.REQUEST_OPEN_MAX_S + limits.CLOCK_SKEW_MAX_S + 1
    assert fault_of(sent.body, "noord", sent.signature, now=late) is Fault.UNEXPECTED


def test_a_centre_may_not_ask_in_anothers_name() -> None:
    """Signed rightly by zuid, but the body says noord."""
    body = request().body
    message = signing.framed("nskd request signature v1", b"zuid", CHARTER.digest, body)
    assert fault_of(body, "zuid", signing_key("zuid").sign(message)) is Fault.MALFORMED


def test_a_request_for_another_charter_signed_for_this_one() -> None:
    body = request(under=OTHER_CHARTER).body
    message = signing.framed("nskd request signature v1", b"noord", CHARTER.digest, body)
    assert fault_of(body, "noord", signing_key("noord").sign(message)) is Fault.SESSION


def test_role_request_is_needed() -> None:
    limited = charter(zuid='roles = ["compute", "contribute"]')
    sent = request(centre="zuid", under=limited)
    assert fault_of(sent.body, "zuid", sent.signature, under=limited) is Fault.UNEXPECTED


@given(body=mutated(request().body))
def test_mutated_bodies_are_never_accepted(body: bytes) -> None:
    sent = request()
    if body != sent.body:
        assert fault_of(body, "noord", sent.signature) in (Fault.SIGNATURE, Fault.OVERSIZED)


@given(signature=mutated(request().signature))
def test_mutated_signatures_are_never_accepted(signature: bytes) -> None:
    sent = request()
    if signature != sent.signature:
        assert fault_of(sent.body, "noord", signature) is Fault.SIGNATURE


@given(body=st.one_of(mutated(request().body), st.binary(max_size=300)))
def test_an_authentic_centre_signing_rubbish_causes_the_declared_error_only(body: bytes) -> None:
    message = signing.framed("nskd request signature v1", b"noord", CHARTER.digest, body)
    try:
        got = receive_request(body, "noord", signing_key("noord").sign(message), charter=CHARTER, now=NOW)
    except RemoteProtocolError as exc:
        assert exc.fault in (Fault.MALFORMED, Fault.SESSION, Fault.UNEXPECTED, Fault.OVERSIZED)
        return
    assert got.body == body


def test_only_the_canonical_encoding_is_read() -> None:
    sent = request()
    fields = msgspec.msgpack.decode(sent.body)
    loose = bytearray(b"\xdc\x00\x06")  # an array of six, the long way round
    loose += b"".join(msgspec.msgpack.encode(field) for field in fields)
    with pytest.raises(RequestError, match="malformed"):
        read_request(bytes(loose), "noord", sent.signature)


def test_labels_keep_signatures_apart() -> None:
    assert signing.framed("a", b"bc") != signing.framed("a", b"b", b"c")
    assert signing.framed("a", b"") != signing.framed("a")
