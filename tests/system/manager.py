"""A service manager for one machine of a test: what systemd does for our units, no more, and strictly.

It reads the units as they were installed, drop-ins included, and refuses a directive it does not know, so that nothing
in a unit goes untested unseen: a directive is carried out here, or named in ``_SANDBOX`` as one that only a kernel with
systemd in charge can (``systemd-analyze`` looks at those).  Commands come as lines of JSON over a socket.

    python -m tests.system.manager serve            in the machine, for as long as it is up
    python -m tests.system.manager COMMAND …        as systemctl
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import re
import resource
import shlex
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs

UNITS = Path("/etc/systemd/system")
CONTROL = Path("/run/manager.sock")
JOURNAL = Path("/var/log/journal.txt")
NOTES = Path("/var/log/notifications.jsonl")
DIRECTORIES = {"Configuration": "/etc", "State": "/var/lib", "Cache": "/var/cache", "Runtime": "/run"}
SPECIFIERS = {"%S": "/var/lib", "%C": "/var/cache", "%t": "/run", "%%": "%"}
SECONDS = {"": 1, "s": 1, "min": 60, "h": 3600}
_SANDBOX = (
    "CapabilityBoundingSet AmbientCapabilities ProtectSystem ProtectHome ProtectProc ProcSubset ProtectClock"
    " ProtectHostname ProtectKernelLogs ProtectKernelModules ProtectKernelTunables ProtectControlGroups PrivateTmp"
    " PrivateDevices DevicePolicy PrivateUsers PrivateMounts PrivateNetwork RestrictAddressFamilies RestrictNamespaces"
    " RestrictRealtime RestrictSUIDSGID RemoveIPC LockPersonality MemoryDenyWriteExecute KeyringMode"
    " SystemCallArchitectures SystemCallFilter SystemCallErrorNumber CPUWeight IOWeight OOMPolicy NoNewPrivileges"
    " Description Documentation Wants After Before StartLimitIntervalSec StartLimitBurst WantedBy"
)
_DONE_HERE = (
    "Type NotifyAccess ExecStart ExecReload ExecStop TimeoutStartSec TimeoutStopSec WatchdogSec Restart RestartSec"
    " RestartPreventExitStatus User Group UMask LoadCredentialEncrypted Environment LimitCORE LimitNOFILE Conflicts"
    " IPAddressDeny IPAddressAllow"
)
_TIMER = "Description Documentation OnCalendar RandomizedDelaySec Persistent WantedBy"
KNOWN = {
    *_SANDBOX.split(),
    *_DONE_HERE.split(),
    *(f"{kind}Directory{mode}" for kind in DIRECTORIES for mode in ("", "Mode")),
}


class UnitError(Exception):
    """A unit that cannot be carried out, or a service that failed."""


def read_unit(name: str, units: Path = UNITS) -> dict[str, list[str]]:
    """All values of each directive, in order; an empty one forgets those before it."""
    values: dict[str, list[str]] = {}
    for path in (units / f"{name}.service", *sorted((units / f"{name}.service.d").glob("*.conf"))):
        for line in path.read_text().splitlines():
            if not line.strip() or line[0] in "#;[":
                continue
            key, _, value = line.partition("=")
            if key not in KNOWN:
                raise UnitError(f"{path}: {key}= is not known here")
            if value:
                values.setdefault(key, []).append(value)
            else:
                values[key] = []
    for address in " ".join(values.get("IPAddressAllow", [])).split():
        if address != "localhost":
            ipaddress.ip_network(address)
    return values


def seconds(text: str) -> float:
    match = re.fullmatch(r"([0-9]+)(s|min|h|)", text)
    if match is None:
        raise UnitError(f"{text} is no time")
    return int(match[1]) * SECONDS[match[2]]


def user_id(name: str, file: str) -> int:
    for line in Path(file).read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split(":")[2])
    raise UnitError(f"there is no {name} in {file}")


@attrs.define(eq=False)
class Service:
    """One unit: its process, what it told, and what is done when it ends."""

    name: str
    unit: dict[str, list[str]] = attrs.field(factory=dict)
    process: subprocess.Popen[bytes] | None = None
    told: list[dict[str, str]] = attrs.field(factory=list)
    stopping: bool = False
    fed_at: float = 0.0
    changed: threading.Condition = attrs.field(factory=threading.Condition)

    def one(self, key: str, default: str = "") -> str:
        return self.unit.get(key, [default])[-1]

    @property
    def active(self) -> bool:
        return self.process is not None and self.process.poll() is None

    # --- what a process gets --------------------------------------------------------------------------------------

    def prepare(self) -> dict[str, str]:
        """Directories, credentials and environment."""
        uid, gid = user_id(self.one("User"), "/etc/passwd"), user_id(self.one("Group"), "/etc/group")
        environment = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "USER": self.one("User")}
        for kind, parent in DIRECTORIES.items():
            if name := self.one(f"{kind}Directory"):
                path = Path(parent) / name
                path.mkdir(parents=True, exist_ok=True)
                path.chmod(int(self.one(f"{kind}DirectoryMode", "0755"), 8))
                if kind != "Configuration":
                    os.chown(path, uid, gid)
                environment[f"{kind.upper()}_DIRECTORY"] = str(path)
        credentials = Path(f"/run/credentials/{self.name}.service")
        subprocess.run(["rm", "-rf", credentials], check=True)
        credentials.mkdir(parents=True, mode=0o700)
        for line in self.unit.get("LoadCredentialEncrypted", []):
            name, _, sealed = line.partition(":")
            opened = subprocess.run(
                ["systemd-creds", "decrypt", f"--name={name}", sealed, "-"], capture_output=True, check=False
            )
            if opened.returncode:
                raise UnitError(f"{sealed}: {opened.stderr.decode()}")
            (credentials / name).write_bytes(opened.stdout)
            (credentials / name).chmod(0o400)
            os.chown(credentials / name, uid, gid)
        credentials.chmod(0o500)
        os.chown(credentials, uid, gid)
        environment["CREDENTIALS_DIRECTORY"] = str(credentials)
        for line in self.unit.get("Environment", []):
            key, _, value = line.partition("=")
            environment[key] = re.sub("%.", lambda match: SPECIFIERS[match[0]], value)
        return environment

    def spawn(self, command: str, environment: dict[str, str]) -> subprocess.Popen[bytes]:
        words = shlex.split(command)
        if not words[0].startswith("/"):
            raise UnitError(f"{words[0]} is not an absolute path")
        cores, files = int(self.one("LimitCORE", "0")), int(self.one("LimitNOFILE", "1024"))

        def limit() -> None:
            resource.setrlimit(resource.RLIMIT_CORE, (cores, cores))
            resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))

        with JOURNAL.open("ab") as journal:
            return subprocess.Popen(
                words,
                env=environment,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=journal,
                stderr=journal,
                user=user_id(self.one("User"), "/etc/passwd"),
                group=user_id(self.one("Group"), "/etc/group"),
                extra_groups=[],
                umask=int(self.one("UMask", "0022"), 8),
                preexec_fn=limit,
                start_new_session=True,
            )

    # --- the life of a service ------------------------------------------------------------------------------------

    def start(self) -> None:
        if self.active:
            return
        self.unit = read_unit(self.name)
        environment = self.prepare()
        if self.one("Type") == "oneshot":
            status = self.spawn(self.one("ExecStart"), environment).wait(seconds(self.one("TimeoutStartSec", "90s")))
            if status:
                raise UnitError(f"{self.name} failed with status {status}")
            return
        if (self.one("Type"), self.one("NotifyAccess")) != ("notify", "main"):
            raise UnitError("only Type=notify with NotifyAccess=main is known here")
        path = f"/run/notify-{self.name}"
        Path(path).unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        listener.bind(path)
        Path(path).chmod(0o777)
        environment["NOTIFY_SOCKET"] = path
        if self.one("WatchdogSec"):
            environment["WATCHDOG_USEC"] = str(int(seconds(self.one("WatchdogSec")) * 1_000_000))
        self.told, self.stopping, self.fed_at = [], False, time.monotonic()
        self.process = self.spawn(self.one("ExecStart"), environment)
        threading.Thread(target=self.listen, args=(listener, self.process), daemon=True).start()
        threading.Thread(target=self.watch, args=(self.process,), daemon=True).start()
        if not self.wait_told("READY", seconds(self.one("TimeoutStartSec", "90s"))):
            raise UnitError(f"{self.name} did not become ready")

    def listen(self, listener: socket.socket, process: subprocess.Popen[bytes]) -> None:
        """Take notifications of the main process, and of no other, until it is gone."""
        listener.settimeout(0.2)
        with listener:
            while process.poll() is None:
                try:
                    data, ancillary, _, _ = listener.recvmsg(4096, socket.CMSG_SPACE(12))
                except TimeoutError:
                    self.look_at_watchdog(process)
                    continue
                (pid, _, _) = struct.unpack("iII", ancillary[0][2])
                if pid != process.pid:
                    continue
                fields = dict(line.split("=", 1) for line in data.decode().splitlines())
                with self.changed:
                    self.told.append(fields)
                    if "WATCHDOG" in fields:
                        self.fed_at = time.monotonic()
                    with NOTES.open("a") as notes:
                        notes.write(json.dumps({"unit": self.name, "at": time.monotonic(), **fields}) + "\n")
                    self.changed.notify_all()
        with self.changed:
            self.changed.notify_all()

    def look_at_watchdog(self, process: subprocess.Popen[bytes]) -> None:
        limit = self.one("WatchdogSec")
        ready = any("READY" in fields for fields in self.told)
        if limit and ready and not self.stopping and time.monotonic() - self.fed_at > seconds(limit):
            process.send_signal(signal.SIGABRT)

    def wait_told(self, key: str, timeout_s: float, after: int = 0) -> bool:
        """Wait for a notification with that key beyond the first ``after``; False once the process has ended."""
        with self.changed:
            self.changed.wait_for(
                lambda: any(key in fields for fields in self.told[after:]) or not self.active, timeout_s
            )
            return any(key in fields for fields in self.told[after:])

    def watch(self, process: subprocess.Popen[bytes]) -> None:
        """``Restart=on-failure``."""
        status = process.wait()
        with self.changed:
            self.changed.notify_all()
        if not status or self.stopping or self.one("Restart") != "on-failure":
            return
        if str(status) in self.one("RestartPreventExitStatus").split():
            return
        time.sleep(seconds(self.one("RestartSec", "1s")))
        if not self.stopping and not self.active:
            with contextlib.suppress(UnitError):
                self.start()

    def stop(self) -> None:
        self.stopping = True
        if not self.active or self.process is None:
            return
        for command in self.unit.get("ExecStop", []):
            environment = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "MAINPID": str(self.process.pid)}
            if self.spawn(command, environment).wait(seconds(self.one("TimeoutStopSec", "90s"))):
                raise UnitError(f"{command} failed")
        self.process.terminate()
        try:
            status = self.process.wait(seconds(self.one("TimeoutStopSec", "90s")))
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise UnitError(f"{self.name} did not stop") from None
        if status:
            raise UnitError(f"{self.name} ended with {status}")

    def reload(self) -> None:
        if not self.active:
            raise UnitError(f"{self.name} is not running")
        environment = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
        if self.spawn(self.one("ExecReload"), environment).wait(60):
            raise UnitError(f"reload of {self.name} failed")


@attrs.define(eq=False)
class Manager:
    """All units of a machine."""

    services: dict[str, Service] = attrs.field(factory=dict)

    def enable(self, name: str, now: bool) -> None:
        """A timer is read, and its service looked up; by the clock nothing is started here."""
        if not name.endswith(".timer"):
            if now:
                self.start(name)
            else:
                self.service(name)
            return
        for line in (UNITS / name).read_text().splitlines():
            key, assigned, _ = line.partition("=")
            if assigned and line[0] not in "#;[" and key not in _TIMER.split():
                raise UnitError(f"{name}: {key}= is not known here")
        read_unit(self.service(name.removesuffix(".timer")).name)

    def service(self, name: str) -> Service:
        name = name.removesuffix(".service")
        if not (UNITS / f"{name}.service").exists():
            raise UnitError(f"there is no unit {name}.service")
        return self.services.setdefault(name, Service(name))

    def start(self, name: str) -> None:
        service = self.service(name)
        unit = read_unit(service.name)
        for conflict in " ".join(unit.get("Conflicts", [])).split():
            self.service(conflict).stop()
        for other in self.services.values():  # a conflict works both ways
            if f"{service.name}.service" in " ".join(other.unit.get("Conflicts", [])):
                other.stop()
        service.start()

    def restart(self, name: str) -> None:
        self.service(name).stop()
        self.start(name)

    def carry_out(self, words: list[str]) -> str:
        now = "--now" in words
        verb, *names = [word for word in words if not word.startswith("--")]
        verbs: dict[str, Callable[[str], object]] = {
            "start": self.start,
            "stop": lambda name: self.service(name).stop(),
            "restart": self.restart,
            "reload": lambda name: self.service(name).reload(),
            "enable": lambda name: self.enable(name, now),
            "disable": lambda name: self.service(name).stop() if now else self.service(name),
            "kill": lambda name: self.service(name).process.kill(),  # type: ignore[union-attr]
        }
        if verb == "daemon-reload" and not names:
            for path in UNITS.glob("nskd*.service"):
                read_unit(path.stem)
            return ""
        if verb == "is-active":
            return "\n".join("active" if self.service(name).active else "inactive" for name in names)
        if verb not in verbs or not names:
            raise UnitError(f"systemctl {' '.join(words)}: not known here")
        for name in names:
            verbs[verb](name)
        return ""

    def serve(self) -> None:
        CONTROL.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            listener.bind(str(CONTROL))
            listener.listen()
            while True:
                connection, _ = listener.accept()
                with connection, connection.makefile("rw") as lines:
                    answer: dict[str, Any]
                    try:
                        answer = {"said": self.carry_out(json.loads(lines.readline()))}
                    except (UnitError, OSError, subprocess.SubprocessError, ValueError) as error:
                        answer = {"error": f"{type(error).__name__}: {error}"}
                    lines.write(json.dumps(answer) + "\n")
                    lines.flush()


def systemctl(words: list[str]) -> int:
    """Ask the manager of this machine."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(str(CONTROL))
        with connection.makefile("rw") as lines:
            lines.write(json.dumps(words) + "\n")
            lines.flush()
            answer = json.loads(lines.readline())
    print(answer.get("error") or answer.get("said"), file=sys.stderr if "error" in answer else sys.stdout)
    return int("error" in answer)


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        Manager().serve()
    sys.exit(systemctl(sys.argv[1:]))
