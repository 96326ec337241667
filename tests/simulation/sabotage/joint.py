"""Defects of what a run needs before it begins, of the joint part, and of what it releases."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final
from unittest import mock

import attrs

from nskd.analysis.release import release_bytes
from nskd.daemon import runs as runs_module
from nskd.daemon.epochs import Epochs
from nskd.governance import ledger as ledger_module
from nskd.governance import tally
from nskd.governance.approval import SignedApproval
from nskd.governance.ledger import Ledger
from nskd.governance.request import SignedRequest
from nskd.governance.tally import Standing
from protocol.checking import Checker
from protocol.errors import RemoteProtocolError
from tests.simulation.machine import HERE
from tests.simulation.sabotage.defect import Defect

LIES: Final = ("false share in a run",)
LIED: Final = r"a false share was told|where the centres have"


def _pass(checker: Checker, pending: list[Any]) -> None:
    checker._party.at_stake = False
    checker._led_on = False
    for item in pending:
        if item.opening is not None:
            item.opening.mark_checked()


@contextmanager
def _outcome_ignored() -> Iterator[None]:
    check = Checker.check

    async def checked(checker: Checker, label: str = "mac") -> None:
        pending = list(checker._pending)
        try:
            await check(checker, label)
        except RemoteProtocolError as error:
            if error.fault is not checker._fault:
                raise
            _pass(checker, pending)

    with mock.patch.object(Checker, "check", checked):
        yield


@contextmanager
def _check_skipped() -> Iterator[None]:
    check = Checker.check

    async def checked(checker: Checker, label: str = "mac") -> None:
        if not label.endswith("/before"):
            await check(checker, label)
            return
        pending, checker._pending = checker._pending, []
        _pass(checker, pending)

    with mock.patch.object(Checker, "check", checked):
        yield


@contextmanager
def _missing_not_counted() -> Iterator[None]:
    complete = property(lambda standing: not (standing.refused or standing.lapsed or standing.withdrawn))
    with mock.patch.object(Standing, "complete", complete):
        yield


@contextmanager
def _requester_taken_as_approving() -> Iterator[None]:
    stands = tally.standing

    def standing(request: SignedRequest, approvals: Iterable[SignedApproval], **options: Any) -> Standing:
        found = stands(request, approvals, **options)
        missing = tuple(name for name in found.missing if name != request.centre)
        return attrs.evolve(found, missing=missing)

    with mock.patch.object(tally, "standing", standing), mock.patch.object(ledger_module, "standing", standing):
        yield


@contextmanager
def _withdrawals_ignored() -> Iterator[None]:
    with mock.patch.object(tally, "withdrawn_until", lambda _: -1):
        yield


@contextmanager
def _off_by_one() -> Iterator[None]:
    def released(plan: Any, shown: Any, values: Any, *rest: Any, **options: Any) -> bytes:
        spoilt = values.copy()
        if shown.any():
            spoilt[shown.argmax()] += 1
        return release_bytes(plan, shown, spoilt, *rest, **options)

    with mock.patch.object(runs_module, "release_bytes", released):
        yield


@contextmanager
def _other_bytes_at_one() -> Iterator[None]:
    finish = Ledger.finish

    def finished(ledger: Ledger, digest: bytes, release: bytes, **options: Any) -> bytes:
        machine = HERE.get()
        if machine is not None and machine.name == "midden":
            release += b"\n"
        return finish(ledger, digest, release, **options)

    with mock.patch.object(Ledger, "finish", finished):
        yield


@contextmanager
def _epoch_kept() -> Iterator[None]:
    async def kept(*_: Any) -> None:
        """What was tested is not destroyed."""

    with mock.patch.object(Epochs, "destroy_if_tested", kept):
        yield


DEFECTS: Final = (
    Defect("mac-ignored", "the outcome of a MAC check is ignored", LIED, _outcome_ignored, LIES),
    Defect("mac-skipped", "what led to a release is not checked", LIED, _check_skipped, LIES),
    Defect("approvals-missing", "a run begins without all approvals", "that .* never approved", _missing_not_counted),
    Defect(
        "approval-own",
        "who asks counts as having approved",
        "that .* never approved",
        _requester_taken_as_approving,
    ),
    Defect(
        "withdrawn",
        "a run begins after a withdrawal",
        "its own steward has stopped",
        _withdrawals_ignored,
        contrary=1.0,
    ),
    Defect("off-by-one", "a released number is one too high", "where the centres have", _off_by_one),
    Defect("other-bytes", "one centre records other bytes", "records another release", _other_bytes_at_one),
    Defect("epoch-kept", "an epoch stays after a failed MAC check", "uses epoch .* again", _epoch_kept, LIES),
)
