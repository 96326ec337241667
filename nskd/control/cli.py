"""``nskctl``: the daemon's control socket for people and scripts.

Exit codes: 0 done, 1 the daemon (or a check) said no, 2 the daemon cannot be reached, 3 wrong usage.  No
option takes a secret: whatever stands on a command line can be read by every user of the machine.
"""

from __future__ import annotations

import sys
import time
import typing
from pathlib import Path
from typing import BinaryIO, Final

import click
import msgspec
from rich.console import Console

from nskd.control import answers, cli_steward, page, render
from nskd.control.app import EXIT_NO, App, Cli
from nskd.control.arguments import language_option, request_name
from nskd.control.cli_audit import audit
from nskd.control.cli_charter import charter_group
from nskd.control.cli_documents import catalogue, dpia
from nskd.control.cli_manual import completion, man
from nskd.control.cli_operate import bugreport, drain, log_group, metrics, reload, status
from nskd.control.cli_presence import leave, pause, resume
from nskd.control.cli_report import report
from nskd.control.cli_result import result
from nskd.control.cli_sql import from_sql
from nskd.control.cli_state import backup, epoch
from nskd.control.client import DEFAULT_SOCKET, Client, UnreachableError
from nskd.control.methods import RequestState
from nskd.errors import OperatorError
from nskd.governance.limits import LIST_MAX, REQUEST_TEXT_BYTES_MAX
from nskd.governance.request_text import parse_request

_POLL_S: Final = 0.2  # a daemon that is not there yet cannot tell when it will be


@click.group(cls=Cli, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--socket",
    type=click.Path(path_type=Path),
    envvar="NSKD_SOCKET",
    default=DEFAULT_SOCKET,
    show_default=True,
    help="The daemon's control socket; also NSKD_SOCKET.",
)
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON, for scripts.")
@click.pass_context
def main(context: click.Context, socket: Path, as_json: bool) -> None:
    """Operate the nskd daemon of this centre.

    Exit codes: 0 done, 1 the daemon said no, 2 it cannot be reached, 3 wrong usage.
    """
    context.obj = App(socket=socket, json=as_json)


for _command in (charter_group, dpia, catalogue, report, pause, resume, leave, epoch, backup):
    main.add_command(_command)
for _command in (status, metrics, bugreport, drain, reload, log_group, man, completion):
    main.add_command(_command)


@main.command()
@click.option("--timeout", "timeout_s", type=click.FloatRange(min=0, min_open=True), help="Wait no longer than this.")
@click.pass_obj
def wait(app: App, timeout_s: float | None) -> None:
    """Wait until the daemon answers and every other centre is connected."""
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    while True:
        problem: OperatorError | None = None
        try:
            answer = msgspec.convert(app.call("status"), answers.StatusAnswer)
        except UnreachableError as exc:
            problem = exc
        else:
            if answer.peers_up == answer.peers:
                app.show(msgspec.to_builtins(answer), answers.StatusAnswer, render.status)
                return
        if deadline is not None and time.monotonic() >= deadline:
            raise problem or OperatorError(
                f"{answer.peers_up} of {answer.peers} other centres are connected",
                where=str(app.socket),
                remedy="See nskctl peers for what keeps the others away.",
            )
        time.sleep(_POLL_S)


@main.command()
@click.pass_obj
def peers(app: App) -> None:
    """Show the other centres and the links to them."""
    app.show(app.call("peers"), answers.PeersAnswer, render.peers)


@main.command()
@click.pass_obj
def stock(app: App) -> None:
    """Show preprocessing in stock.

    Material made in advance with the other centres; an analysis uses it up. Generation begins below low and ends
    at high; unconfirmed is what another centre has not yet said to have on disk.
    """
    app.show(app.call("stock"), answers.StockAnswer, render.stock)


@main.command()
@click.pass_obj
def permits(app: App) -> None:
    """Show the permits that requests may name, and how they stand."""
    app.show(app.call("permits"), answers.PermitsAnswer, render.permits)


@main.command()
@click.pass_obj
def version(app: App) -> None:
    """Show the versions of the daemon and its protocol."""
    app.show(
        app.call("version"),
        answers.VersionAnswer,
        lambda console, answer: render.pairs(
            console, [("nskd", answer.nskd), ("protocol", answer.protocol), ("python", answer.python)]
        ),
    )


@main.command()
@click.option("--kind", "kinds", multiple=True, help="Only this kind, for example peer or run.phase; repeatable.")
@click.pass_obj
def events(app: App, kinds: tuple[str, ...]) -> None:
    """Print events as they happen, one JSON object per line, until interrupted."""
    with Client(app.socket) as client:
        for event in client.events(kinds):
            click.echo(msgspec.json.encode(event))
            sys.stdout.flush()


