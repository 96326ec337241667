"""What must hold before a daemon begins: files read, checked against each other, errors in one sentence."""

from __future__ import annotations

import os
from pathlib import Path

import attrs

from nskd.config import Config
from nskd.credentials import CentreKeys
from nskd.errors import OperatorError
from nskd.governance.charter import Charter, load_charter
from nskd.governance.own_policy import OwnPolicy, load_own_policy
from nskd.governance.permit import Permits, load_permits
from nskd.packs.pack import Pack, load_pack


class StartError(OperatorError):
    """Configuration, credentials, charter, pack and data do not go together."""


@attrs.frozen
class Papers:
    """A centre's configuration, charter, pack and keys, which agree."""

    config: Config
    charter: Charter
    pack: Pack
    keys: CentreKeys = attrs.field(repr=False)
    own_policy: OwnPolicy | None = None
    permits: Permits = attrs.field(factory=Permits)


def gather(config: Config, keys: CentreKeys) -> Papers:
    """Read charter and pack, and check that all four go together.  Raises an ``OperatorError``."""
    charter = load_charter(config.workshop.charter)
    pack = load_pack(config.data.pack)
    _check_identity(config, charter, keys)
    _check_pack(config, charter, pack)
    if config.data.source is None and config.centre.name in charter.contributors:
        raise StartError(
            "the charter counts on this centre's data, and none is configured",
            where="[data] source",
            remedy="Name this centre's CSV or Parquet file.",
        )
    permits = load_permits(config.governance.permits, required=config.governance.require_permit)
    return Papers(config, charter, pack, keys, _own_policy(config, charter), permits)


def _own_policy(config: Config, charter: Charter) -> OwnPolicy | None:
    path = config.governance.standing_policy
    if path is None:
        return None
    centre = charter.centres[charter.index(config.centre.name)]
    return load_own_policy(path, centre=centre, workshop=charter.workshop)


def _check_identity(config: Config, charter: Charter, keys: CentreKeys) -> None:
    where = str(config.workshop.charter)
    centre = charter.find(config.centre.name)
    if centre is None:
        raise StartError(
            f"the charter does not list this centre, {config.centre.name!r}",
            where=where,
            remedy=f"Set [centre] name to one of: {', '.join(charter.names)}.",
        )
    for name, ours, theirs in (
        ("noise", keys.identity.noise_key, centre.noise_key),
        ("signing", keys.identity.signing_key, centre.signing_key),
    ):
        if ours != theirs:
            raise StartError(
                f"the charter's {name} key for {centre.name} is not the public half of this centre's {name}.key",
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
