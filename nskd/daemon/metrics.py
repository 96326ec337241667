"""The numbers of a running daemon (``nskd.monitor.exposition``).  Labels name centres, kinds, outcomes.

Counters begin at zero with the daemon.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from typing import Final

import attrs

from nskd.control import answers
from nskd.daemon.backup_watch import Kept
from nskd.daemon.expiry import expiries
from nskd.daemon.health import Disk, Health, Parts
from nskd.governance.ledger import Ledger
from nskd.governance.lifecycle import State
from nskd.monitor.exposition import Family, by_label, counter, gauge, render
from nskd.monitor.findings import Finding, Name, verdict
from nskd.peers.lanes import PROTOCOL_VERSION
from protocol.lattice.machine import kernel_path

_STATES: Final = ("ready", "paused", "left", "draining")


@attrs.frozen
class Clients:
    """Of the control socket: those connected, and those among them that follow events."""

    connected: int
    subscribed: int


class Metrics:
    """Reads the numbers off the parts."""

    def __init__(self, parts: Parts, health: Health, *, clients: Callable[[], Clients], version: str) -> None:
        self._parts = parts
        self._health = health
        self._clients = clients
        self._version = version

    async def text(self) -> str:
        """All of them, as Prometheus reads them.  Raises an ``OperatorError`` when the ledger cannot be read."""
        parts = self._parts
        stock = await parts.generator.stock_answer()
        counts = await parts.workshop.ledger(Ledger.counts)
        found = await self._health.findings()
        disk, backup = await self._health.disk(), await self._health.backup()
        return render(
            (
                *self._itself(found),
                *self._stock(stock),
                *self._sessions(counts),
                *self._peers(),
                *self._records(disk, backup),
            )
        )

    def _itself(self, found: list[Finding]) -> Iterator[Family]:
        parts, now = self._parts, self._parts.workshop.clock()
        build = {
            "version": self._version,
            "protocol": str(PROTOCOL_VERSION),
            "python": platform.python_version(),
            "kernels": kernel_path(),
        }
        yield Family("nskd_build_info", "gauge", "Versions and kernels; always 1.", ((build, 1),))
        yield gauge("nskd_start_time_seconds", "When the daemon began, in seconds since 1970.", parts.started_at)
        yield gauge("nskd_health", "0 ok, 1 attention, 2 not working.", int(verdict(found)))
        names = {finding.name for finding in found}
        yield by_label(
            "nskd_finding",
            "gauge",
            "1 while nskctl status reports it.",
            "name",
            {name.value: int(name in names) for name in Name},
        )
        own = parts.workshop.attendance.own
        state = "draining" if parts.draining() else "ready" if own is None else own.presence.value
        states = {each: int(each == state) for each in _STATES}
        yield by_label("nskd_state", "gauge", "1 for the state this centre is in.", "state", states)
        ends = tuple(
            ({"document": each.kind, "name": each.name}, float(each.at))
            for each in expiries(parts.workshop, parts.own_policy, now)
        )
        yield Family(
            "nskd_expiry_timestamp_seconds", "gauge", "When a purpose, policy or the next permit is over.", ends
        )
        clients = self._clients()
        yield gauge("nskd_control_connections", "Clients of the control socket.", clients.connected)
        yield gauge("nskd_control_subscribers", "Those among them that follow events.", clients.subscribed)

    def _stock(self, answer: answers.StockAnswer) -> Iterator[Family]:
        generator, rows = self._parts.generator, answer.rows
        for name, text, values in (
            ("ready", "Items that an analysis may use.", {row.kind: row.level for row in rows}),
            ("unconfirmed", "Items not confirmed by all centres yet.", {row.kind: row.locked for row in rows}),
            ("requested", "Items that open requests will use.", {row.kind: row.requested for row in rows}),
            ("low", "Generation begins below this.", {row.kind: row.low for row in rows if row.low is not None}),
            ("high", "Generation ends at this.", {row.kind: row.high for row in rows if row.high is not None}),
        ):
            yield by_label(f"nskd_stock_{name}_items", "gauge", text, "kind", dict(values))
        rates = {row.kind: row.per_second for row in rows if row.per_second is not None}
        yield by_label("nskd_stock_items_per_second", "gauge", "How fast the last batch was made.", "kind", rates)
        made = {row.kind: generator.made[row.kind] for row in rows}
        yield by_label("nskd_stock_made_items_total", "counter", "Items made.", "kind", made)
        yield gauge("nskd_generating", "1 while a batch is made or stock compared.", int(generator.generating))
        yield gauge("nskd_epoch_current", "1 while there are keys to make stock under.", int(answer.epoch is not None))

    def _sessions(self, counts: dict[State, int]) -> Iterator[Family]:
        sessions, epochs = self._parts.sessions, self._parts.epochs
        yield Family(
            "nskd_sessions_total",
            "counter",
            "Sessions by kind and ending: done, refused, cancelled, own-error, stopped-by-peer, or a peer's fault.",
            tuple(
                ({"kind": kind, "outcome": outcome}, float(count))
                for (kind, outcome), count in sorted(sessions.counted().items())
            ),
        )
        yield gauge("nskd_sessions_active", "Sessions under way, or being agreed on.", len(sessions.active()))
        yield gauge("nskd_runs_active", "Analyses under way.", self._parts.runs.running)
        states = {state.value: count for state, count in counts.items()}
        yield by_label("nskd_requests", "gauge", "Requests on file, by state.", "state", states)
        yield by_label(
            "nskd_failed_checks_total",
            "counter",
            "Checks that failed, or were broken off, here.",
            "fault",
            dict(epochs.failed_checks),
        )
        yield counter("nskd_epochs_ended_total", "Times that keys and stock were given up.", epochs.ended)

    def _peers(self) -> Iterator[Family]:
        mesh = self._parts.mesh
        peers = mesh.status()

        def each(name: str, text: str, values: dict[str, float]) -> Family:
            return by_label(f"nskd_peer_{name}", "gauge", text, "centre", values)

        yield each("up", "1 while all lanes to it are up.", {peer.name: int(peer.connected) for peer in peers})
        yield each("lanes_up", "Lanes that are up, of 3.", {peer.name: len(peer.lanes) for peer in peers})
        since = {peer.name: int(peer.since.timestamp()) for peer in peers}
        yield each("since_timestamp_seconds", "When it came up, or went down.", dict(since))
        trips = {peer.name: peer.round_trip_s for peer in peers if peer.round_trip_s is not None}
        yield each("round_trip_seconds", "The last round trip to it.", dict(trips))
        yield each("queued_messages", "Messages to and from it that wait.", {peer.name: peer.queued for peer in peers})
        calls = {peer.name: mesh.failed_calls[peer.name] for peer in peers}
        yield by_label("nskd_failed_calls_total", "counter", "Calls that did not connect.", "centre", dict(calls))
        yield counter("nskd_failed_answers_total", "Callers that failed in the handshake.", mesh.failed_answers)
        yield gauge("nskd_strangers", "Callers that have not shown yet who they are.", mesh.strangers)

    def _records(self, disk: Disk | None, backup: Kept | None) -> Iterator[Family]:
        audit = self._parts.workshop.audit
        yield gauge("nskd_audit_entries", "Entries of the audit log.", audit.head.sequence)
        yield counter("nskd_audit_unwritten_total", "Entries that could not be written.", audit.unwritten)
        if disk is not None:
            yield gauge("nskd_disk_free_bytes", "Free on the disk of the state directory.", disk.free)
            yield gauge("nskd_disk_size_bytes", "All of it.", disk.size)
        made_at = 0 if backup is None or backup.made_at is None else backup.made_at
        yield gauge("nskd_backup_timestamp_seconds", "When the last backup here was made; 0 if none is here.", made_at)
