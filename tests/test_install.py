"""``systemd/install.sh`` into a directory: what is there afterwards, whose it is; once more changes nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from nskd.credentials import generate
from tests.system.manager import read_unit

ROOT = Path(__file__).parents[1]
ENVIRONMENT = Path(sys.executable).parents[1]
NEEDED = ("systemd-sysusers", "systemd-tmpfiles", "systemd-creds")
pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not all(map(shutil.which, NEEDED)), reason=f"needs root, and {', '.join(NEEDED)}"
)


def install(root: Path, *options: str, tools: Path | None = None) -> subprocess.CompletedProcess[str]:
    path = os.environ["PATH"] if tools is None else f"{tools}:{os.environ['PATH']}"
    return subprocess.run(
        ["sh", ROOT / "systemd" / "install.sh", "--root", root, *options],
        env={**os.environ, "NSKD_ENVIRONMENT": str(ENVIRONMENT), "PATH": path},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    root.mkdir()
    return root


def tree(root: Path) -> dict[str, tuple[int, int, int, bytes]]:
    """Every file with mode, owner, group and content."""
    found = {}
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        content = str(path.readlink()).encode() if path.is_symlink() else path.read_bytes() if path.is_file() else b""
        found[str(path.relative_to(root))] = (status.st_mode, status.st_uid, status.st_gid, content)
    return found


def group_of(root: Path) -> int:
    return next(
        int(line.split(":")[2]) for line in (root / "etc/group").read_text().splitlines() if line[:5] == "nskd:"
    )


def test_what_is_there_and_whose_it_is(root: Path) -> None:
    done = install(root, "--peers", "192.0.2.11 2001:db8::/64")
    assert done.returncode == 0, done.stderr
    found = tree(root)
    for path, mode, group in (
        ("etc/nskd", 0o755, 0),
        ("etc/credstore.encrypted", 0o700, 0),
        ("srv/nsk", 0o750, group_of(root)),
        ("etc/systemd/system/nskd.service", 0o644, 0),
        ("etc/systemd/system/nskd-rekey.service", 0o644, 0),
        ("etc/systemd/system/nskd-backup.service", 0o644, 0),
        ("etc/systemd/system/nskd-backup.timer", 0o644, 0),
        ("etc/systemd/system/nskd.service.d/peers.conf", 0o644, 0),
        ("etc/nskd/nskd.toml.sample", 0o644, 0),
    ):
        assert (found[path][0] & 0o7777, found[path][1], found[path][2]) == (mode, 0, group), path
    assert "nskd:x:" in (root / "etc/passwd").read_text()
    unit = read_unit("nskd", root / "etc/systemd/system")
    assert unit["IPAddressDeny"] == ["any"]
    assert unit["IPAddressAllow"] == ["localhost", "192.0.2.11", "2001:db8::/64"]
    for program in ("nskd", "nskctl"):
        assert str((root / "usr/bin" / program).readlink()) == f"/opt/nskd/current/bin/{program}"
        assert unit["ExecStart"][0].split()[0] == "/usr/bin/nskd"
    assert (root / "opt/nskd/current/bin/nskd").exists()
    assert not [path for path in found if path.endswith(".new")]


def test_once_more_changes_nothing_and_keeps_what_is_ones_own(root: Path) -> None:
    assert install(root, "--peers", "192.0.2.11").returncode == 0
    (root / "etc/nskd/nskd.toml").write_text("mine")
    for name in ("site", "database"):
        (root / f"etc/systemd/system/nskd.service.d/{name}.conf").write_text("[Service]\nCPUWeight=20\n")
    before = tree(root)
    assert install(root).returncode == 0
    assert tree(root) == before


def test_uninstalling_keeps_configuration_keys_and_state(root: Path) -> None:
    assert install(root, "--peers", "192.0.2.11").returncode == 0
    (root / "etc/systemd/system/nskd.service.d/database.conf").write_text("[Service]\n")
    kept = {
        "etc/nskd/nskd.toml": "mine",
        "var/lib/nskd/ledger.sqlite": "mine",
        "etc/credstore.encrypted/nskd.x": "mine",
    }
    for path, content in kept.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(content)
    for _ in range(2):
        assert install(root, "--uninstall").returncode == 0
        assert {path: (root / path).read_text() for path in kept} == kept
        for gone in ("usr/bin/nskd", "usr/bin/nskctl", "opt/nskd", "etc/systemd/system/nskd.service"):
            assert not os.path.lexists(root / gone)
        assert not list((root / "etc/systemd/system").iterdir())
    assert (ENVIRONMENT / "bin" / "nskd").exists()  # it was only pointed to


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """Programs before those of this machine; what is sealed has the format of a machine without a key of its own."""
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "systemd-creds").write_text(
        '#!/bin/sh\nshift\nexec /usr/bin/systemd-creds encrypt --with-key=tpm2-absent "$@"\n'
    )
    (tools / "systemd-creds").chmod(0o755)
    return tools


def opened(root: Path, line: str) -> bytes:
    """What is in a credential that a unit loads."""
    name, _, sealed = line.partition(":")
    path = root / sealed.removeprefix("/")
    assert path.stat().st_mode & 0o777 == 0o600
    return subprocess.run(
        ["systemd-creds", "decrypt", f"--name={name}", path, "-"], capture_output=True, timeout=60, check=True
    ).stdout


def test_sealing(root: Path, tmp_path: Path, tools: Path) -> None:
    """As the unit reads them."""
    assert install(root).returncode == 0
    generate(tmp_path / "keys")
    waiting = root / "etc/credstore.encrypted/nskd.storage.key.new"  # for nskd-rekey; none of this one's business
    waiting.write_text("mine")
    for _ in range(2):  # the second time another set may take the place of the first
        assert install(root, "--seal", str(tmp_path / "keys"), tools=tools).returncode == 0
    for line in read_unit("nskd", root / "etc/systemd/system")["LoadCredentialEncrypted"]:
        assert opened(root, line) == (tmp_path / "keys" / line.partition(":")[0]).read_bytes()
    assert waiting.read_text() == "mine"
    (tmp_path / "keys" / "storage.key").unlink()
    before = tree(root)
    done = install(root, "--seal", str(tmp_path / "keys"), tools=tools)
    assert done.returncode == 66 and "storage.key is not there" in done.stderr
    assert tree(root) == before


def test_the_password_of_a_database_outlives_an_upgrade(root: Path, tmp_path: Path, tools: Path) -> None:
    password = tmp_path / "password"
    assert install(root).returncode == 0
    before = tree(root)
    done = install(root, "--database-password", str(password), tools=tools)
    assert done.returncode == 66 and "password is not there" in done.stderr
    assert tree(root) == before
    for said in ("a password", "another one"):
        password.write_text(f"{said}\n")
        assert install(root, "--database-password", str(password), tools=tools).returncode == 0
        assert install(root).returncode == 0
        (line,) = [
            line
            for line in read_unit("nskd", root / "etc/systemd/system")["LoadCredentialEncrypted"]
            if line.startswith("database.password:")
        ]
        assert opened(root, line) == f"{said}\n".encode()


PYTHON = """#!/bin/sh
# As far as it is asked for its version, and to make an environment, whose pip writes down what it is told.
case "$1" in
  -c) exit "$OLD" ;;
  -m) mkdir -p "$3/bin" ;;
