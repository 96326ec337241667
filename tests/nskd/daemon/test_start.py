"""What the configuration names of a centre's own papers is read, and checked, before the daemon starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from nskd.config import Config, parse_config
from nskd.control import steward_key
from nskd.credentials import CentreKeys, generate, load_keys
from nskd.daemon.start import gather
from nskd.errors import OperatorError
from nskd.governance.charter import load_charter
from nskd.governance.charter_signatures import CharterSignatures, Signer, sign_charter, signatures_path
from nskd.governance.standing_policy import NAMESPACE
from tests.nskd.governance import workshop as papers
from tests.nskd.governance.workshop import policy_text

CONFIGS = Path(__file__).parents[3] / "configs"


def sign(path: Path, own: CentreKeys) -> None:
    """All three sign; the other two with keys that tests know."""
    charter = load_charter(path)
    signers = {"noord": papers.signing_key("noord").sign, "midden": papers.signing_key("midden").sign}
    signers["zuid"] = own.signing.signer()
    signatures = [
        sign_charter(charter, Signer(centre.name, centre.signing_key), signers[centre.name])
        for centre in charter.centres
    ]
    signatures_path(path).write_text(CharterSignatures(charter.digest, tuple(signatures)).text())


def laid_out(directory: Path, governance: str) -> tuple[Config, CentreKeys]:
    """A centre zuid with one steward; files are written once."""
    charter = directory / "charter.toml"
    if not charter.exists():
        steward_key.generate(directory / "steward", "dr. zuid")
        public = generate(directory / "keys")
        line = (directory / "steward.pub").read_text().strip()
        entry = public.charter_entry(name="zuid", address="zuid.example:1", stewards=[line])
        charter.write_bytes(papers.charter_toml(names=("noord", "midden")) + entry.encode())
        sign(charter, load_keys(directory / "keys"))
    text = (
        f'[centre]\nname = "zuid"\n[workshop]\ncharter = "{charter}"\n[network]\nlisten = "127.0.0.1:1"\n'
        f'[data]\nsource = "/srv/visits.csv"\n[governance]\n{governance}\n[state]\ndirectory = "{directory}/state"\n'
    )
    return parse_config(text.encode(), "nskd.toml"), load_keys(directory / "keys")


def test_standing_policy_and_permits_are_read(tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_bytes(policy_text())
    config, keys = laid_out(
        tmp_path, f'standing_policy = "{policy}"\npermits = ["{CONFIGS}/permit.json"]\nrequire_permit = true'
    )
    signature = steward_key.sign(tmp_path / "steward", policy.read_bytes(), namespace=NAMESPACE)
    (tmp_path / "policy.toml.sig").write_text(signature)
    found = gather(config, keys)
    assert found.own_policy is not None and found.own_policy.policy.title == "Screening by age"
    assert [permit.id for permit in found.permits.permits] == ["HDAB-NL-2026-0042"]
    assert found.permits.required


def test_without_them_nothing_is_approved_unasked_and_no_permit_needed(tmp_path: Path) -> None:
    found = gather(*laid_out(tmp_path, ""))
    assert found.own_policy is None
    assert found.permits.permits == () and not found.permits.required


@pytest.mark.parametrize(
    ("governance", "words"),
    [
        ('standing_policy = "{here}/none.toml"', "none.toml: cannot be read"),
        ('standing_policy = "{here}/charter.toml"', "charter.toml: .*unknown key"),
        ('permits = ["{here}/none.json"]', "none.json: cannot be read"),
        ('permits = ["{here}/charter.toml"]', "it is not a JSON document"),
    ],
)
def test_what_cannot_be_read_keeps_it_from_starting(tmp_path: Path, governance: str, words: str) -> None:
    config, keys = laid_out(tmp_path, governance.format(here=tmp_path))
    with pytest.raises(OperatorError, match=words):
        gather(config, keys)
