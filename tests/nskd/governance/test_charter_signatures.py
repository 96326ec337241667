"""Whose word makes a charter hold, and which charter may follow which (docs/protocol.md, section 15)."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nskd.governance.charter import Charter, CharterError, parse_charter
from nskd.governance.charter_signatures import (
    CharterSignature,
    CharterSignatures,
    Signer,
    read_signatures,
    sign_charter,
)
from nskd.governance.limits import CHARTER_SIGNATURES_BYTES_MAX
from nskd.governance.policy import PolicyError, Rule
from nskd.governance.succession import require_succession, review_signatures, signers

from .mutations import mutated
from .workshop import HEAD, NAMES, charter_toml, signing_key

FIRST = parse_charter(charter_toml())
AFTER = HEAD + f'version = 2\nprevious = "{FIRST.digest.hex()}"\n'
# oost joins, zuid leaves.
SECOND = parse_charter(charter_toml(head=AFTER, names=("noord", "midden", "oost")))
OTHER_SECOND = parse_charter(charter_toml(head=AFTER, names=("noord", "midden", "west")))
THIRD = parse_charter(
    charter_toml(head=HEAD + f'version = 3\nprevious = "{SECOND.digest.hex()}"\n', names=("noord", "midden", "oost"))
)


def signature(charter: Charter, centre: str, *, key: str | None = None) -> CharterSignature:
    """That of a centre, with the key of another if given."""
    secret = signing_key(key or centre)
    return sign_charter(charter, Signer(centre, secret.public_key().public_bytes_raw()), secret.sign)


def signed(charter: Charter, names: Iterable[str]) -> CharterSignatures:
    return CharterSignatures(charter.digest, tuple(signature(charter, name) for name in names))


def rules(charter: Charter, signatures: CharterSignatures, in_force: Charter | None) -> set[tuple[str, Rule]]:
    """What is refused, and of whom."""
    with pytest.raises(PolicyError) as caught:
        require_succession(charter, signatures, in_force)
    return {(each.subject, each.rule) for each in caught.value.refusals}


# --- the file -------------------------------------------------------------------------------------------------------


def test_lines_in_any_order_and_spacing_are_the_same_file() -> None:
    text = signed(FIRST, NAMES).text()
    first, second, *lines = text.splitlines()
    for shuffled in (lines, lines[::-1], ["", *lines, " "]):
        raw = "\r\n".join([first, second, *shuffled]).encode()
        assert read_signatures(raw, where="f").text() == text


def test_signatures_of_several_files_come_together() -> None:
    parts = [signed(FIRST, [name]) for name in NAMES]
    merged = parts[0].adding(parts[1].signatures).adding(parts[2].signatures).adding(parts[0].signatures)
    assert merged == CharterSignatures(FIRST.digest, tuple(sorted(merged.signatures, key=lambda each: each.signer)))
    require_succession(FIRST, merged, None)


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "its first line is not"),
        (b"\xff", "characters that do not belong there"),
        (b"nskd charter signatures, version 2\n", "its first line is not"),
        (b"nskd charter signatures, version 1\n", "does not name the charter"),
        (b"nskd charter signatures, version 1\ncharter: abc\n", "does not name the charter"),
        (signed(FIRST, NAMES).text().encode() + b"noord\n", "signature 4 is not a name, a key and a signature"),
        (signed(FIRST, NAMES).text().encode().replace(b"noord ", b"Noord "), "is not a name, a key and a signature"),
        (b" " * (CHARTER_SIGNATURES_BYTES_MAX + 1), "it has more than"),
    ],
)
def test_a_file_that_is_none_says_why(raw: bytes, said: str) -> None:
    with pytest.raises(PolicyError, match=said) as caught:
        read_signatures(raw, where="f")
    assert caught.value.rule is Rule.CHARTER_SIGNATURES


def test_a_centre_signs_once() -> None:
    text = signed(FIRST, NAMES).text()
    with pytest.raises(PolicyError, match="a second one of noord"):
        read_signatures((text + text.splitlines()[-2] + "\n").encode(), where="f")


# --- who has to sign ------------------------------------------------------------------------------------------------


def test_all_centres_of_a_first_charter_sign() -> None:
    require_succession(FIRST, signed(FIRST, NAMES), None)
    for missing in NAMES:
        others = [name for name in NAMES if name != missing]
        assert rules(FIRST, signed(FIRST, others), None) == {(missing, Rule.CHARTER_UNSIGNED)}


def test_all_centres_of_an_amendment_sign_and_all_of_the_version_before() -> None:
    everybody = ("noord", "midden", "zuid", "oost")
    require_succession(SECOND, signed(SECOND, everybody), FIRST)
    for missing in everybody:
        others = [name for name in everybody if name != missing]
        assert rules(SECOND, signed(SECOND, others), FIRST) == {(missing, Rule.CHARTER_UNSIGNED)}


def test_a_centre_that_joins_needs_those_of_its_own_version() -> None:
    """It has nothing by which to judge the version before, and agreed to none of it."""
    require_succession(SECOND, signed(SECOND, ("noord", "midden", "zuid", "oost")), None)
    assert rules(SECOND, signed(SECOND, ("noord", "midden", "zuid")), None) == {("oost", Rule.CHARTER_UNSIGNED)}


def test_a_new_key_is_vouched_for_by_the_old_one() -> None:
    renewed = f'signing_key = "{signing_key("zuid, later").public_key().public_bytes_raw().hex()}"'
    raw = charter_toml(head=AFTER).decode()
    old = f'signing_key = "{signing_key("zuid").public_key().public_bytes_raw().hex()}"'
    charter = parse_charter(raw.replace(old, renewed).encode())
    assert len(signers(charter, FIRST)) == 4
    new_key = signature(charter, "zuid", key="zuid, later")
    others = signed(charter, ("noord", "midden"))
    assert rules(charter, others.adding((new_key,)), FIRST) == {("zuid", Rule.CHARTER_UNSIGNED)}
    assert rules(charter, signed(charter, NAMES), FIRST) == {("zuid", Rule.CHARTER_UNSIGNED)}
    require_succession(charter, signed(charter, NAMES).adding((new_key,)), FIRST)


# --- lies -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("liar", NAMES)
@pytest.mark.parametrize("victim", NAMES)
def test_nobody_signs_for_another(liar: str, victim: str) -> None:
    if liar == victim:
        return
    key = signing_key(victim).public_key().public_bytes_raw()
    others = signed(FIRST, [name for name in NAMES if name != victim])
    forged = CharterSignature(Signer(victim, key), signature(FIRST, liar).signature)
    assert rules(FIRST, others.adding((forged,)), None) == {(victim, Rule.CHARTER_FORGED)}
    # Under its own key, but the victim's name.
    assert rules(FIRST, others.adding((signature(FIRST, victim, key=liar),)), None) == {
        (victim, Rule.CHARTER_SIGNER),
        (victim, Rule.CHARTER_UNSIGNED),
    }
    # The victim's signature, genuine but of another version.
    replayed = CharterSignature(Signer(victim, key), signature(SECOND, victim).signature)
    assert rules(FIRST, others.adding((replayed,)), None) == {(victim, Rule.CHARTER_FORGED)}


def test_a_line_is_of_one_centre() -> None:
    """Even where two names have one key, which a charter does not allow."""
    genuine = signature(FIRST, "noord")
    assert genuine.holds(FIRST.digest)
    assert not CharterSignature(Signer("midden", genuine.signer.key), genuine.signature).holds(FIRST.digest)


def test_signatures_of_another_charter_are_of_no_use() -> None:
    assert {rule for _, rule in rules(SECOND, signed(FIRST, NAMES), FIRST)} == {Rule.CHARTER_TRANSPLANTED}
    moved = CharterSignatures(SECOND.digest, signed(FIRST, NAMES).signatures)
    assert (Rule.CHARTER_FORGED) in {rule for _, rule in rules(SECOND, moved, FIRST)}


def test_strangers_do_not_sign() -> None:
    stranger = signature(FIRST, "west")
    assert rules(FIRST, signed(FIRST, NAMES).adding((stranger,)), None) == {("west", Rule.CHARTER_SIGNER)}


# --- what follows what ----------------------------------------------------------------------------------------------


ALL = ("noord", "midden", "zuid", "oost", "west")


def all_signed(charter: Charter, before: Charter) -> CharterSignatures:
    needed = {signer.centre for signer in signers(charter, before)}
    return signed(charter, [name for name in ALL if name in needed])


def test_never_back_never_over_never_aside() -> None:
    def only(charter: Charter, in_force: Charter) -> Rule:
        found = rules(charter, all_signed(charter, in_force), in_force)
        assert len(found) == 1
        return found.pop()[1]

    assert only(FIRST, SECOND) is Rule.CHARTER_OLD
    assert only(OTHER_SECOND, SECOND) is Rule.CHARTER_OLD
    assert only(THIRD, FIRST) is Rule.CHARTER_SUCCESSION
    assert only(THIRD, OTHER_SECOND) is Rule.CHARTER_SUCCESSION
    leaping = parse_charter(charter_toml(head=AFTER.replace("version = 2", "version = 3")))
    assert only(leaping, FIRST) is Rule.CHARTER_SUCCESSION
    elsewhere = parse_charter(charter_toml(head=AFTER.replace('"test"', '"other"')))
    assert only(elsewhere, FIRST) is Rule.CHARTER_WORKSHOP


def test_a_version_names_the_one_before() -> None:
    for head, said in (
        (HEAD + "version = 2\n", "does not name the version it amends"),
        (HEAD + f'version = 1\nprevious = "{"ab" * 32}"\n', "version 1 has no version before it"),
        (HEAD + 'version = 2\nprevious = "ab"\n', "64 hexadecimal digits"),
    ):
        with pytest.raises(CharterError, match=said):
            parse_charter(charter_toml(head=head))


# --- bytes that are almost right ------------------------------------------------------------------------------------

GENUINE = CharterSignatures(SECOND.digest).adding(signed(SECOND, ("noord", "midden", "zuid", "oost")).signatures)


@given(raw=mutated(GENUINE.text().encode()))
def test_changed_signatures_are_refused_or_the_same(raw: bytes) -> None:
    try:
        require_succession(SECOND, read_signatures(raw, where="f"), FIRST)
    except PolicyError:
        return
    assert read_signatures(raw, where="f") == GENUINE


@given(raw=mutated(SECOND.raw))
def test_a_changed_charter_is_not_signed(raw: bytes) -> None:
    if raw == SECOND.raw:
        return
    try:
        charter = parse_charter(raw)
    except CharterError:
        return
    with pytest.raises(PolicyError):
        require_succession(charter, GENUINE, FIRST)
    moved = CharterSignatures(charter.digest, GENUINE.signatures)
    assert any(each.rule is Rule.CHARTER_FORGED for each in review_signatures(charter, moved, FIRST)) or (
        charter.version != SECOND.version
    )


@given(names=st.sets(st.sampled_from(ALL)), keys=st.lists(st.sampled_from(ALL), min_size=5, max_size=5))
def test_only_everybody_s_own_signature_will_do(names: set[str], keys: list[str]) -> None:
    """Any set of lines, each signed with anybody's key, holds exactly when it has everybody's own and no others."""
    lines = tuple(signature(SECOND, name, key=keys[ALL.index(name)]) for name in sorted(names))
    wrong = review_signatures(SECOND, CharterSignatures(SECOND.digest, lines), FIRST)
    honest = all(keys[ALL.index(name)] == name for name in names)
    assert (not wrong) == (honest and names == {"noord", "midden", "zuid", "oost"})
