"""What must hold when all is over: each function says what does not, in sentences; nothing when all is well."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

import attrs
from click.testing import CliRunner

from nskd import keyring
from nskd.analysis.populations import Populations
from nskd.control.cli import main as nskctl
from nskd.credentials import load_keys
from tests.chaos.workload import Item
from tests.system.oracle import Question, check, members, near_earlier
from tests.system.workshop import THRESHOLD, Daemon, StockBook, Workshop

RESIDENT_MAX_KIB: Final = 2 << 20  # of one daemon, whatever it went through: half as much again as docs/benchmarks.md
_RIGHT_ENDS: Final = ("done", "refused")
_OTHER_ENDS: Final = ("failed", "expired")  # nobody cheats here and no approval is that old


@attrs.frozen
class End:
    """How a request stands at one centre, as its ledger says."""

    state: str
    reason: str
    retryable: bool
    result: bytes | None


Ends = Mapping[str, Mapping[str, End]]  # by centre, by request


def ends(daemons: Sequence[Daemon]) -> dict[str, dict[str, End]]:
    """What the ledgers say."""
    query = (
        "SELECT hex(request.digest), state, retryable, result.digest, fault, detail, (SELECT 'refused by ' ||"
        " group_concat(centre) FROM approval WHERE request = request.digest AND verdict = 'refuse')"
        " FROM request LEFT JOIN result ON result.request = request.digest"
    )
    return {
        daemon.name: {
            digest.lower(): End(state, ": ".join(filter(None, why)), bool(retryable), result)
            for digest, state, retryable, result, *why in daemon.rows("ledger.sqlite", query)[0]
        }
        for daemon in daemons
    }


def nothing_lost(items: Collection[Item], found: Ends) -> Iterator[str]:
    """Every request is done at every centre, or refused by a steward who was to refuse it."""
    asked = Counter(digest for by_digest in found.values() for digest in by_digest)
    for item in items:
        if item.turned_away is None and item.digest is None:
            yield f"{item.title} was neither taken nor turned away"
        if item.digest is None:
            continue
        asked.pop(item.digest, None)
        for name, by_digest in found.items():
            end = by_digest.get(item.digest)
            if end is None:
                # Who was away until all that knew of it had refused it is not told any more: there is nothing to do.
                if {known[item.digest].state for known in found.values() if item.digest in known} != {"refused"}:
                    yield f"{item.title} is not known at {name}"
            elif end.state in _OTHER_ENDS:
                yield f"{item.title} has {end.state} at {name}: {end.reason or 'nobody says why'}"
            elif end.state not in _RIGHT_ENDS:
                yield f"{item.title} is still {end.state} at {name}"
            elif (end.state == "done") != (end.result is not None):
                yield f"{item.title} is {end.state} at {name}, with{'' if end.result else 'out'} a result"
            elif end.state == "refused" and (item.refused_by is None or not end.reason):
                yield f"{item.title} is refused at {name}, and no steward was to refuse it: {end.reason or 'no reason'}"
    yield from (f"a request nobody asked for is on record: {digest}" for digest in asked)


def released_once(
    items: Collection[Item], found: Ends, audits: Mapping[str, Sequence[Mapping[str, Any]]]
) -> Iterator[str]:
    """Whatever was released of a request is the same everywhere, and ever was: audit logs tell of every release."""
    titles = {item.digest: item.title for item in items}
    told: dict[str, set[str]] = {}
    for name, entries in audits.items():
        for entry in entries:
            if entry["event"] == "run.released":
                told.setdefault(entry["request"], set()).add(entry["result"])
        for digest, end in found[name].items():
            if end.result is not None and end.result.hex() not in told.get(digest, ()):
                yield f"{name} has a result of {titles.get(digest, digest)} of which its audit log knows nothing"
    for digest, results in told.items():
        if len(results) > 1:
            yield f"{titles.get(digest, digest)} was released in {len(results)} versions"


def released_rightly(
    workshop: Workshop, items: Collection[Item], releases: Mapping[str, Mapping[str, Any]]
) -> Iterator[str]:
    """Each release is what plain counting over all extracts gives, under the charter's rules."""
    files = tuple(daemon.directory / "visits.csv" for daemon in workshop.daemons)
    by_digest = {item.digest: item for item in items if item.digest is not None}
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:  # a second of counting for each
        checked: list[tuple[Item, Future[str | None]]] = []
        for digest, release in releases.items():
            item = by_digest[digest]
            lists = {name: earlier for name, earlier in _compared(workshop, digest) if earlier is not None}
            if len(set(lists.values())) != 1:
                yield f"{item.title} was compared with other earlier tables at some centres than at others"
                continue
            earlier = [by_digest[other].question for other in next(iter(lists.values()))]
            checked.append((item, pool.submit(_wrong, item.question, files, release["cells"], earlier)))
        for item, wrong in checked:
            if (what := wrong.result()) is not None:
                yield f"{item.title} was released wrongly: {what}"


def _wrong(
    question: Question, files: Sequence[Path], cells: Sequence[Mapping[str, Any]], earlier: Sequence[Question]
) -> str | None:
    mine, before = members(files, question), [(each, members(files, each)) for each in earlier]
    try:
        check(question, files, cells, near_earlier(question, mine, before, THRESHOLD))
    except AssertionError as error:
        return str(error)[:500]
    return None


def _compared(workshop: Workshop, digest: str) -> Iterator[tuple[str, tuple[str, ...] | None]]:
    """With which earlier tables a request was compared, by centre."""
    for daemon in workshop.daemons:
        ring = keyring.load(daemon.state, load_keys(daemon.credentials).storage)
        assert ring is not None
        record = Populations(daemon.state / "populations", ring.digests, ring.seals).find(bytes.fromhex(digest))
        yield daemon.name, None if record is None else tuple(each.hex() for each in record.earlier)


def audits_verify(workshop: Workshop) -> Iterator[str]:
    """Each log holds together, and agrees with what the others keep of it."""
    for daemon in workshop.daemons:
        heads = [word for other in workshop.others(daemon) for word in ("--heads", other.state / "audit.ndjson")]
        words = ["audit", "verify", daemon.state / "audit.ndjson", "--charter", workshop.charter, *heads]
        done = CliRunner().invoke(nskctl, [str(word) for word in words])
        if done.exit_code != 0:
            yield f"the audit log of {daemon.name} does not verify: {done.stderr.strip()}"


def audit_entries(daemon: Daemon) -> list[dict[str, Any]]:
    """What its audit log says."""
    return [json.loads(line)["entry"] for line in (daemon.state / "audit.ndjson").read_text().splitlines()]


def used_once(daemons: Sequence[Daemon], book: StockBook) -> Iterator[str]:
    """No item of stock was ever handed out twice."""
    try:
        if book.check(daemons) == 0:
            yield "no stock was used at all"
    except AssertionError as error:
        yield f"stock: {str(error)[:500]}"


def in_good_order(daemons: Sequence[Daemon], peaks_kib: Mapping[str, int]) -> Iterator[str]:
    """No mistakes of our own in any log, and memory within bounds."""
    for daemon in daemons:
        if "Traceback" in daemon.words():
            yield f"{daemon.name} printed a traceback"
        for entry in daemon.entries():
            if "exception" in entry or entry.get("level") == "critical":
                yield f"{daemon.name} logged: {json.dumps(entry)[:500]}"
        if peaks_kib[daemon.name] > RESIDENT_MAX_KIB:
            yield f"{daemon.name} took {peaks_kib[daemon.name] / 1024:.0f} MiB of memory"
