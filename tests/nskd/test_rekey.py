"""Another storage key: cut short at every durable step, all belongs to one of the two keys, and nothing is lost."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import structlog

from nskd import keyring
from nskd.analysis.contribution import ContributionError, Contributions
from nskd.analysis.population import Population
from nskd.analysis.populations import PopulationError, Populations, Record
from nskd.analysis.regression import CaseMix
from nskd.credentials import CentreKeys, NoiseKey, SigningKey, StorageKey, generate, generate_one, load_storage_key
from nskd.daemon.key_watch import KeyWatch
from nskd.key_age import DAY_S, key_ages
from nskd.keyring import Keyring, KeyringError
from nskd.rekey import RekeyError, finish, rekey
from nskd.restore import Restored, restored
from nskd.stockpile import StockError, Stockpile
from tests.nskd.stockpile.world import EPOCH, STATE, Crash, ScriptedDisk, add, expected, fail_at, session_id

OLD, NEW = StorageKey(bytes(range(32))), StorageKey(bytes(range(1, 33)))
KEYS = CentreKeys(NoiseKey(b"n" * 31 + b"0"), SigningKey(b"s" * 31 + b"0"), OLD)
REQUESTS = (b"r" * 32, b"q" * 32)
RECORD = Record(
    ("noord", "zuid"),
    (REQUESTS[1],),
    Population(np.array([1], np.uint32), np.array([7], np.uint64), np.array([2], np.uint32)),
)
MIX = CaseMix(3.0, 2.5, 1.25)
NOW = 1_800_000_000


def fill(state: Path, ring: Keyring) -> None:
    """An epoch with two batches, one begun, and what two requests left."""
    with Stockpile.open(state / "stock", ring.sealing[0]) as stock:
        stock.begin_epoch(EPOCH, STATE)
        add(stock, 1)
        add(stock, 2, count=9_000)  # several pieces a row
        use(stock, 9)
    populations = Populations(state / "populations", ring.digests, ring.seals)
    contributions = Contributions(state / "contributions", ring.digests, ring.seals)
    for request in REQUESTS:
        populations.hold(request, RECORD)
        contributions.hold(request, np.array([1, 2], np.uint64))
        contributions.keep_case_mix(request, MIX)


def use(stock: Stockpile, number: int) -> None:
    """Ten items: those that were stored, and no session had any of them before, or the ledger would refuse."""
    plan = stock.plan({"triple": 10})
    stock.reserve(session_id(number), plan)
    assert (stock.take(session_id(number))["triple"] == expected("triple", plan["triple"])).all()


def opens(state: Path, storage: StorageKey, number: int) -> bool:
    """Whether a daemon with this key finds everything as it was; no third way."""
    try:
        ring = keyring.load(state, storage)
    except KeyringError:
        return False
    assert ring is not None
    with Stockpile.open(state / "stock", ring.sealing[0], former=ring.sealing[1:]) as stock:
        stored = stock.epoch()
        assert stored is not None and (stored.epoch_id, stored.state) == (EPOCH, STATE)
        assert not stock.recovery.notes() or stock.recovery.files_removed
        use(stock, number)
        assert [info.count for info in stock.inventory()] == [100, 9_000]
    check_papers(state, ring)
    return True


def check_papers(state: Path, ring: Keyring) -> None:
    populations = Populations(state / "populations", ring.digests, ring.seals)
    contributions = Contributions(state / "contributions", ring.digests, ring.seals)
    for request in REQUESTS:
        found = populations.find(request)
        assert found is not None and found.contributors == RECORD.contributors
        assert found.population.person.tolist() == [7]
        contributions.hold(request, np.array([1, 2], np.uint64))
        with pytest.raises(ContributionError, match="has changed"):
            contributions.hold(request, np.array([1, 3], np.uint64))
        assert contributions.case_mix(request) == MIX


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[int, str], None]], ScriptedDisk]:
    """A disk whose steps include those of small files: every sync, replacement and removal, before and after."""

    def prepare(before: Callable[[int, str], None]) -> ScriptedDisk:
        disk = ScriptedDisk(before)

        def stepping(name: str, real: Callable[..., object]) -> Callable[..., object]:
            def call(*arguments: object, **more: object) -> object:
                disk._step(name)
                result = real(*arguments, **more)
                disk._step(f"{name} done")
                return result

            return call

        monkeypatch.setattr(os, "fsync", stepping("fsync", REAL["fsync"]))
        monkeypatch.setattr(Path, "replace", stepping("rename", REAL["replace"]))
        return disk

    return prepare


REAL: dict[str, Callable[..., object]] = {"fsync": os.fsync, "replace": Path.replace}


def undo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", REAL["fsync"])
    monkeypatch.setattr(Path, "replace", REAL["replace"])


def made(state: Path) -> Keyring:
    state.mkdir()
    ring = keyring.load_or_make(state, OLD)
    fill(state, ring)
    return ring


@pytest.fixture
def quick(tmp_path: Path) -> Iterator[Path]:
    """A place where a sync costs nothing, if there is one: this test has some ten thousand."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else tmp_path) as name:
        yield Path(name)


