"""Documents before the first start: from files, without a daemon, through ``nskctl``."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result

from nskd.control import cli

from .facts import CHARTER, config_text


def nskctl(*arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(cli.main, list(arguments))
    assert result.exit_code == code, (result.output, result.exception)
    return result


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "charter.toml").write_text(CHARTER)
    path = tmp_path / "nskd.toml"
    path.write_text(config_text().replace("/etc/nskd/charter.toml", str(tmp_path / "charter.toml")))
    return path


def test_both_documents_come_from_files(config: Path) -> None:
    shown = nskctl("dpia", "--config", str(config))
    assert shown.stdout.startswith("# DPIA (concept): ")
    assert "open points, listed at the end." in shown.stderr
    answer = msgspec.json.decode(nskctl("--json", "dpia", "--config", str(config)).stdout)
    assert answer["text"] == shown.stdout
    assert answer["gaps"][0].startswith("1.1 ")
    entry = nskctl("catalogue", "--config", str(config)).stdout
    assert "dcat:Dataset" in entry
    assert entry.count("NON_PUBLIC") == 1


@pytest.mark.parametrize("document", ["dpia", "catalogue"])
@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('name = "ziekenhuis-noord"', 'name = "elders"', "the charter does not list this centre, 'elders'"),
        ('workshop = "nsk-2026"', 'workshop = "nsk-2026"\npacks = 1', "unknown key 'packs'"),
        ('pack = "nsk"', 'pack = "other"', "the charter is for pack 'other', the configuration loads 'nsk'"),
        ("[centre]", "[centr]", "unknown key 'centr'"),
    ],
)
def test_files_that_do_not_go_together_are_refused_in_one_line(
    config: Path, document: str, old: str, new: str, said: str
) -> None:
    charter = config.with_name("charter.toml")
    if old.startswith(("workshop", "pack")):
        charter.write_text(charter.read_text().replace(old, new, 1))
    else:
        config.write_text(config.read_text().replace(old, new, 1))
    refused = nskctl(document, "--config", str(config), code=1)
    assert said in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_a_missing_key_and_a_missing_file_are_refused(config: Path, tmp_path: Path) -> None:
    config.write_text(config.read_text().replace("email =", "# email ="))
    refused = nskctl("catalogue", "--config", str(config), code=1)
    assert refused.stderr.startswith("nskctl: [catalogue] email: ")
    nskctl("dpia", "--config", str(config))
    assert "cannot be read" in nskctl("dpia", "--config", str(tmp_path / "none"), code=1).stderr
