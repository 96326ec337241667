"""The facts from files alone, for a centre whose daemon does not run yet: its assessment comes before its data."""

from __future__ import annotations

import datetime
from pathlib import Path

from nskd.config import load_config
from nskd.documents.facts import Facts
from nskd.errors import OperatorError
from nskd.governance.charter import load_charter
from nskd.packs.pack import load_pack


def read(config_path: Path, *, today: datetime.date) -> Facts:
    """Read configuration, charter and pack; raises an ``OperatorError`` when they do not go together."""
    config = load_config(config_path)
    charter = load_charter(config.workshop.charter)
    pack = load_pack(config.data.pack)
    if charter.find(config.centre.name) is None:
        raise OperatorError(
            f"the charter does not list this centre, {config.centre.name!r}",
            where=str(config.workshop.charter),
            remedy=f"Set [centre] name to one of: {', '.join(charter.names)}.",
        )
    if charter.pack != pack.name:
        raise OperatorError(
            f"the charter is for pack {charter.pack!r}, the configuration loads {pack.name!r}",
            where=str(config.workshop.charter),
            remedy="Set [data] pack to the charter's.",
        )
    return Facts(config, charter, pack, today)
