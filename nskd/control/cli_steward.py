"""``nskctl``: what stewards do.  Decide on a request with a key of their own, and sign a standing policy.

A decision is a text that its steward signs; the daemon writes the text and never sees the key.  In one step:
``request approve --key FILE``.  In three, with the key on another machine or in a token: ``--write-statement FILE``,
``ssh-keygen -Y sign``, ``--signature FILE.sig``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import attrs
import click
import msgspec

from nskd.control import answers, page, render, steward_key
from nskd.control.app import App
from nskd.control.arguments import language_option, request_name
from nskd.errors import OperatorError
from nskd.governance import limits, standing_policy
from nskd.governance.limits import APPROVAL_VALIDITY_DEFAULT_S, APPROVAL_VALIDITY_MAX_S, DAY_S
from nskd.governance.own_policy import SIGNATURE_SUFFIX
from nskd.governance.statement import NAMESPACE, StatementError, Verdict, read_statement
from nskd.governance.steward import Steward, parse_steward

_METHODS: Final = {
    Verdict.APPROVE: "request.approve",
    Verdict.REFUSE: "request.refuse",
    Verdict.WITHDRAW: "request.revoke",
}
_QUESTIONS: Final = {
    Verdict.APPROVE: "Approve this for your centre?",
    Verdict.REFUSE: "Refuse this for your centre, for good?",
    Verdict.WITHDRAW: "Withdraw your centre's approval of this?",
}
_file = click.Path(dir_okay=False, path_type=Path)


def _decision(command: Callable[..., None]) -> Callable[..., None]:
    for option in (
        click.option("--yes", is_flag=True, help="Do not ask for confirmation."),
        click.option("--check", is_flag=True, help="Only say whether it could be done."),
        click.option("--signature", type=_file, help="What ssh-keygen made of the written statement: FILE.sig."),
        click.option("--write-statement", type=_file, help="Write what is to be signed into this file, and stop."),
        click.option("--steward", help="Who is going to sign, as the charter names them; for --write-statement."),
        click.option("--key", type=_file, help="Your private key, or the public half of one in your agent."),
        language_option,
        request_name,
    ):
        command = option(command)
    return click.pass_obj(command)


@attrs.frozen
class _Decision:
    """What the options say; exactly one of ``key``, ``write_statement`` and ``signature`` is given."""

    name: str
    key: Path | None
    steward: str | None
    write_statement: Path | None
    signature: Path | None
    check: bool
    yes: bool
    language: page.Language | None
    validity_s: int | None = None

    def __attrs_post_init__(self) -> None:
        if sum(way is not None for way in (self.key, self.write_statement, self.signature)) != 1:
            raise click.UsageError("Give one of --key, --write-statement and --signature.")
        if self.steward is not None and self.write_statement is None:
            raise click.UsageError("--steward goes with --write-statement; otherwise the key says who signs.")


@click.command("approve")
@_decision
@click.option(
    "--days",
    type=click.IntRange(1, APPROVAL_VALIDITY_MAX_S // DAY_S),
    default=APPROVAL_VALIDITY_DEFAULT_S // DAY_S,
    show_default=True,
    help="How long the approval holds.",
)
def approve(app: App, days: int, **options: Any) -> None:
    """Show REQUEST, then approve it for this centre."""
    _decide(app, Verdict.APPROVE, _Decision(**options, validity_s=days * DAY_S))


@click.command("refuse")
@_decision
def refuse(app: App, **options: Any) -> None:
    """Show REQUEST, then refuse it for this centre, for good."""
    _decide(app, Verdict.REFUSE, _Decision(**options))


@click.command("revoke")
@_decision
def revoke(app: App, **options: Any) -> None:
    """Withdraw this centre's approval of REQUEST, until its run begins."""
    _decide(app, Verdict.WITHDRAW, _Decision(**options))


def _decide(app: App, verdict: Verdict, asked: _Decision) -> None:
    name = asked.name
    if not (asked.yes or asked.check or asked.write_statement):
        if app.json or not sys.stdin.isatty():
            raise click.UsageError(f"Nobody is here to be asked; say --yes to {verdict} unseen.")
        # What is decided on is the digest just read, not whatever the few digits typed mean by then.
        name = page.show_request(app, name, asked.language).row.request
        click.confirm(_QUESTIONS[verdict], abort=True)
    if asked.write_statement is not None:
        _write(app, asked.write_statement, _statement(app, verdict, name, asked.steward, asked.validity_s))
        return
    if asked.signature is not None:
        statement, signature = _signed_elsewhere(asked.signature)
    elif asked.key is not None:
        answer = _statement(app, verdict, name, f"ssh-ed25519 {_key_text(asked.key)}", asked.validity_s)
        statement = answer.statement
        signature = steward_key.sign(asked.key, statement.encode(), namespace=NAMESPACE)
    app.show(
        app.call(_METHODS[verdict], request=name, check=asked.check, statement=statement, signature=signature),
        answers.DecisionAnswer,
        render.decision,
    )


