"""The units: systemd itself checks them, and says how much they leave exposed."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from nskd.config import DEFAULT_PATH, load_config
from nskd.credentials import NoiseKey, SigningKey, StorageKey

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "systemd" / "nskd.service"
REKEY = ROOT / "systemd" / "nskd-rekey.service"
BACKUP = ROOT / "systemd" / "nskd-backup.service"
TIMER = ROOT / "systemd" / "nskd-backup.timer"
EXPOSURE_MAX = 2.0

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed here"
)


def read(unit: Path) -> dict[str, list[str]]:
    values: dict[str, list[str]] = {}
    for line in unit.read_text().splitlines():
        if match := re.fullmatch(r"([A-Za-z]+)=(.*)", line):
            values.setdefault(match[1], []).append(match[2])
    return values


@pytest.fixture
def service() -> dict[str, list[str]]:
    return read(UNIT)


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, timeout=60, check=False)


@needs_systemd
def test_systemd_understands_the_units(tmp_path: Path) -> None:
    """With stand-ins for the programs, which are not installed where tests run."""
    units = (UNIT, REKEY, BACKUP, TIMER)
    for unit in units:
        text = re.sub(r"/usr/bin/nsk(d|ctl)\b", shutil.which("true") or "/bin/true", unit.read_text())
        (tmp_path / unit.name).write_text(text)
    done = analyze("verify", "--man=no", *(str(tmp_path / unit.name) for unit in units))
    assert (done.returncode, [line for line in done.stderr.splitlines() if "nskd" in line]) == (0, [])


@needs_systemd
@pytest.mark.parametrize("unit", [UNIT, REKEY, BACKUP], ids=lambda unit: unit.stem)
def test_exposure(unit: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = analyze("security", "--offline=true", "--no-pager", str(unit))
    match = re.search(rf"Overall exposure level for {re.escape(unit.name)}: ([0-9.]+)", done.stdout)
    assert match, done.stdout + done.stderr
    with capsys.disabled():
        print(f"\nsystemd exposure of {unit.name}: {match[1]}")
    assert float(match[1]) <= EXPOSURE_MAX


def test_what_the_daemon_relies_on(service: dict[str, list[str]]) -> None:
    assert service["Type"] == ["notify"]  # notify-reload is unknown to systemd 252
    assert service["ExecStart"] == [f"/usr/bin/nskd run --config {DEFAULT_PATH}"]
    assert service["RestartPreventExitStatus"] == ["78"]
    assert service["UMask"] == ["0077"]
    assert service["LimitCORE"] == ["0"]
    assert "NUMBA_CACHE_DIR=%C/nskd/numba" in service["Environment"]
    names = [value.split(":")[0] for value in service["LoadCredentialEncrypted"]]
    assert names == [key.filename for key in (NoiseKey, SigningKey, StorageKey)]


def test_every_relaxed_directive_is_explained(service: dict[str, list[str]]) -> None:
    comments = "\n".join(line for line in UNIT.read_text().splitlines() if line.startswith("#"))
    for relaxed in ("PrivateNetwork", "IPAddressDeny", "AF_INET", "RootDirectory", "SystemCallFilter", "DynamicUser"):
        assert relaxed in comments
    for unit in (UNIT, REKEY):  # whatever is switched off says why
        comments = "\n".join(line for line in unit.read_text().splitlines() if line.startswith("#"))
        off = [key for key, values in read(unit).items() if "no" in values]
        assert "MemoryDenyWriteExecute" in off and [key for key in off if f"{key}=" not in comments] == []


def test_resealing_has_what_it_takes_and_no_network(service: dict[str, list[str]]) -> None:
    rekey = read(REKEY)
    names = [value.split(":")[0] for value in rekey["LoadCredentialEncrypted"]]
    assert names == [value.split(":")[0] for value in service["LoadCredentialEncrypted"]] + ["storage.key.new"]
    assert (rekey["Type"], rekey["Conflicts"], rekey["PrivateNetwork"]) == (["oneshot"], ["nskd.service"], ["yes"])
    assert rekey["ExecStart"] == [f"/usr/bin/nskd rekey --config {DEFAULT_PATH}"]
    for shared in ("User", "StateDirectory", "UMask", "LimitCORE"):
        assert rekey[shared] == service[shared]


def test_a_backup_is_asked_of_the_daemon_by_its_own_user_every_night(service: dict[str, list[str]]) -> None:
    backup, timer = read(BACKUP), read(TIMER)
    assert (backup["Type"], backup["ExecStart"]) == (["oneshot"], ["/usr/bin/nskctl backup"])
    assert (backup["User"], backup["PrivateNetwork"], backup["LimitCORE"]) == (service["User"], ["yes"], ["0"])
    assert "LoadCredentialEncrypted" not in backup  # the daemon has the key that it is sealed under
    assert "Unit" not in timer and TIMER.stem == BACKUP.stem  # so that it starts that one
    assert timer["OnCalendar"][0].startswith("*-*-* ") and timer["Persistent"] == ["yes"]
    assert timer["WantedBy"] == ["timers.target"]


def test_the_unit_and_the_sample_agree(service: dict[str, list[str]]) -> None:
    config = load_config(ROOT / "configs" / "nskd.toml")
    assert config.state.directory == Path("/var/lib") / service["StateDirectory"][0]
    assert config.control.socket.parent == Path("/run") / service["RuntimeDirectory"][0]
    assert config.workshop.charter.parent == Path("/etc") / service["ConfigurationDirectory"][0]


@pytest.mark.skipif(shutil.which("systemd-sysusers") is None, reason="systemd-sysusers is not installed here")
def test_sysusers_and_tmpfiles(tmp_path: Path, service: dict[str, list[str]]) -> None:
    text = (ROOT / "systemd" / "nskd.sysusers.conf").read_text()
    assert f"u {service['User'][0]} " in text
    (tmp_path / "etc").mkdir()
    for command in (
        ["systemd-sysusers", f"--root={tmp_path}", str(ROOT / "systemd" / "nskd.sysusers.conf")],
        ["systemd-tmpfiles", "--create", f"--root={tmp_path}", str(ROOT / "systemd" / "nskd.tmpfiles.conf")],
    ):
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
    assert "nskd:x:" in (tmp_path / "etc" / "passwd").read_text()
    assert (tmp_path / "etc" / "nskd").is_dir()
