"""Opening the stock: what a crash, a disk or a person may have left, put right before anybody can use it."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Sequence

from nskd.credentials import StorageKey
from nskd.stockpile import accounts, anchor
from nskd.stockpile.durability import Durability, disk_error
from nskd.stockpile.errors import StockError
from nskd.stockpile.ledger import Ledger
from nskd.stockpile.records import Recovery
from nskd.stockpile.sealing import key_check
from nskd.stockpile.vault import Vault


def recover(
    ledger: Ledger, vault: Vault, keys: Sequence[StorageKey], disk: Durability, on_copy: Callable[[], None]
) -> Recovery:
    """Check the keys, of which the first seals, then the place, then bring ledger and files to agreement.

    ``on_copy`` is called where the directory is a copy, before the ledger forgets that it is.
    """
    directory = ledger.path.parent
    check = ledger.meta("key check", lambda: key_check(keys[0]))
    if not any(hmac.compare_digest(check, key_check(key)) for key in keys):
        raise StockError(
            "this stock was sealed under another storage key",
            where=str(directory),
            remedy="Put the right storage.key back, or remove this directory: new stock is made.",
        )
    try:
        place = anchor.place_of(directory, ledger.path, disk)
        restored = ledger.meta("place", lambda: place) != place
        epoch_damaged, burnt, damaged, known = _settle(ledger, vault, restored)
        if restored:
            on_copy()
            ledger.set_meta("place", place)
            ledger.truncate_log()
        removed = vault.sweep(known)
        disk.sync_directory(vault.directory)
        disk.sync_directory(directory)
    except OSError as exc:
        raise disk_error(exc, directory) from None
    return Recovery(restored, epoch_damaged, burnt, tuple(damaged), removed)


def _settle(ledger: Ledger, vault: Vault, restored: bool) -> tuple[bool, int, list[bytes], set[bytes]]:
    """One transaction; returns (epoch damaged, sessions burnt, batches damaged, files that belong)."""
    damaged: list[bytes] = []
    known: set[bytes] = set()
    with ledger.writing() as connection:
        epoch = accounts.epoch(connection)
        if epoch is None:
            return False, 0, damaged, known
        lost = not restored and not vault.is_whole(epoch.epoch, epoch.label)
        if restored or lost:
            accounts.end_epoch(connection, "the directory is a copy" if restored else "its sealed keys are damaged")
            return lost, 0, damaged, known
        known.add(epoch.epoch)
        burnt = accounts.spend(connection)
        for row in accounts.used_up(connection):
            accounts.set_gone(connection, row.number)
        for row in accounts.batches(connection):
            if vault.is_whole(row.batch, row.label(epoch.epoch)):
                known.add(row.batch)
            else:
                accounts.set_gone(connection, row.number)
                damaged.append(row.batch)
    return False, burnt, damaged, known
