"""One request through a running sandbox: submitted at the first centre, approved at each, awaited."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import trio

from nskd.control import answers
from nskd.control.async_client import AsyncClient
from nskd.control.client import DaemonError, UnreachableError
from nskd.control.steward_key import public_key, sign
from nskd.errors import OperatorError, innermost
from nskd.governance.lifecycle import State
from nskd.governance.statement import NAMESPACE, Verdict
from nskd.governance.steward import Steward
from nskd.sandbox.centres import Centre, connected, wait_ready
from nskd.sandbox.layout import SandboxError
from nskd.sandbox.watch import PhaseLine, Watch

RUN_PATIENCE_S: Final = 1800.0
_LAST_EVENTS_S: Final = 5.0  # for events already sent when the result came
_END_PATIENCE_S: Final = 2.0  # between a broken connection and the end of the process behind it


async def ask(centres: Sequence[Centre], request: str, watch: Watch) -> answers.ResultAnswer:
    """Run a request to its end; raises :class:`SandboxError` when nothing was released."""
    answer: answers.ResultAnswer | None = None
    problem: BaseException | None = None
    try:
        async with trio.open_nursery() as nursery:
            for centre in centres:
                nursery.start_soon(_notice_end, centre)
            answer = await _ask(centres, request, watch)
            nursery.cancel_scope.cancel()
    except* OperatorError as group:
        problem = innermost(group)
    if answer is None or answer.release is None:
        raise await _explained(centres, answer, problem)
    return answer


async def _ask(centres: Sequence[Centre], request: str, watch: Watch) -> answers.ResultAnswer:
    watch.begin("starting the daemons, connecting")
    for centre in centres:
        await wait_ready(centre)
    async with trio.open_nursery() as nursery, connected(centres[0]) as client:
        followed = trio.Event()
        nursery.start_soon(_follow, centres[0], watch, followed)
        digest = await _submit(centres[0], client, request)
        watch.begin("approving at every centre")
        for centre in centres:
            await _approve(centre, digest)
        watch.begin("preprocessing, then the joint computation")
        answer = await _await_result(client, digest)
        if answer.release is not None:
            with trio.move_on_after(_LAST_EVENTS_S):
                await followed.wait()
        nursery.cancel_scope.cancel()
    return answer


async def _submit(centre: Centre, client: AsyncClient, request: str) -> str:
    try:
        return str((await client.call("request.submit", {"text": request}))["request"])
    except DaemonError as error:
        raise _refused(centre, error) from None


async def _approve(centre: Centre, digest: str) -> None:
    """Approve once the request has arrived there."""
    async with connected(centre) as client:
        await client.subscribe(("request",))
        while True:
            try:
                await decide(client, digest, Verdict.APPROVE, centre.files.steward_key)
            except DaemonError as error:
                if error.message and "no such request" not in error.message:
                    raise _refused(centre, error) from None
                await client.next_event()
            else:
                return


async def decide(client: AsyncClient, digest: str, verdict: Verdict, key: Path) -> dict[str, Any]:
    """Have the daemon write a statement, sign it with a steward's key, and give it back: the daemon's answer."""
    asked = {"request": digest, "verdict": verdict.value, "steward": Steward(public_key(key), "").line}
    statement = str((await client.call("request.statement", asked))["statement"])
    signature = sign(key, statement.encode(), namespace=NAMESPACE)
    method = {Verdict.APPROVE: "approve", Verdict.REFUSE: "refuse", Verdict.WITHDRAW: "revoke"}[verdict]
    signed = {"request": digest, "statement": statement, "signature": signature}
    answer: dict[str, Any] = await client.call(f"request.{method}", signed)
    return answer


async def _await_result(client: AsyncClient, digest: str) -> answers.ResultAnswer:
    with trio.move_on_after(RUN_PATIENCE_S):
        return msgspec.convert(await client.call("result.wait", {"request": digest}), answers.ResultAnswer)
    raise SandboxError(
        f"no result within {RUN_PATIENCE_S / 60:.0f} minutes",
        where="the joint computation",
        remedy="Run with --keep and see the centres' log.jsonl.",
    )


async def _follow(centre: Centre, watch: Watch, followed: trio.Event) -> None:
    """Pass on what the first centre says of its phases, until its one request is done."""
    async with connected(centre) as client:
        await client.subscribe(("generation", "run", "request.state"))
        while not followed.is_set():
            event = await client.next_event()
            match event.get("kind"):
                case "generation.begin" | "run.begin":
                    watch.phase_begins(str(event["name"]))
                case "generation.phase" | "run.phase":
                    watch.phase(msgspec.convert({k: v for k, v in event.items() if k != "kind"}, PhaseLine))
                case "request.state" if event.get("state") == State.DONE.value:
                    followed.set()


async def _notice_end(centre: Centre) -> None:
    await centre.process.wait()
    raise _ended(centre)


def _ended(centre: Centre) -> SandboxError:
    status = centre.process.returncode
    return SandboxError(
        f"its daemon ended (status {status}): {centre.complaint()}",
        where=f"centre {centre.name}",
        remedy="Correct that and run the sandbox again.",
    )


async def _explained(
    centres: Sequence[Centre], answer: answers.ResultAnswer | None, problem: BaseException | None
) -> BaseException:
    """The cause of a failure: a daemon that ended explains the broken connections and failed runs around it."""
    if problem is None or isinstance(problem, UnreachableError):
        with trio.move_on_after(_END_PATIENCE_S):
            async with trio.open_nursery() as nursery:
                for centre in centres:
                    nursery.start_soon(_until_one_ends, centre, nursery.cancel_scope)
        ended = next((centre for centre in centres if centre.process.returncode is not None), None)
        if ended is not None:
            return _ended(ended)
    if problem is not None or answer is None:
        return problem or AssertionError("neither a result nor a reason")
    return SandboxError(
        f"nothing was released: {answer.fault or answer.state}: {answer.detail or 'no reason given'}",
        where="the joint computation",
        remedy="Run with --keep and see the centres' log.jsonl.",
    )


async def _until_one_ends(centre: Centre, scope: trio.CancelScope) -> None:
    await centre.process.wait()
    scope.cancel()


def _refused(centre: Centre, error: DaemonError) -> SandboxError:
    data = error.data
    return SandboxError(
        str(data.get("what", error.message)),
        where=str(data.get("where", f"centre {centre.name}")),
        remedy=str(data.get("remedy", "Correct the request and run the sandbox again.")),
    )
