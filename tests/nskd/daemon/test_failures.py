"""How runs ended is written down, though the disk had no room when they did."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from nskd.daemon import failures as failures_module
from nskd.daemon.failures import Failures
from nskd.errors import OperatorError
from nskd.governance.ledger import Ledger
from nskd.governance.lifecycle import State
from protocol.errors import Fault, RemoteProtocolError
from tests.nskd.daemon.centres import world
from tests.nskd.daemon.test_queue import approved, begin


def full(*_: object, **__: object) -> None:
    raise OperatorError("the disk is full", where="ledger", remedy="Make room.")


@pytest.mark.parametrize("fault", [Fault.TIMEOUT, Fault.MAC_CHECK])
async def test_it_is_written_down_as_soon_as_there_is_room(
    fault: Fault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without anybody asking, and whatever this centre's own requests wait for meanwhile."""
    monkeypatch.setattr(failures_module, "RECORD_AGAIN_S", 0.01)
    async with world(tmp_path) as here, trio.open_nursery() as nursery:
        sent, seat = await approved(here, "zuid", 1), here["noord"]
        failures = Failures(seat.workshop, seat.notices)
        nursery.start_soon(failures.drive)
        begin(seat, sent)
        with monkeypatch.context() as patch:
            patch.setattr(Ledger, "fail", full)
            await failures.note(sent, RemoteProtocolError(fault, ""))
            assert seat.state(sent) is State.RUNNING
        changed = seat.notices.changed
        with trio.fail_after(30):
            await changed.wait()
        assert seat.state(sent) is State.FAILED
        nursery.cancel_scope.cancel()


async def test_the_end_of_a_run_is_written_down_once(tmp_path: Path) -> None:
    """A second time might come after the request runs again."""
    async with world(tmp_path) as here:
        sent, seat = await approved(here, "zuid", 1), here["noord"]
        failures = Failures(seat.workshop, seat.notices)
        begin(seat, sent)
        failures._unrecorded[sent.digest] = ("timeout", "zuid is silent", True)
        calls = 0
        fail = Ledger.fail

        def counted(*args: object, **options: object) -> State:
            nonlocal calls
            calls += 1
            return fail(*args, **options)  # type: ignore[arg-type]

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Ledger, "fail", counted)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(failures.record)
                nursery.start_soon(failures.record)
        assert calls == 1
