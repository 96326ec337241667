"""The plan for joining, command by command as it stands in the document, at three hospitals on this machine.

Each hospital has a directory in the place of its machine, in which the document's paths lie.  ``systemctl`` starts and
stops a real daemon there, and ``$EDITOR`` is a person who takes the hospital that leaves out of the charter.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import attrs
import click
import pytest

from nskd.control.steward_key import generate as generate_steward_key
from nskd.credentials import generate, load_keys
from nskd.governance.charter import load_charter
from nskd.governance.charter_signatures import CharterSignatures, Signer, sign_charter, signatures_path
from nskd.packs.pack import load_pack
from nskd.packs.synthetic import generate as synthesise
from nskd.packs.synthetic import write_visits
from tests.console import PURPOSES, config, known
from tests.ports import free_ports

ROOT = Path(__file__).parents[1]
DOCUMENT = (ROOT / "docs" / "joining.md").read_text()
NEWCOMER = "oost"
MEMBERS = ("noord", "zuid")
EVERYBODY = (*MEMBERS, NEWCOMER)
WHERE = {**{name: (name,) for name in ("oost", "noord")}, "others": MEMBERS, "all": EVERYBODY}
PATHS = re.compile(r"(?<![\w./-])/(etc/nskd|etc/credstore\.encrypted|srv/nsk|root/nskd-keys|var/lib/nskd)(?![\w-])")
STOCK = "[stock]\ntriples = { low = 0, high = 0 }\nbits = { low = 0, high = 0 }\nmasks = { low = 0, high = 0 }\n"
PATIENCE_S = 150

SYSTEMCTL = """#!/bin/bash
set -euo pipefail
stop() { kill "$(cat "$MACHINE/pid")"; tail --pid="$(cat "$MACHINE/pid")" -s 0.02 -f /dev/null; rm "$MACHINE/pid"; }
start() {
  nskd run --config "$MACHINE/etc/nskd/nskd.toml" --credentials "$MACHINE/credentials" \\
    >>"$MACHINE/log" 2>&1 </dev/null &
  echo $! >"$MACHINE/pid"
}
# What is sealed to a machine is here as it is, and what its unit is given.
seal() {
  mkdir -p -m 700 "$MACHINE/credentials" "$MACHINE/etc/credstore.encrypted"
  for key in noise signing storage; do
    cp -p "$MACHINE/root/nskd-keys/$key.key" "$MACHINE/credentials/"
    mv "$MACHINE/root/nskd-keys/$key.key" "$MACHINE/etc/credstore.encrypted/nskd.$key.key"
  done
}
if [ ! -e "$MACHINE/credentials" ]; then seal; fi
case "$*" in
  "restart nskd") if [ -e "$MACHINE/pid" ]; then stop; fi; start ;;
  "enable --now nskd") start ;;
  "disable --now nskd") stop ;;
  *) echo "systemctl $*: not known here" >&2; exit 64 ;;
