"""Requests under a permit among five centres, as the days go by."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trio

from nskd import backup
from nskd.daemon.workshop import Workshop
from nskd.governance.audit import Event, read_entry
from nskd.governance.ledger import ERASED, Ledger
from nskd.governance.lifecycle import State
from nskd.governance.permit import Permits, parse_permit
from nskd.governance.policy import PolicyError, Rule
from nskd.governance.request import SignedRequest
from nskd.governance.request_text import parse_request
from nskd.governance.statement import Verdict
from nskd.governance.threaded import LedgerThread
from tests.nskd.governance.workshop import NOW

from .centres import KEY, NAMES, Seat, World, world

DAY_S = 86_400
TEXT = (
    'kind = "table"\ntitle = "Under a permit"\npurpose = "improvement"\nrows = "age_band"\nmeasure = "children"\n'
    "where = \"visit_month BETWEEN '2024-01' AND '2024-12'\"\npermit = \"P-1\"\n"
)
TODAY = datetime.datetime.fromtimestamp(NOW, datetime.UTC).date()
RELEASE = b'{"cells":["the rarest words in this ledger"]}'


def permit(**changes: Any) -> bytes:
    document = {
        "format": "nskd permit 1",
        "id": "P-1",
        "kind": "health-data-request",
        "issuer": "A body",
        "holder": "noord",
        "purposes": ["improvement"],
        "categories": ["visit_month", "age_months"],
        "period": {"first": "2024-01", "last": "2025-06"},
        "valid_from": str(TODAY),
        "valid_until": str(TODAY + datetime.timedelta(days=10)),
        "retention_end": str(TODAY + datetime.timedelta(days=20)),
    }
    return json.dumps({**document, **changes}).encode()


def everywhere(*raws: bytes, required: bool = False) -> dict[str, Permits]:
    permits = Permits(tuple(parse_permit(raw) for raw in raws), required)
    return dict.fromkeys(NAMES, permits)


def rule_at(workshop: Workshop, text: str, requester: str = "noord") -> Rule | None:
    try:
        workshop.check(parse_request(text.encode()), requester)
    except PolicyError as error:
        return error.rule
    return None


async def test_each_centre_checks_for_itself(tmp_path: Path) -> None:
    known = everywhere(permit())
    known["oost"] = Permits()
    known["west"] = Permits((parse_permit(permit(categories=["visit_month"])),))
    async with world(tmp_path, permits=known) as here:
        sent = await here.submit(TEXT.encode())
        for name, rule in (("midden", None), ("oost", Rule.PERMIT_UNKNOWN), ("west", Rule.PERMIT_CATEGORY)):
            assert rule_at(here[name].workshop, TEXT) is rule
            if rule is None:
                await here[name].decide(sent, Verdict.APPROVE)
            else:
                with pytest.raises(PolicyError) as caught:
                    await here[name].decide(sent, Verdict.APPROVE)
                assert caught.value.rule is rule


@pytest.mark.parametrize(
    ("rule", "text", "requester"),
    [
        (None, TEXT, "noord"),
        (Rule.PERMIT_HOLDER, TEXT, "midden"),
        (Rule.PERMIT_PURPOSE, TEXT.replace('"improvement"', '"research"'), "noord"),
        (Rule.PERMIT_CATEGORY, TEXT.replace('"age_band"', '"sex"'), "noord"),
        (Rule.PERMIT_CATEGORY, TEXT.replace("2024-12'", "2024-12' AND sex = 'V'"), "noord"),
        (Rule.PERMIT_PERIOD, TEXT.replace("2024-12'", "2025-07'"), "noord"),
        (Rule.PERMIT_PERIOD, "\n".join(line for line in TEXT.splitlines() if "where" not in line), "noord"),
        (Rule.PERMIT_UNKNOWN, TEXT.replace("P-1", "P-2"), "noord"),
        (Rule.PERMIT_REQUIRED, TEXT.replace('permit = "P-1"', ""), "noord"),
    ],
)
async def test_requests_outside_it_are_refused_by_name(
    tmp_path: Path, rule: Rule | None, text: str, requester: str
) -> None:
    charter = '[[purpose]]\nid = "improvement"\ntext = "x"\n[[purpose]]\nid = "research"\ntext = "y"\n'
    async with world(tmp_path, permits=everywhere(permit(), required=True), purpose=charter) as here:
        assert {rule_at(seat.workshop, text, requester) for seat in here.seats.values()} == {rule}


async def run(here: World, sent: SignedRequest, release: bytes | None = RELEASE) -> None:
    """As a run leaves it at every centre; without ``release`` it is still under way."""
    for seat in here.seats.values():
        seat.ledger.start(sent.digest, bytes(16), charter=here.charter, now=here.now)
        seat.contributions.hold(sent.digest, np.arange(3, dtype=np.uint64))
        if release is not None:
            known = seat.workshop.permits.find("P-1")
            assert known is not None
            seat.ledger.finish(sent.digest, release, now=here.now, erase_at=known.erase_at)


def files(tmp_path: Path, seat: Seat) -> list[Path]:
    return list((tmp_path / f"{seat.workshop.own}-contributions").iterdir())


def on_disk(tmp_path: Path, name: str) -> bytes:
    return b"".join(path.read_bytes() for path in tmp_path.glob(f"{name}.sqlite*"))


def events(seat: Seat, event: Event) -> list[Any]:
    lines = seat.audit.lines(0, bytes_max=1 << 20, count_max=1000)
    bodies = [read_entry(line, number).body for number, line in enumerate(lines, 1)]
    return [body for body in bodies if body.event is event]


async def test_open_requests_end_with_their_permit(tmp_path: Path) -> None:
    async with world(tmp_path, permits=everywhere(permit())) as here:
        waiting = await here.submit(TEXT.encode(), number=1)
        approved = await here.submit(TEXT.encode(), number=2)
        running = await here.submit(TEXT.encode(), number=3)
        free = await here.submit(TEXT.replace('permit = "P-1"\n', "").encode(), number=4)
        for request in (approved, running):
            await here.approve_all(request)
        await run(here, running, release=None)
        here.now = NOW + 10 * DAY_S
        for seat in here.seats.values():
            assert not await seat.keeper.apply()
        assert here.states(approved) == {State.APPROVED}
        here.now = NOW + 11 * DAY_S
        for seat in here.seats.values():
            assert await seat.keeper.apply()
            assert not await seat.keeper.apply()  # said and done once
        assert here.states(waiting) == here.states(approved) == {State.EXPIRED}
        assert here.states(free) == {State.SUBMITTED}
        for seat in here.seats.values():
            assert (seat.entry(approved).fault, seat.state(running)) == (Rule.PERMIT_EXPIRED, State.RUNNING)
            assert len(events(seat, Event.PERMIT_ENDED)) == 2
            with pytest.raises(PolicyError) as caught:  # what every run asks before values leave
                seat.workshop.check(running.table, "noord")
            assert caught.value.rule is Rule.PERMIT_EXPIRED
            seat.ledger.fail(running.digest, fault="f", detail="d", retryable=True, charter=here.charter, now=here.now)
            assert await seat.keeper.apply()
            assert seat.state(running) is State.EXPIRED


async def test_results_are_erased_after_their_retention_and_the_trail_stays(tmp_path: Path) -> None:
    async with world(tmp_path, permits=everywhere(permit())) as here:
        sent = await here.submit(TEXT.encode())
        await here.approve_all(sent)
        await run(here, sent)
        former = tmp_path / "backup" / "noord.backup"
        former.parent.mkdir()
        former.write_bytes(b"which holds the result too")
        for day, erased in ((11, False), (20, False), (21, True)):
            here.now = NOW + day * DAY_S
            for seat in here.seats.values():
                await seat.keeper.apply()
                assert (seat.ledger.result(sent.digest) is None) is erased
                assert (files(tmp_path, seat) == []) is erased
                assert (b"the rarest words" not in on_disk(tmp_path, seat.workshop.own)) is erased
        assert not former.exists()
        for seat in here.seats.values():
            await seat.keeper.apply()
            (body,) = events(seat, Event.RESULT_ERASED)
            assert (body.request, len(body.result)) == (sent.digest.hex(), 64)
            assert (seat.state(sent), seat.entry(sent).fault) == (State.DONE, ERASED)
            assert len(seat.ledger.approvals(sent.digest)) == len(NAMES)
            assert seat.ledger.erased_at(sent.digest) == here.now
            # Nor does a repeated run bring it back: its centre refuses to take part.
            assert rule_at(seat.workshop, TEXT) is Rule.PERMIT_EXPIRED


@pytest.mark.parametrize("step", [Ledger.copy_to, Ledger.erase])
async def test_what_is_erased_is_in_no_backup_and_no_backup_lacks_its_ledger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: Callable[..., None]
) -> None:
    """Within either, the other is begun, and goes as far as it can."""
    real = LedgerThread.__call__
    async with world(tmp_path, permits=everywhere(permit())) as here, trio.open_nursery() as nursery:
        sent = await here.submit(TEXT.encode())
        await here.approve_all(sent)
        await run(here, sent)
        here.now = NOW + 21 * DAY_S
        seat = here["zuid"]
        (tmp_path / "audit.ndjson").hardlink_to(tmp_path / "zuid.ndjson")
        other_done = trio.Event()

        async def other() -> None:
            if step is Ledger.copy_to:
                await seat.keeper.apply()
            else:
                await seat.backups.make(check=False)
            other_done.set()

        async def as_far_as_it_can() -> None:
            nursery.start_soon(other)
            while not other_done.is_set() and not seat.backups._one.statistics().tasks_waiting:
                await trio.lowlevel.checkpoint()

        async def call(self: LedgerThread, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            if method is step is Ledger.erase:
                await as_far_as_it_can()
            answer = await real(self, method, *args, **kwargs)
            if method is step is Ledger.copy_to:
                await as_far_as_it_can()
            return answer

        monkeypatch.setattr(LedgerThread, "__call__", call)
        if step is Ledger.copy_to:
            await seat.backups.make(check=False)
        else:
            await seat.keeper.apply()
        await other_done.wait()
    assert b"the rarest words" not in on_disk(tmp_path, "zuid")
    assert len(list((tmp_path / "backup").iterdir())) == (0 if step is Ledger.copy_to else 1)
    for number, path in enumerate((tmp_path / "backup").iterdir()):
        out = tmp_path / f"out {number}"
        out.mkdir()
        with path.open("rb") as file:
            backup.read(file, KEY, out)
        assert b"the rarest words" not in (out / backup.LEDGER).read_bytes()


def copied(source: Path, target: Path) -> None:
    for path in source.glob("*.*"):
        (target / path.name).write_bytes(path.read_bytes())


async def test_retention_is_kept_to_when_the_file_is_gone_and_when_it_was_extended(tmp_path: Path) -> None:
    async with world(tmp_path, permits=everywhere(permit())) as here:
        sent = await here.submit(TEXT.encode())
        await here.approve_all(sent)
        await run(here, sent)
    later = permit(retention_end=str(TODAY + datetime.timedelta(days=30)))
    for permits, kept_days in (({}, 20), (everywhere(later), 30)):
        directory = tmp_path / str(kept_days)
        directory.mkdir()
        copied(tmp_path, directory)
        async with world(directory, permits=permits) as here:
            for day in (kept_days, kept_days + 1):
                here.now = NOW + day * DAY_S
                await here["zuid"].keeper.apply()
                assert (here["zuid"].ledger.result(sent.digest) is None) is (day > kept_days)


async def test_an_erasure_that_was_cut_short_is_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with world(tmp_path, permits=everywhere(permit())) as here:
        sent = await here.submit(TEXT.encode())
        await here.approve_all(sent)
        await run(here, sent)
        here.now = NOW + 21 * DAY_S
        seat = here["zuid"]

        def dies(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(Ledger, "erase", dies)
            with pytest.raises(KeyboardInterrupt):
                await seat.keeper.apply()
        assert seat.ledger.result(sent.digest) is not None
        await seat.keeper.apply()
        assert seat.ledger.result(sent.digest) is None
        assert len(events(seat, Event.RESULT_ERASED)) == 2
