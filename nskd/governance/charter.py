"""The charter: who takes part, under which keys, for which purposes, under which disclosure rules.

A TOML file, the same bytes at every centre.  Its digest is taken over those bytes and enters every handshake,
so centres with different charters cannot even connect.  The order of the ``[[centre]]`` entries is the party
order.  Who has signed it is kept beside it (``charter_signatures``).
"""

from __future__ import annotations

import datetime
import enum
import hashlib
import ipaddress
import re
from pathlib import Path
from typing import Final

import attrs
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from nskd.errors import OperatorError
from nskd.governance import disclosure as disclosure_rules
from nskd.governance import limits, signing
from nskd.governance.disclosure import DisclosureRules, read_disclosure
from nskd.governance.steward import Steward, read_stewards
from nskd.governance.toml import Keys, read_document, shown

_LABEL: Final = b"nskd charter v1\0"
NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_NAME_MEANING: Final = "a name of small letters, digits and inner hyphens"
_HOST: Final = re.compile(r"(?=.{1,253}\Z)[a-z0-9_](?:[a-z0-9_-]{0,62})(?:\.[a-z0-9_][a-z0-9_-]{0,62})*")

_TOP: Final = ("workshop", "title", "version", "previous", "pack", "pack_digest", "disclosure", "centre", "purpose")
_CENTRE: Final = ("name", "title", "address", "noise_key", "signing_key", "roles", "stewards", "approvals_needed")
_PURPOSE: Final = ("id", "text", "legal_basis", "ehds", "valid_until")


class CharterError(OperatorError):
    """A charter that cannot be used; the message names the key."""


class Role(enum.StrEnum):
    """What a centre does in the workshop."""

    COMPUTE = "compute"  # holds shares and a seat in every joint computation
    CONTRIBUTE = "contribute"  # brings data, and its steward's approval is needed
    REQUEST = "request"  # may ask


@attrs.frozen
class Address:
    """Where a centre's daemon listens; ``str()`` gives ``host:port``, an IPv6 host in brackets."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read ``host:port``; raises ``ValueError`` with what is wrong."""
        host, colon, port = text.rpartition(":")
        if not colon or not re.fullmatch(r"[0-9]{1,5}", port) or not 1 <= int(port) <= 65_535:
            raise ValueError("it lacks a port between 1 and 65535")
        if host.startswith("[") and host.endswith("]"):
            try:
                return cls(ipaddress.IPv6Address(host[1:-1]).compressed, int(port))
            except ValueError:
                raise ValueError("the part in brackets is not an IPv6 address") from None
        if ":" in host:
            raise ValueError("an IPv6 address belongs in brackets")
        host = host.lower().rstrip(".")
        if not _HOST.fullmatch(host):
            raise ValueError("the host is neither a DNS name nor an IP address")
        return cls(host, int(port))


@attrs.frozen
class Centre:
    """One centre; 32-byte keys: X25519 for its channels, Ed25519 for its requests and approvals.

    ``approvals_needed`` of its ``stewards`` must approve a request before its data enters.
    """

    name: str
    title: str
    address: Address
    noise_key: bytes = attrs.field(repr=bytes.hex)
    signing_key: bytes = attrs.field(repr=bytes.hex)
    roles: frozenset[Role]
    stewards: tuple[Steward, ...] = ()
    approvals_needed: int = 1


@attrs.frozen
class Purpose:
    """What data may be used for; ``ehds`` is the letter of Article 53(1), ``valid_until`` the last day."""

    id: str
    text: str
    legal_basis: str | None = None
    ehds: str | None = None
    valid_until: datetime.date | None = None


