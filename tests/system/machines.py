"""Machines of their own on this one: a network namespace each, joined by a bridge, and a root file system each.

A machine sees this one's files and writes into a layer of its own that is gone with it, so commands are given as they
stand in a document: they install into ``/usr`` and make users.  Its first process is a service manager
(:mod:`tests.system.manager`), and ``systemctl`` asks that one.  Takes root.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs
import numba.core.caching
import pytest

from tests.system import manager

ROOT = Path(__file__).parents[2]
ENVIRONMENT = Path(sys.executable).parents[1]
PATIENCE_S = 400
SYSTEMCTL = f'#!/bin/sh\nexport PYTHONPATH="{ROOT}"\nexec {sys.executable} -m tests.system.manager "$@"\n'
# A machine in a namespace has no key of its own to seal with; the format is the same.
CREDS = '#!/bin/sh\nif [ "$1" = encrypt ]; then shift; set -- encrypt --with-key=tpm2-absent "$@"; fi\n'
CREDS += 'exec /usr/bin/systemd-creds "$@" 2>/dev/null\n'
BOOT = """
set -eu
mount --make-rprivate /
mount -t tmpfs tmpfs "$M"
mkdir "$M/upper" "$M/work" "$M/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$M/upper,workdir=$M/work" "$M/root"
cd "$M/root"
mount --rbind /dev dev
mount -t proc proc proc
mount -t tmpfs tmpfs run
mount -t tmpfs tmpfs tmp
mkdir -p "./$ROOT" exchange usr/local/bin var/cache/nskd/numba
mount --bind "$ROOT" "./$ROOT"
mount --bind "$EXCHANGE" exchange
mount --bind "$KERNELS" var/cache/nskd/numba
cp -a "$TOOLS/." usr/local/bin/
chmod 711 root  # the interpreter may live below it
rm -rf etc/nskd etc/credstore.encrypted var/lib/nskd srv/nsk opt/nskd root/* etc/systemd/system/nskd*
ip link set lo up
export PYTHONPATH="$ROOT"
exec chroot . "$PYTHON" -m tests.system.manager serve
"""

_TOOLS = ("ip", "unshare", "nsenter", "chroot", "systemd-creds", "systemd-sysusers", "systemd-tmpfiles", "ssh-keygen")
needs_machines = pytest.mark.skipif(
    os.geteuid() != 0 or not all(map(shutil.which, _TOOLS)),
    reason=f"needs root, and {', '.join(_TOOLS)}",
)


def run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


@attrs.define(eq=False)
class Machine:
    """One of them, up."""

    name: str
    process: subprocess.Popen[bytes]
    pid: int  # of its first process, as this machine counts

    def give(self, command: str, variables: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        """A command as root gives it, in the clone."""
        enter = ["nsenter", "-t", str(self.pid), "--net", "--mount", "--pid", f"--root=/proc/{self.pid}/root"]
        return subprocess.run(
            [*enter, f"--wd=/proc/{self.pid}/root{ROOT}", "bash", "-euo", "pipefail", "-c", command],
            env={
                "PATH": "/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin:/bin:/sbin",
                "HOME": "/root",
                "LANG": "C.UTF-8",
                "NSKD_ENVIRONMENT": str(ENVIRONMENT),
                "EDITOR": "/usr/local/bin/editor",
                **variables,
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )

    def path(self, path: str | Path) -> Path:
        """A file of that machine, seen from here."""
        return Path(f"/proc/{self.pid}/root{path}")

    def journal(self) -> str:
        path = self.path(manager.JOURNAL)
        return path.read_text(errors="replace") if path.exists() else ""

    def entries(self) -> list[dict[str, object]]:
        """What its daemon logged, line by line."""
        found = []
        for line in self.journal().splitlines():
            with contextlib.suppress(ValueError):
                found.append(json.loads(line))
        return [entry for entry in found if isinstance(entry, dict)]

    def notifications(self) -> list[dict[str, object]]:
        """What its daemon told the service manager."""
        return [json.loads(line) for line in self.path(manager.NOTES).read_text().splitlines()]


@contextlib.contextmanager
def machines(directory: Path, addresses: Mapping[str, str], tools: Mapping[str, str]) -> Iterator[dict[str, Machine]]:
    """Bring machines up, by name and address, on one network; ``tools`` are further programs in their path."""
    prefix = f"nskd-{os.getpid()}"
    switch = f"{prefix}-switch"
    with contextlib.ExitStack() as stack:
        for name in ("tools", "exchange", "kernels"):
            (directory / name).mkdir()
        (directory / "kernels").chmod(0o777)
        compiled(directory / "kernels")
        for name, text in {"systemctl": SYSTEMCTL, "systemd-creds": CREDS, **tools}.items():
            (directory / "tools" / name).write_text(text)
            (directory / "tools" / name).chmod(0o755)
        run("ip", "netns", "add", switch)
        stack.callback(run, "ip", "netns", "del", switch)
        run("ip", "-n", switch, "link", "add", "bridge", "type", "bridge")
        run("ip", "-n", switch, "link", "set", "bridge", "up")
        found = {}
        for name, address in addresses.items():
            space = f"{prefix}-{name}"
            run("ip", "netns", "add", space)
            stack.callback(run, "ip", "netns", "del", space)
            run("ip", "-n", switch, "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", space)
            run("ip", "-n", switch, "link", "set", name, "master", "bridge", "up")
            run("ip", "-n", space, "addr", "add", f"{address}/24", "dev", "eth0")
            run("ip", "-n", space, "link", "set", "eth0", "up")
            found[name] = boot(stack, name, space, directory)
        yield found


def boot(stack: contextlib.ExitStack, name: str, space: str, directory: Path) -> Machine:
    (directory / name).mkdir()
    process = subprocess.Popen(
        ["ip", "netns", "exec", space, "unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", BOOT],
        env={
            **os.environ,
            "M": str(directory / name),
            "ROOT": str(ROOT),
            "EXCHANGE": str(directory / "exchange"),
            "KERNELS": str(directory / "kernels"),
            "TOOLS": str(directory / "tools"),
            "PYTHON": sys.executable,
        },
        stdin=subprocess.DEVNULL,
    )
    stack.callback(process.wait)
    stack.callback(process.kill)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:  # a machine that boots cannot tell when it will be up
        assert process.poll() is None, f"{name} did not come up"
        for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
            if Path(f"/proc/{child}/root{manager.CONTROL}").exists():
                return Machine(name, process, int(child))
        time.sleep(0.02)
    raise AssertionError(f"{name} did not come up")


def compiled(directory: Path) -> None:
    """Put what is compiled already where the units have it: three machines that compile all of it take minutes."""
    locator = numba.core.caching._CacheLocator
    for index in (ROOT / "protocol").rglob("__pycache__/*.nb?"):
        module = index.name.split(".")[0].split("-")[0]
        source = index.parents[1] / f"{module}.py"
        place = directory / locator.get_suitable_cache_subpath(str(source))
        place.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(index, place / index.name)
        shutil.copystat(index, place / index.name)
        place.chmod(0o777)
