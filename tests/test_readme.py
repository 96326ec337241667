"""The README's commands, run as a new user would run them: in order, in a fresh directory, in one shell."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from protocol.lattice.machine import kernel_path
from tests.ports import free_ports

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PURPOSES = 'workshop = "readme"\ntitle = "README"\nversion = 1\npack = "nsk"\n\n[disclosure]\nthreshold = 10\n\n' + (
    '[[purpose]]\nid = "improvement"\ntext = "To better screening."\n\n'
)


def console_commands(text: str) -> list[str]:
    """Every ``$ command`` in the console blocks."""
    blocks = re.findall(r"```console\n(.*?)```", text, flags=re.DOTALL)
    return [line.removeprefix("$ ") for block in blocks for line in block.splitlines() if line.startswith("$ ")]


def test_the_make_targets_named_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    named = {c.split()[1] for c in console_commands(README) if c.startswith("make ")}
    assert named == {"demo", "test"}
    assert named <= targets


def test_every_file_linked_exists() -> None:
    for document in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name} links to {target}"


def config(directory: Path, name: str, port: int, data: Path) -> str:
    return (
        f'[centre]\nname = "{name}"\n[workshop]\ncharter = "{directory}/charter.toml"\n'
        f'[network]\nlisten = "127.0.0.1:{port}"\n[data]\nsource = "{data}"\n'
        f'[state]\ndirectory = "{directory}/{name}/state"\n[control]\nsocket = "{directory}/{name}/control.sock"\n'
        "[stock]\ntriples = { low = 0, high = 0 }\nbits = { low = 0, high = 0 }\nmasks = { low = 0, high = 0 }\n"
    )


@pytest.mark.timeout(240)
def test_the_walk_through_two_centres(tmp_path: Path) -> None:
    ports = dict(zip(("7443", "7444"), free_ports(2), strict=True))
    for name, port in zip(("noord", "zuid"), ports.values(), strict=True):
        (tmp_path / name).mkdir()
        (tmp_path / name / "nskd.toml").write_text(config(tmp_path, name, port, tmp_path / name / "visits.csv"))
    (tmp_path / "purposes.toml").write_text(PURPOSES)
    (tmp_path / "request.toml").write_bytes((ROOT / "configs" / "request.toml").read_bytes())

    lines = ["set -euo pipefail"]
    for command in console_commands(README):
        if command.startswith("make "):
            continue  # the demo is run by the sandbox tests, and this is `make test`
        for written, real in ports.items():
            command = command.replace(f":{written}", f":{real}")
        if command.endswith("request list"):
            command = (
                f'REQUEST=$({command} | {sys.executable} -c "import json, sys;'
                " print(json.load(sys.stdin)['requests'][0]['request'])\")"
            )
        if command.endswith(" &"):
            command = f"{command.removesuffix(' &')} >>daemons.log 2>&1 &"  # or they would hold our pipes open
        lines.append(command)
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    process = subprocess.Popen(
        ["bash", "-c", "\n".join(lines)],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        output, errors = process.communicate(timeout=200)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)  # the daemons it left in the background
    said = (tmp_path / "daemons.log").read_text()
    assert process.returncode == 0, f"{errors[-2000:]}\n{said[-4000:]}"
    assert "age_band" in output
    assert re.search(rf"^kernels +{re.escape(kernel_path())}$", output, flags=re.MULTILINE), output
    assert re.search(r"^0-3\s+[\d.]+\s+\d+\s+\d+$", output, flags=re.MULTILINE), output
