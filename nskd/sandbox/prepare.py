"""What is checked before any daemon starts, so that a mistake in a file is told within a second."""

from __future__ import annotations

import contextlib
import datetime
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final

import attrs

from nskd.analysis.table import TablePlan, plan_request
from nskd.daemon.workshop import purposes_of
from nskd.data.load import load_visits
from nskd.errors import OperatorError
from nskd.governance.charter import load_charter
from nskd.governance.policy import check_request
from nskd.governance.question import TableRequest
from nskd.governance.request_text import parse_request
from nskd.packs.pack import Pack, load_pack
from nskd.packs.reader import NAME
from nskd.sandbox.options import Options

REQUEST_DEFAULT: Final = """\
kind = "table"
title = "Positive NSK screens by age band"
purpose = "improvement"
rows = "age_band"
columns = "nsk_positive"
measure = "children"
"""
_DEFAULT_SHOWN: Final = "the default request"


@attrs.frozen
class Errand:
    """What a sandbox is to compute: read, and found in order against the pack."""

    pack: Pack
    pack_source: str  # as a daemon's configuration names it: a built-in name or an absolute directory
    request: str
    request_shown: str  # where it came from, for a person
    table: TableRequest
    plan: TablePlan


def prepare(options: Options) -> Errand:
    """Read pack and request and lay the table out; raises an ``OperatorError`` that names the user's own file."""
    if options.json_path is not None:
        _check_writable(options.json_path)
    built_in = NAME.fullmatch(options.pack)
    pack_source = options.pack if built_in else str(Path(options.pack).resolve())
    pack = load_pack(pack_source)
    request = REQUEST_DEFAULT if options.request is None else _read(options.request)
    shown = _DEFAULT_SHOWN if options.request is None else str(options.request)
    table = parse_request(request.encode(), where=shown)
    with _located(shown):
        plan = plan_request(pack.codebook, table)
    return Errand(pack, pack_source, request, shown, table, plan)


def check_data(path: Path, pack: Pack) -> str:
    """Validate a centre's file as its daemon will, and say in a few words what is in it."""
    with load_visits(path, pack.codebook) as dataset:
        warned = sum(dataset.warnings.counts.values())
        noticed = f", {warned:,} remarks on quality" if warned else ""
        return f"{path}: {dataset.rows:,} visits{noticed}"


def check_policy(errand: Errand, charter: Path, requester: str) -> None:
    """Put the request to the rules every centre will put it to."""
    with _located(errand.request_shown):
        check_request(
            errand.table,
            requester=requester,
            charter=load_charter(charter),
            purposes=partial(purposes_of, errand.pack.codebook),
            where_variables=errand.plan.read,
            today=datetime.datetime.now(datetime.UTC).date(),
        )


@contextlib.contextmanager
def _located(shown: str) -> Iterator[None]:
    """Name the file in an error that only knows the key."""
    try:
        yield
    except OperatorError as error:
        remedy = f"{error.remedy} Or give --request." if shown == _DEFAULT_SHOWN else error.remedy
        raise OperatorError(error.what, where=f"{shown}, {error.where}", remedy=remedy) from error


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise OperatorError(
            f"the request cannot be read: {reason}",
            where=str(path),
            remedy="Give a TOML file; see configs/request.toml.",
        ) from error


def _check_writable(path: Path) -> None:
    """Before minutes of work rather than after."""
    if path.is_dir():
        reason = "it is a directory"
    elif not path.parent.is_dir():
        reason = "its directory does not exist"
    elif not os.access(path if path.exists() else path.parent, os.W_OK):
        reason = "permission denied"
    else:
        return
    raise OperatorError(
        f"the result cannot be written: {reason}", where=str(path), remedy="Choose another --json path."
    )
