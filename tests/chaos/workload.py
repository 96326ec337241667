"""What is asked, drawn from a seed; who asks; and the stewards who decide."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Final

import attrs
import numpy as np
import trio

from nskd.control.client import DaemonError, UnreachableError
from nskd.control.codes import Code
from nskd.governance.statement import Verdict
from nskd.sandbox.drive import decide
from tests.chaos.site import POLICY_PER_MONTH
from tests.system.oracle import Question, random_question
from tests.system.workshop import THRESHOLD, Daemon, EndedError

CELLS_MAX: Final = 8  # small tables: what a request needs of the stock grows with their square
_REFUSED_SHARE: Final = 0.03  # by a steward, of requests that the standing policy leaves to people
_AGAIN_MAX: Final = 3  # times that a failed request is run again before its people submit another in its stead
_ASK_ANEW: Final = "submit the request again"  # the remedy of a failure of which running it again is none
_LOOK_S: Final = 0.5  # between looks at what there is to decide: a daemon that comes back tells nobody of it
TITLE: Final = "Chaos"


@attrs.define(eq=False)
class Item:
    """One request: who asks, what; what became of it at the centre that asked."""

    number: int
    question: Question
    asking: int
    refused_by: int | None  # a steward there will refuse it
    digest: str | None = None
    turned_away: str | None = None  # when it was submitted: why
    ending: str | None = None
    reason: str = ""
    replaces: int | None = None  # the number of one that its own people withdrew, as nothing came of it
    failures: int = 0  # that the daemon did not go on from by itself
    withdrawn: bool = False
    asked_again: int = 0  # by an operator, after the daemon had given up, or where nothing moved

    @property
    def title(self) -> str:
        return f"{TITLE} {self.number}" if self.replaces is None else f"{TITLE} {self.replaces} once more"

    @property
    def text(self) -> str:
        return self.question.text.replace('"A question"', f'"{self.title}"')

    @property
    def by_policy(self) -> bool:
        """The standing policy covers it, until its month is full; what has a filter is for people."""
        return self.question.condition[0] is None and self.replaces is None


def drawn(seed: int, centres: int, count: int) -> Iterator[Item]:
    """So many requests; no two have the same words."""
    rng = np.random.default_rng([seed, 7])
    plain = 0
    for number in range(1, count + 1):
        question = attrs.evolve(random_question(rng, CELLS_MAX), threshold=THRESHOLD, insider=True)
        while question.condition[0] is None and plain >= POLICY_PER_MONTH:
            question = attrs.evolve(random_question(rng, CELLS_MAX), threshold=THRESHOLD, insider=True)
        plain += question.condition[0] is None
        asking = int(rng.integers(centres))
        refused = question.condition[0] is not None and rng.random() < _REFUSED_SHARE
        yield Item(number, question, asking, int(rng.integers(centres)) if refused else None)


# --- asking -----------------------------------------------------------------------------------------------------------


async def persist(daemon: Daemon, method: str, **params: Any) -> Any:
    """A call that is made again until the daemon is there to answer it."""
    while True:
        with contextlib.suppress(UnreachableError, EndedError, trio.TooSlowError):
            return await daemon.call(method, **params)
        await trio.sleep(_LOOK_S)


def once_more(item: Item, number: int) -> Item:
    """What is asked in its stead."""
    return Item(number, item.question, item.asking, refused_by=None, replaces=item.number)


async def submit(daemon: Daemon, item: Item) -> None:
    """Ask; a daemon that dies over it is looked at before it is asked again, so that nothing is asked twice."""
    while item.digest is None and item.turned_away is None:
        rows = (await persist(daemon, "request.list", limit=500))["requests"]
        item.digest = next((row["request"] for row in rows if row["title"] == item.title), None)
        if item.digest is None:
            try:
                item.digest = str((await daemon.call("request.submit", text=item.text))["request"])
            except DaemonError as error:
                item.turned_away = error.message
            except (UnreachableError, EndedError, trio.TooSlowError):
                continue


async def see_through(daemon: Daemon, item: Item, patience_s: float) -> None:
    """Wait until the centre that asked has done with it.

    Its people have a failed run repeated, and ask again for what does not move.  What goes on failing they refuse
    themselves; another is to be asked in its stead.
    """
    assert item.digest is not None
    began_s = trio.current_time()
    while item.ending is None:
        answer = await persist(daemon, "result.wait", request=item.digest, timeout_s=5.0)
        state, now_s = answer["state"], trio.current_time()
        over = state in ("done", "refused", "expired")
        if state == "failed" and await _is_over(daemon, item):
            item.failures += 1
            if item.failures <= _AGAIN_MAX and _ASK_ANEW not in (answer["detail"] or "").lower():
                over = not await run_again(daemon, item)
            else:
                item.reason = f"{answer['fault']}: {answer['detail']}"
                await _withdraw(daemon, item)
        elif not over and now_s - began_s > patience_s:
            await run_again(daemon, item)
            began_s = now_s
        if over:
            item.ending, item.reason = state, item.reason or answer["detail"] or answer["fault"] or ""


async def _is_over(daemon: Daemon, item: Item) -> bool:
    """Whether the daemon has given up: a failure is waited for if it is going to try again by itself."""
    with trio.move_on_after(3.0):
        answer = await persist(daemon, "result.wait", request=item.digest)
        return bool(answer["state"] == "failed")
    return False


async def _withdraw(daemon: Daemon, item: Item) -> None:
    assert item.digest is not None
    item.refused_by, item.withdrawn = item.asking, True
    with contextlib.suppress(UnreachableError, EndedError, trio.TooSlowError, DaemonError):  # it is looked at again
        async with daemon.client() as client:
            await decide(client, item.digest, Verdict.REFUSE, daemon.steward_key)


async def run_again(daemon: Daemon, item: Item) -> bool:
    """As an operator does; False for a failure that stands."""
    item.asked_again += 1
    try:
        await persist(daemon, "request.run", request=item.digest)
    except DaemonError as error:
        return error.code == Code.CONFLICT  # it has come to an end meanwhile
    return True


# --- deciding ---------------------------------------------------------------------------------------------------------


async def steward(daemon: Daemon, place: int, items: dict[str, Item]) -> None:
    """Decide on all that the standing policy leaves, for ever; ``items`` by title."""
    decided: set[str] = set()
    while True:
        with contextlib.suppress(UnreachableError, EndedError, trio.TooSlowError):
            async with daemon.client() as client:
                while True:
                    listed = await client.call("request.list", {"states": ["submitted"], "limit": 500})
                    for row in listed["requests"]:
                        item = items.get(row["title"])
                        if item is None or item.by_policy or row["request"] in decided:
                            continue
                        verdict = Verdict.REFUSE if item.refused_by == place else Verdict.APPROVE
                        with contextlib.suppress(DaemonError):  # it is settled already, or is looked at again
                            await decide(client, row["request"], verdict, daemon.steward_key)
                            decided.add(row["request"])
                    await trio.sleep(_LOOK_S)
        await trio.sleep(_LOOK_S)
