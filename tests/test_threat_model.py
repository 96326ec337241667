"""The threat model names steps, modules and tests, and SECURITY.md commands: what is not there protects nobody."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import click
import pytest

from nskd.__main__ import main as nskd
from nskd.control.cli import main as nskctl

ROOT = Path(__file__).parents[1]
MODEL = (ROOT / "docs" / "threat-model.md").read_text()
SECURITY = (ROOT / "SECURITY.md").read_text()
FIXES = MODEL[MODEL.index("## Security fixes") :]

TEST = re.compile(r"([\w/]+\.py)::(\w+)")
# Other numbers with one point in them are not in the document; releases of other programs have two.
STEP = re.compile(r"(?<![\w.])(?:L\.\d+|\d{1,2}\.\d{1,2})(?![\w.]*\d)")
MODULE = re.compile(r"`((?:nskd|protocol)(?:\.\w+)+)`")
KEYS = re.compile(r"--[a-z][a-z-]*")


@cache
def defined_in(path: str) -> frozenset[str]:
    """The tests a file defines, without importing it; a state machine's test is assigned."""
    file = ROOT / "tests" / path
    names: set[str] = set()
    for node in ast.parse(file.read_text()).body if file.is_file() else ():
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return frozenset(name for name in names if name.lower().startswith("test"))


def steps() -> set[str]:
    """Every step that the two documents define: numbered in order within its section, at the start of a sentence."""
    found = set(re.findall(r"^## (L\.\d+) ", (ROOT / "docs" / "protocol-lattice.md").read_text(), flags=re.MULTILINE))
    sections = re.split(r"^## (\d+)\. ", (ROOT / "docs" / "protocol.md").read_text(), flags=re.MULTILINE)
    for number, text in zip(sections[1::2], sections[2::2], strict=True):
        due = 1
        for step in re.findall(rf"(?:^|[.:)*]\s){number}\.(\d+) \S", text, flags=re.MULTILINE):
            if int(step) == due:
                found.add(f"{number}.{step}")
                due += 1
    return found


def rows() -> list[list[str]]:
    """The cells of the table of security fixes."""
    lines = [line for line in FIXES.splitlines() if re.match(r"\| \d+ \|", line)]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_every_test_named_exists() -> None:
    named = set(TEST.findall(MODEL))
    assert len(named) > 100
    assert {f"{path}::{test}" for path, test in named if test not in defined_in(path)} == set()


def test_every_step_named_is_a_step() -> None:
    known = steps()
    assert {"1.1", "5.9", "11.10", "12.12", "15.7", "L.1", "L.11"} <= known
    assert "11.11" not in known
    assert "16.1" not in known
    named = set(STEP.findall(MODEL))
    assert len(named) > 50
    assert named - known == set()


def test_every_module_named_exists() -> None:
    named = set(MODULE.findall(MODEL))
    assert named
    places = {name: ROOT.joinpath(*name.split(".")) for name in named}
    assert {n for n, p in places.items() if not p.with_suffix(".py").is_file() and not p.is_dir()} == set()


def test_every_kind_of_adversary_says_what_is_left() -> None:
    sections = re.split(r"^## ", MODEL, flags=re.MULTILINE)[1:]
    adversaries = [s for s in sections if "test |\n|---" in s and not s.startswith("Security fixes")]
    assert len(adversaries) == 9
    assert [s.splitlines()[0] for s in adversaries if "**What is left.**" not in s] == []


def test_every_security_fix_has_a_test_or_a_reason() -> None:
    table = rows()
    assert [row[0] for row in table] == [str(k + 1) for k in range(len(table))]
    for number, _, what, concerns, why in table:
        assert what, number
        assert concerns in {"yes", "like", "no"}, number
        assert ("cannot occur" in why) == (concerns == "no"), number
        assert concerns == "no" or TEST.search(why), number


def test_the_number_of_fixes_is_what_the_text_says() -> None:
    releases = [tuple(int(part) for part in row[1].split(".")) for row in rows() if row[1] != "not known"]
    assert releases == sorted(releases)
    assert sum(each <= (0, 4, 1) for each in releases) == 31
    assert sum(each == (0, 4, 4) for each in releases) == 5
    assert len(rows()) - len(releases) == 4


# --- SECURITY.md ------------------------------------------------------------------------------------------------


def commands() -> list[str]:
    """Every command of ours that SECURITY.md gives, in blocks and in sentences."""
    return re.findall(r"(?:^\$ |`)(nsk(?:ctl|d) [^`\n]+)", SECURITY, flags=re.MULTILINE)


@pytest.mark.parametrize("command", sorted(set(commands())))
def test_every_command_exists(command: str) -> None:
    program, *words = command.split()
    found: click.Command = {"nskctl": nskctl, "nskd": nskd}[program]
    while isinstance(found, click.Group):
        assert words and words[0] in found.commands, command
        found = found.commands[words.pop(0)]
    known = {option for parameter in found.params for option in parameter.opts}
    assert set(KEYS.findall(" ".join(words))) <= known, command


def test_every_kind_of_key_has_a_procedure() -> None:
    for key in ("Channel key", "Signing key", "Storage key", "A steward's key"):
        assert f"**{key}.**" in SECURITY


def test_no_address_is_made_up() -> None:
    """Whom to write to differs from workshop to workshop; an address here would be nobody's."""
    assert not re.search(r"[\w.]+@[\w.]+", SECURITY)


def test_every_locked_package_has_hashes_and_they_are_required() -> None:
    for lock in (ROOT / "requirements" / "run.lock", ROOT / "requirements" / "dev.lock"):
        entries = [entry for entry in re.split(r"\n(?=[a-z])", lock.read_text()) if re.match(r"[a-z]", entry)]
        assert len(entries) > 10
        for entry in entries:
            assert re.match(r"[\w.\[\]-]+==\S+ ", entry), f"not pinned: {entry[:60]}"
            assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), f"no hash: {entry[:60]}"
    for place in (ROOT / "Makefile", ROOT / "systemd" / "install.sh"):
        installs = [line for line in place.read_text().splitlines() if re.search(r"pip\"? install .*-r ", line)]
        assert installs and all("--require-hashes" in line for line in installs), place.name
