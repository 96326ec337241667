"""Files that the daemon keeps: altered by accident or by hand, they are noticed, and no other error comes."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import numpy as np

from nskd.analysis.contribution import Contributions
from nskd.analysis.populations import Populations
from nskd.credentials import load_keys
from nskd.errors import OperatorError
from nskd.governance.audit import Chain, Event
from nskd.governance.audit_check import verify_log
from nskd.governance.audit_file import AuditFile, read_log
from nskd.governance.charter_store import CharterStore
from nskd.governance.ledger import Ledger
from nskd.stockpile import Stockpile
from tests.nskd.governance import workshop as papers
from tests.nskd.governance.workshop import NOW
from tests.nskd.stockpile import world

from .extracts import directory
from .target import Check, Script, Target

KEY = papers.signing_key("noord").public_key().public_bytes_raw()


def _audit(data: bytes) -> None:
    """A daemon opens it and goes on, or says which entry is bad; an auditor comes to the same."""
    path = directory() / "audit.ndjson"
    path.write_bytes(data)
    try:
        with AuditFile.open(path, centre="noord", sign=papers.signing_key("noord").sign, now=NOW, entropy=bytes) as log:
            log.append(Event.DAEMON_STOPPED, now=NOW)
            count = log.head.sequence
        assert len(list(read_log(path))) == count
    except OperatorError:
        pass
    with contextlib.suppress(OperatorError):
        verify_log(data.splitlines(keepends=True), (KEY,), ())


def _audit_seeds() -> Iterable[bytes]:
    path = directory() / "seed.audit"
    path.unlink(missing_ok=True)
    with AuditFile.open(path, centre="noord", sign=papers.signing_key("noord").sign, now=NOW, entropy=bytes) as log:
        log.append(Event.DAEMON_STARTED, now=NOW, uid=0, user="root", details={"nskd": "0.1.0", "protocol": 1})
        log.append(Event.RUN_BEGUN, now=NOW, request="ab" * 32, purpose="x", approvals=["noord approve A."])
    whole = path.read_bytes()
    yield whole
    yield whole[:-40]
    yield whole[:-1] + bytes(30)
    assert Chain((KEY,)).take(whole.splitlines(keepends=True)[0])


def _edit_file(script: Script, path: Path) -> None:
    """A few bytes, a cut, or a hole somewhere in a file; large ones are changed where the script says, page by page."""
    content = bytearray(path.read_bytes())
    for _ in range(1 + script.number(3)):
        at = (script.number(1 << 16) * 61 + script.number(1 << 16)) % (len(content) + 1)
        match script.number(4):
            case 0:
                piece = script.blob(16)
                content[at : at + len(piece)] = piece
            case 1:
                del content[at:]
            case 2:
                content[at : at + 512] = bytes(512)[: max(0, len(content) - at)]
            case _:
                for k, mask in enumerate(script.blob(8)):
                    if at + k < len(content):
                        content[at + k] ^= mask
    path.write_bytes(content)


@cache
def _stock() -> Path:
    made = directory() / "stock.made"
    with Stockpile.open(made, world.KEY) as stock:
        stock.begin_epoch(world.EPOCH, world.STATE)
        for number, kind in enumerate(("triple", "bit", "mask/0")):
            world.add(stock, number + 1, kind)
        stock.reserve(world.session_id(1), stock.plan({"triple": 20, "bit": 7}))
    return made


def _stockpile(data: bytes) -> None:
    """One of its files is changed: it opens with what is left, or says what is damaged; what it hands out is right."""
    script = Script(data)
    here = directory() / "stock"
    shutil.rmtree(here, ignore_errors=True)
    shutil.copytree(_stock(), here, symlinks=True)
    files = sorted(path for path in here.rglob("*") if path.is_file())
    _edit_file(script, files[script.number(len(files))])
    try:
        with Stockpile.open(here, world.KEY) as stock:
            stock.epoch()
            plan = stock.plan({"triple": 5, "bit": 5})
            stock.reserve(world.session_id(2), plan)
            for kind, columns in stock.take(world.session_id(2)).items():
                np.testing.assert_array_equal(columns, world.expected(kind, plan[kind]))
    except OperatorError:
        return


@cache
def _ledger_made() -> Path:
    made = directory() / "ledger.made"
    with Ledger.open(made, now=NOW) as ledger:
        for nonce in range(3):
            request = papers.request(nonce=bytes([nonce]) * 16)
            ledger.add_request(request, now=NOW)
            for centre in papers.NAMES[: nonce + 1]:
                ledger.add_approval(papers.approval(request.digest, centre), charter=papers.CHARTER, now=NOW)
    return made


def _ledger(data: bytes) -> None:
    script = Script(data)
    path = directory() / "ledger"
    for stale in directory().glob("ledger-*"):
        stale.unlink()
    shutil.copy(_ledger_made(), path)
    _edit_file(script, path)
    try:
        with Ledger.open(path, now=NOW) as ledger:
            for entry in ledger.entries():
                ledger.approvals(entry.request.digest)
                ledger.result(entry.request.digest)
            ledger.presence(papers.CHARTER.workshop)
            ledger.counts()
            ledger.undecided()
            ledger.refresh(charter=papers.CHARTER, now=NOW)
    except OperatorError:
        return


def _small(data: bytes) -> None:
    """Small files beside them: a contribution, a population, a case mix, a charter in force, a key."""
    script = Script(data)
    which, request = script.number(6), bytes(range(32))
    here = directory() / "small"
    shutil.rmtree(here, ignore_errors=True)
    here.mkdir()
    content = script.rest()
    try:
        match which:
            case 0:
                (here / f"{request.hex()}").write_bytes(content)
                Contributions(here, lambda label: bytes(32)).hold(request, np.arange(3, dtype=np.uint64))
            case 1:
                (here / f"{request.hex()}.population").write_bytes(content)
                Populations(here, lambda label: bytes(32)).find(request)
            case 2:
                (here / f"{request.hex()}.case-mix").write_bytes(content)
                Contributions(here, lambda label: bytes(32)).case_mix(request)
            case 3:
                (here / f"{request.hex()}.ventures").write_bytes(content)
                Contributions(here, lambda label: bytes(32)).venture(request)
            case 4:
                store = CharterStore(here)
                for name in ("1.toml", "charter-1.toml", f"{papers.CHARTER.digest.hex()}.toml"):
                    (here / name).write_bytes(content)
                store.in_force()
            case _:
                for name in ("noise.key", "signing.key", "storage.key", "database.password"):
                    path = here / name
                    path.touch(mode=0o600)
                    path.write_bytes(content)
                load_keys(here)
    except OperatorError:
        return


def _scripts(count: int) -> Iterable[bytes]:
    for file in range(count):
        yield bytes([file, 0, 0, 0, 1, 0, 3, 2, 1, 1])
        yield bytes([file, 0, 9, 0, 9, 0, 1])


def _small_seeds() -> Iterable[bytes]:
    for which in range(6):
        yield bytes([which]) + bytes(32)
    yield b"\x03" + b"2\n"
    yield b"\x04" + papers.CHARTER.raw
    yield b"\x05" + b"nskd-noise-key-1 " + b"ab" * 32


def _of(check: Check):  # type: ignore[no-untyped-def]
    return lambda: check


TARGETS = (
    Target("audit", _of(_audit), _audit_seeds, mutations=60),
    Target("stockpile", _of(_stockpile), lambda: _scripts(5), bytes_max=128, mutations=10, seconds_max=20),
    Target("ledger", _of(_ledger), lambda: _scripts(1), bytes_max=128, mutations=8, seconds_max=20),
    Target("small", _of(_small), _small_seeds, bytes_max=2048, mutations=60),
)
