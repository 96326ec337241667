"""A centre that was restored hears what began, and nobody can make it believe what did not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

import attrs
import msgspec
import pytest

from nskd.analysis.populations import Populations
from nskd.daemon.endings import over_by_now
from nskd.daemon.history import History
from nskd.daemon.relearning import ANSWER_EVERY_S, ASK_EVERY_S, Relearning
from nskd.errors import OperatorError
from nskd.governance.ledger import Ledger
from nskd.governance.lifecycle import State
from nskd.governance.limits import CLOCK_SKEW_MAX_S
from nskd.governance.policy import Rule
from nskd.governance.request import SignedRequest
from nskd.governance.statement import Verdict
from nskd.peers.mesh import Mesh
from nskd.restore import Restored
from protocol.errors import Fault, RemoteProtocolError
from protocol.messages import BegunNotice, BegunQuery, ControlMessage
from tests.nskd.daemon.centres import MemoryMesh, Seat, World, world
from tests.nskd.governance.workshop import NOW

LATER = NOW + 1000


def refused(*_: object, **__: object) -> None:
    """In place of what a disk does."""
    raise OperatorError("the disk is full", where="ledger", remedy="Make room.")


class Post(MemoryMesh):
    """Keeps what is sent."""

    def __init__(self, own: str) -> None:
        super().__init__(own, self._keep)
        self.sent: list[ControlMessage] = []

    def _keep(self, sender: str, receiver: str, message: ControlMessage) -> bool:
        self.sent.append(message)
        return True

    def post_control(self, name: str, message: ControlMessage) -> bool:
        return self._keep(self.own, name, message)


@attrs.define
class Teller:
    """A centre's relearning, and what it sends."""

    seat: Seat
    mesh: Post
    history: History
    relearning: Relearning

    async def hear(self, peer: str, message: ControlMessage) -> None:
        await self.mesh.handlers[type(message)](peer, message)


def teller(seat: Seat, directory: Path, restored: Restored | None = None, **changes: Any) -> Teller:
    workshop = attrs.evolve(
        seat.workshop,
        restored_at=None if restored is None else restored.restored_at,
        charter=attrs.evolve(
            seat.workshop.charter, disclosure=attrs.evolve(seat.workshop.charter.disclosure, differencing=3)
        ),
        **changes,
    )
    mesh = Post(workshop.own)
    history = History(workshop, Populations(directory / f"{workshop.own}-populations", lambda x: sha256(x).digest()))
    return Teller(seat, mesh, history, Relearning(workshop, cast(Mesh, mesh), history, restored))


@attrs.define
class Scene:
    """Before: all five centres with their memory.  After: midden again, with none."""

    before: World
    after: World
    noord: Teller
    midden: Teller

    async def began(self, number: int) -> SignedRequest:
        """A request that ran at noord, and that midden has forgotten."""
        sent = await self.before.submit(number=number)
        await self.before.approve_all(sent)
        ledger = self.before["noord"].ledger
        ledger.start(sent.digest, bytes([number]) * 16, charter=self.before.charter, now=self.before.now)
        ledger.finish(sent.digest, b'{"cells":[]}', now=self.before.now)
        return sent

    async def told(self) -> list[BegunNotice]:
        """What noord answers midden, as many as there are."""
        self.midden.relearning.greet("noord")
        await self.noord.hear("midden", self.midden.mesh.sent.pop())
        notices = [cast(BegunNotice, message) for message in self.noord.mesh.sent]
        self.noord.mesh.sent.clear()
        return notices

    def knows(self, sent: SignedRequest) -> bool:
        return sent.digest in {entry.request.digest for entry in self.midden.seat.ledger.begun()}


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    async with both(tmp_path) as here:
        yield here


