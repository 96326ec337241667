"""The commands of a document, run as a new user would run them: in order, in a fresh directory, in one shell."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

import attrs
import click

from nskd.__main__ import main as nskd
from nskd.control.cli import main as nskctl

PURPOSES = (
    'workshop = "readme"\ntitle = "README"\nversion = 1\npack = "nsk"\n\n'
    "[disclosure]\nthreshold = 10\ncentres_min = 2\n\n"
    '[[purpose]]\nid = "improvement"\ntext = "To better screening."\n\n'
)


def commands(text: str) -> list[str]:
    """Every ``$ command`` in the console blocks."""
    blocks = re.findall(r"```console\n(.*?)```", text, flags=re.DOTALL)
    return [line.removeprefix("$ ") for block in blocks for line in block.splitlines() if line.startswith("$ ")]


def config(
    directory: Path, name: str, port: int, *, charter: Path, socket: str = "control.sock", more: str = ""
) -> str:
    """A centre's configuration, all of it below ``directory``; ``more`` goes into ``[data]``."""
    home = directory / name
    return (
        f'[centre]\nname = "{name}"\n[workshop]\ncharter = "{charter}"\n'
        f'[network]\nlisten = "127.0.0.1:{port}"\n[data]\nsource = "{home / "visits.csv"}"\n{more}'
        f'[state]\ndirectory = "{home / "state"}"\n[control]\nsocket = "{home / socket}"\n'
        "[stock]\ntriples = { low = 0, high = 0 }\nbits = { low = 0, high = 0 }\nmasks = { low = 0, high = 0 }\n"
    )


def json_field(path: str) -> str:
    """A filter for a shell: the part of a JSON document that ``path``, a Python subscript, names."""
    return f'{sys.executable} -c "import json, sys; print(json.load(sys.stdin){path})"'


_FIRST_REQUEST = json_field("['requests'][0]['request']")


def lines(text: str, *, ports: Mapping[str, int]) -> list[str]:
    """The commands as a shell takes them here: real ports, daemons in the background, variables set."""
    found = []
    for command in commands(text):
        for written, real in ports.items():
            command = command.replace(f":{written}", f":{real}")
        if command.endswith("request list"):
            command = f"REQUEST=$({command} | {_FIRST_REQUEST})"
        daemon = re.fullmatch(r"(nskd run --config (\w+)/.*) &", command)
        if daemon:  # its output would hold our pipes open
            command = f"{daemon[1]} >>daemons.log 2>&1 & {daemon[2].upper()}=$!"
        killed = re.fullmatch(r"(.*)kill (\$\w+)", command)
        if killed:  # the next command may need what it held
            command = f"{killed[1]}kill {killed[2]}; wait {killed[2]} || true"
        found.append(command)
    return found


def known(command: str) -> str:
    """The program and subcommand of a line; a line whose options or arguments there are not fails.

    What is to be typed can be seen to exist without being run.
    """
    words = shlex.split(re.split(r" >>? ", command)[0])
    program: click.Command = {"nskctl": nskctl, "nskd": nskd}[words[0]]
    name, rest = words[0], words[1:]
    while isinstance(program, click.Group):
        with click.Context(program, **program.context_settings) as context:
            _, rest, _ = program.make_parser(context).parse_args(rest)
            assert rest, f"{name} takes a command"
            part, rest = rest[0], rest[1:]
            found = program.get_command(context, part)
            assert found is not None, f"{name} has no {part}"
            name, program = f"{name} {part}", found
    with click.Context(program, **program.context_settings) as context:
        given, left, _ = program.make_parser(context).parse_args(rest)
    assert not left, command
    for each in program.params:
        told = given.get(each.name)
        assert not each.required or (isinstance(told, str | tuple | list) and told), (
            f"{command}: {each.name} is lacking"
        )
    return name


@attrs.frozen
class Done:
    """How a shell ended: what was printed, and what the daemons in its background said."""

    status: int
    output: str
    errors: str
    daemons: str


def run(directory: Path, script: Iterable[str], *, timeout_s: float) -> Done:
    """Run lines in one shell that stops at the first failure, and stop what it leaves in the background."""
    process = subprocess.Popen(
        ["bash", "-c", "\n".join(["set -euo pipefail", *script])],
        cwd=directory,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        output, errors = process.communicate(timeout=timeout_s)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)  # the daemons it left in the background
    log = directory / "daemons.log"
    return Done(process.returncode, output, errors, log.read_text() if log.exists() else "")