esac
"""
EDITOR = f"""#!{sys.executable}
import pathlib, re, sys
path = pathlib.Path(sys.argv[1])
head, *centres = re.split(r"(?m)^(?=\\[\\[centre\\]\\])", path.read_text())
kept = [centre for centre in centres if 'name = "{NEWCOMER}"' not in centre]
assert len(kept) == len(centres) - 1
path.write_text(head + "".join(kept))
"""
ASKPASS = "#!/bin/sh\necho a passphrase of a steward\n"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", DOCUMENT, flags=re.DOTALL | re.MULTILINE)


def commands() -> list[tuple[str, str]]:
    """Where each command of the document is given, and the command; every line of a console block is one."""
    found = []
    for line in "".join(blocks("console")).splitlines():
        where, prompt, command = line.partition("$ ")
        assert prompt and where in WHERE, f"whose command is this? {line}"
        found.append((where, command))
    return found


@attrs.define(eq=False)
class Hospitals:
    """Three machines, each a directory; what the document calls by a name is below it."""

    directory: Path
    ports: dict[str, int]
    request: str = ""

    def machine(self, name: str) -> Path:
        return self.directory / name

    def set_up(self) -> None:
        """What there is before the document begins: two that take part, and an extract at the third."""
        self.exchange.mkdir()
        for name, text in (("systemctl", SYSTEMCTL), ("editor", EDITOR), ("askpass", ASKPASS)):
            path = self.directory / "bin" / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
            path.chmod(0o700)
        for number, name in enumerate(EVERYBODY):
            machine = self.machine(name)
            for each in ("etc/nskd", "srv/nsk", "root", "home", "run", "var/lib"):
                (machine / each).mkdir(parents=True)
            pack = load_pack("nsk")
            write_visits(synthesise(pack, seed=3, centre=number, visits=400), machine / "srv/nsk/visits.csv")
            (machine / "srv/nsk/opt-out.csv").write_text("person_link\nnobody-we-know\n")
            (machine / "home/request.toml").write_bytes((ROOT / "configs/request.toml").read_bytes())
        entries = [self._member(name) for name in MEMBERS]
        for name in MEMBERS:
            (self.machine(name) / "etc/nskd/charter.toml").write_text(PURPOSES + "".join(entries))
        self._sign()
        self._write_newcomers_config()
        for command in ("systemctl restart nskd", "nskctl wait --timeout 120"):
            self.give("others", command)

    def _member(self, name: str) -> str:
        machine = self.machine(name)
        text = config(self.directory, name, self.ports[name], charter=machine / "etc/nskd/charter.toml")
        (machine / "etc/nskd/nskd.toml").write_text(
            text.replace(f"{machine}/visits.csv", f"{machine}/srv/nsk/visits.csv").replace("control.sock", "run/s")
        )
        steward = generate_steward_key(machine / "home/steward", f"Steward of {name}")
        address = f"127.0.0.1:{self.ports[name]}"
        return generate(machine / "root/nskd-keys").charter_entry(name=name, address=address, stewards=[steward.line])

    def _sign(self) -> None:
        charters = [self.machine(name) / "etc/nskd/charter.toml" for name in MEMBERS]
        charter = load_charter(charters[0])
        keys = {name: load_keys(self.machine(name) / "root/nskd-keys").signing for name in MEMBERS}
        signed = tuple(sign_charter(charter, Signer(name, key.public), key.signer()) for name, key in keys.items())
        for path in charters:
            signatures_path(path).write_text(CharterSignatures(charter.digest, signed).text())

    def _write_newcomers_config(self) -> None:
        """As the document has it, its paths and port as they are here, and little to do in advance."""
        (text,) = blocks("toml")
        machine = self.machine(NEWCOMER)
        text = self._here(NEWCOMER, text).replace("0.0.0.0:7443", f"127.0.0.1:{self.ports[NEWCOMER]}")
        text += f'[state]\ndirectory = "{machine}/var/lib/nskd"\n[control]\nsocket = "{machine}/run/s"\n{STOCK}'
        (machine / "etc/nskd/nskd.toml").write_text(text)

    @property
    def exchange(self) -> Path:
        return self.directory / "exchange"

    def _here(self, name: str, text: str) -> str:
        """The document's names as what they stand for at one hospital."""
        text = PATHS.sub(rf"{self.machine(name)}/\1", text.replace("/exchange/", f"{self.exchange}/"))
        return text.replace("nskd.oost.example:7443", f"127.0.0.1:{self.ports[NEWCOMER]}")

    def _shell(self, name: str, command: str) -> subprocess.CompletedProcess[str]:
        machine = self.machine(name)
        path = [str(self.directory / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]]
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", self._here(name, command)],
            cwd=machine / "home",
            env={
                **os.environ,
                "PATH": os.pathsep.join(path),
                "MACHINE": str(machine),
                "NSKD_SOCKET": str(machine / "run/s"),
                "EDITOR": str(self.directory / "bin/editor"),
                "SSH_ASKPASS": str(self.directory / "bin/askpass"),
                "SSH_ASKPASS_REQUIRE": "force",
                "REQUEST": self.request,
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )

    def give(self, where: str, command: str) -> str:
        """One line of the document, wherever it is to be given; what it printed, at the last place."""
        if "charter sign" in command:  # each adds its line to one file
            outputs = [self._give_at(name, command) for name in WHERE[where]]
        else:
            with ThreadPoolExecutor() as pool:
                outputs = list(pool.map(lambda name: self._give_at(name, command), WHERE[where]))
        if "request submit" in command:
            self._until_received()
        return outputs[-1]

    def _give_at(self, name: str, command: str) -> str:
        start_s = time.monotonic()
        done = self._shell(name, command)
        print(f"{time.monotonic() - start_s:5.1f} s  {name}$ {command}")
        log = self.machine(name) / "log"
        daemon = log.read_text()[-2000:] if log.exists() else ""
        assert done.returncode == 0, f"{name}$ {command}\n{done.stdout}{done.stderr}\n{daemon}"
        return done.stdout

    def follow(self, lines: Iterable[tuple[str, str]]) -> dict[str, str]:
        """All of the document, in its order; what each command printed.

        The rehearsal goes on beside what follows, which does not need it, until daemons are restarted.
        """
        said: dict[str, str] = {}
        with ThreadPoolExecutor() as pool:
            rehearsals: dict[str, Future[str]] = {}
            for where, command in lines:
                if command.startswith("nskd sandbox"):
                    rehearsals[command] = pool.submit(self.give, where, command)
                    continue
                if command.startswith("systemctl"):
                    said |= {each: future.result() for each, future in rehearsals.items()}
                said[command] = self.give(where, command)
        return said

    def _until_received(self) -> None:
        """``$REQUEST``, once it is at every hospital."""
        deadline = time.monotonic() + PATIENCE_S
        for name in EVERYBODY:
            while True:
                listed = json.loads(self._shell(name, "nskctl --json request list").stdout)["requests"]
                if listed:
                    self.request = listed[0]["request"]
                    break
                assert time.monotonic() < deadline, f"{name} never received the request"

    def stop(self) -> None:
        for name in EVERYBODY:
            path = self.machine(name) / "pid"
            if path.exists():
                pid = int(path.read_text())
                os.kill(pid, signal.SIGTERM)
                subprocess.run(["tail", f"--pid={pid}", "-s", "0.02", "-f", "/dev/null"], timeout=30, check=True)


