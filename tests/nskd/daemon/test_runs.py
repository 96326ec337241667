"""What a centre makes of a run that all have come to the end of."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from nskd.daemon.turns import Turns
from nskd.daemon.wanted import Wanted
from nskd.governance.lifecycle import State
from nskd.sessions.kinds import AgreedSession
from protocol.errors import Fault, RemoteProtocolError
from tests.nskd.daemon.centres import world
from tests.nskd.daemon.test_presence import taking_part
from tests.nskd.daemon.test_queue import approved


async def test_who_says_during_a_run_that_it_lacks_the_release_has_it_at_its_end(tmp_path: Path) -> None:
    """Else it would be run once more, in vain; if it fails, who said so before it began lacks it still."""
    async with world(tmp_path) as here:
        sent, zuid, wanted = await approved(here, "noord", 1), here["zuid"], Wanted()
        runs = taking_part(zuid, turns=Turns(), notices=zuid.notices, wanted=wanted, judge=SimpleNamespace())
        ends: list[Exception | None] = [None, RemoteProtocolError(Fault.DISCONNECTED, "", party="noord"), None]

        async def compute(*_: object) -> bytes:
            wanted.note(sent.digest, {"midden"})
            end = ends.pop(0)
            if end is not None:
                raise end
            return b"{}"

        def nothing(*_: object) -> None: ...

        setattr(runs, "_compute", compute)  # noqa: B010 - what a test does to it
        setattr(runs._judge, "repeated", nothing)  # noqa: B010
        setattr(runs._judge, "came_to_nothing", nothing)  # noqa: B010
        channel = SimpleNamespace(stats=SimpleNamespace(rounds=0, bytes_sent=0), on_round=None)
        proposal = SimpleNamespace(request=sent.digest, coordinator="noord")
        session: Any = SimpleNamespace(proposal=proposal, session=bytes(16), channel=channel)
        for lacking in (False, True, False):
            wanted.note(sent.digest, {"west"})
            try:
                await runs.run(cast(AgreedSession, session))
            except RemoteProtocolError:
                assert lacking
            assert (sent.digest in wanted) is lacking
            assert zuid.state(sent) is State.DONE
        assert wanted.take(sent.digest) == set()
