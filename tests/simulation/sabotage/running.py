"""Defects of how a daemon keeps going: wake-ups, links, sessions, tasks, errors of peers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final
from unittest import mock

import trio

from nskd.daemon import generation as generation_module
from nskd.daemon.failures import Failures
from nskd.daemon.notices import Notices
from nskd.daemon.wanted import Wanted
from nskd.governance.ledger import Ledger
from nskd.governance.lifecycle import State
from nskd.peers import dialer as dialer_module
from nskd.peers import link as link_module
from nskd.peers.dialer import Dialer
from nskd.peers.mesh import Mesh
from nskd.sessions.attempt import Attempt
from nskd.sessions.manager import SessionManager
from protocol import limits
from protocol.errors import RemoteProtocolError
from tests.simulation.sabotage.defect import Defect

UNANSWERED: Final = "not answered in calm|takes no request in calm|no rest in calm"
LOST: Final = ("connection to be lost at a step", "all connections of two centres lost")


@contextmanager
def _wake_up_lost() -> Iterator[None]:
    with mock.patch.object(Notices, "poke", lambda notices: notices._on_change()):
        yield


@contextmanager
def _failure_unrecorded() -> Iterator[None]:
    async def note(*_: Any) -> None:
        """Nobody writes down that a run has ended."""

    with mock.patch.object(Failures, "note", note):
        yield


@contextmanager
def _refusal_forgotten() -> Iterator[None]:
    answer = Notices._answer

    async def answered(notices: Notices, peer: str, digest: bytes) -> None:
        entry = await notices._workshop.ledger(Ledger.get, digest)
        if entry.state is not State.REFUSED:
            await answer(notices, peer, digest)

    with mock.patch.object(Notices, "_answer", answered):
        yield


@contextmanager
def _never_dialled_again() -> Iterator[None]:
    async def run(dialer: Dialer) -> None:
        pipe = None
        while pipe is None:
            pipe = await dialer._attempt()
            await trio.sleep(0.0 if pipe else dialer._backoff.next_s())
        await dialer._serve(dialer._member, dialer._lane, pipe)

    with mock.patch.object(Dialer, "run", run):
        yield


@contextmanager
def _sessions_kept() -> Iterator[None]:
    leave = SessionManager._leave

    def left(manager: SessionManager, attempt: Attempt) -> None:
        if attempt.outcome == "done":
            leave(manager, attempt)
        else:
            attempt.in_slot = False
            manager._slot_freed()

    with mock.patch.object(SessionManager, "_leave", left):
        yield


@contextmanager
def _channels_kept() -> Iterator[None]:
    with mock.patch.object(Mesh, "_forget", lambda *_: None):
        yield


@contextmanager
def _tasks_kept() -> Iterator[None]:
    serve = Mesh._serve_caller

    async def served(mesh: Mesh, arrival: Any) -> None:
        await serve(mesh, arrival)
        await trio.sleep_forever()

    with mock.patch.object(Mesh, "_serve_caller", served):
        yield


class _Unbounded:
    """The protocol's limits, but for one."""

    LINK_OUTBOX_MESSAGES_MAX = 1 << 30

    def __getattr__(self, name: str) -> Any:
        return getattr(limits, name)


@contextmanager
def _outbox_unbounded() -> Iterator[None]:
    with mock.patch.object(link_module, "limits", _Unbounded()):
        yield


@contextmanager
def _ends_with_a_peer() -> Iterator[None]:
    with mock.patch.object(dialer_module, "ATTEMPT_ERRORS", (RemoteProtocolError,)):
        yield


@contextmanager
def _lacking_forgotten() -> Iterator[None]:
    with mock.patch.object(Wanted, "note", lambda *_: None):
        yield


class _NeverError(Exception):
    """Nothing is one."""


@contextmanager
def _end_of_epoch_is_our_error() -> Iterator[None]:
    with mock.patch.object(generation_module, "EpochEndedError", _NeverError):
        yield


DEFECTS: Final = (
    Defect("wake-up-lost", "who waits for a change is not woken", UNANSWERED, _wake_up_lost),
    Defect("failure-lost", "the end of a run is not recorded", "still runs in calm", _failure_unrecorded, LOST),
    Defect("dialled-once", "a lost link is not dialled again", UNANSWERED, _never_dialled_again, LOST),
    Defect(
        "sessions-kept", "a session that fails is not closed", f"sessions at once|{UNANSWERED}", _sessions_kept, LOST
    ),
    Defect("channels-kept", "channels are not closed", UNANSWERED, _channels_kept),
    Defect("tasks-kept", "each connection leaves a task", "tasks are alive", _tasks_kept, LOST),
    Defect(
        "outbox-unbounded",
        "messages for a peer that does not read pile up",
        "messages waiting on one link",
        _outbox_unbounded,
        ("many requests at once, to one that is apart",),
    ),
    Defect("peer-ends-us", "an unreachable peer ends the daemon", "ended: ", _ends_with_a_peer, ("power cut",)),
    Defect(
        "lacking-forgotten",
        "a release that one centre lacks is not made up for",
        "is done at .* alone",
        _lacking_forgotten,
        ("power cut during a run", "connection to be lost at a step"),
    ),
    Defect(
        "refusal-forgotten",
        "who has a request open is not answered that it is refused",
        "not everybody has heard of it",
        _refusal_forgotten,
        ("power cut", "centre off for a while", "all connections of two centres lost"),
        contrary=1.0,
    ),
    Defect(
        "epoch-end-blamed",
        "a batch that ends with its epoch is logged as this centre's own error",
        "nothing is wrong there: generation failed here",
        _end_of_epoch_is_our_error,
        ("power cut during a run", *LOST),
    ),
)
