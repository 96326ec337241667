"""What must hold whatever happens: looked at in every step that uses material, begins a run or releases anything."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, Final
from unittest import mock

import attrs
import numpy as np
import trio

from nskd.daemon import runs as runs_module
from nskd.data.query import local_table
from nskd.governance.audit import Event
from nskd.governance.audit_file import AuditFile
from nskd.governance.ledger import Ledger
from nskd.peers.lanes import Lane
from protocol import limits
from protocol.errors import Fault
from protocol.material import Material
from tests.simulation.machine import HERE, Machine, here

TASKS_PER_CENTRE_MAX: Final = 120  # links, sessions and drivers of one centre, those of one that is just dying included
TASKS_MORE_MAX: Final = 6  # at rest, than at rest before: people on their errands, faults that come to their end
SESSIONS_MAX: Final = 6  # of one centre at a time
_OTHERS_DOING: Final = frozenset({"epoch destroyed"})  # errors in the log of a centre with which all is well


@attrs.define
class Said:
    """What the people of one centre have said of one request, as far as they know."""

    approving: bool = False  # somebody handed in an approval; whether it was kept, a power cut may leave open
    against: bool = False  # a refusal or withdrawal was kept, and nothing was handed in since


@attrs.define
class Asked:
    """One request."""

    text: str
    said: defaultdict[str, Said] = attrs.field(factory=lambda: defaultdict(Said))
    released: dict[str, bytes] = attrs.field(factory=dict)  # by centre


class Invariants:
    """Sees what every centre does, and remembers it beyond any crash."""

    def __init__(self, names: tuple[str, ...], problem: Callable[[str], None]) -> None:
        self._names = names
        self._problem = problem
        self._used: dict[tuple[str, str], set[int]] = {}
        self._segments: dict[str, tuple[str, Any]] = {}
        self._tested: set[tuple[str, str]] = set()  # epochs whose keys somebody may have learnt something of
        self._lied: set[str] = set()  # sessions in which a false share was told
        self._reference: dict[str, np.ndarray] = {}
        self.asked: dict[bytes, Asked] = {}
        self.submitted_by: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()
        self.tasks_most = 0
        self.outbox_most = 0
        self.tasks_at_rest: int | None = None  # the fewest seen with all links up and no session

    # --- hooks ------------------------------------------------------------------------------------------------

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Look over the daemon's shoulder."""
        took, begun, finish = self._took, self._begun, self._finish
        append, ledger_finish = AuditFile.append, Ledger.finish

        class Watched(Material):
            def __init__(self, columns: Mapping[str, np.ndarray]) -> None:
                took(here(), columns)
                super().__init__(columns)

        def appended(log: AuditFile, event: Event, **fields: Any) -> Any:
            machine = HERE.get()
            if machine is not None and event is Event.RUN_BEGUN:
                begun(machine, bytes.fromhex(fields["request"]))
            if machine is not None and event is Event.RUN_RELEASED and fields["details"]["session"][:8] in self._lied:
                self._problem(f"{machine.name} releases what a run gave in which a false share was told")
            return append(log, event, **fields)

        def finished(ledger: Ledger, digest: bytes, release: bytes, **fields: Any) -> bytes:
            released = ledger_finish(ledger, digest, release, **fields)
            result = ledger.result(digest)
            finish(here(), digest, b"" if result is None else result.release)
            return released

        with ExitStack() as stack:
            stack.enter_context(mock.patch.object(runs_module, "Material", Watched))
            stack.enter_context(mock.patch.object(AuditFile, "append", appended))
            stack.enter_context(mock.patch.object(Ledger, "finish", finished))
            yield

    def told(self, machine: Machine, event: Mapping[str, Any]) -> None:
        """A line of a daemon's log."""
        if event["event"] == "stock taken":
            session, epoch = event["session"][:8], event["epoch"]
            what = (epoch, event["segments"])
            if self._segments.setdefault(session, what) != what:
                self._problem(f"centres take different stock for session {session}")
            if (machine.name, epoch) in self._tested:
                self._problem(f"{machine.name} uses epoch {epoch} again, whose MAC check has failed there")
        if event["event"] == "a false share is told":
            self._lied.add(event["session"][:8])
        if event["event"] == "session over" and event["session"] in self._segments:
            outcome = event["outcome"]
            if outcome.startswith(Fault.MAC_CHECK.value) and "stopped the session" not in outcome:  # its own finding
                self._tested.add((machine.name, self._segments[event["session"]][0]))
                self.counts["failed MAC checks seen at a centre"] += 1
                if event["session"] not in self._lied:
                    self._problem(f"{machine.name} finds false MACs in a run in which nobody lied")
        if "exc_info" in event or event.get("fault") == "internal-error":
            error = event.get("exc_info")
            self._problem(f"{machine.name} logs an error of its own: {event['event']}: {error!r}")
        elif event["level"] == "error" and event["event"] not in _OTHERS_DOING and not machine.disk.refused:
            self._problem(
                f"{machine.name} logs an error, and nothing is wrong there: {event['event']}: {event['reason']}"
            )

    # --- steps ------------------------------------------------------------------------------------------------

    def _took(self, machine: Machine, columns: Mapping[str, np.ndarray]) -> None:
        """No item twice, whatever is said of cursors: an item is known by this centre's share of it."""
        for kind, rows in columns.items():
            used = self._used.setdefault((machine.name, kind), set())
            before = len(used)
            items = rows[0].tolist()
            used.update(items)
            self.counts["items of stock used"] += len(items)
            if len(used) != before + len(items):
                self._problem(f"{machine.name} uses {before + len(items) - len(used)} items of {kind} twice")

    def _begun(self, machine: Machine, request: bytes) -> None:
        self.counts["runs begun at a centre"] += 1
        asked = self.asked.get(request)
        if asked is None:
            self._problem(f"{machine.name} begins a run of a request that nobody made")
            return
        for name in self._names:
            if not asked.said[name].approving:
                self._problem(f"{machine.name} begins a run that {name} never approved")
        if asked.said[machine.name].against:
            self._problem(f"{machine.name} begins a run that its own steward has stopped")

    def _finish(self, machine: Machine, request: bytes, release: bytes) -> None:
        self.counts["releases recorded at a centre"] += 1
        asked = self.asked[request]
        for name, other in asked.released.items():
            if other != release:
                self._problem(f"{machine.name} records another release of a request than {name}")
        asked.released[machine.name] = release
        shown = json.loads(release)
        exact = self._exact(machine, request, asked)
        values = [cell["value"] for cell in shown["cells"]]
        if len(values) != len(exact) or any(
            value is not None and value != count for value, count in zip(values, exact.tolist(), strict=False)
        ):
            self._problem(f"{machine.name} releases {values} where the centres have {exact.tolist()}")

    def _exact(self, machine: Machine, request: bytes, asked: Asked) -> np.ndarray:
        """What the centres hold together, counted in the clear."""
        if asked.text not in self._reference:
            daemon = machine.daemon
            assert daemon is not None
            plan = daemon.workshop.plan(daemon.workshop.ledger._ledger.get(request).request.table)
            tables = [local_table(dataset, plan).values.astype(np.int64) for dataset in self.datasets()]
            self._reference[asked.text] = np.sum(tables, axis=0)
        return self._reference[asked.text]

    datasets: Callable[[], list[Any]] = list

    # --- now and then -----------------------------------------------------------------------------------------

    def look(self, machines: list[Machine]) -> None:
        """Queues, sessions and tasks within their bounds."""
        tasks = trio.lowlevel.current_statistics().tasks_living
        self.tasks_most = max(self.tasks_most, tasks)
        if tasks > TASKS_PER_CENTRE_MAX * len(self._names):
            self._problem(f"{tasks} tasks are alive")
        if self.unrest(machines) is None:
            self.tasks_at_rest = min(tasks, self.tasks_at_rest or tasks)
        for machine in machines:
            daemon = machine.daemon
            if daemon is None or machine.dead:
                continue
            active = daemon.sessions.active()
            if len(active) > SESSIONS_MAX:
                self._problem(f"{machine.name} is in {len(active)} sessions at once")
            for peer in daemon.mesh._peers.values():
                for link in peer.links.values():
                    self.outbox_most = max(self.outbox_most, len(link._outbox))
                    if len(link._outbox) > limits.LINK_OUTBOX_MESSAGES_MAX:
                        self._problem(f"{machine.name} has {len(link._outbox)} messages waiting on one link")
            running = sum(Lane(offer.proposal.lane) is Lane.ONLINE for offer in active)
            if daemon.runs.running > running:
                self._problem(f"{machine.name} has {daemon.runs.running} runs and {running} sessions for them")

    def unrest(self, machines: list[Machine]) -> str | None:
        """What is still going on somewhere, or down; None if nothing is."""
        if len(machines) < len(self._names):
            return "not every centre is up"
        for machine in machines:
            daemon = machine.daemon
            if daemon is None or machine.dead or not daemon.mesh.connected():
                return f"{machine.name} is not connected to all"
            if daemon.sessions.active() or daemon.mesh._channels:
                return (
                    f"{machine.name} is in {len(daemon.sessions.active())} sessions, {len(daemon.mesh._channels)} open"
                )
            if any(link._outbox for peer in daemon.mesh._peers.values() for link in peer.links.values()):
                return f"{machine.name} has messages that do not leave"
        return None

    def leaks(self) -> None:
        """At rest, after all that went wrong: nothing more is alive than at rest before."""
        tasks = trio.lowlevel.current_statistics().tasks_living
        if self.tasks_at_rest is not None and tasks > self.tasks_at_rest + TASKS_MORE_MAX:
            self._problem(f"{tasks} tasks are alive at rest, where there were {self.tasks_at_rest}")
