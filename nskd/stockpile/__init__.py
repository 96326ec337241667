"""Preprocessing on disk: sealed, crash-safe, and never handed out twice (``docs/protocol.md``, section 12).

:mod:`.states` is the theory, :mod:`.stockpile` the life of a triple, :mod:`.schema` and :mod:`.ledger` the
bookkeeping, :mod:`.intake` how batches come in, :mod:`.vault` and :mod:`.sealing` the encrypted files,
:mod:`.recovery` and :mod:`.anchor` what happens at opening, :mod:`.durability` the steps a test can interrupt,
:mod:`.service` the way in from trio.
"""

from __future__ import annotations

from nskd.stockpile.durability import Durability
from nskd.stockpile.errors import (
    NotReservedError,
    SegmentRefusedError,
    ShortOfStockError,
    StockDamagedError,
    StockError,
    StockInUseError,
)
from nskd.stockpile.intake import Incoming
from nskd.stockpile.records import BatchInfo, Level, Reconciled, Recovery, Segment, StoredEpoch
from nskd.stockpile.service import SharedStockpile
from nskd.stockpile.states import State
from nskd.stockpile.stockpile import Stockpile

__all__ = [
    "BatchInfo",
    "Durability",
    "Incoming",
    "Level",
    "NotReservedError",
    "Reconciled",
    "Recovery",
    "Segment",
    "SegmentRefusedError",
    "SharedStockpile",
    "ShortOfStockError",
    "State",
    "StockDamagedError",
    "StockError",
    "StockInUseError",
    "Stockpile",
    "StoredEpoch",
]