esac
printf '#!/bin/sh\\necho "$*" >>"%s"\\n' "$LOG" >"$3/bin/pip"
printf '#!/bin/sh\\n' >"$3/bin/nskd"
chmod 755 "$3"/bin/*
"""


def make(root: Path, log: Path, *options: str, python: str | None = None, old: bool = False) -> int:
    """``install.sh`` with an environment made by a stand-in."""
    tools = log.parent / "interpreters"
    tools.mkdir(exist_ok=True)
    (tools / "python3").write_text(PYTHON.replace("$OLD", str(int(old))).replace("$LOG", str(log)))
    (tools / "other-python").write_text(PYTHON.replace("$OLD", "0").replace("$LOG", f"{log}-of-other"))
    for path in tools.iterdir():
        path.chmod(0o755)
    log.unlink(missing_ok=True)
    return subprocess.run(
        ["sh", ROOT / "systemd" / "install.sh", "--root", root, *options],
        env={
            **{name: value for name, value in os.environ.items() if name not in ("NSKD_ENVIRONMENT", "PYTHON")},
            "PATH": f"{tools}:/usr/sbin:/usr/bin:/sbin:/bin",
            **({} if python is None else {"PYTHON": python}),
        },
        timeout=60,
        check=False,
    ).returncode


def test_an_upgrade_has_what_a_database_takes_if_the_version_before_had_it(root: Path, tmp_path: Path) -> None:
    log = tmp_path / "pip.log"
    wheel = tmp_path / "nskd-9.9-py3-none-any.whl"
    assert make(root, log) == 0
    assert "run.lock" in log.read_text()
    assert make(root, log, "--databases") == 0
    assert "databases.lock" in log.read_text()
    assert make(root, log) == 0
    assert not log.exists()  # it is there already
    wheel.write_text("another version")
    assert make(root, log, "--wheel", str(wheel)) == 0
    assert "databases.lock" in log.read_text() and "run.lock" not in log.read_text()
    assert str((root / "opt/nskd/current").readlink()).startswith("/opt/nskd/9.9-")
    assert len([path for path in (root / "opt/nskd").iterdir() if not path.is_symlink()]) == 3


def test_the_interpreter_that_is_named_is_taken(root: Path, tmp_path: Path) -> None:
    log = tmp_path / "pip.log"
    assert make(root, log, python="no-such-python") == 69
    assert make(root, log, python="other-python", old=True) == 0
    assert not log.exists() and Path(f"{log}-of-other").exists()


def test_what_it_does_not_know(root: Path) -> None:
    done = install(root, "--prefix", "/usr/local")
    assert done.returncode == 64 and "--prefix is not an option" in done.stderr
    assert tree(root) == {}
