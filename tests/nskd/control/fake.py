"""A daemon without cryptography: answers of every shape, and a few wrong turns to take on purpose."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import attrs
import msgspec
import trio

from nskd.control import answers as a
from nskd.control import methods as m
from nskd.control.codes import Code, ControlError
from nskd.control.endpoint import control_endpoint
from nskd.control.events import EventBus
from nskd.control.limits import Bounds
from nskd.control.roles import Credentials, Role, RoleMap
from nskd.control.server import ControlServer
from nskd.control.service import Call, Service
from nskd.errors import OperatorError
from nskd.governance.charter import Charter, parse_charter
from nskd.governance.charter_signatures import CharterSignatures, Signer, sign_charter
from nskd.governance.ledger import UnknownRequestError
from nskd.governance.lifecycle import StateError
from nskd.governance.policy import PolicyError, Refusal, Rule
from nskd.governance.statement import NAMESPACE, Statement, Verdict
from protocol.errors import Fault, RemoteProtocolError
from tests.nskd.governance import workshop as papers

DIGEST = "ab" * 32
PAGES = {
    "nl": [
        a.PageSection(key="asked", title="Wat er gevraagd wordt", sentences=["Vraag: leeftijd", "[b]x[/b] \x1b[31m"])
    ],
    "en": [a.PageSection(key="asked", title="What is asked", sentences=["Question: age"])],
}
RELEASE: dict[str, Any] = {
    "format": 1,
    "title": "Positive by age",
    "rows": ["age_band"],
    "columns": ["nsk_positive"],
    "measure": "children",
    "cells": [
        {"age_band": "0-3", "nsk_positive": "ja", "value": None},
        {"age_band": "0-3", "nsk_positive": "nee", "value": 410},
        {"age_band": "4-8", "nsk_positive": "ja", "value": 23},
        {"age_band": "4-8", "nsk_positive": "nee", "value": 987},
    ],
}


class FakeJournal:
    """Keeps what is put on record; with ``full`` set nothing can be."""

    def __init__(self) -> None:
        self.entries: list[tuple[str, int, str, str | None]] = []
        self.full = False

    async def asked(self, call: Call, method: str, request: str | None) -> None:
        if self.full:
            raise OperatorError("it cannot be used: No space left on device", where="audit log", remedy="Free some.")
        self.entries.append(("asked", call.credentials.uid, method, request))

    async def forbidden(self, credentials: Credentials, method: str | None) -> None:
        self.entries.append(("forbidden", credentials.uid, method or "", None))

    async def refused(self, call: Call, method: str, outcome: str, rule: str | None) -> None:
        self.entries.append(("refused", call.credentials.uid, method, rule or outcome))


class FakeService:
    """Requests by name: ``ab…`` is there, ``dead`` is unknown, ``c0ff`` conflicts, ``bad0`` is a bug."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Call, Any]] = []
        self.changed: list[str] = []
        self.log_lines: list[bytes] = []
        self.log_key = bytes(32)
        self.finished = trio.Event()
        self.ended = trio.Event()
        self.waiting = self.waiting_most = 0
        self.lie: dict[str, Any] = {}  # about what a steward is asked to sign
        self.release: dict[str, Any] | None = RELEASE
        self.own_point: tuple[int, int] | None = None
        self.health = "attention"
        self.level = "info"

    def _name(self, method: str, call: Call, params: Any) -> str:
        self.calls.append((method, call, params))
        name = getattr(params, "request", DIGEST)
        if name == "dead":
            raise UnknownRequestError("no such request here", where="request dead", remedy="List them.")
        if name == "c0ff":
            raise StateError("it is done", where="request c0ff", remedy="Submit it again.")
        if name == "f00d":
            refusal = Refusal(Rule.PURPOSE_UNKNOWN, "x", "the charter has no purpose 'x'", "Purposes: y.")
            raise PolicyError((refusal,))
        if name == "1111":
            raise RemoteProtocolError(Fault.APPROVAL, "an approval is forged", party="zuid")
        if name == "2222":
            raise ControlError(Code.DRAINING, "the daemon is stopping")
        if name == "bad0":
            raise RuntimeError("secret detail")
        if getattr(params, "check", False) is False and isinstance(params, m.Changing):
            self.changed.append(method)
        return DIGEST

    async def version(self, call: Call, params: m.Params, /) -> a.VersionAnswer:
        return a.VersionAnswer(nskd="0.1.0", protocol="1", python="3.11")

    async def status(self, call: Call, params: m.Params, /) -> a.StatusAnswer:
        self._name("status", call, params)
        return a.StatusAnswer(
            centre="noord",
            workshop="test",
            charter="cd" * 32,
            version="0.1.0",
            state="ready",
            uptime_s=93_784,
            peers_up=1,
            peers=2,
            epoch=None,
            requests={"submitted": 2, "done": 0},
            kernels="portable (as tests have it)",
            notes=["clock [bold]differs[/bold] \x1b[31m"],
            health=self.health,
            findings=[
                a.FindingRow(
                    name="peer-down",
                    health="attention",
                    what="clock [bold]differs[/bold] \x1b[31m",
                    remedy="Call them.",
                    since=1_780_000_000,
                    subject="zuid",
                    runbook="docs/operations.md#peer-down",
                )
            ],
            log_level=self.level,
            log_configured="info",
        )

    async def peers(self, call: Call, params: m.Params, /) -> a.PeersAnswer:
        up = a.PeerRow(
            name="midden",
            title="M",
            address="midden:1",
            state="up",
            since=1_780_000_000,
            lanes=["control"],
            rtt_ms=0.25,
        )
        return a.PeersAnswer(peers=[up, a.PeerRow(name="zuid", title="Z", address="zuid:1", state="down")])

    async def stock(self, call: Call, params: m.Params, /) -> a.StockAnswer:
        rows = [a.StockRow(kind="triple", level=1_234_567, locked=524_288, low=1_000_000, high=10_000_000)]
        rows[0] = msgspec.structs.replace(rows[0], requested=2_345_678, marks="history", per_second=1_005_000.4)
        return a.StockAnswer(epoch="ef" * 32, generating=True, rows=[*rows, a.StockRow(kind="bit", level=0)])

    async def charter(self, call: Call, params: m.CharterParams, /) -> a.CharterAnswer:
        names = list(papers.NAMES)
        return self._charter(papers.CHARTER, names)

    async def charter_sign(self, call: Call, params: m.CharterSignParams, /) -> a.CharterAnswer:
        self._name("charter.sign", call, params)
        return self._charter(parse_charter(params.text.encode()), ["noord"])

    def _charter(self, charter: Charter, names: list[str]) -> a.CharterAnswer:
        keys = {name: papers.signing_key(name) for name in names}
        signatures = CharterSignatures(charter.digest).adding(
            sign_charter(charter, Signer(name, key.public_key().public_bytes_raw()), key.sign)
            for name, key in keys.items()
        )
        return a.CharterAnswer(
            version=charter.version,
            digest=charter.digest.hex(),
            text=charter.raw.decode(),
            signatures=signatures.text(),
        )

    async def permits(self, call: Call, params: m.Params, /) -> a.PermitsAnswer:
        row = a.PermitRow(
            id="HDAB-1",
            kind="health-data-permit",
            issuer="A body",
            holder="noord",
            purposes=["research"],
            categories=["sex"],
            first="2024-01",
            last="2024-12",
            valid_from="2026-01-01",
            valid_until="2026-12-31",
            retention_end="2027-12-31",
            state="valid",
        )
        return a.PermitsAnswer(permits=[row], required=True)

    def _row(self) -> a.RequestRow:
        return a.RequestRow(
            request=DIGEST,
            title="Positive by age",
            centre="noord",
            purpose="improvement",
            state="submitted",
            submitted_at=1_780_000_000,
            approved=1,
            needed=3,
        )

    async def request_list(self, call: Call, params: m.ListParams, /) -> a.RequestList:
        self._name("request.list", call, params)
        return a.RequestList(requests=[self._row()], more=True)

    async def request_show(self, call: Call, params: m.NamedParams, /) -> a.RequestDetail:
        self._name("request.show", call, params)
        return a.RequestDetail(
            row=self._row(),
            rows=["age_band"],
            columns=[],
            measure="children",
            where=None,
            margins=False,
            approvals=[
                a.ApprovalRow(
                    centre="noord", verdict="approve", steward="dr. N", issued_at=1, expires_at=2, lapsed=True
                ),
                a.ApprovalRow(centre="zuid", verdict=None),
            ],
            pages=PAGES,
            text='kind = "table"',
            refusals=["rule variable-not-for-purpose: no"],
            waits_for=["zuid has paused since 2026-05-28 20:26 UTC [b]x[/b]"],
        )

    async def request_submit(self, call: Call, params: m.SubmitParams, /) -> a.SubmitAnswer:
        name = self._name("request.submit", call, params)
        return a.SubmitAnswer(request=None if params.check else name, checked=params.check, pages=PAGES)

    async def request_run(self, call: Call, params: m.RunParams, /) -> a.RunAnswer:
        return a.RunAnswer(request=self._name("request.run", call, params), state="running", checked=params.check)

    async def _decide(self, verdict: str, call: Call, params: m.DecideParams) -> a.DecisionAnswer:
        name = self._name(f"request.{verdict}", call, params)
        return a.DecisionAnswer(
            request=name,
            verdict=verdict,
            state="approved",
            steward="dr. N",
            expires_at=1_780_000_000,
            checked=params.check,
        )

    async def request_statement(self, call: Call, params: m.StatementParams, /) -> a.StatementAnswer:
        name = self._name("request.statement", call, params)
        verdict = Verdict(params.verdict)
        said = Statement(
            workshop="test",
            centre="noord",
            request=bytes.fromhex(name),
            charter=bytes(32),
            verdict=verdict,
            issued_at=1_780_000_000,
            expires_at=1_780_000_000 + params.validity_s if verdict is Verdict.APPROVE else None,
            by="SHA256:" + "A" * 43,
            name="dr. N",
        )
        said = attrs.evolve(said, **self.lie)
        return a.StatementAnswer(
            request=name,
            verdict=verdict.value,
            steward="ssh-ed25519 AAAA dr. N",
            namespace=NAMESPACE,
            statement=said.text().decode(),
        )

    async def request_approve(self, call: Call, params: m.DecideParams, /) -> a.DecisionAnswer:
        return await self._decide("approve", call, params)

    async def request_refuse(self, call: Call, params: m.DecideParams, /) -> a.DecisionAnswer:
        return await self._decide("refuse", call, params)

    async def request_revoke(self, call: Call, params: m.DecideParams, /) -> a.DecisionAnswer:
        return await self._decide("revoke", call, params)

    async def result_show(self, call: Call, params: m.NamedParams, /) -> a.ResultAnswer:
        name = self._name("result.show", call, params)
        return a.ResultAnswer(
            request=name,
            title="Positive by age",
            state="done" if self.release else "failed",
            digest="12" * 32,
            recorded_at=1_780_000_000,
            release=self.release,
            fault=None if self.release else "timeout",
            purpose="improvement",
            charter=papers.CHARTER.digest.hex(),
            own_point=self.own_point,
        )

    async def audit_heads(self, call: Call, params: m.Params, /) -> a.HeadsAnswer:
        rows = [
            a.HeadRow(centre="zuid", state="in order", sequence=12, hash="ab" * 32),
            a.HeadRow(centre="midden", state="contradicted", sequence=9, hash="cd" * 32, detail="cut"),
        ]
        return a.HeadsAnswer(own=3, heads=rows)

    async def audit_read(self, call: Call, params: m.AuditParams, /) -> a.AuditPage:
        self.calls.append(("audit.read", call, params))
        some = self.log_lines[params.after : params.after + min(params.limit, 2)]  # pages of two
        lines = [line.decode() for line in some]
        return a.AuditPage(centre="noord", signing_key=self.log_key.hex(), entries=len(self.log_lines), lines=lines)

    async def result_wait(self, call: Call, params: m.WaitParams, /) -> a.ResultAnswer:
        self.waiting += 1
        self.waiting_most = max(self.waiting, self.waiting_most)
        try:
            await call.progress({"phase": "triples", "done": 1, "total": 2})
            await call.progress({"phase": "opening"})
            with trio.move_on_after(float("inf") if params.timeout_s is None else params.timeout_s):
                await self.finished.wait()
        finally:
            self.waiting -= 1
        return await self.result_show(call, m.NamedParams(request=params.request))

    async def document(self, call: Call, params: m.DocumentParams, /) -> a.DocumentAnswer:
        self._name("document", call, params)
        gaps = ["1.1 Wie besloot?"] if params.kind == "dpia" else []
        return a.DocumentAnswer(kind=params.kind, text=f"# {params.kind} [b]\n", gaps=gaps)

    def _presence(self, method: str, state: str, call: Call, params: m.Changing) -> a.PresenceAnswer:
        self._name(method, call, params)
        return a.PresenceAnswer(
            centre="noord",
            state=state,
            since=1_780_000_000,
            reason=getattr(params, "reason", None) or None,
            waiting=3,
            running=1,
            not_told=["zuid"],
            checked=params.check,
        )

    async def pause(self, call: Call, params: m.WithdrawParams, /) -> a.PresenceAnswer:
        return self._presence("pause", "paused", call, params)

    async def resume(self, call: Call, params: m.Changing, /) -> a.PresenceAnswer:
        return self._presence("resume", "present", call, params)

    async def leave(self, call: Call, params: m.WithdrawParams, /) -> a.PresenceAnswer:
        return self._presence("leave", "left", call, params)

    async def epoch_end(self, call: Call, params: m.EpochEndParams, /) -> a.EpochEndAnswer:
        return a.EpochEndAnswer(epoch="0123456789abcdef", checked=params.check)

    async def backup(self, call: Call, params: m.Changing, /) -> a.BackupAnswer:
        path = None if params.check else "/var/lib/nskd/backup/noord.backup"
        return a.BackupAnswer(path=path, size=None if params.check else 4096, audit_entries=7, checked=params.check)

    async def reload(self, call: Call, params: m.Changing, /) -> a.ReloadAnswer:
        self._name("reload", call, params)
        return a.ReloadAnswer(changed=["stock.low"], restart_needed=[], checked=params.check)

    async def drain(self, call: Call, params: m.DrainParams, /) -> a.DrainAnswer:
        self._name("drain", call, params)
        if params.exit and not params.check:
            self.ended.set()
        return a.DrainAnswer(state="draining", running=0, checked=params.check, ends=params.exit)

    async def metrics(self, call: Call, params: m.Params, /) -> a.MetricsAnswer:
        return a.MetricsAnswer(text="# HELP nskd_health How.\n# TYPE nskd_health gauge\nnskd_health 1\n")

    async def log_level(self, call: Call, params: m.LogLevelParams, /) -> a.LogLevelAnswer:
        self._name("log.level", call, params)
        level = params.level or "info"
        self.level = self.level if params.check else level
        return a.LogLevelAnswer(level=level, configured="info", checked=params.check)

    async def bugreport(self, call: Call, params: m.Params, /) -> a.BugReport:
        return a.BugReport(
            made_at=1,
            version=await self.version(call, params),
            libraries={"trio": "1"},
            system={},
            schemas={"ledger": 4},
            limits={},
            config={},
            status=await self.status(call, params),
            peers=[],
            stock=await self.stock(call, params),
            requests={},
            metrics="",
            log=[],
        )


