"""What goes wrong in practice, and what a malicious centre tries: one clear error each, and nothing given away."""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest
import structlog
import trio

from nskd.control import steward_key
from nskd.control.async_client import AsyncClient
from nskd.control.client import DaemonError
from nskd.credentials import StorageKey, generate, load_keys
from nskd.governance import sshsig
from nskd.governance.amendment import amended_text
from nskd.governance.approval import SignedApproval, sign_approval
from nskd.governance.charter import Charter, load_charter
from nskd.governance.request import SignedRequest, sign_request
from nskd.governance.statement import NAMESPACE, Statement, Verdict
from nskd.peers.greeting import ATTEMPT_ERRORS, Greeter
from nskd.peers.lanes import PROTOCOL_VERSION, Hello, Lane, Member, prologue
from nskd.peers.mesh import Mesh
from nskd.peers.stream import handshake
from nskd.sessions.proposal import Proposal, make_offer
from protocol.errors import Fault, RemoteProtocolError
from protocol.messages import ApprovalNotice, Propose, Refuse, RequestNotice
from protocol.noise import StaticKey
from tests.system.workshop import (
    PATIENCE_S,
    Daemon,
    StockBook,
    Workshop,
    lay_out,
    request_text,
    shown,
    sign,
    write_config,
)

EXIT_CONFIGURATION = 78


@pytest.fixture
def workshop(tmp_path: Path) -> Iterator[Workshop]:
    workshop = lay_out(tmp_path)
    try:
        yield workshop
    finally:
        workshop.reap()


# --- it does not start ------------------------------------------------------------------------------------------


async def test_a_centre_that_cannot_start_says_why_once_and_exits_78(workshop: Workshop, tmp_path: Path) -> None:
    """Bad data at one, an unknown key in the configuration of another, the wrong key at the third."""
    bad_data, bad_config, bad_key = workshop.daemons
    visits = bad_data.directory / "visits.csv"
    lines = visits.read_text().splitlines()
    column = lines[0].split(",").index("sex")
    lines[4] = ",".join("Z" if index == column else cell for index, cell in enumerate(lines[4].split(",")))
    visits.write_text("\n".join(lines) + "\n")
    write_config(bad_config, charter=tmp_path / "charter.toml", more="worker_thread = 2\n")
    for path in bad_key.credentials.iterdir():
        path.unlink()
    generate(bad_key.credentials)

    workshop.start()
    assert [await daemon.ended() for daemon in workshop.daemons] == [EXIT_CONFIGURATION] * 3
    said = bad_data.words()
    assert said.count("nskd: ") == 1 and "Traceback" not in said
    assert "row 5, sex" in said and "nskd check" in said and str(visits) in said
    assert '"Z"' not in said  # no value of a row is for the journal
    said = bad_config.words()
    assert said.count("nskd: ") == 1 and "Traceback" not in said
    assert "worker_thread" in said and "worker_threads" in said and str(bad_config.config) in said
    said = bad_key.words()
    assert said.count("nskd: ") == 1 and "Traceback" not in said
    assert "the charter's noise key for zuid is not the public half of this centre's noise.key" in said


# --- it does not connect ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("attempt", [0, *(pytest.param(number, marks=pytest.mark.long) for number in (1, 2))])
async def test_told_to_end_as_soon_as_it_listens(workshop: Workshop, attempt: int) -> None:
    """A daemon that can be reached ends in good order, however young: no socket is left, nothing is half-written."""
    daemon = workshop["noord"]
    daemon.start()
    with trio.fail_after(PATIENCE_S):
        while not daemon.socket.exists():
            assert daemon.running.poll() is None, daemon.words()
            await trio.lowlevel.checkpoint()
    daemon.running.terminate()
    assert await daemon.ended() == 0
    assert not daemon.socket.exists()