@main.command()
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@click.option("--name", default="", help="This centre's name in the charter: small letters, digits, hyphens.")
@click.option("--title", default="", help="The same for people.")
@click.option("--address", default="", help="Where its daemon will listen, host:port.")
@click.option(
    "--steward",
    "stewards",
    multiple=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="The public key file of one who decides for this centre; repeatable.",
)
@click.option(
    "--only", type=click.Choice(["noise", "signing", "storage"]), help="Make this one key, to take another's place."
)
@click.pass_obj
def keygen(
    app: App, directory: Path, name: str, title: str, address: str, stewards: tuple[Path, ...], only: str | None
) -> None:
    """Make this centre's keys in DIRECTORY and print its charter entry.  Needs no daemon."""
    from nskd import credentials
    from nskd.governance.charter import NAME

    if name and not NAME.fullmatch(name):  # before there are keys
        raise click.UsageError(f"--name {name!r} is not a name of small letters, digits and inner hyphens.")
    if only is not None:
        half = credentials.generate_one(directory, only)
        if app.json:
            app.dump({"directory": str(directory)} | ({} if half is None else {f"{only}_key": half.hex()}))
        elif half is not None:
            click.echo(f'{only}_key = "{half.hex()}"')
        return
    lines = [cli_steward.steward_of(path).line for path in stewards]
    public = credentials.generate(directory)
    if app.json:
        keys = {"noise_key": public.noise_key.hex(), "signing_key": public.signing_key.hex()}
        app.dump({"directory": str(directory), **keys})
        return
    click.echo(f"The keys are in {directory}; keep that from everybody.  For the charter, and public:", err=True)
    click.echo(public.charter_entry(name=name, title=title, address=address, stewards=lines), nl=False)


@main.group()
def config() -> None:
    """Look after the daemon's configuration file."""


@config.command("check")
@click.argument(
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("/etc/nskd/nskd.toml"),
    required=False,
)
@click.pass_obj
def config_check(app: App, path: Path) -> None:
    """Read PATH as the daemon would and say what is wrong with it.  Needs no daemon."""
    from nskd import config as configuration
    from nskd.control.roles import RoleMap

    RoleMap.parse(configuration.load_config(path).control.roles.principals())
    if app.json:
        app.dump({"path": str(path), "ok": True})
    else:
        click.echo(f"{path}: in order")


@main.group()
def request() -> None:
    """Ask for joint tables, and decide on them for this centre."""


@request.command("submit")
@click.argument("file", type=click.File("rb"))
@click.option("--check", is_flag=True, help="Only check it and show what it means.")
@click.option("--again", is_flag=True, help="Submit it although the same text is undecided already.")
@language_option
@click.pass_obj
def request_submit(app: App, file: BinaryIO, check: bool, again: bool, language: page.Language | None) -> None:
    """Sign the request in FILE (- for standard input) and send it to all centres."""
    raw: bytes = file.read(REQUEST_TEXT_BYTES_MAX + 1)
    # The daemon checks it too; here a typing error comes back with the file's name.
    parse_request(raw, where=str(getattr(file, "name", "standard input")))
    answer = app.call("request.submit", text=raw.decode(), check=check, again=again)

    def view(console: Console, submitted: answers.SubmitAnswer) -> None:
        page.show(console, submitted.pages, language)
        console.print("in order; nothing was submitted" if submitted.request is None else submitted.request)

    app.show(answer, answers.SubmitAnswer, view)


@request.command("list")
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice(typing.get_args(RequestState)),
    help="Only requests in this state; repeatable.",
)
@click.option("--limit", type=click.IntRange(1, LIST_MAX), default=50, show_default=True)
@click.pass_obj
def request_list(app: App, states: tuple[str, ...], limit: int) -> None:
    """List requests, the newest last."""
    app.show(app.call("request.list", states=list(states), limit=limit), answers.RequestList, render.requests)


@request.command("show")
@request_name
@language_option
@click.pass_obj
def request_show(app: App, name: str, language: page.Language | None) -> None:
    """Show what REQUEST asks and what would leave this centre, in plain words, and who approves it.

    REQUEST is the first digits of its name, 4 or more, as `nskctl request list` shows them.
    """
    page.show_request(app, name, language)


@request.command("run")
@request_name
@click.option("--check", is_flag=True, help="Only say whether it could run.")
@click.pass_obj
def request_run(app: App, name: str, check: bool) -> None:
    """Run an approved REQUEST, or one that failed, again."""
    app.show(
        app.call("request.run", request=name, check=check),
        answers.RunAnswer,
        lambda console, answer: render.pairs(console, [("request", answer.request), ("state", answer.state)]),
    )


@request.command("wait")
@request_name
@click.option("--timeout", "timeout_s", type=click.FloatRange(min=0, min_open=True), help="Wait no longer than this.")
@click.pass_obj
def request_wait(app: App, name: str, timeout_s: float | None) -> None:
    """Wait until REQUEST is done, refused, failed or expired, and say which.

    Exits with 1 unless it is done; state says whether it has ended or the time has.
    """
    shown = app.show(
        app.call("result.wait", request=name, timeout_s=timeout_s),
        answers.ResultAnswer,
        lambda console, answer: render.pairs(
            console,
            [
                ("request", answer.request),
                ("state", answer.state),
                *((key, value) for key, value in (("fault", answer.fault), ("detail", answer.detail)) if value),
            ],
        ),
    )
    if shown.state != "done":
        click.get_current_context().exit(EXIT_NO)


for _command in (from_sql, cli_steward.approve, cli_steward.refuse, cli_steward.revoke):
    request.add_command(_command)
main.add_command(cli_steward.steward_group)


main.add_command(audit)
main.add_command(result)
