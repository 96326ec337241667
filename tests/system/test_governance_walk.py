"""A workshop from its founding on, through everything its people can decide: five centres, real daemons, every refusal.

Each step does what the people of these centres would do, with their own keys, and then every refusal that came to be
known anywhere is held against ``EXPECTED``: one that is missing fails, and so does one too many.  Months pass by
setting the clock of all machines; nothing waits for them.
"""

from __future__ import annotations

import datetime
import json
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
import trio

from nskd.control import steward_key
from nskd.control.client import DaemonError
from nskd.credentials import generate, load_keys
from nskd.governance.charter import load_charter
from nskd.governance.charter_signatures import CharterSignatures, Signer, sign_charter, signatures_path
from nskd.governance.ledger import ERASED
from nskd.governance.statement import NAMESPACE, Statement, Verdict, read_statement
from nskd.governance.steward import Steward
from nskd.sandbox.drive import decide
from tests.ports import free_ports
from tests.system.account import Account
from tests.system.workshop import (
    THRESHOLD,
    Daemon,
    Plan,
    Workshop,
    charter_entry,
    charter_text,
    lay_out,
    request_text,
    shown,
    write_config,
)

DAY_S = 86_400
BEGINNING = datetime.datetime(2030, 3, 11, 12, tzinfo=datetime.UTC)  # no month or day ends while the walk goes on
EXIT_CONFIGURATION = 78
PLANS = (
    Plan("noord", stewards=2, needed=2),  # two persons decide
    Plan("midden"),  # some requests are approved by a standing policy
    Plan("zuid", roles=("compute", "contribute")),  # may not ask
    Plan("west", roles=("compute", "request")),  # a university: asks and computes, and brings no data
)
NEWCOMER = Plan("oost")
NAMES = tuple(plan.name for plan in (*PLANS, NEWCOMER))

EXPECTED: dict[str, dict[str, tuple[str, ...]]] = {
    "found": {
        "noord": ("charter-unsigned", "charter-signature-forged"),
        "midden": ("steward-signs-twice",),
    },
    "request": {
        "noord": (
            "purpose-not-in-charter",
            "variable-not-for-purpose",
            "permit-unknown",
            "permit-not-yet-valid",
            "permit-holder",
            "permit-purpose",
            "permit-category",
            "permit-period",
        ),
        "midden": ("policy-requester", "policy-variable", "policy-margins", "policy-where", "policy-month-is-full"),
        "zuid": ("requester-without-role",),
    },
    "refuse": {
        "midden": ("policy-requester", "policy-month-is-full"),
        "zuid": ("permit-unknown",),
        "west": ("permit-unknown",),
    },
    "approve": {
        "noord": ("steward-not-in-charter", "steward-signature"),
        "midden": ("approval-validity", "approval-from-the-future", "approval-under-another-charter"),
        "zuid": ("approval-malformed", "approval-forged", "approval-of-another-request"),
        "west": ("approval-without-role",),
    },
    "revoke": {"noord": ("approval-withdrawn",)},
    "run": {"zuid": ("run-has-begun",)},
    "opt out": {"midden": ("policy-month-is-full",)},
    "two months later": {
        "midden": ("policy-requester", "policy-variable", "policy-purpose"),
        "zuid": ("approval-expired",),
    },
    "expire": {
        "noord": ("approval-expired", "purpose-expired", "permit-expired"),
        "midden": ("approval-expired", "purpose-expired", "permit-expired", "permit-required", "policy-expired"),
        "zuid": ("approval-expired", "purpose-expired", "permit-expired"),
        "west": ("approval-expired", "purpose-expired", "permit-expired"),
    },
    "pause": {"noord": ("centre-paused",), "midden": ("permit-required",), "zuid": ("centre-paused",)},
    "amend": {
        "noord": ("charter-amended", "charter-signer-unknown", "charter-unsigned"),
        "midden": ("charter-amended", "charter-does-not-follow"),
        "zuid": ("charter-amended",),
        "west": ("charter-amended",),
    },
    "join": {"midden": ("policy-expired", "policy-purpose")},
    "leave": {
        "noord": ("centre-left", "charter-older-than-in-force"),
        "midden": ("centre-left",),
        "zuid": ("centre-left",),
        "oost": ("centre-left",),
        "west": ("centre-left",),
    },
}