async def test_other_charter_missing_peer_strangers_and_what_may_not_be_asked(
    workshop: Workshop, tmp_path: Path
) -> None:
    """midden still has the charter's first version, and at zuid's address nobody, then an impostor, answers."""
    noord, midden, zuid = workshop.daemons
    first, second = tmp_path / "charter.toml", tmp_path / "second.toml"
    second.write_bytes(amended_text(load_charter(first)))
    sign(second, workshop.daemons)
    for daemon in (noord, zuid):
        write_config(daemon, charter=second)
    noord.start()
    midden.start()

    def says(*words: str) -> Callable[[Any], bool]:
        return lambda status: any(all(word in note for word in words) for note in status["notes"])

    ours = load_charter(second).digest.hex()[:16]
    theirs = load_charter(first).digest.hex()[:16]
    await noord.until_status(says("midden", "charter", ours))
    await midden.until_status(says("noord", "charter", theirs))
    status = await noord.until_status(says("zuid", f"127.0.0.1:{zuid.port}", "check that nskd runs there"))
    assert status["state"] == "ready" and status["peers_up"] == 0
    charter = load_charter(second)
    named = says("zuid", "does not hold the key that the charter gives to zuid")
    await _impostor_answers(noord, zuid, charter, named)
    await _stranger_calls(noord, charter)

    words = await noord.refusal("request.submit", text=request_text("sql", where="sex = 'M'; DROP TABLE visits"))
    assert "where" in words
    words = await noord.refusal("request.submit", text=request_text("function", where="read_csv('/etc/passwd') = 1"))
    assert "read_csv" in words.lower()
    words = await noord.refusal("request.submit", text=request_text("variable", rows="shoe_size"))
    assert "shoe_size" in words
    words = await noord.refusal("request.submit", text=request_text("column", where="shoe_size > 3"))
    assert "shoe_size" in words
    assert (await noord.call("request.list"))["requests"] == []

    # The very daemon that had the first version is let in as soon as it has the second; so is one that comes late.
    midden.stop()
    write_config(midden, charter=second)
    midden.start()
    zuid.start()
    await workshop.connected()

    # Another key for what is on disk.  (The first line of a key file says what it is.)
    midden.stop()
    key = midden.credentials / "storage.key"
    key.chmod(0o600)
    key.write_text(f"{key.read_text().splitlines()[0]}\n{StorageKey.generate().expose().hex()}\n")
    midden.start()
    assert await midden.ended() == EXIT_CONFIGURATION
    last = midden.words().splitlines()[-1]
    assert last.startswith("nskd: ") and "sealed under another storage key" in last


async def _impostor_answers(noord: Daemon, zuid: Daemon, charter: Charter, named: Callable[[Any], bool]) -> None:
    """Somebody listens at zuid's address with a key of its own."""
    key = StaticKey(os.urandom(32))
    members = [Member("noord", noord.identity.noise_key), Member("zuid", key.public)]
    greeter = Greeter(own="zuid", static=key, charter_digest=charter.digest, members=members)

    async def answer(stream: trio.SocketStream) -> None:
        with contextlib.suppress(*ATTEMPT_ERRORS):
            await greeter.answer(stream)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, answer, await trio.open_tcp_listeners(zuid.port, host="127.0.0.1"))
        await noord.until_status(named)
        nursery.cancel_scope.cancel()


async def _stranger_calls(noord: Daemon, charter: Charter) -> None:
    """Somebody calls with the right charter and a key that is in no charter."""
    with trio.fail_after(PATIENCE_S):
        async with await trio.open_tcp_stream("127.0.0.1", noord.port) as stream:
            with pytest.raises(RemoteProtocolError) as refused:
                await handshake(
                    stream,
                    initiator=True,
                    static=StaticKey(os.urandom(32)),
                    prologue=prologue(charter.digest),
                    expected={noord.identity.noise_key: "noord"},
                    hello=Hello(PROTOCOL_VERSION, "zuid", Lane.CONTROL).encode(),
                )
        assert refused.value.fault is Fault.DISCONNECTED
        await noord.until_logged("is not one we know")


# --- the disk is full -------------------------------------------------------------------------------------------


