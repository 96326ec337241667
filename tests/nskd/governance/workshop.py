"""A workshop of three for the tests: fixed keys, a charter, signed requests and approvals."""

from __future__ import annotations

import hashlib

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from nskd.governance.approval import SignedApproval, Verdict, sign_approval
from nskd.governance.charter import Charter, parse_charter
from nskd.governance.request import SignedRequest, sign_request

NOW = 1_780_000_000
NAMES = ("noord", "midden", "zuid")
TEXT = b'kind = "table"\ntitle = "Positive by age"\npurpose = "improvement"\nrows = "age_band"\n' + (
    b'columns = ["nsk_positive"]\nmeasure = "children"\nwhere = "sex = \'V\'"\n'
)


def signing_key(name: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"signing" + name.encode()).digest())


def noise_key(name: str) -> X25519PrivateKey:
    return X25519PrivateKey.from_private_bytes(hashlib.sha256(b"noise" + name.encode()).digest())


def centre_toml(name: str, extra: str = "") -> str:
    return (
        f'[[centre]]\nname = "{name}"\naddress = "{name}.example:7700"\n'
        f'noise_key = "{noise_key(name).public_key().public_bytes_raw().hex()}"\n'
        f'signing_key = "{signing_key(name).public_key().public_bytes_raw().hex()}"\n{extra}\n'
    )


HEAD = 'workshop = "test"\npack = "nsk"\n'
PURPOSE = '[[purpose]]\nid = "improvement"\ntext = "To better it."\n'


def charter_toml(head: str = HEAD, purpose: str = PURPOSE, names: tuple[str, ...] = NAMES, **extra: str) -> bytes:
    return (head + purpose + "".join(centre_toml(name, extra.get(name, "")) for name in names)).encode()


def charter(**changes: str) -> Charter:
    return parse_charter(charter_toml(**changes))  # type: ignore[arg-type]


CHARTER = charter()
OTHER_CHARTER = charter(head=HEAD + "version = 2\n")


def request(
    text: bytes = TEXT,
    *,
    centre: str = "noord",
    nonce: bytes = b"n" * 16,
    now: int = NOW,
    under: Charter = CHARTER,
) -> SignedRequest:
    return sign_request(text, centre=centre, charter=under, sign=signing_key(centre).sign, now=now, nonce=nonce)


def approval(
    of: bytes,
    centre: str,
    *,
    verdict: Verdict = Verdict.APPROVE,
    now: int = NOW,
    validity_s: int = 1000,
    under: Charter = CHARTER,
    key: str | None = None,
) -> SignedApproval:
    return sign_approval(
        request=of,
        charter=under,
        centre=centre,
        verdict=verdict,
        steward=f"dr. {centre}",
        sign=signing_key(key or centre).sign,
        now=now,
        validity_s=validity_s,
    )
