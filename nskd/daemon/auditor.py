"""What happens at this centre, put on record (``governance.audit``): who, what, when, for what, about which documents.

Three ways.  :meth:`Auditor.record` raises when the log cannot be written: what has to be on record before it takes
effect then does not.  :meth:`Auditor.note` logs that instead: for what has happened already, or must be possible
always.  :meth:`Auditor.note_of_peer` and ``note_of_user`` are notes that others can cause at will, and so bounded.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Literal, TypeVar

import structlog
import trio

from nskd.daemon.allowance import Allowance
from nskd.errors import OperatorError
from nskd.governance import limits
from nskd.governance.approval import SignedApproval
from nskd.governance.audit import Entry, Event, Head
from nskd.governance.audit_file import AuditFile

Detail = int | str | bytes
T = TypeVar("T")


class Auditor:
    """Writes the log from an event loop: one entry at a time, in a thread, durable before the call returns."""

    def __init__(
        self,
        file: AuditFile,
        *,
        charter: bytes,
        clock: Callable[[], int],
        log: structlog.typing.FilteringBoundLogger,
    ) -> None:
        self._file = file
        self._charter = charter.hex()
        self._clock = clock
        self._log = log
        self._one = trio.CapacityLimiter(1)
        self._allowances: dict[str, Allowance] = {}
        self._left_out: Counter[str] = Counter()
        self.unwritten = 0  # entries that found no room on the disk, since the start
        self.unwritten_since: int | None = None  # None once one was written again
        self.news = 0  # entries that other centres should hear of; those about their own heads are not

    @property
    def head(self) -> Head:
        """What stands for the log up to its last entry."""
        return self._file.head

    def hash_of(self, sequence: int) -> bytes | None:
        """The hash of an entry, None if there is none of that number."""
        return self._file.hash_of(sequence)

    def digests(self, after: int, until: int) -> bytes:
        """The digests of the bodies of entries ``after`` + 1 … ``until``."""
        return self._file.digests(after, until)

    def about_head(self, event: Event, centre: str) -> Entry | None:
        """The last entry of that kind about another centre's head."""
        return self._file.about_heads.get((event, centre))

    async def record(
        self,
        event: Event,
        *,
        outcome: Literal["ok", "refused", "failed"] = "ok",
        uid: int | None = None,
        user: str | None = None,
        steward: str | None = None,
        peer: str | None = None,
        purpose: str | None = None,
        request: bytes | None = None,
        result: bytes | None = None,
        approvals: Sequence[SignedApproval] = (),
        details: Mapping[str, Detail] | None = None,
    ) -> Entry:
        """Write an entry; :class:`~nskd.governance.audit.AuditError` when it is not on disk."""
        fields: dict[str, Any] = {
            "outcome": outcome,
            "uid": uid,
            "user": _plain(user),
            "steward": _plain(steward),
            "peer": _plain(peer),
            "charter": self._charter,
            "purpose": _plain(purpose),
            "request": None if request is None else request.hex(),
            "result": None if result is None else result.hex(),
            "approvals": [_approval(each) for each in approvals],
            "details": {name: _detail(value) for name, value in (details or {}).items()},
        }
        try:
            entry = await self.file(partial(AuditFile.append, event=event, now=self._clock(), **fields))
        except OperatorError:
            self.unwritten += 1
            self.unwritten_since = self._clock() if self.unwritten_since is None else self.unwritten_since
            raise
        self.unwritten_since = None
        self.news += event not in (Event.HEAD_KEPT, Event.HEAD_CONTRADICTED)
        return entry

    async def note(self, event: Event, **fields: Any) -> bool:
        """The same, of what cannot be held up: False, and an error in the log, when it is not on disk."""
        try:
            with trio.CancelScope(shield=True):
                await self.record(event, **fields)
        except OperatorError as error:
            self._log.error("not put on record", entry=event.value, reason=str(error))
            return False
        return True

    async def note_of_peer(self, peer: str, event: Event, **fields: Any) -> None:
        """The same, of what a peer causes: so many in a row, then few; those left out are counted in the next."""
        await self._note_bounded(f"centre {peer}", event, peer=peer, **fields)

    async def note_of_user(self, uid: int, event: Event, **fields: Any) -> None:
        """The same, of what a user of this machine causes without being allowed anything."""
        await self._note_bounded(f"uid {uid}", event, uid=uid, **fields)

    async def _note_bounded(self, who: str, event: Event, **fields: Any) -> None:
        now = self._clock()
        fresh = Allowance(limits.AUDIT_PEER_ENTRIES_BURST, limits.AUDIT_PEER_ENTRY_EVERY_S, now)
        if not self._allowances.setdefault(who, fresh).take(now):
            self._left_out[who] += 1
            return
        if self._left_out[who]:
            fields["details"] = {**(fields.get("details") or {}), "left_out": self._left_out[who]}
        if await self.note(event, **fields):
            del self._left_out[who]

    async def file(self, call: Callable[[AuditFile], T]) -> T:
        """Call something of the file in a thread; one that has begun is seen through."""
        return await trio.to_thread.run_sync(call, self._file, limiter=self._one)


def _plain(text: str | None) -> str | None:
    """A word as an entry takes it: printable, bounded; None for an empty one."""
    return _cut(text, limits.STEWARD_CHARS_MAX) if text else None


def _detail(value: Detail) -> int | str:
    if isinstance(value, bytes):
        return value.hex()
    return _cut(value, limits.DETAIL_CHARS_MAX) if isinstance(value, str) else value


def _cut(text: str, length: int) -> str:
    printable = "".join(c if c.isprintable() else "?" for c in text)
    return printable if len(printable) <= length else printable[: length - 1] + "…"


def _approval(approval: SignedApproval) -> str:
    """Which centre said what, by which steward's key or policy, and the digest of the document that says so."""
    who = _plain(f"{approval.statement.by} {approval.steward}")
    digest = hashlib.sha256(approval.body).hexdigest()
    return f"{approval.centre} {approval.verdict.value} {who} sha256:{digest}"


def rules(refusals: Iterable[str]) -> dict[str, Detail]:
    """Which rules refused a request, as details."""
    listed = list(refusals)
    return {f"refusal_{number}": text for number, text in enumerate(listed[:8], 1)}
