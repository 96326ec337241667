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


@attrs.define(eq=False)
class Centre:
    """One running daemon."""

    files: CentreFiles
    process: subprocess.Popen[bytes]

    @property
    def name(self) -> str:
        """Its name in the charter."""
        return self.files.name

    def complaint(self) -> str:
        """The last thing the daemon said that went wrong, for a person."""
        try:
            lines = self.files.log.read_text(errors="replace").splitlines()
        except OSError:
            return "it left no log"
        for line in reversed(lines):
            try:
                entry = json.loads(line)
            except ValueError:
                if line.startswith("nskd: "):
                    return line.removeprefix("nskd: ")
                continue
            if isinstance(entry, dict) and entry.get("level") in ("error", "warning", "critical"):
                return str(entry.get("reason") or entry.get("event"))
        # An OperatorError may span lines: show from its first one.
        text = "\n".join(lines)
        return text[text.rindex("nskd: ") + 6 :] if "nskd: " in text else "it gave no reason"

    def kill(self) -> None:
        """Stop it the hard way."""
        self.process.kill()
        self.process.wait()


def start(files: CentreFiles) -> Centre:
    """Start one daemon; its log goes to a file."""
    with files.log.open("ab") as log:
        process = subprocess.Popen(  # noqa: S603 - our own program, our own files
            [
                sys.executable,
                "-m",
                "nskd",
                "run",
                "--config",
                str(files.config),
                "--credentials",
                str(files.credentials),
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
    return Centre(files, process)


@contextlib.asynccontextmanager
async def running(files: Sequence[CentreFiles]) -> AsyncIterator[list[Centre]]:
    """Start all centres; on the way out stop all of them, whatever happened."""
    centres: list[Centre] = []
    try:
        for each in files:
            centres.append(start(each))
        yield centres
    finally:
        with trio.CancelScope(shield=True):
            await _stop(centres)


async def _stop(centres: Sequence[Centre]) -> None:
    for centre in centres:
        centre.process.terminate()
    for centre in centres:
        with trio.move_on_after(STOP_PATIENCE_S):
            await trio.to_thread.run_sync(centre.process.wait, abandon_on_cancel=True)
        if centre.process.poll() is None:
            centre.kill()


@contextlib.asynccontextmanager
async def connected(centre: Centre) -> AsyncIterator[AsyncClient]:
    """A client of this centre's control socket, as soon as it listens."""
    await wait_ready(centre)
    async with open_client(centre.files.socket) as client:
        yield client


async def wait_ready(centre: Centre) -> None:
    """Wait until the control socket answers; :class:`SandboxError` when the daemon ended instead."""
    with trio.move_on_after(START_PATIENCE_S):
        while True:
            if centre.process.poll() is not None:
                raise SandboxError(
                    f"its daemon did not start: {centre.complaint()}",
                    where=f"centre {centre.name}",
                    remedy="Correct that and run the sandbox again.",
                )
            try:
                async with open_client(centre.files.socket):
                    return
            except UnreachableError:
                await trio.sleep(_POLL_S)
    raise SandboxError(
        f"its daemon did not answer within {START_PATIENCE_S:.0f} s",
        where=f"centre {centre.name}",
        remedy=f"See {centre.files.log}.",
    )
