"""A workshop of three for the tests: fixed keys, a charter, signed requests and approvals."""

from __future__ import annotations

import hashlib
import json

import attrs
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from nskd.governance import sshsig, standing_policy
from nskd.governance.approval import SignedApproval, sign_approval
from nskd.governance.charter import Charter, parse_charter
from nskd.governance.request import SignedRequest, sign_request
from nskd.governance.standing_policy import parse_standing_policy
from nskd.governance.statement import NAMESPACE, POLICY_MARK, Statement, Verdict
from nskd.governance.steward import Steward

NOW = 1_780_000_000
NAMES = ("noord", "midden", "zuid")
TEXT = b'kind = "table"\ntitle = "Positive by age"\npurpose = "improvement"\nrows = "age_band"\n' + (
    b'columns = ["nsk_positive"]\nmeasure = "children"\nwhere = "sex = \'V\'"\n'
)


def signing_key(name: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"signing" + name.encode()).digest())


def noise_key(name: str) -> X25519PrivateKey:
    return X25519PrivateKey.from_private_bytes(hashlib.sha256(b"noise" + name.encode()).digest())


def steward_key(person: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"steward" + person.encode()).digest())


def steward(person: str) -> Steward:
    return Steward(steward_key(person).public_key().public_bytes_raw(), f"dr. {person}")


def stewards_toml(*people: str) -> str:
    return f"stewards = [{', '.join(json.dumps(steward(person).line) for person in people)}]"


def centre_toml(name: str, extra: str = "") -> str:
    return (
        f'[[centre]]\nname = "{name}"\naddress = "{name}.example:7700"\n'
        f'noise_key = "{noise_key(name).public_key().public_bytes_raw().hex()}"\n'
        f'signing_key = "{signing_key(name).public_key().public_bytes_raw().hex()}"\n{extra}\n'
        + ("" if "stewards" in extra else f"{stewards_toml(name)}\n")
    )


HEAD = 'workshop = "test"\npack = "nsk"\n'
PAIR_HEAD = HEAD + "[disclosure]\ncentres_min = 2\n"  # for two that contribute
PURPOSE = '[[purpose]]\nid = "improvement"\ntext = "To better it."\n'


def charter_toml(head: str = HEAD, purpose: str = PURPOSE, names: tuple[str, ...] = NAMES, **extra: str) -> bytes:
    return (head + purpose + "".join(centre_toml(name, extra.get(name, "")) for name in names)).encode()


def charter(**changes: str) -> Charter:
    return parse_charter(charter_toml(**changes))  # type: ignore[arg-type]


CHARTER = charter()
AMENDED_HEAD = HEAD + f'version = 2\nprevious = "{CHARTER.digest.hex()}"\n'
OTHER_CHARTER = charter(head=AMENDED_HEAD)


def request(
    text: bytes = TEXT,
    *,
    centre: str = "noord",
    nonce: bytes = b"n" * 16,
    now: int = NOW,
    under: Charter = CHARTER,
) -> SignedRequest:
    return sign_request(text, centre=centre, charter=under, sign=signing_key(centre).sign, now=now, nonce=nonce)


def statement(
    of: bytes,
    centre: str,
    *,
    verdict: Verdict = Verdict.APPROVE,
    now: int = NOW,
    validity_s: int = 1000,
    under: Charter = CHARTER,
    person: str | None = None,
) -> Statement:
    by = steward(person or centre)
    return Statement(
        workshop=under.workshop,
        centre=centre,
        request=of,
        charter=under.digest,
        verdict=verdict,
        issued_at=now,
        expires_at=now + validity_s if verdict is Verdict.APPROVE else None,
        by=by.fingerprint,
        name=by.name,
    )


def signed_by(person: str, message: bytes, *, namespace: str = NAMESPACE) -> bytes:
    key = steward_key(person)
    return sshsig.sign(message, namespace=namespace, key=key.public_key().public_bytes_raw(), signer=key.sign)


def approval(
    of: bytes,
    centre: str,
    *,
    verdict: Verdict = Verdict.APPROVE,
    now: int = NOW,
    validity_s: int = 1000,
    under: Charter = CHARTER,
    key: str | None = None,
    person: str | None = None,
    signer: str | None = None,
) -> SignedApproval:
    """By the daemon of ``key`` and the steward ``signer``, who by default are ``centre``'s and ``person``."""
    said = statement(of, centre, verdict=verdict, now=now, validity_s=validity_s, under=under, person=person).text()
    return sign_approval(
        said, (signed_by(signer or person or centre, said),), centre=centre, sign=signing_key(key or centre).sign
    )


POLICY = """title = "Screening by age"
workshop = "test"
centre = "CENTRE"
kinds = ["table"]
purposes = ["improvement"]
requesters = ["noord", "midden"]
variables = ["age_band", "nsk_positive", "sex"]
threshold_min = 10
where = true
per_month = 2
approval_days = 30
valid_until = 2026-12-31
"""


def policy_text(centre: str = "zuid", **changes: str) -> bytes:
    """``POLICY`` of that centre with some keys written differently; an empty value leaves one out."""
    lines = POLICY.replace("CENTRE", centre).splitlines()
    kept = [line for line in lines if line.split(" = ")[0] not in changes]
    return "\n".join([*kept, *(f"{key} = {value}" for key, value in changes.items() if value), ""]).encode()


def policy_approval(
    of: bytes,
    policy: bytes,
    centre: str = "zuid",
    *,
    signers: tuple[str, ...] | None = None,
    now: int = NOW,
    validity_s: int = 1000,
    under: Charter = CHARTER,
    key: str | None = None,
    verdict: Verdict = Verdict.APPROVE,
) -> SignedApproval:
    read = parse_standing_policy(policy)
    said = statement(of, centre, now=now, validity_s=validity_s, under=under, verdict=verdict)
    said = attrs.evolve(said, by=f"{POLICY_MARK}{read.digest.hex()}", name=read.title)
    signatures = tuple(
        signed_by(signer, policy, namespace=standing_policy.NAMESPACE) for signer in signers or (centre,)
    )
    return sign_approval(said.text(), signatures, centre=centre, sign=signing_key(key or centre).sign, policy=policy)
