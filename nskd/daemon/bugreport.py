"""What helps others to help: versions, configuration, state and the last lines of the log, without what is anybody's.

No key, share, row, pseudonym, name of a person or words that somebody typed; ``nskd.monitor.report_text`` says what may
pass.  Tests plant marks in all that must not, and look for them.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

import msgspec

from nskd.analysis.release import RELEASE_FORMAT
from nskd.config import Config
from nskd.control import answers
from nskd.governance.ledger import SCHEMA_VERSION
from nskd.logs import Recent
from nskd.monitor.report_text import config_tree, log_line, words
from nskd.secrecy import is_private
from nskd.stockpile import schema
from protocol import limits
from protocol.offline.epoch import STATE_FORMAT

_LIBRARIES: Final = (
    "attrs",
    "click",
    "cryptography",
    "duckdb",
    "msgspec",
    "numba",
    "numpy",
    "rich",
    "scipy",
    "sqlglot",
    "structlog",
    "trio",
)
# Their findings quote what a person has given as a reason.
_SAID_BY_PEOPLE: Final = frozenset({"paused", "left", "centre-absent"})


class BugReporter:
    """Writes the report from what the control socket answers anyway, and the log that is kept in memory."""

    def __init__(self, *, clock: Callable[[], int], config: Callable[[], Config], recent: Recent) -> None:
        self._clock = clock
        self._config = config
        self._recent = recent

    def write(
        self,
        *,
        version: answers.VersionAnswer,
        status: answers.StatusAnswer,
        peers: answers.PeersAnswer,
        stock: answers.StockAnswer,
        metrics: str,
    ) -> answers.BugReport:
        """All of it."""
        return answers.BugReport(
            made_at=self._clock(),
            version=version,
            libraries=_libraries(),
            system={
                "kernel": platform.release(),
                "machine": platform.machine(),
                "libc": " ".join(platform.libc_ver()),
                "cores": str(os.cpu_count()),
                "kernels": status.kernels,
                "core dumps": "off" if is_private() else "possible",
            },
            schemas={
                "ledger": SCHEMA_VERSION,
                "stock": schema.VERSION,
                "epoch": STATE_FORMAT,
                "release": RELEASE_FORMAT,
            },
            limits=_limits(),
            config=config_tree(self._config()),
            status=_status(status),
            peers=[_peer(row) for row in peers.peers],
            stock=stock,
            requests=status.requests,
            metrics=metrics,
            log=[log_line(line) for line in self._recent.lines()],
        )


def _libraries() -> dict[str, str]:
    found = {}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def _limits() -> dict[str, float]:
    """The protocol's bounds, which may differ between versions."""
    return {name: value for name, value in vars(limits).items() if name.isupper() and isinstance(value, int | float)}


def _status(status: answers.StatusAnswer) -> answers.StatusAnswer:
    findings = [
        msgspec.structs.replace(
            row, what="" if row.name in _SAID_BY_PEOPLE else words(row.what), remedy=words(row.remedy)
        )
        for row in status.findings
    ]
    return msgspec.structs.replace(status, findings=findings, notes=[])


def _peer(row: answers.PeerRow) -> dict[str, Any]:
    detail = None if row.detail is None else words(row.detail)
    return {
        "name": row.name,
        "state": row.state,
        "since": row.since,
        "lanes": row.lanes,
        "rtt_ms": row.rtt_ms,
        "detail": detail,
    }
