"""What must hold before a daemon begins: files read, checked against each other, errors in one sentence."""

from __future__ import annotations

import os
from pathlib import Path

import attrs

from nskd.config import Config
from nskd.credentials import CentreKeys
from nskd.errors import OperatorError
from nskd.governance.charter import Charter, load_charter
from nskd.governance.charter_signatures import CharterSignatures, load_signatures
from nskd.governance.charter_store import DIRECTORY, CharterStore
from nskd.governance.own_policy import OwnPolicy, load_own_policy
from nskd.governance.permit import Permits, load_permits
from nskd.governance.succession import require_succession
from nskd.packs.pack import Pack, load_pack


class StartError(OperatorError):
    """Configuration, credentials, charter, pack and data do not go together."""


@attrs.frozen
class Papers:
    """A centre's configuration, charter, pack and keys, which agree.

    ``signatures`` are those of all who have to sign the charter; ``in_force`` tells whether it was taken up before.
    """

    config: Config
    charter: Charter
    signatures: CharterSignatures
    in_force: bool
    pack: Pack
    keys: CentreKeys = attrs.field(repr=False)
    own_policy: OwnPolicy | None = None
    permits: Permits = attrs.field(factory=Permits)
    former: tuple[Charter, ...] = ()


def gather(config: Config, keys: CentreKeys) -> Papers:
    """Read charter and pack, and check that all four go together.  Raises an ``OperatorError``."""
    charter = load_charter(config.workshop.charter)
    pack = load_pack(config.data.pack)
    store = charter_store(config)
    latest = store.in_force()
    before = None if latest is None else latest.charter
    _check_identity(config, charter, keys, before)
    in_force = latest is not None and latest.charter.digest == charter.digest
    if latest is not None and in_force:
        signatures = latest.signatures
    else:
        signatures = load_signatures(charter, config.workshop.charter)
        require_succession(charter, signatures, before)
    _check_pack(config, charter, pack)
    if config.data.origin is None and config.centre.name in charter.contributors:
        raise StartError(
            "the charter counts on this centre's data, and none is configured",
            where="[data] source",
            remedy="Name this centre's file with source, or its database with url.",
        )
    permits = load_permits(config.governance.permits, required=config.governance.require_permit)
    return Papers(
        config=config,
        charter=charter,
        signatures=signatures,
        in_force=in_force,
        pack=pack,
        keys=keys,
        own_policy=_own_policy(config, charter),
        permits=permits,
        former=store.all(),
    )


def charter_store(config: Config) -> CharterStore:
    """Where this centre keeps the charters it has taken up."""
    return CharterStore(config.state.directory / DIRECTORY)


def _own_policy(config: Config, charter: Charter) -> OwnPolicy | None:
    path = config.governance.standing_policy
    if path is None:
        return None
    centre = charter.centres[charter.index(config.centre.name)]
    return load_own_policy(path, centre=centre, workshop=charter.workshop)


def _check_identity(config: Config, charter: Charter, keys: CentreKeys, before: Charter | None) -> None:
    where = str(config.workshop.charter)
    name = config.centre.name
    centre = charter.find(name)
    if centre is None and before is not None and before.find(name) is not None:
        raise StartError(
            f"version {charter.version} of the charter does not list this centre, {name!r}, any more",
            where=where,
            remedy="It has left the workshop with it: stop the service for good, and keep the audit log.",
        )
    if centre is None:
        raise StartError(
            f"the charter does not list this centre, {name!r}",
            where=where,
            remedy=f"Set [centre] name to one of: {', '.join(charter.names)}.",
        )
    for kind, ours, theirs in (
        ("noise", keys.identity.noise_key, centre.noise_key),
        ("signing", keys.identity.signing_key, centre.signing_key),
    ):
        if ours != theirs:
            raise StartError(
                f"the charter's {kind} key for {name} is not the public half of this centre's {kind}.key",
                where=where,
                remedy="Use the key files made for this centre, or have the charter amended with their public halves.",
            )


def _check_pack(config: Config, charter: Charter, pack: Pack) -> None:
    if charter.pack != pack.name:
        raise StartError(
            f"the charter is for pack {charter.pack!r}, the configuration loads {pack.name!r}",
            where=str(config.workshop.charter),
            remedy="Set [data] pack to the charter's.",
        )
    if charter.pack_digest is not None and charter.pack_digest != pack.digest:
        raise StartError(
            f"pack {pack.name!r} is not the edition the charter names ({charter.pack_digest.hex()[:12]}…,"
            f" here {pack.digest.hex()[:12]}…)",
            where=str(config.data.pack),
            remedy="Install the edition agreed on.",
        )


def state_directory(directory: Path) -> Path:
    """Make the state directory, for this user alone."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not os.access(directory, os.W_OK | os.X_OK):
            raise PermissionError(None, "permission denied")
    except OSError as error:
        raise StartError(
            f"the state directory cannot be used: {error.strerror}",
            where=str(directory),
            remedy="Create it and give it to the user the daemon runs as.",
        ) from error
    return directory