def test_cut_short_at_every_step(
    quick: Path,
    monkeypatch: pytest.MonkeyPatch,
    steps: Callable[[Callable[[int, str], None]], ScriptedDisk],
) -> None:
    step, by_old, by_new = 0, 0, 0
    while True:
        step += 1
        state = quick / str(step)
        before = made(state)
        try:
            rekey(state, KEYS, NEW, now=NOW, end_epoch=False, disk=steps(fail_at(step, Crash)))
        except Crash:
            pass
        else:
            undo(monkeypatch)
            break
        undo(monkeypatch)
        old, new = opens(state, OLD, 1), opens(state, NEW, 2)
        assert old != new, f"step {step}: {'both keys open it' if old else 'neither key opens it'}"
        by_old, by_new = by_old + old, by_new + new
        assert by_old == step or not old  # once the new one works, the old one never does again
        after = rekey(state, KEYS, NEW, now=NOW, end_epoch=False)
        judge(state, before, after)
        shutil.rmtree(state)
    assert by_old > 3 and by_new > 20


def judge(state: Path, before: Keyring, after: Keyring) -> None:
    """All is under the new key; the old one, with all that it ever opened, opens nothing that is here now."""
    assert len(after.sealing) == 1
    assert opens(state, NEW, 3) and not opens(state, OLD, 4)
    with pytest.raises(PopulationError, match="another key"):
        Populations(state / "populations", before.digests, before.seals).find(REQUESTS[0])
    assert Contributions(state / "contributions", before.digests, before.seals).case_mix(REQUESTS[0]) is None
    with pytest.raises(StockError, match="another storage key"):
        Stockpile.open(state / "stock", before.sealing[0])
    assert not list(state.rglob("*.new")) and not list(state.rglob("*.renewed"))


def test_a_daemon_sees_through_what_was_cut_short(tmp_path: Path) -> None:
    before = made(tmp_path / "s")
    turned = before.turned()
    turned.store(tmp_path / "s", NEW)
    judge(tmp_path / "s", before, finish(tmp_path / "s", turned, NEW, now=NOW))


def test_a_stolen_key_takes_the_stock_with_it(tmp_path: Path) -> None:
    state = tmp_path / "s"
    made(state)
    ring = rekey(state, KEYS, NEW, now=NOW, end_epoch=True)
    with Stockpile.open(state / "stock", ring.sealing[0]) as stock:
        assert (stock.epoch(), stock.inventory()) == (None, [])
        with pytest.raises(StockError, match="was here before"):
            stock.begin_epoch(EPOCH, STATE)
    check_papers(state, ring)


def test_a_stolen_key_takes_the_stock_with_it_whatever_cuts_that_short(
    quick: Path,
    monkeypatch: pytest.MonkeyPatch,
    steps: Callable[[Callable[[int, str], None]], ScriptedDisk],
) -> None:
    """Once the new key is in, nothing that the old one opened is sealed anew: not by the daemon either."""
    step, cut = 0, 0
    while True:
        step += 1
        state = quick / str(step)
        made(state)
        try:
            rekey(state, KEYS, NEW, now=NOW, end_epoch=True, disk=steps(fail_at(step, Crash)))
        except Crash:
            pass
        else:
            undo(monkeypatch)
            break
        undo(monkeypatch)
        try:
            ring = keyring.load(state, NEW)
        except KeyringError:
            continue
        assert ring is not None
        cut += 1
        ring = finish(state, ring, NEW, now=NOW)  # as a daemon does that is started now
        with Stockpile.open(state / "stock", ring.sealing[0]) as stock:
            assert stock.epoch() is None
    assert cut > 3


def test_what_was_begun_without_ending_the_epoch_ends_with_it(tmp_path: Path) -> None:
    state = tmp_path / "s"
    made(state).turned().store(state, NEW)
    ring = rekey(state, KEYS, NEW, now=NOW, end_epoch=True)
    with Stockpile.open(state / "stock", ring.sealing[0]) as stock:
        assert stock.epoch() is None


