"""``nskctl audit``: read, verify and export the audit log, of this centre's daemon or from a copy of the file."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

import click
import msgspec

from nskd.control import answers, render
from nskd.control.app import App
from nskd.errors import OperatorError
from nskd.governance.audit import Chain, Entry, read_entry
from nskd.governance.audit_check import kept_heads, verify_log
from nskd.governance.audit_fhir import audit_event
from nskd.governance.audit_file import lines_of, read_log
from nskd.governance.charter import load_charter
from nskd.governance.limits import AUDIT_PAGE_ENTRIES_MAX

_LAST: Final = 50


class _Key(click.ParamType[bytes]):
    """An Ed25519 public key in hexadecimal."""

    name = "hex"

    def convert(self, value: str | bytes, param: click.Parameter | None, ctx: click.Context | None) -> bytes:
        """Read 64 digits."""
        try:
            key = value if isinstance(value, bytes) else bytes.fromhex(value)
        except ValueError:
            key = b""
        if len(key) != 32:
            self.fail("it is not 64 hexadecimal digits, as signing_key in the charter.")
        return key


_file = click.argument("file", type=click.Path(dir_okay=False, path_type=Path), required=False)


@click.group()
def audit() -> None:
    """Look into the audit log: who did what, when, for what.

    With FILE, a copy of a centre's audit.ndjson, no daemon is needed; without, this centre's daemon is asked.
    """


@audit.command("list")
@_file
@click.option("--last", type=click.IntRange(1), default=_LAST, show_default=True, help="So many entries.")
@click.pass_obj
def audit_list(app: App, file: Path | None, last: int) -> None:
    """Show the newest entries, the last below."""
    if file is not None:
        entries = list(deque(read_log(file), maxlen=last))
    else:
        after = max(0, _page(app, after=0, limit=1).entries - last)
        entries = [read_entry(line, number) for number, line in enumerate(_from_daemon(app, after), after + 1)]
    if app.json:
        app.dump([msgspec.to_builtins(entry.body) for entry in entries])
        return
    render.table(
        app.console(),
        ("entry", "time", "event", "outcome", "who", "purpose", "request", "details"),
        (_row(entry) for entry in entries),
    )


@audit.command("verify")
@_file
@click.option("--key", "keys", type=_Key(), multiple=True, help="The centre's signing_key; repeat it for former ones.")
@click.option("--charter", type=click.Path(path_type=Path), help="Take the centre's key from this charter.")
@click.option(
    "--heads",
    type=click.Path(dir_okay=False, path_type=Path),
    multiple=True,
    help="Another centre's log; what it keeps of this one must agree. Repeatable.",
)
@click.pass_obj
def audit_verify(
    app: App, file: Path | None, keys: tuple[bytes, ...], charter: Path | None, heads: tuple[Path, ...]
) -> None:
    """Check that the log holds together, and name the first bad entry.

    A log cut off between two entries holds together by itself; --heads shows that it was cut.
    """
    if file is None:
        page = _page(app, after=0, limit=1)
        centre, lines = page.centre, _from_daemon(app, 0)
        keys = keys or tuple(map(bytes.fromhex, (page.signing_key, *page.former_keys)))
    else:
        centre, lines = _centre_of(file), lines_of(file)
        keys = keys or _key_from(charter, centre)
    kept = [each for path in heads for each in kept_heads(read_log(path), centre)]
    verified = verify_log(lines, keys, kept)
    if app.json:
        found = {"centre": verified.centre, "entries": verified.entries, "hash": verified.head.hash.hex()}
        app.dump({**found, "heads": verified.confirmed, "ok": True})
        return
    agreed = f"{verified.confirmed} heads that others keep agree" if heads else "not compared; see --heads"
    rows = [
        ("centre", verified.centre),
        ("in order", f"{verified.entries:,} entries"),
        ("last hash", verified.head.hash.hex()),
        ("others", agreed),
    ]
    render.pairs(app.console(), rows)


@audit.command("export")
@_file
@click.option("--format", "form", type=click.Choice(["ndjson", "fhir"]), default="ndjson", show_default=True)
@click.option("--output", type=click.File("wb"), default="-", help="Standard output by default.")
@click.pass_obj
def audit_export(app: App, file: Path | None, form: str, output: BinaryIO) -> None:
    """Write the whole log: as it is, for `verify`, or as FHIR R4 AuditEvent (NEN 7513), one a line."""
    chain = Chain()
    for line in lines_of(file) if file is not None else _from_daemon(app, 0):
        entry = chain.take(line)
        output.write(audit_event(entry) + b"\n" if form == "fhir" else line)


@audit.command("heads")
@click.pass_obj
def audit_heads(app: App) -> None:
    """Show what this centre holds of the other centres' logs, and whether they go together."""
    app.show(
        app.call("audit.heads"),
        answers.HeadsAnswer,
        lambda console, answer: render.table(
            console,
            ("centre", "state", "entries", "hash", "detail"),
            ((row.centre, row.state, row.sequence, row.hash, row.detail) for row in answer.heads),
        ),
    )


def _page(app: App, *, after: int, limit: int) -> answers.AuditPage:
    return app.read(app.call("audit.read", after=after, limit=limit), answers.AuditPage)


def _from_daemon(app: App, after: int) -> Iterator[bytes]:
    """All lines from entry ``after`` + 1 on, page by page."""
    while page := _page(app, after=after, limit=AUDIT_PAGE_ENTRIES_MAX).lines:
        yield from (line.encode() for line in page)
        after += len(page)


def _centre_of(file: Path) -> str:
    for entry in read_log(file):
        return entry.body.centre
    raise OperatorError("it has no entry", where=str(file), remedy="Name a copy of a centre's audit.ndjson.")


def _key_from(charter: Path | None, centre: str) -> tuple[bytes, ...]:
    if charter is None:
        raise click.UsageError("Say whose log it is: --key HEX, or --charter FILE.")
    found = load_charter(charter).find(centre)
    if found is None:
        raise OperatorError(
            f"it lists no centre {centre!r}, whose log this is",
            where=str(charter),
            remedy="Name the charter that centre belonged to, or give its key with --key.",
        )
    return (found.signing_key,)


def _row(entry: Entry) -> tuple[object, ...]:
    body = entry.body
    who = ", ".join(word for word in (body.user, body.steward, body.peer) if word)
    details = [f"{name}={value}" for name, value in body.details.items()]
    if body.result is not None:
        details.append(f"result={body.result[:12]}")
    return (
        str(body.sequence),
        render.time(body.time),
        body.event.value,
        body.outcome,
        who or None,
        body.purpose,
        None if body.request is None else body.request[:12],
        " ".join(details) or None,
    )
