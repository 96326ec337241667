"""Logging: for people on a terminal, JSON otherwise, and never a secret.

One canonical line per unit of work, at its end, with everything about it: ``unit_of_work`` collects the
fields.
"""

from __future__ import annotations

import contextlib
import datetime
import enum
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from pathlib import PurePath
from typing import Any, Final, Literal, Protocol, TextIO

import structlog

from nskd.errors import OperatorError
from protocol.errors import ProtocolError

Format = Literal["auto", "console", "json"]

_PRIORITY: Final = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}
# Both libraries would print the local variables of every frame, shares and keys among them.
_TRACEBACKS: Final = structlog.processors.ExceptionRenderer(
    structlog.tracebacks.ExceptionDictTransformer(show_locals=False, max_frames=20)
)
_ITEMS_MAX: Final = 64
_CHARS_MAX: Final = 4_096
_DEPTH_MAX: Final = 5  # a traceback, as a list of errors with lists of frames, is the deepest


class Log(Protocol):
    """The part of a structlog logger that a unit of work needs."""

    def info(self, event: str, **fields: Any) -> Any:
        """Log."""

    def warning(self, event: str, **fields: Any) -> Any:
        """Log."""

    def error(self, event: str, **fields: Any) -> Any:
        """Log."""


def configure(*, level: str, format: Format, stream: TextIO) -> None:  # noqa: A002 - as in the configuration
    """Set up structlog for the process; ``stream`` is standard error."""
    console = format == "console" or (format == "auto" and stream.isatty())
    renderer: Any = (
        structlog.dev.ConsoleRenderer(colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback)
        if console
        else structlog.processors.JSONRenderer(ensure_ascii=False)
    )
    processors = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        *(() if console else (_TRACEBACKS,)),
        redact,
        renderer,
        *((_with_priority,) if _is_journal(stream) else ()),
    ]
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.WriteLoggerFactory(file=stream),
        cache_logger_on_first_use=False,
    )


def redact(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Let plain values through and show everything else as its type.

    A list of what is allowed, not of what is secret: an array, a share, a key or ``bytes`` of any kind is
    reduced to its type whether or not anybody thought of it.  Log ``digest.hex()[:12]``, not ``digest``.
    """
    return {key: value if key == "exc_info" else _plain(value, _DEPTH_MAX) for key, value in event.items()}


def _plain(value: Any, depth: int) -> Any:
    kind = type(value)
    if value is None or kind in (bool, int, float):
        return value
    if kind is str:
        return value if len(value) <= _CHARS_MAX else value[:_CHARS_MAX] + "…"
    if isinstance(value, enum.Enum):
        return value.value if type(value.value) in (str, int) else value.name
    if isinstance(value, PurePath | datetime.date | datetime.timedelta | OperatorError | ProtocolError):
        return str(value)
    if depth and isinstance(value, Mapping):
        return {str(k): _plain(v, depth - 1) for k, v in list(value.items())[:_ITEMS_MAX]}
    if depth and kind in (list, tuple, set, frozenset):
        return [_plain(item, depth - 1) for item in list(value)[:_ITEMS_MAX]]
    return f"<{kind.__name__}: redacted>"


class Work:
    """The fields of one unit of work, told at its end."""

    def __init__(self) -> None:
        self.fields: dict[str, Any] = {}

    def add(self, **fields: Any) -> None:
        """Remember fields; a later value of the same name wins."""
        self.fields.update(fields)


@contextlib.contextmanager
def unit_of_work(log: Log, event: str, *, clock: Callable[[], float] = time.monotonic, **fields: Any) -> Iterator[Work]:
    """Log one line when the block ends: ``outcome``, ``duration_s`` and all fields.

    A failure is logged with the error's type and, if it is meant for people, its text; then it goes on.
    """
    work = Work()
    work.add(**fields)
    began = clock()
    try:
        yield work
    except Exception as exc:
        people = isinstance(exc, OperatorError | ProtocolError)
        reason = {"error": type(exc).__name__} | ({"reason": str(exc)} if people else {})
        log.warning(event, outcome="failed", duration_s=_since(began, clock), **(work.fields | reason))
        raise
    except BaseException:  # cancelled, or the process is leaving
        log.info(event, outcome="cancelled", duration_s=_since(began, clock), **work.fields)
        raise
    log.info(event, outcome="done", duration_s=_since(began, clock), **work.fields)


def _since(began: float, clock: Callable[[], float]) -> float:
    return round(clock() - began, 6)


def _is_journal(stream: TextIO) -> bool:
    """Whether the stream is the journal's, which systemd says by device and inode."""
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def _with_priority(_: Any, method: str, line: str) -> str:
    """Tell the journal the level, so that ``journalctl -p warning`` works."""
    return f"<{_PRIORITY.get(method, 6)}>{line}"