def test_a_copy_is_marked_whichever_opens_it_first(tmp_path: Path) -> None:
    """So that the daemon knows that it was put back, though its stock no longer tells."""
    made(tmp_path / "s")
    shutil.copytree(tmp_path / "s", tmp_path / "copy")
    rekey(tmp_path / "copy", KEYS, NEW, now=NOW, end_epoch=False)
    rekey(tmp_path / "s", KEYS, NEW, now=NOW, end_epoch=False)
    assert restored(tmp_path / "copy") == Restored(restored_at=NOW, made_at=0)
    assert restored(tmp_path / "s") is None


def test_what_cannot_be_read_is_one_error(tmp_path: Path) -> None:
    made(tmp_path / "s")
    (tmp_path / "s" / "contributions" / f"{'ab' * 32}.case-mix").mkdir()
    with pytest.raises(ContributionError, match="cannot be read"):
        rekey(tmp_path / "s", KEYS, NEW, now=NOW, end_epoch=False)


def test_no_backup_stays_that_the_old_key_opens(tmp_path: Path) -> None:
    state = tmp_path / "s"
    made(state)
    (state / "backup").mkdir()
    (state / "backup" / "noord-1.backup").write_bytes(b"sealed under the old key")
    rekey(state, KEYS, NEW, now=NOW, end_epoch=False)
    assert list((state / "backup").iterdir()) == []


def test_a_directory_of_before_there_was_a_keyring(tmp_path: Path) -> None:
    """It goes on with what it has; the wrong key is refused and writes nothing; children are digested as before."""
    state = tmp_path / "s"
    state.mkdir()
    former = Keyring(OLD, (OLD,), {})
    fill(state, former)
    wrong = keyring.load_or_make(state, NEW)
    with pytest.raises(StockError, match="another storage key"):
        Stockpile.open(state / "stock", wrong.sealing[0])
    with pytest.raises(StockError, match="another storage key"):
        rekey(state, CentreKeys(KEYS.noise, KEYS.signing, NEW), OLD, now=NOW, end_epoch=False)
    assert not (state / keyring.NAME).exists()
    check_papers(state, keyring.load_or_make(state, OLD))
    after = rekey(state, KEYS, NEW, now=NOW, end_epoch=False)
    judge(state, former, after)
    assert (
        Populations(state / "populations", after.digests).person_key
        == Populations(state / "populations", former.digests).person_key
    )


def test_refusals(tmp_path: Path) -> None:
    state = tmp_path / "s"
    made(state)
    with pytest.raises(RekeyError, match="the one in use"):
        rekey(state, KEYS, OLD, now=NOW, end_epoch=False)
    third = StorageKey(bytes(range(2, 34)))
    with pytest.raises(KeyringError, match="another storage key"):
        rekey(state, CentreKeys(KEYS.noise, KEYS.signing, third), NEW, now=NOW, end_epoch=False)
    with Stockpile.open(state / "stock", keyring.load_or_make(state, OLD).sealing[0]), pytest.raises(StockError):
        rekey(state, KEYS, NEW, now=NOW, end_epoch=False)  # a daemon has it
    assert opens(state, OLD, 1)
    path = state / keyring.NAME
    path.write_bytes(path.read_bytes().replace(b"nskd keyring 1", b"nskd keyring 2"))
    with pytest.raises(KeyringError, match="later version"):
        keyring.load(state, OLD)


def test_ages(tmp_path: Path) -> None:
    ring = keyring.load_or_make(tmp_path, OLD).using(KEYS, now=NOW)
    ring.store(tmp_path, OLD)
    later = NOW + 700 * DAY_S
    fresh = CentreKeys(NoiseKey.generate(), KEYS.signing, OLD)
    read = keyring.load(tmp_path, OLD)
    assert read is not None and read.alike(ring)
    ages = key_ages(read.using(fresh, now=later).ages, 730 * DAY_S)
    assert [(age.kind, age.since) for age in ages] == [("signing", NOW), ("storage", NOW), ("noise", later)]
    now = NOW + 699 * DAY_S
    watch = KeyWatch(
        read.using(fresh, now=later).ages, lambda: 730.0 * DAY_S, clock=lambda: now, log=structlog.get_logger()
    )
    assert watch.findings() == []
    now = later
    assert [finding.subject for finding in watch.findings()] == ["signing", "storage"]
    assert "in use for 700 days; its replacement is due in 30 days" in watch.findings()[0].what
    now = NOW + 730 * DAY_S
    assert "overdue" in watch.findings()[0].what


def test_one_key_is_made(tmp_path: Path) -> None:
    generate(tmp_path / "all")
    assert generate_one(tmp_path / "one", "storage") is None
    assert load_storage_key(tmp_path / "one" / "storage.key") != load_storage_key(tmp_path / "all" / "storage.key")
    assert [path.name for path in (tmp_path / "one").iterdir()] == ["storage.key"]
    public = generate_one(tmp_path / "one", "noise")
    assert public is not None and len(public) == 32