def _statement(
    app: App, verdict: Verdict, name: str, who: str | None, validity_s: int | None
) -> answers.StatementAnswer:
    """What is to be signed; checked, because a steward's key must not sign whatever a daemon says."""
    params: dict[str, Any] = {"request": name, "verdict": verdict.value}
    params |= {"steward": who} if who else {}
    params |= {"validity_s": validity_s} if validity_s is not None else {}
    answer = msgspec.convert(app.call("request.statement", **params), answers.StatementAnswer)
    try:
        said = read_statement(answer.statement.encode())
    except StatementError as exc:
        raise _not_asked(app, str(exc)) from None
    if said.verdict is not verdict or not said.request.hex().startswith(name.lower()):
        raise _not_asked(app, "it is about another request or says something else")
    return answer


def _not_asked(app: App, why: str) -> OperatorError:
    return OperatorError(
        f"the daemon's statement is not what was asked for: {why}",
        where=str(app.socket),
        remedy="Do not sign it; are nskctl and the daemon of the same version?",
    )


def steward_of(path: Path) -> Steward:
    """Read a steward's public key file, with its name; ``OperatorError`` for anything else."""
    try:
        return parse_steward(_text(path, limits.STEWARD_LINE_CHARS_MAX * 4).strip())
    except ValueError as exc:
        raise OperatorError(
            str(exc), where=str(path), remedy='Name a file like ssh-keygen -t ed25519 -C "A. de Vries" makes: FILE.pub'
        ) from None


def _key_text(path: Path) -> str:
    return Steward(steward_key.public_key(path), "").line.split()[1]


def _write(app: App, path: Path, answer: answers.StatementAnswer) -> None:
    try:
        path.write_text(answer.statement, encoding="utf-8")
    except OSError as exc:
        raise OperatorError(
            f"cannot be written: {exc.strerror}", where=str(path), remedy="Choose another file."
        ) from None
    command = f"ssh-keygen -Y sign -n {answer.namespace} -f KEY {path}"
    if app.json:
        app.dump({"statement": str(path), "steward": answer.steward, "sign": command})
    else:
        click.echo(answer.statement, nl=False)
        click.echo(f"For {render.plain(answer.steward.split(maxsplit=2)[2])} to sign: {command}", err=True)


def _signed_elsewhere(signature: Path) -> tuple[str, str]:
    """The statement and its signature, from the two files that ``ssh-keygen -Y sign`` leaves."""
    if signature.suffix != SIGNATURE_SUFFIX:
        raise click.UsageError("--signature takes the file FILE.sig that ssh-keygen made beside the statement FILE.")
    return (
        _text(signature.with_suffix(""), limits.STATEMENT_BYTES_MAX),
        _text(signature, 2 * limits.SSH_SIGNATURE_BYTES_MAX),
    )


def _text(path: Path, bytes_max: int) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(bytes_max + 1)
        if len(raw) > bytes_max:
            raise ValueError("it is too long")
        return raw.decode("utf-8")
    except OSError as exc:
        why = exc.strerror or "it cannot be read"
    except ValueError:
        why = "it is not what nskctl and ssh-keygen write"
    raise OperatorError(f"cannot be used: {why}", where=str(path), remedy="Name the file that ssh-keygen made.")


# --- keys and policies --------------------------------------------------------------------------------------


@click.group("steward")
def steward_group() -> None:
    """A steward's own key, and the standing policies signed with it.  Needs no daemon."""


@steward_group.command("keygen")
@click.argument("file", type=_file)
@click.option("--name", required=True, help="The steward's name, as the charter is to show it.")
@click.pass_obj
def steward_keygen(app: App, file: Path, name: str) -> None:
    """Make a key without a passphrase in FILE, for trying things out; `ssh-keygen -t ed25519` makes a real one.

    Prints the line for the charter.
    """
    made = steward_key.generate(file, name)
    if app.json:
        app.dump({"file": str(file), "steward": made.line, "fingerprint": made.fingerprint})
    else:
        click.echo(made.line)


@steward_group.command("sign-policy")
@click.argument("file", type=_file)
@click.option("--key", type=_file, required=True, help="Your private key, or the public half of one in your agent.")
@click.option("--add", is_flag=True, help="Add a second steward's signature to the first.")
@click.pass_obj
def steward_sign_policy(app: App, file: Path, key: Path, add: bool) -> None:
    """Sign the standing policy in FILE, as `ssh-keygen -Y sign -n nskd-standing-policy` does, into FILE.sig."""
    text = _text(file, limits.STANDING_POLICY_BYTES_MAX)
    policy = standing_policy.parse_standing_policy(text.encode(), where=str(file))
    signed = file.with_name(file.name + SIGNATURE_SUFFIX)
    before = _text(signed, 2 * limits.SIGNATURES_MAX * limits.SSH_SIGNATURE_BYTES_MAX) if add else ""
    signature = steward_key.sign(key, policy.raw, namespace=standing_policy.NAMESPACE)
    try:
        signed.write_text(before + signature)
    except OSError as exc:
        raise OperatorError(
            f"cannot be written: {exc.strerror}", where=str(signed), remedy="Check the directory."
        ) from None
    if app.json:
        app.dump({"policy": policy.digest.hex(), "signature": str(signed)})
    else:
        click.echo(f"{signed}: signed; policy {policy.digest.hex()[:12]} holds until {policy.valid_until}")
