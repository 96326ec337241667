"""A workshop of real daemons on the loopback address, to be killed, starved and lied to.

Each daemon is an ordinary ``nskd run``; nothing in it knows that it is being tested.  Tests follow what the daemons say
on their control sockets, and act on that: nothing here waits for a moment to pass in the hope that it is the right one.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import attrs
import trio

from nskd.control import steward_key
from nskd.control.async_client import AsyncClient, open_client
from nskd.control.client import DaemonError, UnreachableError
from nskd.credentials import PublicIdentity, generate, load_keys
from nskd.governance.charter import load_charter
from nskd.governance.charter_signatures import Signer, load_signatures, sign_charter, signatures_path
from nskd.governance.statement import Verdict
from nskd.packs.pack import Pack, load_pack
from nskd.packs.synthetic import generate as synthesise
from nskd.packs.synthetic import write_visits
from nskd.sandbox.drive import decide
from tests.ports import free_ports

NAMES = ("noord", "midden", "zuid")
LATER = Path(__file__).with_name("later.py")
PATIENCE_S = 90.0  # for anything at all; a wedge shows as this
THRESHOLD = 3
Event = dict[str, Any]


class EndedError(AssertionError):
    """A daemon is not running."""


@attrs.frozen
class Plan:
    """A centre as the charter is to list it: ``needed`` of its ``stewards`` have to approve."""

    name: str
    roles: tuple[str, ...] = ("compute", "contribute", "request")
    stewards: int = 1
    needed: int = 1

    @property
    def contributes(self) -> bool:
        return "contribute" in self.roles


@attrs.frozen
class Seat:
    """Where a daemon runs: ``host`` is where the charter has others find it, ``command`` is put before its own."""

    host: str = "127.0.0.1"
    listen: str = "127.0.0.1"
    command: tuple[str, ...] = ()


@attrs.define(eq=False)
class Daemon:
    """One centre: its files, and its process while it has one.

    ``clock`` is a file that says by how many seconds its machine's clock is ahead; without one it is right.
    """

    plan: Plan
    directory: Path
    port: int
    identity: PublicIdentity
    extract: dict[str, Any] | None = None
    clock: Path | None = None
    seat: Seat = Seat()
    process: subprocess.Popen[bytes] | None = None
    scribe: subprocess.Popen[bytes] | None = None  # writes the log, so that limits on the daemon's files spare it

    @property
    def name(self) -> str:
        return self.plan.name

    @property
    def config(self) -> Path:
        return self.directory / "nskd.toml"

    @property
    def credentials(self) -> Path:
        return self.directory / "credentials"

    @property
    def steward_key(self) -> Path:
        return self.directory / "steward"

    @property
    def steward_keys(self) -> list[Path]:
        """All its stewards' keys, that of the first first."""
        more = [self.directory / f"steward-{number}" for number in range(2, self.plan.stewards + 1)]
        return [self.steward_key, *more]

    @property
    def socket(self) -> Path:
        return self.directory / "s"

    @property
    def state(self) -> Path:
        return self.directory / "state"

    @property
    def log_path(self) -> Path:
        return self.directory / "log"

    # --- the process ------------------------------------------------------------------------------------------

    def start(self) -> None:
        assert self.process is None or self.process.poll() is not None
        with self.log_path.open("ab") as log:
            self.scribe = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=log)
        assert self.scribe.stdin is not None
        program = [sys.executable, *(["-m", "nskd"] if self.clock is None else [LATER, self.clock])]
        with self.scribe.stdin as pipe:
            self.process = subprocess.Popen(
                [*self.seat.command, *program, "run", "--config", self.config, "--credentials", self.credentials],
                stdin=subprocess.DEVNULL,
                stdout=pipe,
                stderr=pipe,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )

    @property
    def running(self) -> subprocess.Popen[bytes]:
        assert self.process is not None
        return self.process

    def kill(self) -> None:
        """SIGKILL, and reap."""
        self.running.kill()
        self.reap()

    def reap(self) -> int:
        """Wait for the end of the process, and of its log; the exit status."""
        status = self.running.wait(PATIENCE_S)
        assert self.scribe is not None
        self.scribe.wait(PATIENCE_S)
        return status

    def stop(self) -> int:
        """SIGTERM, and reap; the exit status."""
        self.running.terminate()
        try:
            self.running.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        return self.reap()

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Hold the process still, so that its files can be read as a crash would leave them."""
        alive = self.process is not None and self.process.poll() is None
        if alive:
            self.running.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, self.running.pid, os.WSTOPPED | os.WNOWAIT)
        try:
            yield
        finally:
            if alive:
                self.running.send_signal(signal.SIGCONT)

    async def ended(self) -> int:
        """Wait until it has ended by itself; the exit status."""
        with trio.fail_after(PATIENCE_S):
            return await trio.to_thread.run_sync(self.reap, abandon_on_cancel=True)

    # --- the control socket -----------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def client(self) -> AsyncIterator[AsyncClient]:
        """A client, as soon as the daemon listens.  A socket that is not there yet cannot tell when it will be."""
        with trio.fail_after(PATIENCE_S):
            while True:
                if self.running.poll() is not None:
                    raise EndedError(f"{self.name} ended with {self.running.returncode}: {self.words()[-2000:]}")
                try:
                    stack = contextlib.AsyncExitStack()
                    client = await stack.enter_async_context(open_client(self.socket))
                    break
                except UnreachableError:
                    await trio.sleep(0.02)
        async with stack:
            yield client

    async def call(self, method: str, **params: Any) -> Any:
        """One call on a connection of its own, answered within bounds."""
        with trio.fail_after(PATIENCE_S):
            async with self.client() as client:
                return await client.call(method, params)

    async def refusal(self, method: str, **params: Any) -> str:
        """The words of the error that a call must give."""
        try:
            answer = await self.call(method, **params)
        except DaemonError as error:
            return f"{error.message} {' '.join(str(value) for value in error.data.values())}"
        raise AssertionError(f"{method} was answered: {answer}")

    @contextlib.asynccontextmanager
    async def events(self, *kinds: str) -> AsyncIterator[AsyncClient]:
        async with self.client() as client:
            await client.subscribe(kinds)
            yield client

    async def until_status(self, holds: Callable[[Any], bool]) -> Any:
        """Ask for the status until it is so."""
        status: Any = None
        with trio.move_on_after(PATIENCE_S):
            async with self.client() as client:
                while True:
                    status = await client.call("status")
                    if holds(status):
                        return status
                    await trio.sleep(0.05)
        raise AssertionError(f"{self.name} never got there: {status}")

    async def connected(self) -> None:
        await self.until_status(lambda status: status["peers_up"] == status["peers"])

    async def until_logged(self, words: str) -> None:
        """Wait for a line with these words; what is logged and not published can only be looked for."""
        with trio.fail_after(PATIENCE_S):
            while True:
                if words in self.words():
                    return
                await trio.sleep(0.05)

    # --- what it wrote ----------------------------------------------------------------------------------------

    def words(self) -> str:
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def entries(self) -> list[dict[str, Any]]:
        """Its log, line by line; lines that are not JSON are left out."""
        found = []
        for line in self.words().splitlines():
            with contextlib.suppress(ValueError):
                found.append(json.loads(line))
        return [entry for entry in found if isinstance(entry, dict)]

    def rows(self, database: str, *queries: str) -> list[list[tuple[Any, ...]]]:
        """Read a copy of one of its databases, as it is on disk at this moment."""
        path = self.state / database
        with tempfile.TemporaryDirectory() as name, self.frozen():
            for suffix in ("", "-wal"):
                if Path(f"{path}{suffix}").exists():
                    shutil.copyfile(f"{path}{suffix}", f"{name}/copy.sqlite{suffix}")
            with contextlib.closing(sqlite3.connect(f"{name}/copy.sqlite")) as copy:
                return [copy.execute(query).fetchall() for query in queries]

    def request_state(self, digest: str) -> str | None:
        ((*rows,),) = (self.rows("ledger.sqlite", f"SELECT state FROM request WHERE digest = x'{digest}'"),)
        return rows[0][0][0] if rows[0] else None


@attrs.define(eq=False)
class Workshop:
    """Some centres under one charter."""

    directory: Path
    pack: Pack
    daemons: list[Daemon] = attrs.field(factory=list)

    @property
    def charter(self) -> Path:
        return self.directory / "charter.toml"

    @property
    def extracts(self) -> list[dict[str, Any]]:
        """What those that bring data bring."""
        return [daemon.extract for daemon in self.daemons if daemon.extract is not None]

    def add(self, plan: Plan, port: int, *, visits: int, seat: Seat = Seat()) -> Daemon:
        """Keys, extract and configuration of one more centre; the charter is still to list it."""
        home = self.directory / plan.name
        home.mkdir(parents=True)
        daemon = Daemon(plan, home, port, generate(home / "credentials"), seat=seat)
        for number, path in enumerate(daemon.steward_keys, 1):
            steward_key.generate(path, f"Steward {number} of {plan.name}")
        if plan.contributes:
            daemon.extract = synthesise(self.pack, seed=7, centre=len(self.daemons), visits=visits)
            write_visits(daemon.extract, home / "visits.csv")
        write_config(daemon, charter=self.charter)
        self.daemons.append(daemon)
        return daemon

    def __getitem__(self, name: str) -> Daemon:
        return next(daemon for daemon in self.daemons if daemon.name == name)

    def others(self, daemon: Daemon) -> list[Daemon]:
        return [other for other in self.daemons if other is not daemon]

    def start(self) -> None:
        for daemon in self.daemons:
            daemon.start()

    def reap(self) -> None:
        for daemon in self.daemons:
            if daemon.process is not None and daemon.process.poll() is None:
                daemon.process.terminate()
        for daemon in self.daemons:
            if daemon.process is not None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    daemon.process.wait(15)
                daemon.kill()

    async def connected(self) -> None:
        for daemon in self.daemons:
            await daemon.connected()

    async def submit(self, requester: Daemon, text: str) -> str:
        return str((await requester.call("request.submit", text=text))["request"])

    async def approve(self, daemon: Daemon, digest: str) -> None:
        """Approve once the request has come there; again if the daemon dies over it."""
        with trio.fail_after(PATIENCE_S):
            while True:
                with contextlib.suppress(UnreachableError, EndedError):
                    async with daemon.events("request") as client:
                        while True:
                            try:
                                await decide(client, digest, Verdict.APPROVE, daemon.steward_key)
                                return
                            except DaemonError as error:
                                if "nothing is left to decide" in error.message:
                                    return
                                if "no such request" not in error.message:
                                    raise
                            await client.next_event()
                await trio.sleep(0.05)  # a daemon that is not there yet cannot tell when it will be

    async def decide(self, daemon: Daemon, digest: str, verdict: Verdict) -> dict[str, Any]:
        """The word of that centre's steward on a request that is there."""
        async with daemon.client() as client:
            return await decide(client, digest, verdict, daemon.steward_key)

    async def ask(self, requester: Daemon, text: str, nursery: trio.Nursery | None = None) -> str:
        """Submit and have all approve, in ``nursery`` if a daemon may die meanwhile."""
        digest = await self.submit(requester, text)
        for daemon in self.daemons:
            if nursery is None:
                await self.approve(daemon, digest)
            else:
                nursery.start_soon(self.approve, daemon, digest)
        return digest

    async def all_done(self, digest: str) -> dict[str, Any]:
        """Wait until every centre has the release, the same at each; return it."""
        answers: list[Any] = []
        for daemon in self.daemons:
            answers.append(await daemon.call("result.wait", request=digest, timeout_s=PATIENCE_S - 5))
        assert [answer["state"] for answer in answers] == ["done"] * len(self.daemons), answers
        assert len({answer["digest"] for answer in answers}) == 1
        release: dict[str, Any] = answers[0]["release"]
        return release

    def expected(self, variable: str) -> dict[str, int | None]:
        """What plain counting over all extracts gives: distinct children, by the charter's rules; None is hidden.

        At least so many centres have some as the charter asks for, and numbers are rounded to multiples of 5.
        """
        table: dict[str, int | None] = {}
        for level in self.pack.codebook.variables[variable].keys:
            own = [
                len(
                    {
                        child
                        for child, found in zip(rows["person_link"], rows[variable], strict=True)
                        if str(found) == level
                    }
                )
                for rows in self.extracts
            ]
            safe = min(sum(own) - each for each in own) >= THRESHOLD and sum(map(bool, own)) >= min(len(own), 3)
            table[level] = (sum(own) + 2) // 5 * 5 if safe else None
        return table