def _conforms(service: FakeService) -> Service:
    return service


class Log:
    """Collects log lines as structlog would be given them."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []

    def _line(self, event: str, **fields: Any) -> None:
        self.lines.append({"event": event, **fields})

    info = warning = exception = _line

    def of(self, event: str) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["event"] == event]


class Running:
    """A server under test, its fake daemon, and raw connections to it."""

    server: ControlServer
    cancel: Callable[[], None]

    def __init__(self, path: Path, service: FakeService, events: EventBus, log: Log, journal: FakeJournal) -> None:
        self.journal = journal
        self.path = path
        self.service = service
        self.events = events
        self.log = log

    @contextlib.asynccontextmanager
    async def connect(self) -> AsyncIterator[Raw]:
        async with await trio.open_unix_socket(self.path) as stream:
            yield Raw(stream)


class Raw:
    """A client that sends what it likes."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self._buffer = b""

    async def send(self, data: bytes | str | dict[str, Any]) -> None:
        if isinstance(data, dict):
            data = msgspec.json.encode({"jsonrpc": "2.0", **data}) + b"\n"
        await self.stream.send_all(data.encode() if isinstance(data, str) else data)

    async def line(self) -> dict[str, Any]:
        while b"\n" not in self._buffer:
            data = await self.stream.receive_some(65_536)
            if not data:
                raise EOFError(self._buffer)
            self._buffer += data
        line, self._buffer = self._buffer.split(b"\n", 1)
        answer = msgspec.json.decode(line)
        assert answer["jsonrpc"] == "2.0"
        return answer

    async def ask(self, method: str, request_id: int | str = 1, **params: Any) -> dict[str, Any]:
        await self.send({"id": request_id, "method": method, "params": params})
        return await self.line()

    async def at_end(self) -> bool:
        try:
            return await self.stream.receive_some(1) == b""
        except trio.BrokenResourceError:
            return True


