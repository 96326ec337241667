"""How this centre is: what each part of the daemon finds wrong, put together (``nskd.monitor.findings``)."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import trio

from nskd.control import answers
from nskd.daemon import backup_watch
from nskd.daemon.backup_watch import Kept
from nskd.daemon.epochs import Epochs
from nskd.daemon.expiry import any_purpose_left, expiries
from nskd.daemon.generation import Generator
from nskd.daemon.heads import Heads
from nskd.daemon.key_watch import KeyWatch
from nskd.daemon.objections import Objections
from nskd.daemon.presence import PresenceKeeper
from nskd.daemon.runs import Runs
from nskd.daemon.workshop import Workshop
from nskd.governance.own_policy import OwnPolicy
from nskd.monitor import limits
from nskd.monitor.findings import Finding, Memory, Name
from nskd.peers.mesh import Mesh
from nskd.sessions.manager import SessionManager

_GIGABYTE = 1e9


@attrs.frozen
class Disk:
    """Of the file system that has the state directory, in bytes: what this user may still write, and all of it."""

    free: int
    size: int


def disk_of(directory: Path) -> Disk:
    """Ask the kernel; ``OSError`` where it does not know the directory."""
    found = os.statvfs(directory)
    return Disk(found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize)


@attrs.frozen(kw_only=True, eq=False)
class Parts:
    """What is looked at.  ``draining`` tells whether the daemon is on its way out."""

    workshop: Workshop
    mesh: Mesh
    sessions: SessionManager
    generator: Generator
    epochs: Epochs
    runs: Runs
    presence: PresenceKeeper
    objections: Objections
    heads: Heads
    key_watch: KeyWatch
    own_policy: OwnPolicy | None
    state: Path
    started_at: int
    draining: Callable[[], bool]
    disk: Callable[[Path], Disk] = disk_of
    disk_kept_s: float = 5.0  # how long a reading is good for; a thread is slow to come by on a busy machine


@attrs.frozen
class _Reading:
    """What the disk says, and when it was asked."""

    at: float = -math.inf
    disk: Disk | None = None  # where it can be told
    backup: Kept | None = None  # where one was ever made


class Health:
    """Looks at all parts and remembers since when something has been wrong."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._memory = Memory()
        self._reading = _Reading()
        self.housekeeping_problem: str | None = None  # why the last round came to nothing

    async def disk(self) -> Disk | None:
        """How full the disk is; None where it cannot be told."""
        return (await self._read()).disk

    async def backup(self) -> Kept | None:
        """The backups that are kept here; None where none was ever made."""
        return (await self._read()).backup

    async def _read(self) -> _Reading:
        if trio.current_time() - self._reading.at >= self._parts.disk_kept_s:
            disk, backup = await trio.to_thread.run_sync(self._look)
            self._reading = _Reading(trio.current_time(), disk, backup)
        return self._reading

    def _look(self) -> tuple[Disk | None, Kept | None]:
        state = self._parts.state
        try:
            disk = self._parts.disk(state)
        except OSError:
            disk = None
        return disk, backup_watch.kept_in(state)

    async def findings(self) -> list[Finding]:
        """All that is wrong, the worst first."""
        parts = self._parts
        stock = (await parts.generator.stock_answer()).rows if self._is_quiet(parts.workshop.clock()) else []
        disk, backup = await self.disk(), await self.backup()
        now = parts.workshop.clock()
        found = [
            *self._peers(now),
            *parts.presence.findings(),
            *parts.generator.findings(),
            *parts.objections.findings(),
            *parts.heads.findings(),
            *parts.key_watch.findings(),
            *self._records(),
            *(self._disk(disk) if disk is not None else ()),
            *backup_watch.old(backup, now),
            *self._stock(stock),
            *self._checks(now),
            *self._documents(now),
        ]
        if parts.draining():
            remedy = "Restart the daemon to have it take part again."
            found.append(Finding(Name.DRAINING, "this centre is stopping and takes on nothing new", remedy))
        return self._memory.dated(found, now)

    def _peers(self, now: int) -> Iterator[Finding]:
        down = [peer for peer in self._parts.mesh.status() if not peer.connected]
        for peer in down:
            what = f"{peer.name} is not connected: {peer.last_error}"
            remedy = "It is tried again by itself; `nskctl peers` shows all links."
            yield Finding(Name.PEER_DOWN, what, remedy, since=int(peer.since.timestamp()), subject=peer.name)
        since = max((int(peer.since.timestamp()) for peer in down), default=now)
        if down and len(down) == len(self._parts.mesh.peers) and now - since >= limits.ALONE_S:
            remedy = "Look at this machine's network, firewall and address in the charter first."
            yield Finding(Name.NO_PEER, "no other centre is connected", remedy, since=since)

    def _records(self) -> Iterator[Finding]:
        since = self._parts.workshop.audit.unwritten_since
        if since is not None:
            what = "the last entry of the audit log could not be written"
            yield Finding(Name.AUDIT_NOT_WRITTEN, what, "See whether the disk is full or read-only.", since=since)
        if self.housekeeping_problem is not None:
            what = f"requests are not brought up to date: {self.housekeeping_problem}"
            yield Finding(Name.HOUSEKEEPING_FAILS, what, "It is tried again every minute.")

    @staticmethod
    def _disk(disk: Disk) -> Iterator[Finding]:
        what = f"{disk.free / _GIGABYTE:.1f} GB are free on the disk of the state directory"
        if disk.free < limits.DISK_FULL_BYTES:
            yield Finding(Name.DISK_FULL, what, "Make room at once: nothing can be stored or put on record.")
        elif disk.free < limits.DISK_LOW_BYTES:
            yield Finding(Name.DISK_LOW, what, "Make room, or lower [stock] in nskd.toml.")

    def _quiet_s(self, now: int) -> float:
        """For how long nothing was made."""
        made_at = self._parts.generator.made_at
        return now - self._parts.started_at if made_at is None else trio.current_time() - made_at

    def _is_quiet(self, now: int) -> bool:
        """Whether nothing was made for long, though all are connected."""
        absent = bool(self._parts.workshop.attendance.left) or not self._parts.mesh.connected()
        return not absent and self._quiet_s(now) >= limits.STOCK_PATIENCE_S

    def _stock(self, rows: list[answers.StockRow]) -> Iterator[Finding]:
        """What is short although nobody is missing; no rows are looked at before it is quiet."""
        parts = self._parts
        quiet_s = self._quiet_s(parts.workshop.clock())
        for row in rows:
            if row.level < max(row.low or 0, row.requested):
                what = f"{row.level:,} items of {row.kind!r} are left, none made for {quiet_s / 60:.0f} min"
                first = parts.workshop.charter.names[0]
                remedy = f"{first} has them made: see its log and disk, then those of the others."
                yield Finding(Name.STOCK_LOW, what, remedy, subject=row.kind)

    def _checks(self, now: int) -> Iterator[Finding]:
        at = self._parts.epochs.failed_at
        if at is not None and now - at < limits.CHECK_FAILED_SHOWN_S:
            what = "a check of what all centres computed has failed; keys and stock were given up and made anew"
            remedy = "Somebody cheats or is broken: keep the logs and compare them with the other centres'."
            yield Finding(Name.CHECK_FAILED, what, remedy, since=at)

    def _documents(self, now: int) -> Iterator[Finding]:
        workshop = self._parts.workshop
        for each in expiries(workshop, self._parts.own_policy, now):
            if abs(each.at - now) < limits.EXPIRY_NOTICE_S:
                named = " ".join(word for word in (each.kind.replace("-", " "), each.name) if word)
                days = (each.at - now) // 86_400
                what = f"{named} ends in {days} days" if each.at > now else f"{named} ended {-days} days ago"
                remedy = "Have it renewed, or taken out."
                yield Finding(Name.DOCUMENT_EXPIRING, what, remedy, subject=f"{each.kind} {each.name}".strip())
        if not any_purpose_left(workshop, now):
            what = "every purpose of the charter has ended"
            yield Finding(Name.NO_PURPOSE_LEFT, what, "Agree on the next version of the charter.")