@attrs.frozen
class Charter:
    """A charter that was read and checked.  ``raw`` are the bytes received, ``digest`` is over those.

    ``previous`` is the digest of the version before, which this one amends; None for the first.
    """

    raw: bytes = attrs.field(repr=False)
    digest: bytes = attrs.field(repr=lambda value: value.hex()[:12])
    workshop: str
    title: str
    version: int
    previous: bytes | None = attrs.field(repr=False)
    pack: str
    pack_digest: bytes | None
    disclosure: DisclosureRules
    centres: tuple[Centre, ...]
    purposes: tuple[Purpose, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Centre names in party order."""
        return tuple(centre.name for centre in self.centres)

    @property
    def contributors(self) -> tuple[str, ...]:
        """The centres whose data enter, and who therefore must all approve a request, in party order."""
        return tuple(centre.name for centre in self.centres if Role.CONTRIBUTE in centre.roles)

    def find(self, name: str) -> Centre | None:
        """Return the centre of that name, if any."""
        return next((centre for centre in self.centres if centre.name == name), None)

    def index(self, name: str) -> int:
        """Return a centre's place in the party order; ``KeyError`` when the charter does not list it."""
        for index, centre in enumerate(self.centres):
            if centre.name == name:
                return index
        raise KeyError(name)

    def purpose(self, purpose_id: str) -> Purpose | None:
        """Return the purpose of that id, if any."""
        return next((purpose for purpose in self.purposes if purpose.id == purpose_id), None)


def charter_digest(raw: bytes) -> bytes:
    """Return the 32-byte digest of a charter file."""
    return hashlib.sha256(_LABEL + raw).digest()


def load_charter(path: Path) -> Charter:
    """Read and check a charter file; :class:`CharterError` says what is wrong with which key."""
    try:
        with path.open("rb") as file:
            raw = file.read(limits.CHARTER_BYTES_MAX + 1)
    except OSError as exc:
        raise CharterError(
            f"cannot be read: {exc.strerror}", where=str(path), remedy="Check the path and its permissions."
        ) from None
    return parse_charter(raw, where=str(path))


def parse_charter(raw: bytes, *, where: str = "charter") -> Charter:
    """As :func:`load_charter`, from bytes; ``where`` names them in messages."""
    document = read_document(raw, where=where, bytes_max=limits.CHARTER_BYTES_MAX, error=CharterError)
    top = Keys(document, allowed=_TOP, where=where, error=CharterError)
    workshop = _name(top, "workshop", "nsk-2026")
    centres = tuple(
        _centre(keys)
        for keys in top.tables("centre", least=limits.CENTRES_MIN, most=limits.CENTRES_MAX, allowed=_CENTRE)
    )
    _refuse_duplicates(top, centres)
    _check_stewards(top, centres)
    _refuse_idle_workshop(top, centres)
    contributors = sum(Role.CONTRIBUTE in centre.roles for centre in centres)
    version = top.integer("version", default=1, least=1, most=limits.CHARTER_VERSION_MAX)
    disclosure = read_disclosure(top.table("disclosure", allowed=disclosure_rules.KEYS), contributors=contributors)
    return Charter(
        raw=raw,
        digest=charter_digest(raw),
        workshop=workshop,
        title=_prose(top, "title", workshop, limits.TITLE_CHARS_MAX),
        version=version,
        previous=_previous(top, version),
        pack=_name(top, "pack", "nsk"),
        pack_digest=top.hex_bytes("pack_digest", count=32) if "pack_digest" in top else None,
        disclosure=disclosure,
        centres=centres,
        purposes=_purposes(top),
    )


def _previous(top: Keys, version: int) -> bytes | None:
    if version == 1:
        if "previous" in top:
            raise top.fault("previous", "version 1 has no version before it", "Take the line out, or count version up.")
        return None
    if "previous" not in top:
        remedy = "`nskctl charter amend FILE` begins a new version of FILE with that line in it."
        raise top.fault("previous", f"version {version} does not name the version it amends", remedy)
    return top.hex_bytes("previous", count=signing.DIGEST_BYTES)


def _name(keys: Keys, key: str, example: str) -> str:
    return keys.text(key, chars_max=limits.NAME_CHARS_MAX, example=f'"{example}"', pattern=NAME, meaning=_NAME_MEANING)


def _prose(keys: Keys, key: str, default: str, chars_max: int) -> str:
    return keys.text(key, chars_max=chars_max, example='"…"', lines=True) if key in keys else default


def _centre(keys: Keys) -> Centre:
    name = _name(keys, "name", "ziekenhuis-noord")
    text = keys.text("address", chars_max=limits.HOST_CHARS_MAX + 8, example='"nskd.example.nl:7443"')
    try:
        address = Address.parse(text)
    except ValueError as exc:
        raise keys.fault(
            "address", f"{shown(text)}: {exc}", 'Write for example: address = "nskd.example.nl:7443"'
        ) from None
    centre = Centre(
        name=name,
        title=_prose(keys, "title", name, limits.TITLE_CHARS_MAX),
        address=address,
        noise_key=keys.hex_bytes("noise_key", count=signing.KEY_BYTES),
        signing_key=keys.hex_bytes("signing_key", count=signing.KEY_BYTES),
        roles=_roles(keys),
        stewards=read_stewards(keys),
        approvals_needed=keys.integer("approvals_needed", default=1, least=1, most=limits.APPROVALS_NEEDED_MAX),
    )
    remedy = "Ask that centre for the public keys that its `nskctl keygen` printed."
    if not _noise_key_works(centre.noise_key):
        raise keys.fault("noise_key", "this is not a usable X25519 public key", remedy)
    if signing.is_weak_key(centre.signing_key):
        raise keys.fault("signing_key", "this is not a usable Ed25519 public key", remedy)
    return centre


def _noise_key_works(key: bytes) -> bool:
    """Tell a point of small order, with which every shared secret is known to everybody."""
    try:
        X25519PrivateKey.from_private_bytes(b"\1" * 32).exchange(X25519PublicKey.from_public_bytes(key))
    except ValueError:
        return False
    return True


def _roles(keys: Keys) -> frozenset[Role]:
    if "roles" not in keys:
        return frozenset(Role)
    names = keys.texts(
        "roles",
        count_max=len(Role),
        chars_max=limits.NAME_CHARS_MAX,
        example='["compute", "contribute", "request"]',
        pattern=re.compile("|".join(Role)),
        meaning=f"a role: {', '.join(Role)}",
    )
    roles = frozenset(Role(name) for name in names)
    if Role.COMPUTE not in roles:
        # A centre that only asked would have to be told the result by the others, and one that only
        # contributed would have to trust them with its data.  The trust statement gives every centre a seat
        # of its own.
        raise keys.fault("roles", "a centre without the role compute has no seat in the computation", 'Add "compute".')
    return roles


def _refuse_duplicates(top: Keys, centres: tuple[Centre, ...]) -> None:
    seen: dict[tuple[str, object], int] = {}
    for number, centre in enumerate(centres, 1):
        # Both kinds of key share one space: a signing key reused as a channel key ties two protocols
        # together.
        for kind, key, value in (
            ("name", "name", centre.name),
            ("address", "address", centre.address),
            ("key", "noise_key", centre.noise_key),
            ("key", "signing_key", centre.signing_key),
        ):
            first = seen.setdefault((kind, value), number)
            if first != number or (key == "signing_key" and value == centre.noise_key):
                raise top.fault(
                    "centre",
                    f"entry {number} has the same {key} as entry {first}",
                    f"Give every centre {'keys of its own' if kind == 'key' else f'its own {kind}'}.",
                )


def _check_stewards(top: Keys, centres: tuple[Centre, ...]) -> None:
    """Every centre that brings data has enough stewards, each a person of that centre with a key of their own.

    A key that the daemon has as well would prove nobody's word.
    """
    taken = {key: centre.name for centre in centres for key in (centre.noise_key, centre.signing_key)}
    for number, centre in enumerate(centres, 1):
        for steward in centre.stewards:
            other = taken.setdefault(steward.key, centre.name)
            if other != centre.name or steward.key in (centre.noise_key, centre.signing_key):
                raise top.fault(
                    "centre",
                    f"entry {number}: the key of steward {shown(steward.name)} is also a key of {other}",
                    "Have every steward make a key of their own: ssh-keygen -t ed25519",
                )
        if Role.CONTRIBUTE in centre.roles and len(centre.stewards) < centre.approvals_needed:
            raise top.fault(
                "centre",
                f"entry {number} needs {centre.approvals_needed} to approve and lists {len(centre.stewards)} stewards",
                'Add who decides for it: stewards = ["ssh-ed25519 AAAA… A. de Vries"]',
            )


def _refuse_idle_workshop(top: Keys, centres: tuple[Centre, ...]) -> None:
    if sum(Role.CONTRIBUTE in centre.roles for centre in centres) < 2:
        raise top.fault(
            "centre",
            "fewer than two centres have the role contribute: the sum would be one centre's own figure",
            'Add "contribute" to the roles of at least two centres.',
        )
    if not any(Role.REQUEST in centre.roles for centre in centres):
        raise top.fault("centre", "no centre has the role request", 'Add "request" to the roles of one.')


def _purposes(top: Keys) -> tuple[Purpose, ...]:
    purposes = tuple(
        Purpose(
            id=_name(keys, "id", "improvement"),
            text=keys.text("text", chars_max=limits.PROSE_CHARS_MAX, example='"…"', lines=True),
            legal_basis=_prose(keys, "legal_basis", "", limits.PROSE_CHARS_MAX) or None,
            ehds=keys.choice("ehds", "abcdef") if "ehds" in keys else None,
            valid_until=keys.date("valid_until"),
        )
        for keys in top.tables("purpose", least=1, most=limits.PURPOSES_MAX, allowed=_PURPOSE)
    )
    ids = [purpose.id for purpose in purposes]
    for purpose_id in ids:
        if ids.count(purpose_id) > 1:
            raise top.fault("purpose", f"the id {shown(purpose_id)} is listed twice", "Give each its own id.")
    return purposes
