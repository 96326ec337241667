"""``nskctl result``: what was released, in the words of the codebook, on a terminal."""

from __future__ import annotations

from typing import Any

import click
from rich.console import Console
from rich.text import Text

from nskd.control import answers, render
from nskd.control.app import EXIT_NO, App
from nskd.control.arguments import request_name
from nskd.control.cli_report import charter_of
from nskd.governance.explain.page import Language


@click.group()
def result() -> None:
    """Look at released tables."""


@result.command("show")
@request_name
@click.option("--wait", is_flag=True, help="Wait until REQUEST is done, refused, failed or expired.")
@click.option("--timeout", "timeout_s", type=click.FloatRange(min=0, min_open=True), help="Wait no longer than this.")
@click.option(
    "--language", type=click.Choice(["nl", "en"]), default="en", show_default=True, help="Of the labels in the table."
)
@click.option("--pack", default=None, metavar="DIR", help="The workshop's pack, if it is not a built-in one.")
@click.pass_obj
def result_show(app: App, name: str, wait: bool, timeout_s: float | None, language: Language, pack: str | None) -> None:
    """Show what was released for REQUEST, and the figures that follow from it; a suppressed cell is a dot."""
    if timeout_s is not None and not wait:
        raise click.UsageError("--timeout goes with --wait.")
    answer = (
        app.call("result.wait", request=name, timeout_s=timeout_s) if wait else app.call("result.show", request=name)
    )

    def view(console: Console, read: answers.ResultAnswer) -> None:
        render.result(console, read, lambda console, content: _numbers(app, console, read, content, language, pack))

    shown = app.show(answer, answers.ResultAnswer, view)
    if shown.release is None:
        click.get_current_context().exit(EXIT_NO)


def _numbers(
    app: App,
    console: Console,
    answer: answers.ResultAnswer,
    content: dict[str, Any],
    language: Language,
    pack: str | None,
) -> None:
    from nskd.control.model_text import model
    from nskd.control.release_text import release
    from nskd.packs.errors import PackError
    from nskd.packs.pack import load_pack

    wanted = pack or charter_of(app, answer).pack
    try:
        codebook = load_pack(wanted).codebook
    except PackError:
        if pack is not None:
            raise
        # A workshop's own pack may lie anywhere: the numbers can be read without its words.
        render.release(console, content)
        model(console, content)
        line = (
            f"names and levels as the codebook has them: {wanted} is no built-in pack; give its directory with --pack"
        )
        console.print(Text(render.plain(line), style="dim"))
        return
    release(console, content, codebook, language)
