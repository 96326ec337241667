"""``nskctl man`` and ``nskctl completion``: what a shell and a terminal know of these commands.  Need no daemon."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import click

from nskd.control import manual
from nskd.control.app import App
from nskd.errors import OperatorError


@click.command("man")
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@click.pass_obj
def man(app: App, directory: Path) -> None:
    """Write the manual pages of nskd and all nskctl commands into DIRECTORY, under man1 and man8.

    For example into /usr/local/share/man, where `man nskctl-status` finds them.
    """
    from nskd.__main__ import main as nskd

    nskctl = click.get_current_context().find_root().command
    written = 0
    try:
        for name, root in (("nskctl", nskctl), ("nskd", nskd)):
            if not isinstance(root, click.Group):
                raise TypeError(name)
            for file, text in manual.pages(root, name, version("nskd")):
                place = directory / f"man{file[-1]}"
                place.mkdir(parents=True, exist_ok=True)
                (place / file).write_text(text, encoding="utf-8")
                written += 1
    except OSError as exc:
        raise OperatorError(
            f"cannot be written: {exc.strerror}", where=str(directory), remedy="Choose a directory you may write to."
        ) from None
    if app.json:
        app.dump({"directory": str(directory), "pages": written})
    else:
        click.echo(f"{directory}: {written} pages")


@click.command("completion")
@click.argument("shell", type=click.Choice(manual.SHELLS))
def completion(shell: str) -> None:
    """Print the script with which SHELL completes nskctl's commands and options.

    For bash: `nskctl completion bash > /etc/bash_completion.d/nskctl`.
    """
    root = click.get_current_context().find_root().command
    click.echo(manual.completion("nskctl", root, shell), nl=False)
