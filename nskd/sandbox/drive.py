"""One request through a running sandbox: submitted at the first centre, approved at each, awaited."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol

import attrs
import msgspec
import trio

from nskd.control import answers
from nskd.control.client import DaemonError
from nskd.sandbox.centres import Centre, connected, wait_ready
from nskd.sandbox.layout import SandboxError

RUN_PATIENCE_S: Final = 1800.0


@attrs.frozen
class PhaseLine:
    """One line of the account a sandbox gives."""

    name: str
    seconds: float
    rounds: int
    bytes_sent: int


class Watcher(Protocol):
    """Told how far a sandbox is."""

    def begin(self, what: str) -> None:
        """A stage begins, and the former ends."""

    def phase(self, line: PhaseLine) -> None:
        """A phase inside the daemons has ended."""


async def ask(centres: Sequence[Centre], request: str, watcher: Watcher) -> answers.ResultAnswer:
    """Run a request to its end; raises :class:`SandboxError` when nothing was released."""
    async with trio.open_nursery() as nursery:
        watcher.begin("starting the daemons, connecting")
        for centre in centres:
            await wait_ready(centre)
        nursery.start_soon(_follow, centres[0], watcher)
        async with connected(centres[0]) as client:
            try:
                submitted = await client.call("request.submit", {"text": request})
            except DaemonError as error:
                raise _refused(centres[0], error) from None
            digest = str(submitted["request"])
            watcher.begin("approving at every centre")
            for centre in centres:
                await _approve(centre, digest)
            watcher.begin("preprocessing, then the joint computation")
            answer = await _await_result(centres, client, digest)
        nursery.cancel_scope.cancel()
    if answer.release is None:
        raise SandboxError(
            f"nothing was released: {answer.fault or answer.state}: {answer.detail or 'no reason given'}",
            where="the joint computation",
            remedy="See the centres' logs; run with --keep to keep them.",
        )
    return answer


async def _approve(centre: Centre, digest: str) -> None:
    """Approve once the request has arrived there."""
    async with connected(centre) as client:
        await client.subscribe(("request",))
        while True:
            try:
                await client.call("request.approve", {"request": digest, "steward": f"steward of {centre.name}"})
            except DaemonError as error:
                if error.message and "no such request" not in error.message:
                    raise _refused(centre, error) from None
                await client.next_event()
            else:
                return


async def _await_result(centres: Sequence[Centre], client: Any, digest: str) -> answers.ResultAnswer:
    """Wait for the result, and notice a daemon that ends meanwhile."""
    answer: answers.ResultAnswer | None = None
    with trio.move_on_after(RUN_PATIENCE_S):
        async with trio.open_nursery() as nursery:
            for centre in centres:
                nursery.start_soon(_notice_end, centre)
            raw = await client.call("result.wait", {"request": digest})
            answer = msgspec.convert(raw, answers.ResultAnswer)
            nursery.cancel_scope.cancel()
    if answer is None:
        raise SandboxError(
            f"no result within {RUN_PATIENCE_S / 60:.0f} minutes", where="the sandbox", remedy="See the logs."
        )
    return answer


async def _notice_end(centre: Centre) -> None:
    await trio.to_thread.run_sync(centre.process.wait, abandon_on_cancel=True)
    raise SandboxError(
        f"its daemon ended: {centre.complaint()}", where=f"centre {centre.name}", remedy="Run the sandbox again."
    )


async def _follow(centre: Centre, watcher: Watcher) -> None:
    async with connected(centre) as client:
        await client.subscribe(("generation", "run"))
        while True:
            event = await client.next_event()
            if event.get("kind") in ("generation.phase", "run.phase"):
                watcher.phase(
                    PhaseLine(
                        str(event["name"]), float(event["seconds"]), int(event["rounds"]), int(event["bytes_sent"])
                    )
                )


def _refused(centre: Centre, error: DaemonError) -> SandboxError:
    data = error.data
    return SandboxError(
        str(data.get("what", error.message)),
        where=str(data.get("where", f"centre {centre.name}")),
        remedy=str(data.get("remedy", "Correct the request and run the sandbox again.")),
    )
