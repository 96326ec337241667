"""Bounds of the metrics endpoint, and the levels from which on something is worth a person's attention."""

from __future__ import annotations

from typing import Final

from protocol.limits import KIB

# --- the endpoint -------------------------------------------------------------------------------------------
SCRAPE_CONNECTIONS_MAX: Final = 8  # a collector and a person or two
SCRAPE_HEAD_BYTES_MAX: Final = 8 * KIB  # what HTTP servers commonly take; a collector sends a few hundred
SCRAPE_HEAD_S: Final = 5.0  # a request on the loopback address takes milliseconds
SCRAPE_SEND_S: Final = 5.0

# --- what is worth attention --------------------------------------------------------------------------------
DISK_LOW_BYTES: Final = 2_000_000_000  # the configured stock is a tenth of it: there are days to act
DISK_FULL_BYTES: Final = 100_000_000  # less than the batches on their way need
ALONE_S: Final = 60  # a start, or a restart of a router, is over by then
STOCK_PATIENCE_S: Final = 900  # a batch takes minutes on a slow machine; nothing made in this time is no batch
EXPIRY_NOTICE_S: Final = 30 * 86_400  # a steward and an authority need a month
BACKUP_OLD_S: Final = 3 * 86_400  # of a backup every night; one that was missed makes nobody get up
CHECK_FAILED_SHOWN_S: Final = 7 * 86_400

# --- the report for whoever helps ---------------------------------------------------------------------------
LOG_LINES_KEPT: Final = 500  # some hours of a busy day, and half a mebibyte at most as they are
LOG_LINE_CHARS_MAX: Final = 1_000
