"""The processes of a sandbox: started together, watched, stopped together."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from typing import Final

import attrs
import trio

from nskd.control.async_client import AsyncClient, open_client
from nskd.control.client import UnreachableError
from nskd.sandbox.layout import CentreFiles, SandboxError

START_PATIENCE_S: Final = 120.0
STOP_PATIENCE_S: Final = 20.0
_POLL_S: Final = 0.05  # how often a socket that is not there yet is looked for
_REFUSAL: Final = "nskd: "  # how a daemon that cannot start begins its one sentence


@attrs.define(eq=False)
class Centre:
    """One running daemon."""

    files: CentreFiles
    process: trio.Process

    @property
    def name(self) -> str:
        """Its name in the charter."""
        return self.files.name

    def complaint(self) -> str:
        """The last thing the daemon said that went wrong, for a person."""
        try:
            return last_complaint(self.files.log.read_text(errors="replace"))
        except OSError:
            return "it left no log"

    async def stop(self) -> None:
        """Ask it to end; make it end when it does not."""
        self.process.terminate()
        with trio.move_on_after(STOP_PATIENCE_S):
            await self.process.wait()
        if self.process.returncode is None:
            self.process.kill()
            await self.process.wait()


def last_complaint(log: str) -> str:
    """Find a daemon's own words in its log: the refusal to start, else its last error, else its last line."""
    lines = log.splitlines()
    entries = [_entry(line) for line in lines]
    starts = [index for index, line in enumerate(lines) if line.startswith(_REFUSAL)]
    if starts:  # a refusal may span lines: findings in a file, say
        words = [line for line, entry in zip(lines[starts[-1] :], entries[starts[-1] :], strict=True) if not entry]
        return "\n".join(words).removeprefix(_REFUSAL)
    for levels in (("critical", "error"), ("warning",)):
        for entry in reversed(entries):
            if entry.get("level") in levels:
                return str(entry.get("reason") or entry.get("event"))
    spoken = [line for line, entry in zip(lines, entries, strict=True) if line.strip() and not entry]
    return spoken[-1] if spoken else "it gave no reason"


def _entry(line: str) -> dict[str, object]:
    try:
        entry = json.loads(line)
    except ValueError:
        return {}
    return entry if isinstance(entry, dict) else {}


async def start(files: CentreFiles) -> Centre:
    """Start one daemon; its log goes to a file."""
    command = [sys.executable, "-m", "nskd", "run", "--config", files.config, "--credentials", files.credentials]
    with files.log.open("ab") as log:
        process = await trio.lowlevel.open_process(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            process_group=0,  # Ctrl-C is for the sandbox, which then stops its centres in good order
        )
    return Centre(files, process)


@contextlib.asynccontextmanager
async def running(files: Sequence[CentreFiles]) -> AsyncIterator[list[Centre]]:
    """Start all centres; on the way out stop all of them, whatever happened."""
    centres: list[Centre] = []
    try:
        for each in files:
            centres.append(await start(each))
        yield centres
    finally:
        with trio.CancelScope(shield=True):
            async with trio.open_nursery() as nursery:
                for centre in centres:
                    nursery.start_soon(centre.stop)


@contextlib.asynccontextmanager
async def connected(centre: Centre) -> AsyncIterator[AsyncClient]:
    """A client of this centre's control socket, as soon as it listens."""
    await wait_ready(centre)
    async with open_client(centre.files.socket) as client:
        yield client


async def wait_ready(centre: Centre) -> None:
    """Wait until the control socket answers."""
    with trio.move_on_after(START_PATIENCE_S):
        while True:
            try:
                async with open_client(centre.files.socket):
                    return
            except UnreachableError:
                await trio.sleep(_POLL_S)
    raise SandboxError(
        f"its daemon did not answer within {START_PATIENCE_S:.0f} s",
        where=f"centre {centre.name}",
        remedy="Run with --keep and see its log.jsonl.",
    )
