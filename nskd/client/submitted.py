"""A request on its way: where it stands, what happens to it, and its result."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import Any, Final

import attrs

from nskd.client.daemon import Daemon
from nskd.client.errors import UnansweredError, plain
from nskd.client.progress import KINDS, Step, step_of
from nskd.client.result import Result
from nskd.control.answers import RequestDetail, ResultAnswer
from nskd.packs.pack import Pack

_RULES: Final = "rules"  # the section of a page that states the charter's rules
_AT_ONCE_S: Final = 0.001  # the least wait there is, so that "no result yet" is an answer too


@attrs.frozen(eq=False, repr=False)
class Submitted:
    """A request that all centres have or will have; ``request`` is its name everywhere.

    Made by ``Client.submit``, or by ``Client.submitted`` in a later session.
    """

    request: str
    language: str
    daemon: Daemon
    pack: Pack

    @property
    def detail(self) -> RequestDetail:
        """All of it, as it stands now."""
        return self.daemon.ask("request.show", RequestDetail, request=self.request)

    @property
    def state(self) -> str:
        """Submitted, approved, running, done, refused, failed or expired."""
        return self.detail.row.state

    def __repr__(self) -> str:
        return f"<request {self.request[:12]}>"

    # --- following ------------------------------------------------------------------------------------------

    def follow(self, timeout_s: float | None = None) -> Iterator[Step]:
        """Yield what happens until the request is done, refused, failed for good or expired, or time is up."""
        yield from self._follow(timeout_s)

    def wait(self, timeout_s: float | None = None, progress: Callable[[str], object] | None = print) -> Result:
        """Wait for the result; ``progress`` gets a line about each thing that happens.

        Raises :class:`~nskd.client.errors.UnansweredError` when there is none, or none in time.
        """
        steps = self._follow(timeout_s)
        said = ""
        while True:
            try:
                step = next(steps)
            except StopIteration as end:
                return self._result(end.value)
            if progress is not None and step.text != said:
                progress(step.text)
            said = step.text

    def result(self) -> Result:
        """The result; raises :class:`~nskd.client.errors.UnansweredError` while there is none."""
        return self._result(self.daemon.ask("result.wait", ResultAnswer, request=self.request, timeout_s=_AT_ONCE_S))

    def _follow(self, timeout_s: float | None) -> Generator[Step, None, ResultAnswer]:
        detail = self.detail
        row = detail.row
        first = {"kind": "request.state", "request": self.request, "state": row.state}
        yield Step("request.state", f"the request is {row.state}, approved by {row.approved} of {row.needed}", first)
        params: dict[str, Any] = {"request": self.request, "timeout_s": timeout_s}
        events = self.daemon.follow("result.wait", ResultAnswer, params, KINDS)
        while True:
            try:
                step = step_of(next(events), self.request)
            except StopIteration as end:
                answer: ResultAnswer = end.value
                return answer
            if step is not None:
                yield step

    def _result(self, answer: ResultAnswer) -> Result:
        if answer.release is None:
            raise self._unanswered(answer)
        sections = self.detail.pages.get(self.language, [])
        return Result(
            title=answer.title,
            release=answer.release,
            rules=tuple(each for section in sections if section.key == _RULES for each in section.sentences),
            request=answer.request,
            digest=answer.digest,
            codebook=self.pack.codebook,
        )

    def _unanswered(self, answer: ResultAnswer) -> UnansweredError:
        row = self.detail.row
        why = ": ".join(plain(each) for each in (answer.fault, answer.detail) if each)
        what = f"it is {answer.state}" + (f", {why}" if why else "")
        remedy = {
            "submitted": f"{row.approved} of {row.needed} centres have approved; wait again.",
            "approved": "It runs when all centres are there; wait again.",
            "running": "Wait again.",
            "failed": "Run it again with nskctl request run, or submit it anew.",
        }.get(answer.state, "Talk to the stewards, then submit it anew.")
        return UnansweredError(what, where=f"request {self.request[:12]}", remedy=remedy)