@asynccontextmanager
async def both(directory: Path) -> AsyncIterator[Scene]:
    for name in ("before", "after"):
        (directory / name).mkdir()
    async with world(directory / "before") as before, world(directory / "after") as after:
        after.now = LATER
        noord = teller(before["noord"], directory / "before")
        restored = Restored(restored_at=LATER, made_at=NOW)
        yield Scene(before, after, noord, teller(after["midden"], directory / "after", restored))


async def test_what_began_is_learnt_and_never_runs(scene: Scene) -> None:
    first, second = await scene.began(1), await scene.began(2)
    for notice in await scene.told():
        await scene.midden.hear("noord", notice)
    assert scene.knows(first) and scene.knows(second)
    assert set(await scene.midden.history.newest()) == {first.digest, second.digest}
    assert await scene.midden.history.newest() == await scene.noord.history.newest()
    entry = scene.midden.seat.ledger.get(first.digest)
    over = over_by_now(attrs.evolve(scene.midden.seat.workshop, restored_at=LATER), entry)
    assert over is not None and over.rule is Rule.RESTORED


async def test_what_a_clock_ahead_dates_after_the_restore_is_learnt_too(scene: Scene) -> None:
    scene.before.now = LATER + CLOCK_SKEW_MAX_S
    postdated = await scene.began(1)
    for notice in await scene.told():
        await scene.midden.hear("noord", notice)
    assert scene.knows(postdated)
    assert scene.midden.seat.ledger.get(postdated.digest).state is State.EXPIRED


async def test_a_requester_cannot_make_up_what_began(scene: Scene) -> None:
    """Its own requests carry its own signature; what they lack is the approval of the centre that it tells."""
    await scene.began(1)
    (true,) = await scene.told()
    made_up = await scene.before.submit(number=9, by="zuid")
    await scene.before["midden"].decide(made_up, Verdict.REFUSE)
    (refusal,) = (a for a in scene.before["midden"].ledger.approvals(made_up.digest) if a.centre == "midden")
    false = msgspec.structs.replace(true, request=made_up.body, centre="zuid", signature=made_up.signature)
    lies = (
        false,  # with the approval of another request
        msgspec.structs.replace(false, approval=None, approval_signature=None),
        msgspec.structs.replace(false, approval=refusal.body, approval_signature=refusal.signature),
        msgspec.structs.replace(true, approval_signature=bytes(64)),
        msgspec.structs.replace(true, approval=b"\x00"),
    )
    for lie in lies:
        with pytest.raises(RemoteProtocolError) as caught:
            await scene.midden.hear("noord", lie)
        assert caught.value.fault is Fault.APPROVAL
    with pytest.raises(RemoteProtocolError) as caught:
        await scene.midden.hear("noord", msgspec.structs.replace(true, signature=bytes(64)))
    assert caught.value.fault is Fault.SIGNATURE
    assert scene.midden.seat.ledger.begun() == []


async def test_what_a_former_charter_allowed_counts_while_the_same_centres_contribute(
    scene: Scene, tmp_path: Path
) -> None:
    old = await scene.began(1)
    former = scene.before.charter
    amended = attrs.evolve(former, version=2, raw=former.raw + b"# 2\n", digest=sha256(b"2").digest())
    for each, restored in ((scene.noord, None), (scene.midden, Restored(restored_at=LATER, made_at=NOW))):
        seat = attrs.evolve(each.seat, workshop=attrs.evolve(each.seat.workshop, charter=amended))
        name = "noord" if restored is None else "midden"
        setattr(scene, name, teller(seat, tmp_path / name, restored, former=(former,)))
    for notice in await scene.told():
        await scene.midden.hear("noord", notice)
    assert scene.knows(old)
    assert await scene.midden.history.newest() == await scene.noord.history.newest() == (old.digest,)


