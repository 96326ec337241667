"""Files of rows: what a hospital gives the daemon, and who objects.  Loaded into an engine, checked, or refused."""

from __future__ import annotations

import atexit
import io
import shutil
import tempfile
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path

from nskd.data.load import load
from nskd.data.optout import read_opt_outs
from nskd.data.origin import Origin
from nskd.errors import OperatorError
from nskd.packs.pack import Pack, load_pack
from tests.nskd.data.extracts import visit, write_csv
from tests.nskd.data.resources import encounter, patients, response, write
from tests.nskd.data.test_optout import NOW, consent, policy

from .target import Check, Target


@cache
def directory() -> Path:
    """A place for the one file that a target reads; gone with the process."""
    found = Path(tempfile.mkdtemp(prefix="nskd-fuzz-"))
    atexit.register(shutil.rmtree, found, ignore_errors=True)
    return found


@cache
def pack() -> Pack:
    return load_pack("nsk")


def file_of(name: str, read: Callable[[Path], object]) -> Callable[[], Check]:
    """A target that writes its input to a file, and holds when nothing but an error for an operator leaves."""

    def check(data: bytes) -> None:
        path = directory() / name
        path.write_bytes(data)
        try:
            read(path)
        except OperatorError as error:
            assert str(error).isprintable() or "\n" in str(error)

    return lambda: check


def _extract(path: Path) -> None:
    with load(Origin(path=path), pack()) as data:
        rows = data.fetch("SELECT * FROM visits")
        assert len(rows) == data.rows
        assert data.leave_out(["p1"]).people in (0, 1)


def _rows() -> list[dict[str, str]]:
    return [visit(number, person_link=f"p{number // 2}", age_months=str(30 * number)) for number in range(1, 5)]


def _csv_seeds() -> Iterable[bytes]:
    for delimiter in ",;":
        path = directory() / "seed.csv"
        yield write_csv(path, _rows(), delimiter=delimiter).read_bytes()
    yield b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n")


def _parquet_seeds() -> Iterable[bytes]:
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.Table.from_pylist(_rows())
    for options in ({"compression": "none"}, {"compression": "snappy", "use_dictionary": False}):
        out = io.BytesIO()
        pyarrow.parquet.write_table(table, out, **options)
        yield out.getvalue()


def _fhir_seeds() -> Iterable[bytes]:
    mapping = pack().fhir
    assert mapping is not None
    rows = _rows()[:2]
    answered = [each for each in (response(row, mapping) for row in rows) if each is not None]
    yield write(directory() / "seed.ndjson", [*[encounter(row, mapping) for row in rows], *answered]).read_bytes()
    yield write(directory() / "seed.ndjson", [*patients(rows), encounter(rows[0], mapping)]).read_bytes()


def _opt_out(path: Path) -> None:
    found = read_opt_outs(path, now=NOW)
    assert len(found.people) <= found.entries - found.void


def _opt_out_seeds() -> Iterable[bytes]:
    yield b'person_link\np1\n"p2"\r\np3\n\n'
    period = {"type": "permit", "period": {"start": "2025", "end": "2026-04-01T10:00:00+02:00"}}
    consents = (
        consent(), consent(policyRule=policy("OPTOUT"), provision=None), consent(status="inactive"),
        consent(provision=period), consent(provision={"type": "permit", "provision": [{"type": "deny"}]}),
    )  # fmt: skip
    yield write(directory() / "seed.optout", consents).read_bytes()
    yield from (write(directory() / "seed.optout", [each]).read_bytes() for each in consents)


TARGETS = (
    Target("csv", file_of("visits.csv", _extract), _csv_seeds, bytes_max=4096, seconds_max=20, mutations=3),
    Target(
        "parquet", file_of("visits.parquet", _extract), _parquet_seeds, bytes_max=1 << 16, seconds_max=20, mutations=3
    ),
    Target("fhir", file_of("visits.ndjson", _extract), _fhir_seeds, bytes_max=1 << 14, seconds_max=20, mutations=6),
    Target("opt-out", file_of("opt-out", _opt_out), _opt_out_seeds),
)
