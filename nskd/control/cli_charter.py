"""``nskctl charter``: read, amend, sign and verify the charter.  Needs no daemon, except to show the one in force."""

from __future__ import annotations

from pathlib import Path

import click

from nskd.control import answers, charter_view, page
from nskd.control.app import EXIT_NO, App
from nskd.control.arguments import language_option
from nskd.errors import OperatorError
from nskd.governance import limits
from nskd.governance.amendment import amended_text
from nskd.governance.charter import Charter, load_charter, parse_charter
from nskd.governance.charter_diff import changes
from nskd.governance.charter_signatures import (
    CharterSignature,
    CharterSignatures,
    load_signatures,
    read_signatures,
    sign_charter,
    signatures_path,
)
from nskd.governance.policy import PolicyError, Rule
from nskd.governance.succession import review_signatures, review_succession, signer_of

_file = click.Path(dir_okay=False, path_type=Path)
_previous = click.option(
    "--previous", type=_file, metavar="FILE", help="The version before, whose centres have to sign as well."
)


@click.group("charter")
def charter_group() -> None:
    """The agreement of the workshop: who takes part, under which keys, what for, under which rules."""


@charter_group.command("show")
@click.argument("file", type=_file, required=False)
@click.option("--raw", is_flag=True, help="Print the text itself, byte for byte.")
@click.pass_obj
def charter_show(app: App, file: Path | None, raw: bool) -> None:
    """Show the charter in FILE, or the one in force at this centre's daemon, and who has signed it."""
    found, signatures = _in_force(app) if file is None else _with_signatures(file)
    if raw:
        click.echo(found.raw, nl=False)
    elif app.json:
        app.dump(charter_view.summary(found, signatures))
    else:
        charter_view.show(app.console(), found, signatures)


@charter_group.command("diff")
@click.argument("files", type=_file, nargs=-1, required=True, metavar="[BEFORE] AFTER")
@language_option
@click.pass_obj
def charter_diff(app: App, files: tuple[Path, ...], language: page.Language | None) -> None:
    """Say in plain words what AFTER changes in BEFORE, or in the charter in force at this centre's daemon."""
    if len(files) > 2:
        raise click.UsageError("Give one file or two.")
    before = load_charter(files[0]) if len(files) == 2 else _in_force(app)[0]
    found = changes(before, load_charter(files[-1]))
    if app.json:
        app.dump({"changes": [{"nl": text.nl, "en": text.en} for text in found]})
    else:
        charter_view.show_changes(app.console(), found, language)


@charter_group.command("amend")
@click.argument("file", type=_file)
@click.option("--out", type=_file, required=True, metavar="NEW", help="Where to write the next version.")
@click.pass_obj
def charter_amend(app: App, file: Path, out: Path) -> None:
    """Begin the next version of the charter in FILE: the same text in NEW, to be edited and then signed."""
    raw = amended_text(load_charter(file))
    try:
        with out.open("xb") as target:
            target.write(raw)
    except FileExistsError:
        raise OperatorError("it exists already", where=str(out), remedy="Choose a new name.") from None
    except OSError as exc:
        raise OperatorError(f"cannot be written: {exc.strerror}", where=str(out), remedy="Choose another.") from None
    fresh = parse_charter(raw, where=str(out))
    if app.json:
        app.dump({"file": str(out), "version": fresh.version, "digest": fresh.digest.hex()})
    else:
        click.echo(f"{out}: version {fresh.version}. Edit it, agree on its bytes with all centres, then sign it.")