def shown(release: dict[str, Any], variable: str) -> dict[str, int | None]:
    return {cell[variable]: cell["value"] for cell in release["cells"]}


def request_text(title: str, rows: str = "sex", **more: str) -> str:
    fields = {
        "kind": "table",
        "title": title,
        "purpose": "improvement",
        "rows": rows,
        "measure": "children",
        **more,
    }
    return "".join(f"{key} = {json.dumps(value)}\n" for key, value in fields.items())


def lay_out(directory: Path, plans: Sequence[Plan] = tuple(map(Plan, NAMES)), *, visits: int = 300) -> Workshop:
    """Keys, charter, configuration and extracts on disk; nothing started yet."""
    workshop = Workshop(directory, load_pack("nsk"))
    for plan, port in zip(plans, free_ports(len(plans)), strict=True):
        workshop.add(plan, port, visits=visits)
    workshop.charter.write_text(charter_text(workshop.pack, workshop.daemons))
    sign(workshop.charter, workshop.daemons)
    return workshop


NO_STOCK = "".join(f"{kind} = {{ low = 0, high = 0 }}\n" for kind in ("triples", "bits", "masks"))


@contextlib.contextmanager
def lone(directory: Path) -> Iterator[Daemon]:
    """One daemon of a small workshop, for tests that start it, and that need no other."""
    workshop = lay_out(directory, visits=50)
    daemon = workshop.daemons[0]
    try:
        yield daemon
    finally:
        workshop.reap() if daemon.process is not None else None


