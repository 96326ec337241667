"""Under which charter a daemon starts: only one that all have signed, and that follows the one it has taken up.

Every lie is told to every centre (docs/protocol.md, section 15).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import attrs
import pytest

from nskd.config import Config, parse_config
from nskd.control import steward_key
from nskd.credentials import CentreKeys, generate, load_keys
from nskd.daemon.start import Papers, charter_store, gather
from nskd.errors import OperatorError
from nskd.governance.amendment import amended_text
from nskd.governance.charter import Charter, load_charter, parse_charter
from nskd.governance.charter_signatures import (
    CharterSignature,
    CharterSignatures,
    Signer,
    sign_charter,
    signatures_path,
)
from nskd.governance.policy import PolicyError, Rule
from tests.nskd.governance import workshop as papers

NAMES = ("noord", "midden", "zuid")


@attrs.frozen
class Centres:
    """Three centres with real keys on disk, and a charter file for all."""

    directory: Path
    keys: dict[str, CentreKeys]

    @property
    def charter(self) -> Path:
        return self.directory / "charter.toml"

    def sign(self, charter: Charter, names: Sequence[str] = NAMES) -> CharterSignatures:
        return CharterSignatures(charter.digest).adding(self.signature(charter, name) for name in names)

    def signature(self, charter: Charter, name: str, *, key: str | None = None) -> CharterSignature:
        signing = self.keys[key or name].signing
        return sign_charter(charter, Signer(name, self.keys[name].signing.public), signing.signer())

    def agree(self, raw: bytes, names: Sequence[str] = NAMES) -> Charter:
        """Put a charter into the place that all configurations name, signed by these."""
        self.charter.write_bytes(raw)
        charter = load_charter(self.charter)
        signatures_path(self.charter).write_text(self.sign(charter, names).text())
        return charter

    def config(self, name: str) -> Config:
        text = (
            f'[centre]\nname = "{name}"\n[workshop]\ncharter = "{self.charter}"\n[network]\nlisten = "127.0.0.1:1"\n'
            f'[data]\nsource = "/srv/visits.csv"\n[state]\ndirectory = "{self.directory / name}"\n'
        )
        return parse_config(text.encode(), "nskd.toml")

    def start(self, name: str) -> Papers:
        return gather(self.config(name), self.keys[name])

    def take_up(self, name: str) -> None:
        """As the daemon does once everything else is in order."""
        found = self.start(name)
        self.config(name).state.directory.mkdir(exist_ok=True)
        charter_store(found.config).take_up(found.charter, found.signatures)

    def refuses(self, name: str) -> set[Rule]:
        with pytest.raises(PolicyError) as caught:
            self.start(name)
        return {refusal.rule for refusal in caught.value.refusals}


@pytest.fixture
def centres(tmp_path: Path) -> Centres:
    entries, keys = [], {}
    for number, name in enumerate(NAMES, 1):
        public = generate(tmp_path / f"keys-{name}")
        keys[name] = load_keys(tmp_path / f"keys-{name}")
        steward = steward_key.generate(tmp_path / f"steward-{name}", f"dr. {name}")
        entries.append(public.charter_entry(name=name, address=f"{name}.example:{number}", stewards=[steward.line]))
    made = Centres(tmp_path, keys)
    made.agree((papers.HEAD + papers.PURPOSE + "".join(entries)).encode())
    return made


@pytest.mark.parametrize("name", NAMES)
def test_signed_by_all_it_is_taken_up_once(centres: Centres, name: str) -> None:
    found = centres.start(name)
    assert not found.in_force and len(found.signatures.signatures) == 3
    centres.take_up(name)
    signatures_path(centres.charter).unlink()  # not needed any more: what was taken up is kept with its own
    again = centres.start(name)
    assert again.in_force and again.signatures == found.signatures


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("missing", NAMES)
def test_one_signature_missing(centres: Centres, name: str, missing: str) -> None:
    centres.agree(centres.charter.read_bytes(), [each for each in NAMES if each != missing])
    assert centres.refuses(name) == {Rule.CHARTER_UNSIGNED}


@pytest.mark.parametrize("name", NAMES)
def test_no_signatures_or_something_else_in_their_place(centres: Centres, name: str) -> None:
    signatures_path(centres.charter).write_text("yes")
    assert centres.refuses(name) == {Rule.CHARTER_SIGNATURES}
    signatures_path(centres.charter).unlink()
    assert centres.refuses(name) == {Rule.CHARTER_UNSIGNED}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("victim", NAMES)
def test_forged_by_another(centres: Centres, name: str, victim: str) -> None:
    charter = load_charter(centres.charter)
    liar = next(each for each in NAMES if each != victim)
    forged = centres.sign(charter).adding([centres.signature(charter, victim, key=liar)])
    signatures_path(centres.charter).write_text(forged.text())
    assert centres.refuses(name) == {Rule.CHARTER_FORGED}


@pytest.mark.parametrize("name", NAMES)
def test_edited_after_it_was_signed(centres: Centres, name: str) -> None:
    centres.charter.write_bytes(centres.charter.read_bytes() + b"# one more remark\n")
    assert centres.refuses(name) == {Rule.CHARTER_TRANSPLANTED}
    edited = load_charter(centres.charter)
    path = signatures_path(centres.charter)
    path.write_text(CharterSignatures(edited.digest, centres.sign(parse_charter(edited.raw[:-19])).signatures).text())
    assert centres.refuses(name) == {Rule.CHARTER_FORGED}


@pytest.mark.parametrize("name", NAMES)
def test_versions_are_followed_one_by_one_and_never_back(centres: Centres, name: str) -> None:
    first = load_charter(centres.charter)
    centres.take_up(name)
    second = centres.agree(amended_text(first))
    third = parse_charter(amended_text(second))
    assert not centres.start(name).in_force

    centres.agree(third.raw)  # over the second
    assert centres.refuses(name) == {Rule.CHARTER_SUCCESSION}
    centres.agree(second.raw)
    centres.take_up(name)
    centres.agree(first.raw)  # back: replayed with all its genuine signatures
    assert centres.refuses(name) == {Rule.CHARTER_OLD}
    centres.agree(second.raw + b"# another second version\n")
    assert centres.refuses(name) == {Rule.CHARTER_OLD}
    centres.agree(third.raw)
    centres.take_up(name)
    assert centres.start(name).in_force


@pytest.mark.parametrize("name", NAMES)
def test_the_charter_of_another_workshop(centres: Centres, name: str) -> None:
    first = load_charter(centres.charter)
    centres.take_up(name)
    centres.agree(amended_text(first).replace(b'workshop = "test"', b'workshop = "other"'))
    assert centres.refuses(name) == {Rule.CHARTER_WORKSHOP}


def test_a_centre_that_has_left_does_not_start(centres: Centres) -> None:
    first = load_charter(centres.charter)
    centres.take_up("zuid")
    centres.charter.write_bytes(amended_text(first).replace(b'name = "zuid"', b'name = "oost"'))
    with pytest.raises(OperatorError, match="version 2 of the charter does not list this centre, 'zuid', any more"):
        centres.start("zuid")