@charter_group.command("sign")
@click.argument("file", type=_file)
@click.option(
    "--credentials",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="The directory of this centre's keys, where no daemon runs that has them.",
)
@_previous
@click.option("--check", is_flag=True, help="Only say whether it could be done.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@language_option
@click.pass_obj
def charter_sign(
    app: App,
    file: Path,
    credentials: Path | None,
    previous: Path | None,
    check: bool,
    yes: bool,
    language: page.Language | None,
) -> None:
    """Show the charter in FILE, and what it changes, then sign it for this centre: a line in FILE.signatures.

    The daemon signs an amendment of the charter in force; a first charter, or one to join by, takes --credentials.
    Send that line, or the file, to who collects them.
    """
    agreed = load_charter(file)
    if credentials is None and previous is not None:
        raise click.UsageError("--previous goes with --credentials; the daemon knows what is in force.")
    before = _in_force(app)[0] if credentials is None else _before(agreed, previous)
    if not (yes or check):
        if app.json:
            raise click.UsageError("Nobody is here to be asked; say --yes to sign unseen.")
        if before is None:
            charter_view.show(app.console(), agreed, CharterSignatures(agreed.digest))
        else:
            charter_view.show_changes(app.console(), changes(before, agreed), language)
        click.confirm(f"Sign version {agreed.version} of this charter for this centre?", abort=True)
    added = _by_daemon(app, agreed, check) if credentials is None else _by_keys(credentials, agreed, before)
    if check:
        app.dump({"version": agreed.version, "checked": True}) if app.json else click.echo(
            "in order; nothing was signed"
        )
        return
    merged = load_signatures(agreed, file)
    if merged.digest != agreed.digest:  # under what the file said before somebody edited it
        merged = CharterSignatures(agreed.digest)
    merged = merged.adding(added)
    _write(file, merged)
    charter_view.report(app, agreed, merged, before)


@charter_group.command("collect")
@click.argument("file", type=_file)
@click.argument("others", type=_file, nargs=-1, required=True, metavar="SIGNATURES…")
@_previous
@click.pass_obj
def charter_collect(app: App, file: Path, others: tuple[Path, ...], previous: Path | None) -> None:
    """Put the signatures that centres have sent into FILE.signatures, and say whose are missing."""
    agreed = load_charter(file)
    before = None if previous is None else _before(agreed, previous)
    merged = load_signatures(agreed, file)
    for path in others:
        found = read_signatures(_read(path), where=str(path))
        wrong = [each for each in review_signatures(agreed, found, before) if each.rule is not Rule.CHARTER_UNSIGNED]
        if wrong:
            raise OperatorError(f"{wrong[0].what} ({wrong[0].rule})", where=str(path), remedy=wrong[0].remedy)
        merged = merged.adding(found.signatures)
    _write(file, merged)
    charter_view.report(app, agreed, merged, before)


@charter_group.command("verify")
@click.argument("file", type=_file)
@_previous
@click.pass_obj
def charter_verify(app: App, file: Path, previous: Path | None) -> None:
    """Say whether all who have to have signed the charter in FILE; with --previous, also whether it follows that."""
    agreed, signatures = _with_signatures(file)
    before = None if previous is None else _before(agreed, previous)
    broken = None if before is None else review_succession(agreed, before)
    if broken is not None:
        raise PolicyError((broken,))
    if not charter_view.report(app, agreed, signatures, before):
        click.get_current_context().exit(EXIT_NO)


def _by_keys(credentials: Path, agreed: Charter, before: Charter | None) -> tuple[CharterSignature, ...]:
    from nskd.credentials import load_keys

    keys = load_keys(credentials).signing
    signer = signer_of(keys.public, agreed, before)
    if signer is None:
        raise OperatorError(
            f"neither this version nor the one before lists the key {keys.public.hex()[:12]}…",
            where=str(credentials),
            remedy="Give the directory of the keys whose public halves the charter has.",
        )
    return (sign_charter(agreed, signer, keys.signer()),)


def _by_daemon(app: App, agreed: Charter, check: bool) -> tuple[CharterSignature, ...]:
    answer = app.read(app.call("charter.sign", text=agreed.raw.decode(), check=check), answers.CharterAnswer)
    return read_signatures(answer.signatures.encode(), where=str(app.socket)).signatures


def _before(agreed: Charter, previous: Path | None) -> Charter | None:
    """The version before, which has to be the one that the charter names."""
    if previous is None:
        if agreed.previous is None:
            return None
        raise click.UsageError(f"Version {agreed.version} amends another: give that with --previous.")
    before = load_charter(previous)
    if agreed.previous != before.digest:
        raise OperatorError(
            f"it is not the version that version {agreed.version} amends",
            where=str(previous),
            remedy="Give the one in force; nskctl charter show --raw prints it.",
        )
    return before


def _in_force(app: App) -> tuple[Charter, CharterSignatures]:
    answer = app.read(app.call("charter"), answers.CharterAnswer)
    found = parse_charter(answer.text.encode(), where=str(app.socket))
    return found, read_signatures(answer.signatures.encode(), where=str(app.socket))


def _with_signatures(file: Path) -> tuple[Charter, CharterSignatures]:
    found = load_charter(file)
    return found, load_signatures(found, file)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(limits.CHARTER_SIGNATURES_BYTES_MAX + 1)
    except OSError as exc:
        raise OperatorError(f"cannot be read: {exc.strerror}", where=str(path), remedy="Check its name.") from None


def _write(file: Path, signatures: CharterSignatures) -> None:
    from nskd.durable import write_durably

    path = signatures_path(file)
    try:
        write_durably(path, signatures.text().encode(), mode=0o644)
    except OSError as exc:
        raise OperatorError(
            f"cannot be written: {exc.strerror}", where=str(path), remedy="Check the directory."
        ) from None
