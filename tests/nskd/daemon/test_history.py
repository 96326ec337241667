"""Which earlier tables count, and what a centre accepts of another's list."""

from __future__ import annotations

import threading
from pathlib import Path

import attrs
import pytest
import trio

from nskd.analysis.pairs import TooManyPairsError
from nskd.analysis.population import NOBODY, population
from nskd.analysis.populations import Populations, Record, joined
from nskd.daemon.history import History, pairs_of
from nskd.governance import limits
from nskd.governance.disclosure import HospitalPoints
from nskd.governance.request import SignedRequest
from nskd.governance.statement import Verdict
from nskd.sessions.kinds import Refusal
from tests.nskd.daemon.test_needs import SMALL, Scene, derived, scene
from tests.nskd.governance.workshop import CHARTER, NAMES, OTHER_CHARTER, approval, request


def hold(
    here: Scene, directory: Path, sent: SignedRequest, *earlier: bytes, contributors: tuple[str, ...] = NAMES
) -> None:
    """As after the local part of its first run."""
    Populations(directory / "populations", derived).hold(sent.digest, Record(contributors, earlier, NOBODY))


def begun(here: Scene, count: int, *, under=CHARTER) -> list[SignedRequest]:  # type: ignore[no-untyped-def]
    """Requests that ran, oldest first, as all centres order them."""
    sent = [here.add(SMALL, number, done=True) for number in range(1, count + 1)]
    return sorted(sent, key=lambda each: (each.submitted_at, each.digest))


async def refused(history: History, asked: bytes, *listed: bytes) -> str:
    with pytest.raises(Refusal) as caught:
        await history.check(asked, joined(listed))
    return caught.value.reason


async def test_what_began_counts_and_the_newest_of_it(tmp_path: Path) -> None:
    async with scene(tmp_path, back=2) as here:
        asked = here.add(SMALL, 9)
        assert await here.history.listed(asked.digest) == ()
        before = begun(here, 3)
        here.add(SMALL, 8, approved=True)  # never began
        assert await here.history.listed(asked.digest) == tuple(each.digest for each in before[1:])
        assert await here.history.listed(before[2].digest) == tuple(each.digest for each in before[:2])
        assert await here.history.check(asked.digest, joined([e.digest for e in before[1:]]))
        assert [each.request for each in await here.history.earlier([before[0].digest])] == [before[0].digest]


async def test_nothing_may_be_left_out(tmp_path: Path) -> None:
    async with scene(tmp_path, back=3) as here:
        asked = here.add(SMALL, 9)
        first, second = (each.digest for each in begun(here, 2))
        assert await here.history.check(asked.digest, joined([first, second])) == (first, second)
        assert "left out" in await refused(here.history, asked.digest)
        assert "left out" in await refused(here.history, asked.digest, first)
        assert "left out" in await refused(here.history, asked.digest, second)
        more = here.add(SMALL, 7, approved=True)  # did not begin here: that the other counts it does no harm
        assert await here.history.check(asked.digest, joined([first, second, more.digest]))
        assert "not known here" in await refused(here.history, asked.digest, first, b"x" * 32)
        with pytest.raises(Refusal, match="not known here"):
            await here.history.earlier([b"x" * 32])


async def test_no_room_is_made_by_filling_the_list(tmp_path: Path) -> None:
    async with scene(tmp_path, back=2) as here:
        asked = here.add(SMALL, 9)
        *_, second, third = (each.digest for each in begun(here, 3))
        filler = here.add(SMALL, 7, approved=True)
        assert "left out" in await refused(here.history, asked.digest, *sorted([filler.digest, second]))
        assert await here.history.check(asked.digest, joined([second, third]))


async def test_what_its_requester_alone_made_up_fills_no_list(tmp_path: Path) -> None:
    """Older than all of a full list may be left out, so it takes more than a requester's own word to be in one."""
    async with scene(tmp_path, back=2) as here:
        asked = here.add(SMALL, 9)
        begun(here, 3)
        made_up = [here.add(SMALL, number).digest for number in (6, 7)]
        assert "never approved here" in await refused(here.history, asked.digest, *made_up)
        here.ledger.add_approval(
            approval(made_up[0], "noord", verdict=Verdict.REFUSE, now=here.now), charter=CHARTER, now=here.now
        )
        assert "never approved here" in await refused(here.history, asked.digest, *made_up)


