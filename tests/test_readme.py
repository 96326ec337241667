"""The README's commands, run as a new user would run them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from protocol.lattice.machine import kernel_path
from tests.console import commands, config, lines, run
from tests.ports import free_ports

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_the_make_targets_named_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    named = {c.split()[1] for c in commands(README) if c.startswith("make ")}
    assert named == {"demo", "test"}
    assert named <= targets


def test_every_file_linked_exists() -> None:
    for document in (*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name} links to {target}"


@pytest.mark.timeout(240)
def test_the_walk_through_two_centres(tmp_path: Path) -> None:
    workshop = tmp_path / "workshop"
    ports = dict(zip(("7443", "7444"), free_ports(2), strict=True))
    for name, port in zip(("noord", "zuid"), ports.values(), strict=True):
        (workshop / name).mkdir(parents=True)
        (workshop / name / "nskd.toml").write_text(config(workshop, name, port, charter=workshop / "charter.toml"))
    # The demo is run by the sandbox tests, and `make test` is this.
    script = [line for line in lines(README, ports=ports) if not line.startswith("make ")]
    begin = [f"cd '{ROOT}'", f"export HOME='{tmp_path}'"]  # in a clone, as somebody whose home is empty
    done = run(workshop, [*begin, *script], timeout_s=200)
    assert done.status == 0, f"{done.errors[-2000:]}\n{done.daemons[-4000:]}"
    assert "age_band" in done.output
    assert re.search(rf"^kernels +{re.escape(kernel_path())}$", done.output, flags=re.MULTILINE), done.output
    assert re.search(r"^0–3 years(\s+[\d.]+){4}( %)?$", done.output, flags=re.MULTILINE), done.output
