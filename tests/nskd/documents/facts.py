"""A centre for the tests: the samples of `configs/`, with everything a catalogue entry needs."""

from __future__ import annotations

import datetime
from pathlib import Path

from nskd.config import parse_config
from nskd.documents.facts import Facts
from nskd.governance.charter import parse_charter
from nskd.packs.pack import load_pack

ROOT = Path(__file__).parents[3]
CHARTER = (ROOT / "configs" / "charter.toml").read_text()
KEYS = ("dataset", "publisher", "homepage", "email")
TODAY = datetime.date(2026, 6, 1)


def config_text(*, without: str = "") -> str:
    """The sample configuration, at the first centre of the sample charter, without one key of its catalogue section."""
    text = (ROOT / "configs" / "nskd.toml").read_text()
    assert all(f"\n{key} = " in text for key in (*KEYS, "contact"))
    return text.replace(f"\n{without} = ", f"\n# {without} = ") if without else text


def facts(*, config: str | None = None, charter: str = CHARTER) -> Facts:
    return Facts(
        parse_config((config or config_text()).encode(), "nskd.toml"),
        parse_charter(charter.encode()),
        load_pack("nsk"),
        TODAY,
    )