@pytest.mark.parametrize("extra", [b"x", b"x" * 31, b"x" * 64, bytes(32 * 3)])
async def test_what_is_no_list_is_refused(tmp_path: Path, extra: bytes) -> None:
    async with scene(tmp_path, back=2) as here:
        asked = here.add(SMALL, 9)
        with pytest.raises(Refusal):
            await here.history.check(asked.digest, extra)
        assert "no such list" in await refused(here.history, asked.digest, asked.digest)


async def test_the_first_list_stays(tmp_path: Path) -> None:
    """A request runs again: compared with the same tables; those that have come since were compared with it."""
    async with scene(tmp_path, back=5) as here:
        (first,) = (each.digest for each in begun(here, 1))
        asked = here.add(SMALL, 9, done=True)
        hold(here, tmp_path, asked, first)
        later = here.add(SMALL, 4, done=True)
        hold(here, tmp_path, later, first, asked.digest)
        assert await here.history.listed(asked.digest) == (first,)
        assert await here.history.check(asked.digest, joined([first])) == (first,)
        assert "first compared with other" in await refused(here.history, asked.digest, first, later.digest)
        # a centre that had not come so far in the first run
        (tmp_path / "populations" / f"{asked.digest.hex()}.population").unlink()
        other = History(here.workshop, Populations(tmp_path / "populations", derived))
        assert await other.check(asked.digest, joined([first])) == (first,)


async def test_only_tables_of_the_same_centres_count(tmp_path: Path) -> None:
    async with scene(tmp_path, back=5) as here:
        asked = here.add(SMALL, 9)
        among_others, same = begun(here, 2)
        hold(here, tmp_path, among_others, contributors=NAMES[:2])
        hold(here, tmp_path, same)
        older = request(SMALL, nonce=b"o" * 16, under=OTHER_CHARTER)
        here.ledger.add_request(older, now=here.now)
        assert await here.history.listed(asked.digest) == (same.digest,)


