"""How batches come in: admitted by the ledger, sealed into files, recorded in the ledger.

Three steps, because the second takes as long as the disk does and needs no ledger: a session can take its material
while a batch of a hundred megabytes is being written.  Until the third step nobody knows of the files, and whatever
comes between leaves at most files that the next opening removes.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Final

import attrs
import numpy as np

from nskd.stockpile import accounts, limits
from nskd.stockpile.errors import StockError
from nskd.stockpile.ledger import Ledger
from nskd.stockpile.sealing import Label
from nskd.stockpile.states import State
from nskd.stockpile.vault import Columns, NewFile, Vault

_KIND: Final = re.compile(r"[a-z]{1,16}(?:/[0-9]{1,3})?")


@attrs.frozen(eq=False)
class Incoming:
    """A batch to be stored: its 16-byte id, its kind, the digest all parties must hold, and uint64[rows, count]."""

    batch: bytes
    kind: str
    digest: bytes
    columns: Columns = attrs.field(repr=False)

    def check(self) -> None:
        """Raise ``ValueError`` for what no batch can be."""
        limits.check_length("batch id", self.batch, limits.BATCH_BYTES)
        limits.check_length("digest", self.digest, limits.DIGEST_BYTES)
        if not _KIND.fullmatch(self.kind):
            raise ValueError(f"{self.kind[:40]!r} is not a kind of stock")
        columns = self.columns
        if columns.dtype != np.uint64 or columns.ndim != 2:
            raise ValueError(f"columns are uint64[rows, count], not {columns.dtype}{list(columns.shape)}")
        rows, count = columns.shape
        if not (1 <= rows <= limits.BATCH_ROWS_MAX and 1 <= count <= limits.BATCH_ITEMS_MAX):
            raise ValueError(f"a batch of {rows} rows and {count} items is out of bounds")


@attrs.frozen(eq=False)
class Admission:
    """Batches that the ledger lets in, as the files they become."""

    epoch: bytes
    digests: Sequence[bytes]
    files: Sequence[NewFile]


class Intake:
    """The three steps; only :meth:`seal` may run beside other calls."""

    def __init__(self, ledger: Ledger, vault: Vault) -> None:
        self._ledger = ledger
        self._vault = vault
        self._where = str(ledger.path.parent)

    def admit(self, incoming: Sequence[Incoming]) -> Admission:
        """Check batches; raises ``ValueError``, and :class:`StockError` for an id that was used before."""
        for batch in incoming:
            batch.check()
        with self._ledger.reading() as connection:
            epoch = accounts.epoch(connection)
            total = accounts.batches_ever(connection)
            known = [batch.batch for batch in incoming if accounts.batch(connection, batch.batch) is not None]
        if epoch is None:
            raise self._refused(incoming[0].batch, "there is no epoch")
        if known:
            raise self._refused(known[0], "its id was used before")
        if total + len(incoming) > limits.BATCHES_MAX:
            raise self._refused(incoming[0].batch, "there are too many")
        files = []
        for batch in incoming:
            label = Label(epoch.epoch, batch.batch, batch.kind, *batch.columns.shape)
            files.append(NewFile(batch.batch, label, os.urandom(limits.SALT_BYTES), batch.columns))
        return Admission(epoch.epoch, [batch.digest for batch in incoming], files)

    def seal(self, admission: Admission) -> None:
        """Write the files: durable on return, and on failure none is left.  In any thread, beside other calls."""
        self._vault.write(admission.files)

    def record(self, admission: Admission) -> None:
        """Take the batches into the ledger as ``LOCKED``, all or none; on failure their files go.

        Raises :class:`StockError`, also when the epoch has ended since they were admitted.
        """
        try:
            with self._ledger.writing() as connection:
                epoch = accounts.epoch(connection)
                if epoch is None or epoch.epoch != admission.epoch:
                    raise self._refused(admission.files[0].name, "its epoch has ended meanwhile")
                for file, digest in zip(admission.files, admission.digests, strict=True):
                    connection.execute(
                        "INSERT INTO batch VALUES (NULL, ?, ?, ?, ?, ?, 0, ?, ?)",
                        (file.name, file.label.kind, digest, *file.columns.shape, State.LOCKED, file.salt),
                    )
        except StockError:
            if not self._ledger.in_doubt:  # else the next opening knows whether these files belong
                for file in admission.files:
                    self._vault.remove(file.name)
            raise

    def _refused(self, batch: bytes, what: str) -> StockError:
        return StockError(
            f"batch {batch.hex()[:12]} cannot be added: {what}", where=self._where, remedy="Begin a new epoch."
        )