def write_config(daemon: Daemon, *, charter: Path, data: str = "", stock: str = NO_STOCK, more: str = "") -> None:
    """``data`` are further lines of its ``[data]``, ``stock`` those of ``[stock]``, ``more`` lines of ``[limits]`` and
    whole sections after it.
    """
    source = f'source = "{daemon.directory / "visits.csv"}"\n' if daemon.plan.contributes else ""
    daemon.config.write_text(
        f'[centre]\nname = "{daemon.name}"\n[workshop]\ncharter = "{charter}"\n'
        f'[network]\nlisten = "{daemon.seat.listen}:{daemon.port}"\nredial_max = "500ms"\n'
        f'[data]\n{source}{data}[state]\ndirectory = "{daemon.state}"\n'
        f'[control]\nsocket = "{daemon.socket}"\n'
        f"[stock]\n{stock}"
        f'[log]\nformat = "json"\n[limits]\nworker_threads = 1\n{more}'
    )


def charter_text(
    pack: Pack,
    daemons: Sequence[Daemon],
    title: str = "A workshop under test",
    *,
    version: int = 1,
    head: str = "",
    rules: str = "",
    ends: Mapping[str, datetime.date] | None = None,
) -> str:
    """``head`` are further lines at the top, ``rules`` of ``[disclosure]``; ``ends`` says when purposes end."""
    parts = [
        f'workshop = "test"\ntitle = "{title}"\nversion = {version}\n{head}'
        f'pack = "{pack.name}"\npack_digest = "{pack.digest.hex()}"\n',
        f"[disclosure]\nthreshold = {THRESHOLD}\ninsider = true\ncentres_min = {min(len(daemons), 3)}\n{rules}",
    ]
    for purpose in pack.purposes:
        end = (ends or {}).get(purpose.id)
        until = "" if end is None else f"valid_until = {end}\n"
        parts.append(
            f'[[purpose]]\nid = "{purpose.id}"\ntext = {json.dumps(purpose.text.en)}\nehds = "{purpose.ehds}"\n{until}'
        )
    return "\n".join([*parts, *map(charter_entry, daemons)])


