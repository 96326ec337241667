"""From a configuration to a running daemon: test the kernels, open the state, run, close everything."""

from __future__ import annotations

import os
import time
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Final

import structlog
import trio

from nskd import keyring, rekey
from nskd.config import Config
from nskd.credentials import CentreKeys
from nskd.daemon.daemon import Daemon
from nskd.daemon.start import Papers, gather, state_directory
from nskd.data.load import Dataset, load
from nskd.errors import OperatorError
from nskd.governance.audit import Event
from nskd.governance.audit_file import AuditFile
from nskd.governance.charter import Address
from nskd.governance.ledger import Ledger
from nskd.governance.threaded import LedgerThread
from nskd.keyring import Keyring
from nskd.logs import Logging
from nskd.notify import Notifier
from nskd.restore import mark, restored
from nskd.state_lock import locked
from nskd.stockpile import SharedStockpile
from protocol.lattice.selftest import selftest

_ROWS_TOLD: Final = 100_000  # a line of the log for each so many rows that are read


async def serve(config: Config, config_path: Path, keys: CentreKeys, notifier: Notifier, logging: Logging) -> None:
    """Open everything, run the daemon, close everything.  Raises an ``OperatorError`` when it cannot start."""
    log = structlog.get_logger().bind(centre=config.centre.name)
    papers = await trio.to_thread.run_sync(gather, config, keys)
    state = state_directory(config.state.directory)
    async with AsyncExitStack() as opened:
        opened.enter_context(locked(state))
        notifier.status("testing the kernels")
        await trio.to_thread.run_sync(selftest)
        notifier.status("reading and checking the data")
        dataset = await _open_data(papers, log)
        if dataset is not None:
            opened.callback(dataset.close)
        await trio.to_thread.run_sync(restored, state)  # refuses one that was cut short
        audit = opened.enter_context(await trio.to_thread.run_sync(_open_audit, papers, state))
        ring = await trio.to_thread.run_sync(_open_keyring, state, keys, audit, log)
        # When the backup was made that somebody copied here, nobody knows.
        marking = partial(mark, state, restored_at=_clock(), made_at=0)
        stock = await SharedStockpile.open(state / "stock", ring.sealing[0], on_copy=marking)
        opened.push_async_callback(stock.aclose)
        ring = await trio.to_thread.run_sync(_keep_keyring, state, ring, keys)
        for note in stock.recovery.notes():
            log.warning("stock recovered", note=note)
        put_back = await trio.to_thread.run_sync(restored, state)
        opening = partial(Ledger.open, state / "ledger.sqlite", now=_clock())
        ledger = opened.enter_context(await trio.to_thread.run_sync(opening))
        daemon = Daemon(
            papers,
            config_path=config_path,
            dataset=dataset,
            ledger=LedgerThread(ledger),
            audit=audit,
            stock=stock,
            listeners=await _listen(config.network.address, "[network] listen"),
            scrapes=await _listen(config.metrics.address, "[metrics] listen"),
            logging=logging,
            ring=ring,
            restored=put_back,
            clock=_clock,
            log=log,
        )
        await daemon.run(notifier)


async def _open_data(papers: Papers, log: structlog.typing.FilteringBoundLogger) -> Dataset | None:
    """Read and check this centre's extract; None for a centre that contributes nothing."""
    origin = papers.config.data.origin
    if origin is None:
        return None

    def progress(rows: int) -> None:
        if rows % _ROWS_TOLD == 0:
            log.info("reading data", source=str(origin), rows=rows)

    read = partial(load, origin, papers.pack, password=papers.keys.database, progress=progress)
    dataset = await trio.to_thread.run_sync(read)
    log.info("data read", file=str(origin), visits=dataset.rows, digest=dataset.digest.hex())
    for rule, rows in dataset.warnings.counts.items():
        log.warning("data breaks a quality rule", rule=rule, rows=rows)
    return dataset


def _open_keyring(
    state: Path, keys: CentreKeys, audit: AuditFile, log: structlog.typing.FilteringBoundLogger
) -> Keyring:
    """The keys under the storage key; a change of it that was cut short is seen through first."""
    ring = keyring.load_or_make(state, keys.storage)
    if len(ring.sealing) > 1:
        log.warning("what a former key sealed is sealed anew")  # after a change that was cut short, or a restore
        audit.append(Event.STORAGE_REKEYED, now=_clock(), details={"stock": "kept", "by": "the daemon at its start"})
        ring = rekey.finish(state, ring, keys.storage, now=_clock())
    return ring


def _keep_keyring(state: Path, ring: Keyring, keys: CentreKeys) -> Keyring:
    """Note which keys are in use, once something was opened with them: before that they might be the wrong ones."""
    used = ring.using(keys, now=_clock())
    if not used.alike(ring) or keyring.load(state, keys.storage) is None:
        used.store(state, keys.storage)
    return used


def _open_audit(papers: Papers, state: Path) -> AuditFile:
    return AuditFile.open(
        state / "audit.ndjson",
        centre=papers.config.centre.name,
        sign=papers.keys.signing.signer(),
        now=_clock(),
        entropy=os.urandom,
    )


def _clock() -> int:
    return int(time.time())


async def _listen(address: Address | None, key: str) -> list[trio.SocketListener]:
    if address is None:
        return []
    try:
        return list(await trio.open_tcp_listeners(address.port, host=address.host))
    except OSError as error:
        raise OperatorError(
            f"cannot listen on {address}: {error.strerror or error}",
            where=key,
            remedy="Is another daemon using it? Choose another address or stop that one.",
        ) from error