@pytest.fixture
def workshop(tmp_path: Path) -> Iterator[Workshop]:
    workshop = lay_out(tmp_path, PLANS)
    try:
        yield workshop
    finally:
        workshop.reap()


@pytest.mark.timeout(240)
@pytest.mark.long  # each rule by itself, among five centres in one process: tests/nskd/daemon
async def test_the_walk(workshop: Workshop) -> None:
    start_s = time.monotonic()
    async with trio.open_nursery() as nursery:
        walk = Walk(workshop, Account(workshop, nursery))
        await walk.found()
        await walk.request()
        await walk.refuse()
        await walk.approve()
        await walk.revoke()
        await walk.run()
        await walk.opt_out()
        await walk.two_months_later()
        await walk.expire()
        await walk.pause()
        await walk.amend()
        await walk.join()
        await walk.leave()
        nursery.cancel_scope.cancel()
    print(f"\n{time.monotonic() - start_s:.0f} s")
    differing = walk.account.compare(EXPECTED)
    assert not differing, "\n".join(differing)
    for daemon in workshop.daemons:
        assert "Traceback" not in daemon.words()


@attrs.define(eq=False)
class Walk:
    """The steps, in order; each leaves behind what the next begins with."""

    workshop: Workshop
    account: Account
    words: dict[tuple[str, str], int] = attrs.field(factory=dict)  # said by a centre's stewards on a request
    screening: str = ""  # the request that comes to a result
    undecided: str = ""  # the one that is never decided on
    under_permit: str = ""
    research: str = ""
    lapsing: str = ""
    waiting: str = ""  # the last under a version of the charter
    version: int = 1

    def __getattr__(self, name: str) -> Daemon:
        if name in NAMES:
            return self.workshop[name]
        raise AttributeError(name)

    # --- found ------------------------------------------------------------------------------------------------

    async def found(self) -> None:
        """The charter and each centre's papers; one that are not in order keep their centre from starting."""
        async with self.account.step("found"):
            self.set_clock(days=0)
            ends = {"research": self.day(75)}
            self.charter.write_text(charter_text(self.workshop.pack, self.workshop.daemons, ends=ends))
            signatures_path(self.charter).unlink()
            policy = self.write_policy(self.midden)
            for daemon in self.workshop.daemons:
                self.write_permits(daemon)
                self.configure(daemon)
                await self.account.nskctl(daemon, "config", "check", daemon.config)
            for daemon in (self.noord, self.midden, self.zuid):
                await self.sign_with_keys(daemon)
            await self.does_not_start(self.noord)
            await self.sign_with_keys(self.west)
            await self.forge(self.charter)
            self.account.tell(await self.account.nskctl(self.noord, "charter", "verify", self.charter))
            key = self.midden.steward_key
            await self.account.nskctl(self.midden, "steward", "sign-policy", "--key", key, policy)
            await self.account.nskctl(self.midden, "steward", "sign-policy", "--add", "--key", key, policy)
            self.workshop.start()
            await self.does_not_start(self.midden, started=True)
            await self.account.nskctl(self.midden, "steward", "sign-policy", "--key", key, policy)
            self.midden.start()
            await self.connect()

    @property
    def charter(self) -> Path:
        """The version that people work with now."""
        return self.workshop.charter if self.version == 1 else self.workshop.directory / f"charter-{self.version}.toml"

    async def sign_with_keys(self, daemon: Daemon, *options: object) -> None:
        words = ("charter", "sign", "--yes", "--credentials", daemon.credentials, *options, self.charter)
        await self.account.nskctl(daemon, *words)

    async def does_not_start(self, daemon: Daemon, *, started: bool = False) -> None:
        if not started:
            daemon.start()
        assert await daemon.ended() == EXIT_CONFIGURATION
        self.account.tell(f"{daemon.name} does not start: {self.account.not_started(daemon)}")

    async def forge(self, charter: Path) -> None:
        """noord is sent a line that no centre has made."""
        *lines, last = signatures_path(charter).read_text().splitlines()
        forged = charter.with_name("forged.signatures")
        forged.write_text("\n".join([*lines, f"{last[:-2]}00"]) + "\n")
        self.account.tell(await self.account.nskctl(self.noord, "charter", "collect", charter, forged, code=1))

    def write_policy(self, daemon: Daemon) -> Path:
        path = daemon.directory / "standing-policy.toml"
        path.write_text(
            f'title = "Screening rates"\nworkshop = "test"\ncentre = "{daemon.name}"\nkinds = ["table"]\n'
            f'purposes = ["improvement"]\nrequesters = ["noord"]\nvariables = ["sex"]\nthreshold_min = {THRESHOLD}\n'
            f"per_month = 1\napproval_days = 30\nvalid_until = {self.day(75)}\n"
        )
        return path

    def write_permits(self, daemon: Daemon) -> None:
        """What an authority issued; zuid and west have not been sent one of them."""
        good = {
            "format": "nskd permit 1",
            "kind": "health-data-permit",
            "issuer": "An authority under test",
            "holder": "noord",
            "purposes": ["improvement"],
            "categories": ["sex", "age_months"],
            "period": {"first": "2024-01", "last": "2027-12"},
            "valid_from": str(self.day(-10)),
            "valid_until": str(self.day(75)),
            "retention_end": str(self.day(80)),
        }
        permits: dict[str, dict[str, Any]] = {
            "P-GOOD": {},
            "P-KEPT-LONGER": {"retention_end": str(self.day(300))},
            "P-EARLY": {"valid_from": str(self.day(30))},
            "P-OF-WEST": {"holder": "west"},
            "P-RESEARCH": {"purposes": ["research"]},
            "P-OF-AGES": {"categories": ["age_months"]},
            "P-OF-2024": {"period": {"first": "2024-01", "last": "2024-12"}},
        }
        if daemon.name not in ("zuid", "west"):
            permits["P-SENT-TO-SOME"] = {"holder": "midden"}
        directory = daemon.directory / "permits"
        directory.mkdir()
        for name, changes in permits.items():
            (directory / f"{name}.json").write_text(json.dumps({**good, "id": name, **changes}))

    def configure(self, daemon: Daemon, *, require_permit: bool = False, charter: Path | None = None) -> None:
        governance = f'[governance]\npermits = ["{daemon.directory / "permits"}"]\n'
        governance += f"require_permit = {str(require_permit).lower()}\n"
        if daemon.name == "midden":
            governance += f'standing_policy = "{daemon.directory / "standing-policy.toml"}"\n'
        data = ""
        if daemon.name == "zuid":
            data = f'opt_out = "{self.objecting}"\n'
            if not self.objecting.exists():
                self.objecting.write_text("person_link\n")
        write_config(daemon, charter=charter or self.charter, data=data, more=governance)

    @property
    def objecting(self) -> Path:
        return self.zuid.directory / "opt-out.csv"

    # --- request ----------------------------------------------------------------------------------------------

    async def request(self) -> None:
        """What the requesting centre's own check refuses never leaves it; what it lets pass is told to all."""
        async with self.account.step("request"):
            by_age = request_text("For a quarter", rows="age_band", where="sex = 'V'")
            for daemon, text in (
                (self.noord, request_text("Curiosity", purpose="curiosity")),
                (self.noord, request_text("Outcomes", rows="followup_outcome")),
                (self.zuid, request_text("Zuid asks")),
                *(
                    (self.noord, request_text(f"Under {permit}", permit=permit))
                    for permit in ("P-NOBODY-ISSUED", "P-EARLY", "P-OF-WEST", "P-RESEARCH", "P-OF-AGES", "P-OF-2024")
                ),
            ):
                await self.refused_to_submit(daemon, text)
            self.screening = await self.submit(self.noord, request_text("Screening", permit="P-GOOD"))
            await self.said(self.midden, self.screening)  # by its standing policy
            self.undecided = await self.submit(self.west, by_age + "margins = true\n")
            await self.approve_for_a_quarter(self.midden, self.undecided)
            page = await self.account.nskctl(self.zuid, "request", "show", "--language", "nl", self.screening)
            assert "Wat dit ziekenhuis verlaat" in page or "verlaat" in page
            self.account.tell("noord asks for children by sex under a permit, west for girls by age band")
            self.account.tell("midden's standing policy approves the first, and leaves the second to people")

    async def refused_to_submit(self, daemon: Daemon, text: str) -> None:
        sentence = await self.account.refused(daemon, partial(daemon.call, "request.submit", text=text))
        self.account.tell(f"{daemon.name}: {sentence}")

    # --- refuse -----------------------------------------------------------------------------------------------

    async def refuse(self) -> None:
        """A centre that has not been sent a permit cannot approve under it; its refusal ends the request everywhere."""
        async with self.account.step("refuse"):
            digest = await self.submit(self.midden, request_text("Sent to some", permit="P-SENT-TO-SOME"))
            await self.refused_to_decide(self.zuid, digest, Verdict.APPROVE)
            await self.decide(self.zuid, digest, Verdict.REFUSE)
            await self.account.everywhere(
                "all hear of the refusal", kind="request.state", request=digest, state="refused"
            )
            sentence = await self.fails(self.noord, digest, Verdict.APPROVE)
            assert "nothing is left to decide" in sentence
            self.account.tell(f"after zuid's word, at noord: {sentence}")

    # --- approve ----------------------------------------------------------------------------------------------

    async def approve(self) -> None:
        """Two persons where the charter asks for two; nothing counts but a listed steward's word on this request."""
        async with self.account.step("approve"):
            digest, (first, second) = self.screening, self.noord.steward_keys
            stranger = self.noord.directory / "stranger"
            steward_key.generate(stranger, "Steward 1 of noord")
            await self.account.nskctl(self.noord, "request", "approve", "--yes", "--key", stranger, digest, code=1)
            said = await self.statement(self.noord, digest, first)
            await self.hand_in(self.noord, digest, said, second)  # one steward's words under the other's signature
            await self.hand_in(self.zuid, digest, "I approve, whatever it is.", self.zuid.steward_key)
            said = await self.statement(self.midden, digest, self.midden.steward_key)
            await self.hand_in(self.zuid, digest, said, self.midden.steward_key)
            said = await self.statement(self.zuid, self.undecided, self.zuid.steward_key)
            await self.hand_in(self.zuid, digest, said, self.zuid.steward_key)
            said = await self.statement(self.midden, digest, self.midden.steward_key)
            for change in (
                lambda word: attrs.evolve(word, expires_at=word.issued_at + 200 * DAY_S),
                lambda word: attrs.evolve(word, issued_at=word.issued_at + DAY_S),
                lambda word: attrs.evolve(word, charter=bytes(32)),
            ):
                await self.hand_in(self.midden, digest, altered(said, change), self.midden.steward_key)
            await self.refused_to_decide(self.west, digest, Verdict.APPROVE)
            await self.account.nskctl(self.noord, "request", "approve", "--yes", "--key", first, digest)
            await self.said(self.noord, digest)
            assert await self.approved_by(digest) == {"midden"}, "one of noord's two is not enough"
            self.account.tell("noord's first steward approves; that is not noord's approval yet")
            await self.decide(self.noord, digest, Verdict.APPROVE, second)
            assert await self.approved_by(digest) == {"noord", "midden"}
            self.account.tell("noord's second steward approves; now noord has")

    # --- revoke -----------------------------------------------------------------------------------------------

    async def revoke(self) -> None:
        """An approval is taken back; what was signed before that brings nothing back, a new word does."""
        async with self.account.step("revoke"):
            digest, (first, second) = self.screening, self.noord.steward_keys
            before = self.noord.directory / "before.txt"
            options = ("--write-statement", before, "--steward", "Steward 1 of noord")
            await self.account.nskctl(self.noord, "request", "approve", *options, digest)
            await self.openssh_signs(first, before)
            await self.account.nskctl(self.noord, "request", "revoke", "--yes", "--key", second, digest)
            await self.said(self.noord, digest)
            assert await self.approved_by(digest) == {"midden"}
            self.account.tell("noord's second steward withdraws: noord has approved no longer, at any centre")
            signature = before.with_suffix(".txt.sig")
            await self.account.nskctl(
                self.noord, "request", "approve", "--yes", "--signature", signature, digest, code=1
            )
            for key in (first, second):
                await self.decide(self.noord, digest, Verdict.APPROVE, key)
            assert await self.approved_by(digest) == {"noord", "midden"}
            self.account.tell("both approve anew")

    async def openssh_signs(self, key: Path, text: Path) -> None:
        command = ["ssh-keygen", "-Y", "sign", "-n", NAMESPACE, "-f", str(key), str(text)]
        await trio.run_process(command, capture_stdout=True, capture_stderr=True)

    # --- run --------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """The last approval begins the run; from then on none can be withdrawn, and all have the same table."""
        async with self.account.step("run"):
            digest = self.screening
            await self.decide(self.zuid, digest, Verdict.APPROVE)
            begun = partial(self.account.count, self.zuid, kind="run.begin", name="local part")
            await self.account.until(begun, "the run begins at zuid")
            with self.west.frozen():
                await self.refused_to_decide(self.zuid, digest, Verdict.WITHDRAW)
            release = await self.workshop.all_done(digest)
            assert shown(release, "sex") == self.workshop.expected("sex")
            self.account.tell(f"children by sex, the same at all: {table(release)}")

    # --- opt out ----------------------------------------------------------------------------------------------

    async def opt_out(self) -> None:
        """Twenty families at zuid object; the next table does not have them, the one released stays as it was."""
        async with self.account.step("opt out"):
            extract = self.zuid.extract
            assert extract is not None
            before = self.workshop.expected("sex")
            boys = [str(one) for one, sex in zip(extract["person_link"], extract["sex"], strict=True) if sex == "M"]
            gone = set(list(dict.fromkeys(boys))[:20])
            fresh = self.objecting.with_suffix(".new")
            fresh.write_text("person_link\n" + "".join(f"{person}\n" for person in sorted(gone)))
            fresh.replace(self.objecting)
            kept = np.array([person not in gone for person in extract["person_link"]])
            self.zuid.extract = {name: np.asarray(column)[kept] for name, column in extract.items()}
            digest = await self.submit(self.noord, request_text("The same again"))
            await self.all_approve(digest)
            release = await self.workshop.all_done(digest)
            assert shown(release, "sex") == self.workshop.expected("sex") != before
            self.account.tell(f"without 20 boys of zuid: {table(release)}")
            earlier = await self.zuid.call("result.show", request=self.screening)
            assert shown(earlier["release"], "sex") == before

    # --- expire -----------------------------------------------------------------------------------------------

    async def two_months_later(self) -> None:
        """A signed approval that lay in a drawer for two months is worth nothing."""
        async with self.account.step("two months later"):
            said = await self.statement(self.zuid, self.undecided, self.zuid.steward_key)
            self.set_clock(days=60)
            await self.hand_in(self.zuid, self.undecided, said, self.zuid.steward_key)
            self.lapsing = await self.submit(self.midden, request_text("Left lying"))
            await self.decide(self.midden, self.lapsing, Verdict.APPROVE)
            text = request_text("By age", rows="age_band", permit="P-KEPT-LONGER")
            self.under_permit = await self.submit(self.noord, text)
            await self.approve_for_a_quarter(self.midden, self.under_permit)
            self.research = await self.submit(self.west, request_text("Research", purpose="research"))
            await self.approve_for_a_quarter(self.midden, self.research)
            self.account.tell("midden approves a request for thirty days; zuid's word of two months ago has expired")

    async def expire(self) -> None:
        """A quarter on: approvals, a request, a purpose, a permit, a policy and a result come to their ends."""
        async with self.account.step("expire"):
            await self.stop()
            self.set_clock(days=91)
            self.configure(self.midden, require_permit=True)
            self.workshop.start()
            await self.connect()
            await self.account.shown(self.lapsed_everywhere, "each hears of a lapsed approval from each of the others")
            for digest in (self.undecided, self.under_permit, self.research, self.lapsing):
                self.account.about(digest)
            await self.account.shown(self.ended_everywhere, "three requests have ended, and a result is erased")
            for daemon in self.workshop.daemons:
                assert await self.state(daemon, self.lapsing) == ("submitted", None)
            assert await self.approved_by(self.lapsing) == set()
            await self.decide(self.zuid, self.lapsing, Verdict.REFUSE)
            await self.account.everywhere("zuid refuses", kind="request.state", request=self.lapsing, state="refused")
            await self.refused_to_submit(self.noord, request_text("More research", purpose="research"))
            await self.refused_to_submit(self.noord, request_text("Under it", permit="P-GOOD"))
            self.waiting = await self.submit(self.noord, request_text("After a quarter"))
            await self.refused_to_decide(self.midden, self.waiting, Verdict.APPROVE)
            self.account.tell(
                "approvals lapsed; an undecided request, one of research, one under a permit have ended everywhere"
            )
            self.account.tell(
                "the table released under the permit is erased at all; midden takes no request without a permit"
            )

    async def lapsed_everywhere(self) -> bool:
        for daemon in self.workshop.daemons:
            entries = await self.account.audit(daemon)
            tellers = {entry["peer"] for entry in entries if entry["event"] == "approval.rejected"}
            if tellers != {other.name for other in self.workshop.others(daemon)}:
                return False
        return True

    async def ended_everywhere(self) -> bool:
        wanted = {
            self.undecided: ("expired", None),
            self.under_permit: ("expired", "permit-expired"),
            self.research: ("expired", "purpose-expired"),
            self.screening: ("done", ERASED),
        }
        for daemon in self.workshop.daemons:
            for digest, state in wanted.items():
                if await self.state(daemon, digest) != state:
                    return False
        return True

    async def state(self, daemon: Daemon, digest: str) -> tuple[str, str | None]:
        detail = await daemon.call("request.show", request=digest)
        return detail["row"]["state"], detail["fault"]

    # --- pause ------------------------------------------------------------------------------------------------

    async def pause(self) -> None:
        """A centre holds everything back by itself, and takes part again when it says so."""
        async with self.account.step("pause"):
            await self.account.nskctl(self.zuid, "pause", "--reason", "the extract is being corrected")
            await self.account.everywhere("zuid pauses", kind="presence", centre="zuid", move="pause")
            await self.refused_to_decide(self.zuid, self.waiting, Verdict.APPROVE)
            run = partial(self.noord.call, "request.run", request=self.waiting)
            self.account.tell(f"noord: {await self.account.refused(self.noord, run)}")
            await self.account.nskctl(self.zuid, "resume")
            await self.account.everywhere("zuid resumes", kind="presence", centre="zuid", move="resume")
            await self.decide(self.zuid, self.waiting, Verdict.APPROVE)
            self.account.tell("zuid resumes, and approves")

    # --- amend, join ------------------------------------------------------------------------------------------

    async def amend(self) -> None:
        """The next version holds once all old and new centres have signed it; what was asked under the old one ends."""
        async with self.account.step("amend"):
            before, self.version = self.charter, 2
            await self.account.nskctl(self.noord, "charter", "amend", before, "--out", self.charter)
            (port,) = free_ports(1)
            oost = self.workshop.add(NEWCOMER, port, visits=300)
            self.workshop.daemons.remove(oost)  # until it takes part
            text = self.charter.read_text()
            ended, renewed = f"valid_until = {self.day(75)}", f"valid_until = {self.day(400)}"
            assert ended in text
            skipping = self.charter.with_name("skipping.toml")
            skipping.write_text(text.replace("version = 2", "version = 3"))
            words = await self.account.nskctl(self.midden, "charter", "sign", "--yes", skipping, code=1)
            self.account.tell(words)
            self.charter.write_text(text.replace(ended, renewed) + "\n" + charter_entry(oost))
            changes = await self.account.nskctl(self.zuid, "charter", "diff", "--language", "nl", self.charter)
            assert "oost" in changes and "research" in changes
            self.account.tell(changes)
            await self.unknown_signer(before)
            for daemon in self.workshop.daemons:
                await self.account.nskctl(daemon, "charter", "sign", "--yes", self.charter)
            await self.account.nskctl(self.noord, "charter", "verify", "--previous", before, self.charter, code=1)
            self.workshop.daemons.append(oost)
            await self.sign_with_keys(oost, "--previous", before)
            self.account.tell(
                await self.account.nskctl(self.noord, "charter", "verify", "--previous", before, self.charter)
            )
            await self.stop(but=oost)
            self.set_clock(days=91)
            self.write_permits(oost)
            for daemon in self.workshop.daemons:
                self.configure(daemon)
            self.workshop.start()
            await self.connect()
            for daemon in self.workshop.others(oost):
                assert await self.state(daemon, self.waiting) == ("expired", "charter-amended")
                detail = await daemon.call("request.show", request=self.waiting)
                self.account.noted(daemon, detail["fault"], "request")
            self.account.tell("all five have taken up version 2; the request that was open under version 1 has ended")

    async def unknown_signer(self, before: Path) -> None:
        """A line under the new version of somebody whom neither version lists."""
        keys = self.charter.with_name("stranger-keys")
        generate(keys)
        key = load_keys(keys).signing
        agreed = load_charter(self.charter)
        line = sign_charter(agreed, Signer("stranger", key.public), key.signer())
        sent = self.charter.with_name("stranger.signatures")
        sent.write_text(CharterSignatures(agreed.digest, (line,)).text())
        words = ("charter", "collect", "--previous", before, self.charter, sent)
        self.account.tell(await self.account.nskctl(self.noord, *words, code=1))

    async def join(self) -> None:
        """The newcomer decides like all others: without it nothing is approved."""
        async with self.account.step("join"):
            digest = self.waiting = await self.submit(self.noord, request_text("With oost", purpose="research"))
            await self.decide(self.oost, digest, Verdict.APPROVE)
            await self.decide(self.zuid, digest, Verdict.APPROVE)
            row = (await self.oost.call("request.show", request=digest))["row"]
            assert (row["approved"], row["needed"], row["state"]) == (2, 4, "submitted")
            self.account.tell("oost, the fifth centre, approves research under the purpose that was renewed")

    # --- leave ------------------------------------------------------------------------------------------------

    async def leave(self) -> None:
        """A centre leaves by itself, and at once; the others go on under a version without it, and never back."""
        async with self.account.step("leave"):
            old, before, self.version = self.workshop.charter, self.charter, 3
            zuid, left = self.zuid, ("refused", "centre-left")
            await self.account.nskctl(zuid, "leave", "--yes", "--reason", "its emergency department closes")
            await self.account.everywhere("zuid leaves", kind="presence", centre="zuid", move="leave")

            async def ended() -> bool:
                states = [
                    await self.state(daemon, self.account.about(self.waiting)) for daemon in self.workshop.daemons
                ]
                return all(state == left for state in states)

            await self.account.shown(ended, "the open request ends everywhere")
            await self.refused_to_submit(self.noord, request_text("Once more"))
            resume = partial(zuid.call, "resume")
            self.account.tell(f"zuid: {await self.account.refused(zuid, resume)}")
            await self.account.look()
            self.account.forget(self.waiting)
            await self.account.nskctl(self.noord, "charter", "amend", before, "--out", self.charter)
            text = self.charter.read_text()
            entry = charter_entry(zuid)
            assert entry in text
            self.charter.write_text(text.replace(entry, ""))
            for daemon in self.workshop.daemons:  # zuid too: it is of the version before
                await self.account.nskctl(daemon, "charter", "sign", "--yes", self.charter)
            self.account.tell(
                await self.account.nskctl(self.noord, "charter", "verify", "--previous", before, self.charter)
            )
            await self.stop()
            assert "entries" in await self.account.nskctl(
                zuid, "audit", "verify", zuid.state / "audit.ndjson", "--charter", before
            )
            self.workshop.daemons.remove(zuid)
            for daemon in self.workshop.daemons:
                self.configure(daemon, charter=old if daemon is self.noord else None)
            self.workshop.start()
            await self.does_not_start(self.noord, started=True)
            self.configure(self.noord)
            self.noord.start()
            await self.connect()
            status = await self.noord.call("status")
            assert (status["peers_up"], status["notes"]) == (3, [])
            self.account.tell("four go on under version 3; zuid keeps its audit log, which verifies")

    # --- what people do ---------------------------------------------------------------------------------------

    async def stop(self, *, but: Daemon | None = None) -> None:
        stopped = [daemon for daemon in self.workshop.daemons if daemon is not but]
        for daemon in stopped:
            daemon.running.terminate()
        for daemon in stopped:
            assert await daemon.ended() == 0

    async def connect(self) -> None:
        await self.account.listen(self.workshop.daemons)
        await self.workshop.connected()

    def day(self, days: int) -> datetime.date:
        return BEGINNING.date() + datetime.timedelta(days=days)

    def set_clock(self, *, days: int) -> None:
        """So many days after the beginning, on every machine at once."""
        clock = self.workshop.directory / "clock"
        fresh = clock.with_suffix(".new")
        fresh.write_text(str(int(BEGINNING.timestamp()) + days * DAY_S - int(time.time())))
        fresh.replace(clock)
        for daemon in self.workshop.daemons:
            daemon.clock = clock

    async def submit(self, daemon: Daemon, text: str) -> str:
        """Submit, and wait until all have it."""
        digest = self.account.about(await self.workshop.submit(daemon, text))
        others = self.workshop.others(daemon)

        def received() -> bool:
            return all(self.account.count(other, kind="request.received", request=digest) for other in others)

        await self.account.until(received, "all receive the request")
        return digest

    async def said(self, daemon: Daemon, digest: str) -> None:
        """Wait until all have one more word of that centre on a request."""
        self.words[daemon.name, digest] = count = self.words.get((daemon.name, digest), 0) + 1
        about = {"kind": "request.state", "request": digest, "centre": daemon.name}

        def heard() -> bool:
            return all(self.account.count(each, **about) >= count for each in self.workshop.daemons)

        await self.account.until(heard, f"all hear {daemon.name}")

    async def decide(self, daemon: Daemon, digest: str, verdict: Verdict, key: Path | None = None) -> None:
        async with daemon.client() as client:
            await decide(client, digest, verdict, key or daemon.steward_key)
        await self.said(daemon, self.account.about(digest))

    async def approve_for_a_quarter(self, daemon: Daemon, digest: str) -> None:
        options = ("--yes", "--days", 92, "--key", daemon.steward_key)
        await self.account.nskctl(daemon, "request", "approve", *options, digest)
        await self.said(daemon, digest)

    async def all_approve(self, digest: str) -> None:
        for daemon in self.workshop.daemons:
            if daemon.plan.contributes:
                for key in daemon.steward_keys[: daemon.plan.needed]:
                    await self.decide(daemon, digest, Verdict.APPROVE, key)

    async def refused_to_decide(self, daemon: Daemon, digest: str, verdict: Verdict) -> None:
        """What this centre says when its steward decides so."""

        async def call() -> None:
            async with daemon.client() as client:
                await decide(client, digest, verdict, daemon.steward_key)

        sentence = await self.account.refused(daemon, call)
        self.account.tell(f"{daemon.name}: {sentence}")

    async def fails(self, daemon: Daemon, digest: str, verdict: Verdict) -> str:
        """The same, of what is no refusal: nothing is left to decide."""
        with pytest.raises(DaemonError) as caught:
            await self.workshop.decide(daemon, digest, verdict)
        return caught.value.message

    async def statement(self, daemon: Daemon, digest: str, key: Path) -> str:
        """What the daemon writes for the holder of a key to sign, to approve."""
        steward = Steward(steward_key.public_key(key), "").line
        asked = {"request": digest, "verdict": "approve", "steward": steward}
        return str((await daemon.call("request.statement", **asked))["statement"])

    async def hand_in(self, daemon: Daemon, digest: str, statement: str, key: Path) -> None:
        """A statement and a signature that this centre has to refuse."""
        signature = steward_key.sign(key, statement.encode(), namespace=NAMESPACE)
        call = partial(daemon.call, "request.approve", request=digest, statement=statement, signature=signature)
        sentence = await self.account.refused(daemon, call)
        self.account.tell(f"{daemon.name}: {sentence}")

    async def approved_by(self, digest: str) -> set[str]:
        """The centres that have approved, once all see the same words."""
        rows: list[dict[str, Any]] = []

        async def alike() -> bool:
            views = [await daemon.call("request.show", request=digest) for daemon in self.workshop.daemons]
            rows[:] = views[0]["approvals"]
            return all(view["approvals"] == rows for view in views)

        await self.account.shown(alike, "all see the same approvals")
        given = [row["centre"] for row in rows if row["verdict"] == "approve" and not row["lapsed"] | row["withdrawn"]]
        return {name for name in given if given.count(name) >= self.workshop[name].plan.needed}


def altered(statement: str, change: Callable[[Statement], Statement]) -> str:
    return change(read_statement(statement.encode())).text().decode()


def table(release: dict[str, Any]) -> str:
    cells = shown(release, "sex").items()
    return ", ".join(f"{level} {'.' if value is None else value}" for level, value in cells)