@contextmanager
def small_disk(at: Path, size: str) -> Iterator[None]:
    at.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", str(at)]
    if subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("a small file system cannot be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(at)], check=True)


class Ballast:
    """Takes the space on a disk."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def fill(self, *, leave: int = 0) -> None:
        status = os.statvfs(self._directory)
        free = status.f_bavail * status.f_frsize - leave
        with (self._directory / f"ballast-{leave}").open("wb", buffering=0) as file:
            os.posix_fallocate(file.fileno(), 0, free)

    def release(self) -> None:
        for path in self._directory.glob("ballast-*"):
            path.unlink()


@pytest.mark.long  # in one process: stock, ledger and audit log each have tests of a full disk
async def test_full_disk(workshop: Workshop) -> None:
    """At three moments: one clear error, nothing half done; once there is space all goes on, without a restart."""
    noord, _, zuid = workshop.daemons
    with small_disk(zuid.state, "48m"):
        ballast = Ballast(zuid.state)
        try:
            workshop.start()
            await workshop.connected()
            async with zuid.events("generation", "run", "request") as client:
                digest = await workshop.submit(noord, request_text("on a small disk"))
                with trio.fail_after(PATIENCE_S):
                    while (await client.next_event())["kind"] != "request.received":
                        pass
                ballast.fill()
                await _full_when_approving(workshop, zuid, digest)
                await _full_when_storing(noord, zuid)
                ballast.release()
                for daemon in workshop.daemons:
                    await workshop.approve(daemon, digest)
                await _full_when_recording(workshop, zuid, ballast, client, digest)
            ballast.release()
            release = await workshop.all_done(digest)
            assert shown(release, "sex") == workshop.expected("sex")
            assert StockBook().check(workshop.daemons) > 0
            assert all("Traceback" not in daemon.words() for daemon in workshop.daemons)
        finally:
            workshop.reap()


async def _full_when_approving(workshop: Workshop, zuid: Daemon, digest: str) -> None:
    with pytest.raises(DaemonError) as caught:
        await workshop.decide(zuid, digest, Verdict.APPROVE)
    words = f"{caught.value.message} {caught.value.data}"
    assert "full" in words and ("audit.ndjson" in words or "ledger.sqlite" in words)
    detail = await zuid.call("request.show", request=digest)
    assert detail["row"]["state"] == "submitted"
    assert [row["verdict"] for row in detail["approvals"] if row["centre"] == "zuid"] == [None]


async def _full_when_storing(noord: Daemon, zuid: Daemon) -> None:
    """The epoch that is founded meanwhile finds no room at zuid, so nobody has it."""
    await zuid.until_status(lambda status: any("the disk is full" in note for note in status["notes"]))
    await noord.until_status(lambda status: any("zuid stopped" in note for note in status["notes"]))
    for daemon in (noord, zuid):
        stock = await daemon.call("stock")
        assert stock["epoch"] is None
        assert all(row["level"] == row["locked"] == 0 for row in stock["rows"])


async def _full_when_recording(
    workshop: Workshop, zuid: Daemon, ballast: Ballast, client: AsyncClient, digest: str
) -> None:
    """The others have the release on record, zuid has not."""
    with trio.fail_after(PATIENCE_S):
        while (event := await client.next_event())["kind"] != "run.failed":
            if event["kind"] == "run.begin" and event["name"] == "local part":
                ballast.fill(leave=1 << 20)
            if str(event.get("step", "")).endswith(".cells/0"):
                ballast.fill()
    assert event["fault"] == "local-error" and "full" in event["detail"]
    for other in workshop.others(zuid):
        assert (await other.call("result.wait", request=digest, timeout_s=30))["state"] == "done"
    answer = await zuid.call("result.wait", request=digest, timeout_s=0.1)
    assert answer["release"] is None and answer["state"] != "done"
    assert (await zuid.call("status"))["state"] == "ready"


# --- a centre cheats --------------------------------------------------------------------------------------------


@attrs.define(eq=False)
class Cheat:
    """The seat of midden with its real keys, and no daemon on it."""

    charter: Charter
    mesh: Mesh
    sign: Callable[[bytes], bytes]
    steward_key: Path
    refusals: dict[bytes, dict[str, str]] = attrs.field(factory=dict)
    heard: trio.Event = attrs.field(factory=trio.Event)

    def tell(self, message: RequestNotice | ApprovalNotice | Propose) -> None:
        assert self.mesh.broadcast_control(message) == ()

    def tell_approval(self, approval: SignedApproval, *, centre: str | None = None, body: bytes | None = None) -> None:
        self.tell(ApprovalNotice(body or approval.body, centre or approval.centre, approval.signature))

    def signed(self, statement: bytes, signature: bytes) -> SignedApproval:
        """A statement and a steward's signature, put under midden's own."""
        return sign_approval(statement, (signature,), centre="midden", sign=self.sign)

    async def take_refusal(self, peer: str, message: Refuse) -> None:
        self.refusals.setdefault(message.session, {})[peer] = message.reason
        heard, self.heard = self.heard, trio.Event()
        heard.set()

    async def take_approval(self, peer: str, message: ApprovalNotice) -> None:
        self.approvals[message.centre] = message
        heard, self.heard = self.heard, trio.Event()
        heard.set()

    approvals: dict[str, ApprovalNotice] = attrs.field(factory=dict)

    async def until(self, holds: Callable[[], bool]) -> None:
        with trio.fail_after(PATIENCE_S):
            while not holds():
                await self.heard.wait()

    async def propose(self, request: bytes, **changes: Any) -> dict[str, str]:
        """Propose a run of a request and return why each centre refuses."""
        offer = make_offer(
            Proposal(
                **{
                    "kind": "analysis",
                    "coordinator": "midden",
                    "nonce": os.urandom(16),
                    "charter": self.charter.digest,
                    "parties": self.charter.names,
                    "lane": Lane.ONLINE,
                    "request": request,
                    **changes,
                }
            )
        )
        self.tell(Propose(offer.body))
        await self.until(lambda: len(self.refusals.get(offer.session, {})) == 2)
        return self.refusals[offer.session]


@asynccontextmanager
async def cheating(midden: Daemon, charter: Charter) -> AsyncIterator[Cheat]:
    keys = load_keys(midden.credentials)
    mesh = Mesh(
        own="midden",
        static=keys.noise.static_key(),
        charter_digest=charter.digest,
        members=[Member(c.name, c.noise_key, c.address.host, c.address.port) for c in charter.centres],
        listeners=await trio.open_tcp_listeners(midden.port, host="127.0.0.1"),
        jitter=random.Random(1).random,
        log=structlog.get_logger(),
    )
    cheat = Cheat(charter, mesh, keys.signing.signer(), midden.steward_key)
    mesh.register(Refuse, cheat.take_refusal)
    mesh.register(ApprovalNotice, cheat.take_approval)
    async with trio.open_nursery() as nursery:
        await nursery.start(mesh.run)
        with trio.fail_after(PATIENCE_S):
            await mesh.wait_connected()
        yield cheat
        nursery.cancel_scope.cancel()


async def test_a_centre_that_forges_approvals_gets_nothing(workshop: Workshop, tmp_path: Path) -> None:
    """midden's seat is taken by somebody with its keys; noord and zuid are honest and name what is wrong."""
    noord, midden, zuid = workshop.daemons
    honest = (noord, zuid)
    charter = load_charter(tmp_path / "charter.toml")
    for daemon in honest:
        daemon.start()
    async with (
        cheating(midden, charter) as cheat,
        noord.events("approval") as at_noord,
        zuid.events("approval") as at_zuid,
    ):

        async def both_reject(detail: str) -> None:
            for client in (at_noord, at_zuid):
                with trio.fail_after(PATIENCE_S):
                    event = await client.next_event()
                assert (event["kind"], event["peer"], event["fault"]) == (
                    "approval.rejected",
                    "midden",
                    "invalid-approval",
                )
                assert detail in event["detail"], event

        for name, reason in (await cheat.propose(b"", kind="generate", lane=Lane.OFFLINE)).items():
            assert "generation is for noord to coordinate" in reason, name

        asked = bytes.fromhex(await workshop.submit(noord, request_text("theirs")))
        own = ask_as(cheat, request_text("ours"))
        cheat.tell(RequestNotice(own.body, "midden", own.signature))
        for daemon in honest:
            await workshop.approve(daemon, asked.hex())
        await cheat.until(lambda: {"noord", "zuid"} <= set(cheat.approvals))

        good = approve_as(cheat, own.digest)
        forged = attrs.evolve(good, signature=bytes(64))
        cheat.tell_approval(forged)
        await both_reject("approval-forged: the daemon's signature does not fit")
        cheat.tell_approval(approve_as(cheat, own.digest), centre="zuid")
        await both_reject("approval-malformed: the body names another centre")
        now = int(time.time())
        cheat.tell_approval(approve_as(cheat, own.digest, now=now - 100, validity_s=50))
        await both_reject("approval-expired")
        cheat.tell_approval(approve_as(cheat, own.digest, now=now + 3600))
        await both_reject("approval-from-the-future")
        other = attrs.evolve(charter, digest=bytes(32))
        cheat.tell_approval(approve_as(cheat, own.digest, charter=other))
        await both_reject("approval-under-another-charter")
        cheat.tell_approval(approve_as(cheat, own.digest, key=noord.steward_key))
        await both_reject("steward-not-in-charter")
        mine = approve_as(cheat, own.digest)
        cheat.tell_approval(cheat.signed(approve_as(cheat, asked).statement.text(), mine.signatures[0].raw))
        await both_reject("steward-signature")
        # zuid has approved noord's request: its words are now put under midden's.
        theirs = cheat.approvals["zuid"]
        moved = theirs.approval.replace(asked.hex().encode(), own.digest.hex().encode())
        assert moved != theirs.approval
        cheat.tell(ApprovalNotice(moved, "zuid", theirs.signature))
        await both_reject("approval-forged: the daemon's signature does not fit")

        cheat.tell_approval(good)  # which is all it may do; zuid's and noord's are lacking
        for name, reason in (await cheat.propose(own.digest)).items():
            assert "the request is submitted here" in reason, name
        for name, reason in (await cheat.propose(asked)).items():
            assert "only noord may run its request" in reason, name
        for name, reason in (await cheat.propose(bytes(32))).items():
            assert "no such request" in reason, name

        for daemon in honest:
            for digest, verdicts in (
                (asked.hex(), {"noord": "approve", "midden": None, "zuid": "approve"}),
                (own.digest.hex(), {"noord": None, "midden": "approve", "zuid": None}),
            ):
                detail = await daemon.call("request.show", request=digest)
                assert detail["row"]["state"] == "submitted"
                assert {row["centre"]: row["verdict"] for row in detail["approvals"]} == verdicts
                assert "nothing is released" in await daemon.refusal("result.show", request=digest)
            assert not [entry for entry in daemon.entries() if entry["event"] == "stock taken"]


def ask_as(cheat: Cheat, text: str) -> SignedRequest:
    return sign_request(
        text.encode(),
        centre="midden",
        charter=cheat.charter,
        sign=cheat.sign,
        now=int(time.time()),
        nonce=os.urandom(16),
    )


def approve_as(
    cheat: Cheat,
    request: bytes,
    *,
    charter: Charter | None = None,
    now: int | None = None,
    validity_s: int = 86_400,
    key: Path | None = None,
) -> SignedApproval:
    """The word of midden's steward, who is the cheat too; or another's signature in the name of that one."""
    (steward,) = cheat.charter.centres[1].stewards
    issued_at = int(time.time()) if now is None else now
    said = Statement(
        workshop=cheat.charter.workshop,
        centre="midden",
        request=request,
        charter=(charter or cheat.charter).digest,
        verdict=Verdict.APPROVE,
        issued_at=issued_at,
        expires_at=issued_at + validity_s,
        by=steward.fingerprint,
        name=steward.name,
    ).text()
    (signature,) = sshsig.unarmoured(steward_key.sign(key or cheat.steward_key, said, namespace=NAMESPACE))
    return cheat.signed(said, signature)
