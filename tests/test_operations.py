"""The document on operations, command by command as it stands, on three machines of their own (``system.machines``)."""

from __future__ import annotations

import json
import re
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import attrs
import pytest

from tests.system.machines import Machine, machines, needs_machines

ROOT = Path(__file__).parents[1]
DOCUMENT = (ROOT / "docs" / "operations.md").read_text()
ADDRESSES = {"noord": "192.0.2.11", "midden": "192.0.2.12", "zuid": "192.0.2.13"}
WHERE = {**{name: (name,) for name in ADDRESSES}, "all": tuple(ADDRESSES)}
IN_TURN = ("charter sign",)  # each adds its line to one file
PATIENCE_S = 60

EDITOR = f"""#!{sys.executable}
# A person who puts noord's two new public keys into the amendment, and nothing else.
import pathlib, re, sys
path, fresh = pathlib.Path(sys.argv[1]), pathlib.Path("/root/noord-new.toml").read_text()
head, *centres = re.split(r"(?m)^(?=\\[\\[centre\\]\\])", path.read_text())
for key in ("noise_key", "signing_key"):
    line = re.search(rf"(?m)^{{key}} = .*$", fresh)[0]
    centres = [re.sub(rf"(?m)^{{key}} = .*$", line, c) if 'name = "noord"' in c else c for c in centres]
path.write_text(head + "".join(centres))
"""


def commands() -> list[tuple[str, str]]:
    """Where each command of the first part is given, and the command; every line of a console block is one."""
    blocks = re.findall(r"^```console\n(.*?)^```$", DOCUMENT, flags=re.DOTALL | re.MULTILINE)
    found = []
    for line in "".join(blocks).splitlines():
        where, prompt, command = line.partition("# ")
        if where in WHERE:
            assert prompt
            found.append((where, command))
    return found


@attrs.define(eq=False)
class Walk:
    """Goes through the document."""

    machines: dict[str, Machine]
    request: str = ""
    said: dict[tuple[str, str], str] = attrs.field(factory=dict)

    def give(self, where: str, command: str) -> str:
        """One line, wherever it is to be given; what it printed, at the last place."""
        if any(words in command for words in IN_TURN):
            outputs = [self.give_at(name, command) for name in WHERE[where]]
        else:
            with ThreadPoolExecutor() as pool:
                outputs = list(pool.map(lambda name: self.give_at(name, command), WHERE[where]))
        if "request submit" in command:
            self.until_received(where)
        return outputs[-1]

    def give_at(self, name: str, command: str) -> str:
        start_s = time.monotonic()
        machine = self.machines[name]
        done = machine.give(command, {"REQUEST": self.request})
        print(f"{time.monotonic() - start_s:5.1f} s  {name}# {command}", flush=True)
        assert done.returncode == 0, f"{name}# {command}\n{done.stdout}{done.stderr}\n{machine.journal()[-3000:]}"
        self.said[name, command] = done.stdout
        return done.stdout

    def until_received(self, by: str) -> None:
        """``$REQUEST``: what was submitted last, once it is at every machine."""
        listing = "nskctl --json request list"
        self.request = json.loads(self.machines[by].give(listing, {}).stdout)["requests"][-1]["request"]
        deadline = time.monotonic() + PATIENCE_S
        for machine in self.machines.values():
            while self.request not in machine.give(listing, {}).stdout:
                assert time.monotonic() < deadline, f"{machine.name} never received the request"

    def configure(self) -> None:
        """Step 5: what stands in the document, under each one's name."""
        (text,) = re.findall(r"^```toml\n(.*?)^```$", DOCUMENT, flags=re.DOTALL | re.MULTILINE)[:1]
        for name, machine in self.machines.items():
            machine.path("/etc/nskd/nskd.toml").write_text(text.replace('name = "noord"', f'name = "{name}"'))


def test_every_command_is_one_that_is_run() -> None:
    """Nothing of the first part is to be typed without standing where it is given."""
    assert len(commands()) > 80
    used = {word for _, command in commands() for word in re.findall(r"(?:nskctl|nskd|systemctl) [a-z-]+", command)}
    for needed in ("nskctl backup", "nskd restore", "nskctl epoch", "systemctl reload", "nskctl pause", "nskctl drain"):
        assert needed in used


def test_what_to_type_when_the_storage_key_was_stolen_is_what_is_run_here() -> None:
    """In SECURITY.md it stands by itself, for somebody in a hurry; the first line is run where all keys were stolen."""
    text = (ROOT / "SECURITY.md").read_text()
    (block,) = [
        found for found in re.findall(r"^```console\n(.*?)^```$", text, re.DOTALL | re.M) if "nskd-rekey" in found
    ]
    first, *rest = [line.removeprefix("$ ") for line in block.splitlines()]
    assert first.startswith("nskctl epoch end --yes --reason")
    walked = [command for where, command in commands() if where == "zuid"]
    start = walked.index(rest[0])
    assert walked[start : start + len(rest)] == rest


@needs_machines
@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_stranger_gets_from_nothing_to_a_workshop_and_through_its_days(tmp_path: Path) -> None:
    with machines(tmp_path, ADDRESSES, {"editor": EDITOR}) as three:
        walk = Walk(three)
        for where, command in commands():
            if command == "nskctl config check" and not walk.request:
                walk.configure()
            walk.give(where, command)
        judge(walk)


def judge(walk: Walk) -> None:
    shown = [text for (_, command), text in walk.said.items() if "result show" in command]
    assert len(shown) == len(ADDRESSES)  # the later of the two, at each
    assert len(set(shown)) == 1 and re.search(r"^0–3 years(\s+[\d.]+){4}( %)?$", shown[0], flags=re.MULTILINE)
    for name, machine in walk.machines.items():
        told = machine.notifications()
        assert [note for note in told if "READY" in note] and [note for note in told if "STOPPING" in note]
        assert [note for note in told if "WATCHDOG" in note]
        assert "Traceback" not in machine.journal()
        assert machine.path("/var/lib/nskd").stat().st_mode & 0o777 == 0o700
        assert not list(machine.path("/root/nskd-keys").glob("*.key"))
        sealed = sorted(path.name for path in machine.path("/etc/credstore.encrypted").iterdir())
        assert sealed == ["nskd.noise.key", "nskd.signing.key", "nskd.storage.key"], name
    assert "paused" in walk.said["midden", "nskctl status"]
    assert used_once(walk.machines) > 0


def used_once(three: dict[str, Machine]) -> int:
    """No item of any batch was taken for two sessions, whatever was restored; how many were taken."""
    taken: dict[tuple[str, str], dict[int, str]] = {}
    for machine in three.values():
        for entry in machine.entries():
            if entry.get("event") != "stock taken":
                continue
            for parts in entry["segments"].values():  # type: ignore[attr-defined]
                for batch, start, stop in parts:
                    items = taken.setdefault((str(entry["epoch"]), batch), {})
                    for item in range(start, stop):
                        assert items.setdefault(item, str(entry["session"])) == entry["session"]
    return sum(map(len, taken.values()))
