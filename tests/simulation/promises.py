"""What a centre's disk owes it: all that a call has returned from as durable is there in every later life.

Kept beside the daemon, by what its calls were given and have returned: the head of the audit log, requests, words on
them, runs begun, releases, cursors of the stock, small files.  Held against what the next life opens, and in the calm
against each other: the audit log, verified by itself, must tell of every run that took material and of every release
and word in the ledger, and of none twice.
"""

from __future__ import annotations

import functools
import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final
from unittest import mock

import attrs

from nskd.analysis import contribution as contribution_module
from nskd.analysis import populations as populations_module
from nskd.errors import OperatorError
from nskd.governance.approval import SignedApproval
from nskd.governance.audit import Entry as AuditEntry
from nskd.governance.audit import Event
from nskd.governance.audit_file import AuditFile, read_log
from nskd.governance.ledger import Entry, Ledger
from nskd.governance.lifecycle import State
from nskd.governance.request import SignedRequest
from nskd.stockpile import Segment, Stockpile
from tests.simulation.machine import HERE, Machine

_ONCE: Final = frozenset({Event.RUN_BEGUN, Event.RUN_RELEASED})  # in each session

Voice = tuple[bytes, str, str, str]  # request, centre, who, verdict


@attrs.define
class Kept:
    """What one centre has on its medium, as its own calls said."""

    head: tuple[int, bytes] = (0, b"")  # number and hash of the last audit entry
    requests: set[bytes] = attrs.field(factory=set)
    words: dict[Voice, tuple[int, int]] = attrs.field(factory=dict)  # issued and expiring
    runs: dict[bytes, int] = attrs.field(factory=dict)
    releases: dict[bytes, bytes] = attrs.field(factory=dict)
    cursors: dict[bytes, int] = attrs.field(factory=dict)  # by batch
    files: dict[str, tuple[bytes, ...]] = attrs.field(factory=dict)  # by path: possible digests, b"" for no file
    sessions: list[str] = attrs.field(factory=list)  # that took material
    ready: int = 0  # lives in which it came to serve


def _voice(word: SignedApproval) -> Voice:
    return word.request, word.centre, word.statement.by, word.verdict.value