@pytest.fixture
def hospitals(tmp_path: Path) -> Iterator[Hospitals]:
    hospitals = Hospitals(tmp_path, dict(zip(EVERYBODY, free_ports(len(EVERYBODY)), strict=True)))
    try:
        yield hospitals
    finally:
        hospitals.stop()


def test_every_command_of_the_document_is_one_that_is_run() -> None:
    """Nothing to be typed stands in a block of another kind, or without saying where it is given."""
    fences = re.findall(r"^ *(?:```|~~~)(.*)$", DOCUMENT, flags=re.MULTILINE)
    assert set(fences) == {"console", "toml", ""}
    assert fences[1::2] == [""] * (len(fences) // 2)
    outside = re.sub(r"^```.*?^```$", "", DOCUMENT, flags=re.DOTALL | re.MULTILINE)
    assert not re.findall(r"^(?: {4}|\t)\S", outside, flags=re.MULTILINE), "an indented block is not run"
    assert len(commands()) > 40


def test_every_command_of_the_document_is_one_that_there_is() -> None:
    ours = [command for _, command in commands() if command.split()[0] in ("nskctl", "nskd")]
    assert len({known(command) for command in ours}) > 20
    for wrong in (
        "nskctl charter sing x",
        "nskctl pause --because x",
        "nskctl audit verify a b",
        "nskctl request show",
    ):
        with pytest.raises((AssertionError, click.UsageError)):
            known(wrong)


@pytest.mark.long
@pytest.mark.timeout(280)
def test_a_hospital_joins_and_leaves_by_the_document(hospitals: Hospitals) -> None:
    hospitals.set_up()
    lines = commands()
    said = hospitals.follow(lines)
    assert said.keys() == {command for _, command in lines}

    def of(words: str) -> str:
        (found,) = [output for command, output in said.items() if words in command]
        return found

    home = hospitals.machine(NEWCOMER) / "home"
    assert "OPEN PUNT" in (home / "dpia.md").read_text() and "Ziekenhuis Oost" in (home / "dpia.md").read_text()
    assert "oost" in of("charter diff")
    assert re.search(r"^0–3 years(\s+[\d.]+){4}( %)?$", of("result show"), flags=re.MULTILINE)
    assert "0–3 jaar" in of("nskd sandbox")
    private = (home / "visser").read_text()
    assert "OPENSSH PRIVATE KEY" in private
    gone = hospitals.machine(NEWCOMER)
    assert not list((gone / "root/nskd-keys").glob("*.key")) and not list((gone / "etc/credstore.encrypted").iterdir())
    left = {path.name for path in (gone / "var/lib/nskd").iterdir()}
    assert not left & {"stock", "backup", "contributions", "populations"} and {"ledger.sqlite", "audit.ndjson"} <= left
    assert not (hospitals.machine(NEWCOMER) / "pid").exists()
    for name in MEMBERS:
        charter = load_charter(hospitals.machine(name) / "etc/nskd/charter.toml")
        assert (charter.version, charter.names) == (3, MEMBERS)
        assert "Traceback" not in (hospitals.machine(name) / "log").read_text()
