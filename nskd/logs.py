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
import types
from collections import deque
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from pathlib import PurePath
from typing import Any, Final, Literal, Protocol, TextIO

import attrs
import structlog

from nskd.errors import OperatorError
from nskd.monitor.limits import LOG_LINES_KEPT
from nskd.monitor.scrub import without_values
from protocol.errors import ProtocolError

Format = Literal["auto", "console", "json"]

ExcInfo = tuple[type[BaseException], BaseException, types.TracebackType | None]

_PRIORITY: Final = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}
# Both libraries would print the local variables of every frame, shares and keys among them.
_TRACEBACKS: Final = structlog.tracebacks.ExceptionDictTransformer(show_locals=False, max_frames=20)
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


class Threshold:
    """The level from which on lines are logged; can be changed while the process runs."""

    def __init__(self, level: str) -> None:
        self.configured: Final = level
        self.level = level

    def __call__(self, _: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """Let a line pass, or end it."""
        if _PRIORITY.get(method, _PRIORITY["error"]) > _PRIORITY[self.level]:
            raise structlog.DropEvent
        return event


class Recent:
    """The last lines that were logged, each as its fields, for a report."""

    def __init__(self, kept: int = LOG_LINES_KEPT) -> None:
        self._lines: deque[dict[str, Any]] = deque(maxlen=kept)

    def __call__(self, _: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """Keep a line, after :func:`redact`."""
        self._lines.append({key: value for key, value in event.items() if key != "exc_info"})
        return event

    def lines(self) -> list[dict[str, Any]]:
        """The lines, oldest first."""
        return list(self._lines)


@attrs.frozen
class Logging:
    """What can be asked of, and done to, the log of a running process."""

    threshold: Threshold
    recent: Recent


def configure(*, level: str, format: Format, stream: TextIO) -> Logging:  # noqa: A002 - as in the configuration
    """Set up structlog for the process; ``stream`` is standard error."""
    logging_ = Logging(Threshold(level), Recent())
    console = format == "console" or (format == "auto" and stream.isatty())
    renderer: Any = (
        structlog.dev.ConsoleRenderer(colors=stream.isatty(), exception_formatter=_show_traceback)
        if console
        else structlog.processors.JSONRenderer(ensure_ascii=False)
    )
    processors: list[Any] = [
        logging_.threshold,
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        *(() if console else (structlog.processors.ExceptionRenderer(_traceback),)),
        redact,
        logging_.recent,
        renderer,
        *((_with_priority,) if _is_journal(stream) else ()),
    ]
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),  # the threshold decides
        logger_factory=structlog.WriteLoggerFactory(file=stream),
        cache_logger_on_first_use=False,
    )
    return logging_


def _traceback(exc_info: ExcInfo) -> list[dict[str, Any]]:
    """A traceback for the log, without the values that stand in the words of an error that is none of ours.

    Ours are written for a log.  A library may quote the very cell, number or key that it could not deal with.
    """
    told = _TRACEBACKS(exc_info)
    ours = {type(error).__name__ for error in _all_of(exc_info[1]) if isinstance(error, OperatorError | ProtocolError)}
    _hide(told, ours)
    return told


def _hide(told: list[dict[str, Any]], ours: set[str]) -> None:
    for stack in told:
        if stack.get("exc_type") not in ours:
            stack["exc_value"] = without_values(str(stack.get("exc_value", "")))
            stack["exc_notes"] = [without_values(str(note)) for note in stack.get("exc_notes", ())]
        stack.pop("syntax_error", None)  # quotes a line of what was read
        for each in stack.get("exceptions") or ():
            _hide(each, ours)


def _all_of(error: BaseException | None) -> Iterator[BaseException]:
    """An error, what led to it, and what is in it."""
    while error is not None:
        yield error
        if isinstance(error, BaseExceptionGroup):
            for each in error.exceptions:
                yield from _all_of(each)
        error = error.__cause__ or error.__context__


def _show_traceback(stream: TextIO, exc_info: ExcInfo) -> None:
    """The same for a terminal."""
    for stack in reversed(_traceback(exc_info)):
        stream.write("Traceback (most recent call last):\n")
        for frame in stack["frames"]:
            stream.write(f"  {frame['filename']}:{frame['lineno']} in {frame['name']}\n")
        stream.write(f"{stack['exc_type']}: {stack['exc_value']}\n")
        for each in stack.get("exceptions") or ():
            stream.write(f"  within: {each[0]['exc_type']}: {each[0]['exc_value']}\n")


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