class Watched(Populations):
    """Notes which files are read, and by which threads."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory / "populations", derived)
        self.read: list[bytes] = []
        self.threads: set[int] = set()

    def find(self, request: bytes) -> Record | None:
        self.read.append(request)
        self.threads.add(threading.get_ident())
        return super().find(request)


async def test_files_are_read_once_beside_the_event_loop_and_no_further_back_than_counts(tmp_path: Path) -> None:
    async with scene(tmp_path, back=3) as here:
        asked = here.add(SMALL, 9)
        before = begun(here, 8)
        for number, sent in enumerate(before):
            hold(here, tmp_path, sent, contributors=NAMES[:2] if number == 6 else NAMES)
        populations = Watched(tmp_path)
        history = History(here.workshop, populations)
        listed: list[tuple[bytes, ...]] = []

        async def ask() -> None:
            listed.append(await history.listed(asked.digest))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            nursery.start_soon(ask)
        assert listed == 2 * [tuple(before[place].digest for place in (4, 5, 7))]
        assert sorted(populations.read) == sorted(each.digest for each in before[4:])
        assert threading.get_ident() not in populations.threads


async def test_what_is_no_longer_among_the_newest_is_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with scene(tmp_path, back=9) as here:
        begin = [here.add(SMALL, number, done=True).digest for number in (1, 2, 3)]
        for digest in begin:
            Populations(tmp_path / "populations", derived).hold(digest, Record(NAMES, (), NOBODY))
        populations = Watched(tmp_path)
        history = History(here.workshop, populations)
        assert len(await history.newest()) == 3
        monkeypatch.setattr(limits, "BEGUN_MAX", 2)
        assert await history.newest() == tuple(sorted(begin[1:]))
        monkeypatch.undo()
        assert len(await history.newest()) == 3
        assert sorted(populations.read) == sorted([*begin, begin[0]])


async def test_a_charter_can_do_without(tmp_path: Path) -> None:
    async with scene(tmp_path, back=0) as here:
        asked = here.add(SMALL, 9)
        (first,) = (each.digest for each in begun(here, 1))
        assert await here.history.listed(asked.digest) == ()
        assert await here.history.check(asked.digest, b"") == ()
        assert "no such list" in await refused(here.history, asked.digest, first)


async def test_a_table_with_too_much_to_compare_is_refused_before_it_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scene(tmp_path, back=5) as here:
        plan = here.workshop.plan(request(SMALL).table)
        begun(here, 2)
        await here.history.comparable(plan)
        monkeypatch.setattr("nskd.daemon.history.TESTS_MAX", 2 * 4 * 3 - 1)  # four cells, three centres, twice
        with pytest.raises(TooManyPairsError, match="fewer or coarser groups"):
            await here.history.comparable(plan)


FUNNEL = b'kind = "funnel"\ntitle = "F"\npurpose = "improvement"\nmeasure = "children"\nof = "sex = \'M\'"\n'
BOYS = SMALL.replace(b'kind = "table"', b'kind = "funnel"').replace(b'rows = "age_band"', b"of = \"sex = 'M'\"")


async def test_points_are_compared_with_those_of_earlier_funnels_only(tmp_path: Path) -> None:
    """Between two tables and after them: its own pairs are those with the three cells of each earlier funnel."""
    async with scene(tmp_path, back=9, hospital_points=HospitalPoints.SHUFFLED) as here:
        plan = here.workshop.plan(request(FUNNEL).table)
        tables, funnels = [here.add(SMALL, number, done=True) for number in (1, 2)], [here.add(BOYS, 3, done=True)]
        listed = [tables[0], funnels[0], tables[1]]
        found = pairs_of(here.workshop, plan, await here.history.earlier([each.digest for each in listed]))
        assert (found.count, found.funnels.tolist()) == (12 + 7 + 12, list(range(12, 19)))
        asked = here.workshop.hospitals(plan, found)
        assert asked is not None and asked.near.tolist() == list(range(12, 19))
        bare = here.workshop.need(plan, attrs.evolve(found, funnels=found.funnels[:0]))
        assert here.workshop.need(plan, found)["bit"] > bare["bit"] > here.workshop.need(plan)["bit"]
        table = here.workshop.plan(request(SMALL).table)
        alone = pairs_of(here.workshop, table, await here.history.earlier([funnels[0].digest]))
        assert (alone.count, alone.funnels.size) == (12, 0)


async def test_comparing_points_counts_towards_what_can_be_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tests = 7 * 3 + 7 * 3  # seven pairs: without each centre in turn, and each hospital alone
    async with scene(tmp_path, back=9, hospital_points=HospitalPoints.SHUFFLED) as here:
        plan = here.workshop.plan(request(FUNNEL).table)
        here.add(BOYS, 3, done=True)
        monkeypatch.setattr("nskd.daemon.history.TESTS_MAX", tests)
        await here.history.comparable(plan)
        monkeypatch.setattr("nskd.daemon.history.TESTS_MAX", tests - 1)
        with pytest.raises(TooManyPairsError):
            await here.history.comparable(plan)


async def test_points_that_stay_at_home_are_not_compared(tmp_path: Path) -> None:
    async with scene(tmp_path, back=9) as here:
        plan = here.workshop.plan(request(FUNNEL).table)
        earlier = await here.history.earlier([here.add(BOYS, 3, done=True).digest])
        found = pairs_of(here.workshop, plan, earlier)
        assert (found.count, found.funnels.size) == (7, 0)
        assert here.workshop.hospitals(plan, found) is None
        rate = here.workshop.plan(request(BOYS.replace(b'"funnel"', b'"rate"')).table)
        assert here.workshop.need(rate, found) == here.workshop.need(plan, found)


async def test_ones_own_point_is_of_what_was_contributed(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        sent, table = here.add(FUNNEL, 1, done=True), here.add(SMALL, 2, done=True)
        assert await here.history.own_point(sent) is None  # nothing kept, or erased
        own = population([(0, "a", 4), (0, "b", 1), (1, "b", 2), (1, "c", 2)], b"k" * 32)
        for each in (sent, table):
            Populations(tmp_path / "populations", derived).hold(each.digest, Record(NAMES, (), own))
        assert await here.history.own_point(sent) == (2, 3)
        assert await here.history.own_point(table) is None
        for path in (tmp_path / "populations").iterdir():
            path.write_bytes(b"damaged")
        assert await here.history.own_point(sent) is None  # the release is shown all the same
