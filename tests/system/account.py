"""What centres refused, by which rule: heard where people would hear it, for a walk to account for.

A refusal is a pair of centre and rule.  It is heard when a call of the control socket or a command is refused, and
found afterwards in events, in the audit log, in what a centre shows of a request, and in the log, in which a standing
policy says what it leaves to people.  Each step of a walk has the pairs that came to be known in it.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from functools import partial
from typing import Any, Final

import attrs
import trio
from click.testing import CliRunner

from nskd.control.cli import main as nskctl
from nskd.control.client import DaemonError, UnreachableError
from nskd.governance.policy import Rule
from tests.system.workshop import PATIENCE_S, Daemon, Event, Workshop

Pair = tuple[str, str]
_RULE: Final = re.compile(rf"(?<![\w-])(?:{'|'.join(sorted(Rule, key=len, reverse=True))})(?![\w-])")
_EVENTS: Final = ("approval", "request", "run.begin", "run.failed", "presence")
_PASSED_OVER: Final = "not for the standing policy"


def rules_in(words: str) -> set[str]:
    """Every rule that a text names."""
    return set(_RULE.findall(words))


@attrs.define
class Step:
    """A part of a walk: who refused what, by where that was heard, and the requests to look at when it ends."""

    title: str
    heard: dict[Pair, set[str]] = attrs.field(factory=dict)
    requests: set[str] = attrs.field(factory=set)


@attrs.define(eq=False)
class Account:
    """Listens to every centre of a workshop during a walk; ``nursery`` outlives the walk's daemons."""

    workshop: Workshop
    nursery: trio.Nursery
    steps: list[Step] = attrs.field(factory=list)
    events: dict[str, list[Event]] = attrs.field(factory=dict)
    entries: dict[str, list[dict[str, Any]]] = attrs.field(factory=dict)
    _changed: trio.Event = attrs.field(factory=trio.Event)
    _seen: dict[str, int] = attrs.field(factory=dict)  # bytes of each log

    # --- the walk ---------------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def step(self, title: str) -> AsyncIterator[Step]:
        """What is done inside belongs to this step, and so does every refusal found at its end."""
        self.steps.append(Step(title))
        print(f"\n{len(self.steps)}. {title}")  # shown by pytest -s, and when the walk fails
        yield self.steps[-1]
        await self.look()
        for (name, rule), where in sorted(self.steps[-1].heard.items()):
            print(f"   × {name:<8}{rule:<34}{', '.join(sorted(where))}")

    def tell(self, sentence: str) -> None:
        """Something for the reader of the account."""
        for line in filter(str.strip, sentence.splitlines()):
            print(f"   {line}")

    def about(self, digest: str) -> str:
        """What this request shows is looked at when the step ends."""
        self.steps[-1].requests.add(digest)
        return digest

    def forget(self, digest: str) -> None:
        """What this request shows is not looked at again."""
        self.steps[-1].requests.discard(digest)

    def noted(self, daemon: Daemon, words: str, where: str) -> None:
        """Something else that a centre shows."""
        self._note(daemon, words, where)

    # --- listening --------------------------------------------------------------------------------------------

    async def listen(self, daemons: Collection[Daemon]) -> None:
        """Hear every event of these, from now until they stop."""
        for daemon in daemons:
            await self.nursery.start(self._listen, daemon)

    async def _listen(self, daemon: Daemon, *, task_status: trio.TaskStatus[None]) -> None:
        heard = self.events.setdefault(daemon.name, [])
        with contextlib.suppress(UnreachableError):
            async with daemon.client() as client:
                await client.subscribe(_EVENTS)
                task_status.started()
                while True:
                    event = await client.next_event()
                    heard.append(event)
                    self._note(daemon, json.dumps(event), "event")
                    changed, self._changed = self._changed, trio.Event()
                    changed.set()

    async def until(self, holds: Callable[[], bool], what: str) -> None:
        """Wait for what events tell."""
        with trio.move_on_after(PATIENCE_S):
            while True:
                changed = self._changed
                if holds():
                    return
                await changed.wait()
        raise AssertionError(f"it never came to it: {what}")

    async def shown(self, holds: Callable[[], Awaitable[bool]], what: str) -> None:
        """Wait for what centres show when they are asked; what no event tells can only be looked for."""
        with trio.move_on_after(PATIENCE_S):
            while not await holds():
                changed = self._changed
                with trio.move_on_after(0.05):
                    await changed.wait()
            return
        raise AssertionError(f"it never came to it: {what}")

    async def everywhere(self, what: str, **fields: Any) -> None:
        """Wait until every centre has told of an event with these fields."""

        def holds() -> bool:
            return all(self.count(daemon, **fields) for daemon in self.workshop.daemons)

        await self.until(holds, what)

    def count(self, daemon: Daemon, **fields: Any) -> int:
        """How many of a centre's events have these fields."""
        return sum(fields.items() <= event.items() for event in self.events.get(daemon.name, []))

    # --- refusals ---------------------------------------------------------------------------------------------

    def _note(self, daemon: Daemon, words: str, where: str) -> None:
        for rule in rules_in(words):
            self.steps[-1].heard.setdefault((daemon.name, rule), set()).add(where)

    async def refused(self, daemon: Daemon, call: Callable[[], Awaitable[object]]) -> str:
        """Make a call that this centre has to refuse; the sentence it gives."""
        try:
            answer = await call()
        except DaemonError as error:
            self._note(daemon, str(error.data.get("rule", "")), "answer")
            return error.message
        raise AssertionError(f"{daemon.name} did not refuse: {answer}")

    def not_started(self, daemon: Daemon) -> str:
        """The last words of a daemon that did not start."""
        last = daemon.words().splitlines()[-1]
        self._note(daemon, last, "start")
        self._seen[daemon.name] = daemon.log_path.stat().st_size
        return last

    async def nskctl(self, daemon: Daemon, *arguments: object, code: int = 0) -> str:
        """A command as a person at this centre gives it; ``code`` 1 when it has to be refused."""
        words = ["--socket", str(daemon.socket), *map(str, arguments)]
        done = await trio.to_thread.run_sync(partial(CliRunner().invoke, nskctl, words))
        said = done.stdout + done.stderr
        if done.exit_code != code:
            raise AssertionError(f"nskctl {' '.join(words)} ended with {done.exit_code}: {said}") from done.exception
        if code:
            self._note(daemon, said, "nskctl")
        return said

    # --- what is found afterwards -----------------------------------------------------------------------------

    async def look(self) -> None:
        """Find what came to be known since last looked."""
        for daemon in self.workshop.daemons:
            if daemon.process is None or daemon.process.poll() is not None:
                continue
            await self.audit(daemon)
            self._look_at_log(daemon)
            for digest in self.steps[-1].requests:
                detail = await daemon.call("request.show", request=digest)
                self._note(daemon, json.dumps([detail["refusals"], detail["fault"]]), "request")

    async def audit(self, daemon: Daemon) -> list[dict[str, Any]]:
        """All entries of its audit log."""
        entries = self.entries.setdefault(daemon.name, [])
        while lines := (await daemon.call("audit.read", after=len(entries), limit=1000))["lines"]:
            for line in lines:
                entries.append(json.loads(line)["entry"])
                self._note(daemon, line, "audit log")
        return entries

    def _look_at_log(self, daemon: Daemon) -> None:
        with daemon.log_path.open("rb") as file:
            file.seek(self._seen.get(daemon.name, 0))
            text = file.read()
        whole = text[: text.rfind(b"\n") + 1]
        self._seen[daemon.name] = self._seen.get(daemon.name, 0) + len(whole)
        for line in whole.decode(errors="replace").splitlines():
            if _PASSED_OVER in line:
                self._note(daemon, line, "log")

    # --- the account ------------------------------------------------------------------------------------------

    def compare(self, expected: Mapping[str, Mapping[str, Collection[str]]]) -> list[str]:
        """What differs from the refusals expected, by step and centre; nothing when all is as it should be."""
        wanted = {
            (title, name, rule)
            for title, by_centre in expected.items()
            for name, rules in by_centre.items()
            for rule in rules
        }
        found = {(step.title, *pair) for step in self.steps for pair in step.heard}
        return [
            *(f"missing in {title!r}: {name} {rule}" for title, name, rule in sorted(wanted - found)),
            *(f"not expected in {title!r}: {name} {rule}" for title, name, rule in sorted(found - wanted)),
        ]