async def test_what_began_under_a_charter_that_is_not_known_is_nobody_s_fault(scene: Scene, tmp_path: Path) -> None:
    """Who joined later, or began anew, lacks former charters, and an honest teller cannot know that."""
    old = await scene.began(1)
    (notice,) = await scene.told()
    amended = attrs.evolve(scene.before.charter, version=2, digest=sha256(b"2").digest())
    seat = attrs.evolve(scene.midden.seat, workshop=attrs.evolve(scene.midden.seat.workshop, charter=amended))
    scene.midden = teller(seat, tmp_path, Restored(restored_at=LATER, made_at=NOW), former=())
    scene.midden.relearning.greet("noord")
    await scene.midden.hear("noord", notice)  # which would end the link, were it a fault
    assert not scene.knows(old)


async def test_one_restored_centre_does_not_tell_another_what_it_cannot_prove(scene: Scene, tmp_path: Path) -> None:
    """It has learnt that a request began, with its own approval alone."""
    sent = await scene.began(1)
    async with world(tmp_path) as third:
        third.now = LATER
        zuid = teller(third["zuid"], tmp_path, Restored(restored_at=LATER, made_at=NOW))
        zuid.relearning.greet("noord")
        await scene.noord.hear("zuid", zuid.mesh.sent.pop())
        await zuid.hear("noord", scene.noord.mesh.sent.pop())
        assert sent.digest in {entry.request.digest for entry in third["zuid"].ledger.begun()}
        await zuid.hear("midden", BegunQuery())
        assert zuid.mesh.sent == []
        assert [notice.request for notice in await scene.told()] == [sent.body]  # who can prove it goes on telling


async def test_only_what_was_asked_for_and_what_is_of_before(scene: Scene) -> None:
    await scene.began(1)
    (notice,) = await scene.told()
    await scene.midden.hear("zuid", notice)  # was not asked
    assert scene.midden.seat.ledger.begun() == []
    scene.before.now = LATER + CLOCK_SKEW_MAX_S + 1
    late = await scene.began(2)
    *_, after = await scene.told()
    assert after.request == late.body
    with pytest.raises(RemoteProtocolError):  # from the future, there
        await scene.midden.hear("noord", after)
    assert not scene.knows(late)


async def test_an_answer_cut_short_is_given_anew(scene: Scene) -> None:
    await scene.began(1)
    original = scene.noord.mesh.send_control

    async def broken(name: str, message: ControlMessage) -> None:
        raise RemoteProtocolError(Fault.DISCONNECTED, "gone", party=name)

    scene.noord.mesh.send_control = broken  # type: ignore[method-assign]
    assert await scene.told() == []
    scene.noord.mesh.send_control = original  # type: ignore[method-assign]
    assert len(await scene.told()) == 1
    assert await scene.told() == []  # not at once again
    scene.before.now += ANSWER_EVERY_S
    assert len(await scene.told()) == 1
    scene.noord.relearning.greet("midden")  # a new connection: who knows what became of the answer on the last
    assert len(await scene.told()) == 1


async def test_what_was_lost_is_asked_for_again_within_the_hour(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = await scene.began(1)
    (notice,) = await scene.told()
    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "learn", refused)
        await scene.midden.hear("noord", notice)
    assert not scene.knows(sent)
    scene.midden.relearning.ask_again()
    assert scene.midden.mesh.sent == []  # not yet
    scene.after.now += ASK_EVERY_S
    scene.before.now += ASK_EVERY_S
    scene.midden.relearning.ask_again()
    (question,) = scene.midden.mesh.sent
    await scene.noord.hear("midden", question)
    await scene.midden.hear("noord", scene.noord.mesh.sent.pop())
    assert scene.knows(sent)
    scene.midden.relearning.ask_again()
    assert scene.midden.mesh.sent == [question]


async def test_a_centre_that_was_not_restored_asks_nothing_and_believes_nothing(scene: Scene, tmp_path: Path) -> None:
    await scene.began(1)
    (notice,) = await scene.told()
    other = teller(scene.midden.seat, tmp_path)
    other.relearning.greet("noord")
    assert other.mesh.sent == []
    await other.hear("noord", notice)
    assert scene.midden.seat.ledger.begun() == []