class Promises:
    """Remembers, and compares."""

    def __init__(self, problem: Callable[[str], None]) -> None:
        self._problem = problem
        self._kept: defaultdict[str, Kept] = defaultdict(Kept)
        self.counts: Counter[str] = Counter()

    def told(self, machine: Machine, event: Mapping[str, Any]) -> None:
        """A line of a daemon's log."""
        if event["event"] == "stock taken":
            self._kept[machine.name].sessions.append(event["session"])
        elif event["event"] == "ready":
            self._kept[machine.name].ready += 1

    # --- hooks ------------------------------------------------------------------------------------------------

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Take note of what calls return."""
        with ExitStack() as stack:

            def after(place: Any, name: str, note: Callable[..., None]) -> None:
                """Have ``note(machine, result, *arguments)`` called once the call has returned."""
                call = getattr(place, name)

                def noted(*args: Any, **options: Any) -> Any:
                    result = call(*args, **options)
                    machine = HERE.get()
                    if machine is not None:
                        note(machine, result, *args)
                    return result

                static = isinstance(place, type) and getattr(call, "__self__", None) is place  # a class method, bound
                stack.enter_context(mock.patch.object(place, name, staticmethod(noted) if static else noted))

            after(AuditFile, "append", lambda m, entry, *_: self._appended(m, entry))
            after(AuditFile, "open", lambda m, log, *_: self._log_opened(m, log))
            after(Ledger, "add_request", lambda m, _new, _l, request, *_: self._requested(m, request))
            after(Ledger, "add_approval", lambda m, _state, _l, word, *_: self._said(m, word))
            after(Ledger, "start", lambda m, entry, *_: self._started(m, entry))
            after(Ledger, "finish", lambda m, _digest, ledger, digest, *_: self._finished(m, ledger, digest))
            after(Ledger, "open", lambda m, ledger, *_: self.ledger_opened(m, ledger))
            after(Stockpile, "reserve", lambda m, _none, _s, _session, segments: self._reserved(m, segments))
            after(Stockpile, "open", lambda m, stock, *_: self._stock_opened(m, stock))
            for module in (contribution_module, populations_module):
                write = functools.partial(self._write, getattr(module, "write_durably"))  # noqa: B009 - theirs, imported
                stack.enter_context(mock.patch.object(module, "write_durably", write))
            yield

    def _appended(self, machine: Machine, entry: AuditEntry) -> None:
        kept, sequence = self._kept[machine.name], entry.head.sequence
        before, digest = kept.head
        if before and (sequence != before + 1 or entry.body.previous != digest.hex()):  # also where a log is repaired
            self._problem(f"{machine.name} writes audit entry {sequence}, which does not follow entry {before}")
        kept.head = (sequence, entry.head.hash)

    def _requested(self, machine: Machine, request: SignedRequest) -> None:
        self._kept[machine.name].requests.add(request.digest)

    def _said(self, machine: Machine, word: SignedApproval) -> None:
        words, voice = self._kept[machine.name].words, _voice(word)
        words[voice] = max(words.get(voice, (0, 0)), (word.issued_at, word.expires_at))

    def _started(self, machine: Machine, entry: Entry) -> None:
        self._kept[machine.name].runs[entry.request.digest] = entry.runs

    def _finished(self, machine: Machine, ledger: Ledger, digest: bytes) -> None:
        result = ledger.result(digest)
        if result is None:
            self._problem(f"{machine.name} has no release of request {digest.hex()[:12]} after recording it")
            return
        before = self._kept[machine.name].releases.setdefault(digest, result.release)
        if before != result.release:
            self._problem(f"{machine.name} records another release of request {digest.hex()[:12]} than before")

    def _reserved(self, machine: Machine, segments: Mapping[str, list[Segment]]) -> None:
        cursors = self._kept[machine.name].cursors
        for parts in segments.values():
            for part in parts:
                cursors[part.batch] = max(cursors.get(part.batch, 0), part.stop)

    def _write(self, write: Callable[[Path, bytes], None], path: Path, content: bytes) -> None:
        """Until it has returned, there may be what was there before or what is written."""
        machine = HERE.get()
        if machine is None:
            write(path, content)
            return
        files = self._kept[machine.name].files
        name, digest = path.relative_to(machine.directory).as_posix(), hashlib.sha256(content).digest()
        files[name] = (*files.get(name, (b"",)), digest)
        write(path, content)
        files[name] = (digest,)

    # --- a new life -------------------------------------------------------------------------------------------

    def _log_opened(self, machine: Machine, log: AuditFile) -> None:
        """The log is what it was, and what a crash cut short at most one entry more, with a note on that."""
        kept = self._kept[machine.name]
        self.counts["lives held against the one before"] += 1
        sequence, digest = kept.head
        if sequence and log.hash_of(sequence) != digest:
            self._problem(f"{machine.name} has lost audit entry {sequence}, which was on its medium")
        kept.head = (log.head.sequence, log.head.hash)
        for name, possible in kept.files.items():
            path = machine.directory / name
            found = hashlib.sha256(path.read_bytes()).digest() if path.exists() else b""
            if found not in possible:
                self._problem(f"{machine.name} has lost {path.name}, or other bytes in it, which was on its medium")
            kept.files[name] = (found,)

    def ledger_opened(self, machine: Machine, ledger: Ledger) -> None:
        """All requests, words, runs and releases are there."""
        kept = self._kept[machine.name]
        for digest in kept.requests:
            try:
                entry = ledger.get(digest)
            except OperatorError:
                self._problem(f"{machine.name} has lost request {digest.hex()[:12]}, which was on its medium")
                continue
            if entry.runs < kept.runs.get(digest, 0):
                self._problem(f"{machine.name} has forgotten a run of request {digest.hex()[:12]}")
            words = {_voice(word): (word.issued_at, word.expires_at) for word in ledger.approvals(digest)}
            for voice, said in kept.words.items():
                if voice[0] == digest and words.get(voice, (0, 0)) < said:
                    self._problem(f"{machine.name} has lost {voice[3]} of {voice[1]} on request {digest.hex()[:12]}")
        for digest, release in kept.releases.items():
            result = ledger.result(digest)
            if result is None or result.release != release:
                self._problem(f"{machine.name} has lost the release of request {digest.hex()[:12]}, or has another")

    def _stock_opened(self, machine: Machine, stock: Stockpile) -> None:
        """What was reserved is never free again."""
        cursors = self._kept[machine.name].cursors
        for info in stock.inventory():
            if info.cursor < cursors.get(info.batch, 0):
                self._problem(f"{machine.name} has items of {info.kind} free again that a session had reserved")

    # --- in the calm ------------------------------------------------------------------------------------------

    def audited(self, machine: Machine, ledger: Ledger, signing_key: bytes, lives: int) -> None:
        """The log, read by itself, holds, and tells what the ledger and the stock have seen."""
        kept = self._kept[machine.name]
        told: Counter[tuple[str, ...]] = Counter()
        try:
            for entry in read_log(machine.directory / "state" / "audit.ndjson", keys=(signing_key,)):
                body = entry.body
                if entry.head.sequence == kept.head[0] and entry.head.hash != kept.head[1]:
                    self._problem(f"{machine.name} has another audit entry {entry.head.sequence} than it wrote")
                if body.event in _ONCE:
                    told[body.event.value, str(body.details["session"])] += 1
                if body.event is Event.RUN_RELEASED:
                    told["release", body.request or "", body.result or ""] += 1
                if body.event is Event.DAEMON_STARTED:
                    told["start",] += 1
                if body.event is Event.REQUEST_DECIDED:
                    told.update(("word", body.request or "", word.rpartition(":")[2]) for word in body.approvals)
        except OperatorError as error:
            self._problem(f"{machine.name} has an audit log that does not hold: {error}")
        for what, number in told.items():
            if number > 1 and what[0] not in ("start", "release"):
                self._problem(f"{machine.name} has {' '.join(what)[:60]} {number} times in its audit log")
        for session in kept.sessions:
            if not told[Event.RUN_BEGUN.value, session]:
                self._problem(
                    f"{machine.name} took material for session {session[:8]}, of which its audit log is silent"
                )
        if not kept.ready <= told["start",] <= lives:
            self._problem(f"{machine.name} served in {kept.ready} lives of {lives}, its audit log has {told['start',]}")
        self.ledger_opened(machine, ledger)
        self._told_of(machine, ledger, told)

    def _told_of(self, machine: Machine, ledger: Ledger, told: Counter[tuple[str, ...]]) -> None:
        for digest in self._kept[machine.name].requests:
            name = digest.hex()
            result = ledger.result(digest)
            if (result is not None) != (ledger.get(digest).state is State.DONE):
                self._problem(f"{machine.name} has request {name[:12]} done without a release, or the reverse")
            if result is not None and not told["release", name, result.digest.hex()]:
                self._problem(f"{machine.name} has released request {name[:12]}, of which its audit log is silent")
            for word in ledger.approvals(digest):
                body = hashlib.sha256(word.body).hexdigest()
                if word.centre == machine.name and not told["word", name, body]:
                    self._problem(f"{machine.name} has said something of {name[:12]} of which its audit log is silent")