@contextlib.asynccontextmanager
async def serving(
    directory: Path,
    *,
    uid: int = 0,
    roles: RoleMap | None = None,
    bounds: Bounds | None = None,
) -> AsyncIterator[Running]:
    """A server on a real socket, whose kernel says that ``uid`` connects."""
    path = directory / "control.sock"
    running = Running(path, FakeService(), EventBus(), Log(), FakeJournal())
    server = ControlServer(
        running.service,
        roles=roles or RoleMap(own_uid=4_000),
        events=running.events,
        journal=running.journal,
        bounds=bounds,
        credentials=lambda _: Credentials(pid=7, uid=uid, gid=uid),
        log=running.log,  # type: ignore[arg-type]
    )
    running.server = server
    with control_endpoint(path) as listener:

        async def serve(task_status: trio.TaskStatus[None]) -> None:
            with trio.CancelScope() as scope:
                running.cancel = scope.cancel  # ends the server, and not the test
                await server.serve(listener, task_status=task_status)

        async with trio.open_nursery() as nursery:
            await nursery.start(serve)
            yield running
            nursery.cancel_scope.cancel()


ROLES = RoleMap(
    users={100 + role: role for role in Role},
    groups={55: Role.OPERATE},
    own_uid=4_000,
    groups_of=lambda _, gid: frozenset({gid}),
)