def charter_entry(daemon: Daemon) -> str:
    entry = daemon.identity.charter_entry(
        name=daemon.name,
        title=daemon.name,
        address=f"{daemon.seat.host}:{daemon.port}",
        stewards=[path.with_suffix(".pub").read_text().strip() for path in daemon.steward_keys],
    )
    return f"{entry}approvals_needed = {daemon.plan.needed}\nroles = {json.dumps(daemon.plan.roles)}\n"


def sign(path: Path, daemons: Sequence[Daemon]) -> None:
    """Have all these centres sign the charter in a file, beside those who have."""
    charter = load_charter(path)
    signatures = load_signatures(charter, path)
    for daemon in daemons:
        key = load_keys(daemon.credentials).signing
        signatures = signatures.adding((sign_charter(charter, Signer(daemon.name, key.public), key.signer()),))
    signatures_path(path).write_text(signatures.text())


# --- the account of the stock ---------------------------------------------------------------------------------

Batch = tuple[bytes, bytes]  # epoch, batch


@attrs.define
class StockBook:
    """Remembers everything that was ever seen in the stock ledgers, and finds any item that is used twice."""

    cursors: dict[tuple[str, Batch], int] = attrs.field(factory=dict)
    held: dict[tuple[str, Batch], dict[bytes, tuple[int, int]]] = attrs.field(factory=dict)

    def read(self, daemon: Daemon) -> None:
        """Add what is on disk at one centre now; a cursor that has gone back is a failure."""
        if not (daemon.state / "stock" / "ledger.sqlite").exists():
            return
        epochs, batches, segments = daemon.rows(
            "stock/ledger.sqlite",
            "SELECT epoch FROM epoch",
            "SELECT batch, cursor FROM batch",
            "SELECT batch.batch, session, start, stop FROM segment JOIN batch ON batch.number = segment.batch",
        )
        if not epochs:
            return
        epoch = bytes(epochs[0][0])
        for batch, cursor in batches:
            key = (daemon.name, (epoch, bytes(batch)))
            assert cursor >= self.cursors.get(key, 0), f"a cursor of {daemon.name} went back"
            self.cursors[key] = cursor
        for batch, session, start, stop in segments:
            known = self.held.setdefault((daemon.name, (epoch, bytes(batch))), {})
            assert known.setdefault(bytes(session), (start, stop)) == (start, stop)

    def check(self, daemons: Sequence[Daemon]) -> int:
        """No two sessions ever held the same item at a centre, or took the same item anywhere; how many were taken."""
        for daemon in daemons:
            self.read(daemon)
        for (name, _), sessions in self.held.items():
            _disjoint(name, [(start, stop) for start, stop in sessions.values()])
        taken: dict[tuple[str, str], dict[str, list[tuple[int, int]]]] = {}
        for daemon in daemons:
            for entry in daemon.entries():
                if entry.get("event") == "stock taken":
                    for parts in entry["segments"].values():
                        for batch, start, stop in parts:
                            of_batch = taken.setdefault((entry["epoch"], batch), {})
                            mine = of_batch.setdefault(entry["session"], [])
                            if (start, stop) not in mine:  # every centre of the session takes the same
                                mine.append((start, stop))
        for (_, batch), by_session in taken.items():
            _disjoint(f"batch {batch}", [part for parts in by_session.values() for part in parts])
        return sum(
            stop - start for by_session in taken.values() for parts in by_session.values() for start, stop in parts
        )


def _disjoint(where: str, ranges: list[tuple[int, int]]) -> None:
    ordered = sorted(ranges)
    for (_, stop), (start, _) in pairwise(ordered):
        assert stop <= start, f"{where}: an item was handed out twice: {ordered}"
