"""What every ``nskctl`` command shares: the options, one call to the daemon with progress, exit codes.

Exit codes: 0 done, 1 the daemon (or a check) said no, 2 the daemon cannot be reached, 3 wrong usage.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NoReturn, TypeVar

import attrs
import click
import msgspec
from rich.console import Console
from rich.status import Status
from rich.text import Text

from nskd.control import render
from nskd.control.client import Client, DaemonError, UnreachableError, read_answer
from nskd.errors import OperatorError

EXIT_NO: Final = 1
EXIT_UNREACHABLE: Final = 2
EXIT_USAGE: Final = 3
EXIT_INTERRUPTED: Final = 130

_TICK_S: Final = 1.0  # whatever takes longer shows that it is alive
_WIDE: Final = 4_096  # into a pipe nothing is folded
A = TypeVar("A")
Shown = Callable[[Console, A], None]


@attrs.frozen
class App:
    """What the global options say."""

    socket: Path
    json: bool

    def console(self) -> Console:
        """Make the console for answers: as wide as it takes when it is no terminal."""
        width = None if sys.stdout.isatty() else _WIDE
        return Console(width=width, markup=False, highlight=False, emoji=False)

    def call(self, method: str, **params: Any) -> Any:
        """Call the daemon, and show how far it is once that takes longer than a second."""
        waiting = Waiting(method)
        try:
            with Client(self.socket, tick_s=_TICK_S, on_tick=waiting.tick) as client:
                return client.call(method, params, waiting.progress)
        finally:
            waiting.stop()

    def show(self, answer: Any, shape: type[A], view: Shown[A]) -> A:
        """Print an answer, for a script or for a person."""
        read = self.read(answer, shape)
        if self.json:
            self.dump(answer)
        else:
            view(self.console(), read)
        return read

    def read(self, answer: Any, shape: type[A]) -> A:
        """Take an answer for what it should be."""
        return read_answer(answer, shape, where=str(self.socket))

    def dump(self, answer: Any) -> None:
        """Print JSON on one line, or indented on a terminal."""
        line = msgspec.json.encode(answer)
        click.echo(msgspec.json.format(line, indent=2) if sys.stdout.isatty() else line)


class Waiting:
    """A line on standard error: a spinner on a terminal, else one line per phase."""

    def __init__(self, method: str) -> None:
        self._console = Console(stderr=True, markup=False, highlight=False, emoji=False)
        self._status: Status | None = None
        self._began = time.monotonic()
        self._text = method
        self._phase: object = None

    def tick(self) -> None:
        """Show that a second went by without an answer."""
        if self._console.is_terminal:
            if self._status is None:
                self._status = self._console.status(self._line())
                self._status.start()
            self._status.update(self._line())

    def progress(self, fields: dict[str, Any]) -> None:
        """Show how far the daemon says it is."""
        phase = render.plain(fields.get("phase", ""))
        done, total = fields.get("done"), fields.get("total")
        self._text = f"{phase} {done}/{total}" if total else phase
        if self._status is not None:
            self._status.update(self._line())
        elif not self._console.is_terminal and phase != self._phase:
            self._console.print(phase)
        self._phase = phase

    def _line(self) -> Text:
        return Text(f"{self._text} … {time.monotonic() - self._began:.0f} s")

    def stop(self) -> None:
        """Take the line away."""
        if self._status is not None:
            self._status.stop()


class Cli(click.Group):
    """Gives every failure its exit code; click's own for wrong usage is 2, which here means unreachable."""

    def main(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Run and exit."""
        kwargs["standalone_mode"] = False
        try:
            code = super().main(*args, **kwargs)
        except click.UsageError as exc:
            exc.show()
            code = EXIT_USAGE
        except click.ClickException as exc:
            exc.show()
            code = EXIT_NO
        except (click.Abort, KeyboardInterrupt):
            click.echo("interrupted", err=True)
            code = EXIT_INTERRUPTED
        except BrokenPipeError:  # `nskctl … | head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            code = 0
        sys.exit(code if isinstance(code, int) else 0)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; here its options are known, so that errors too can be JSON."""
        error: dict[str, Any]
        try:
            return super().invoke(ctx)
        except UnreachableError as exc:
            code, error = EXIT_UNREACHABLE, {"message": str(exc), "data": _sentence(exc)}
        except OperatorError as exc:
            code, error = EXIT_NO, {"message": str(exc), "data": _sentence(exc)}
        except DaemonError as exc:
            code, error = EXIT_NO, {"code": exc.code, "message": exc.message, "data": exc.data}
        app = ctx.find_object(App)
        if app is not None and app.json:
            app.dump({"error": error})
        else:
            click.echo(f"nskctl: {render.plain(error['message'])}", err=True)
        return ctx.exit(code)


def _sentence(error: OperatorError) -> dict[str, str]:
    return {"what": error.what, "where": error.where, "remedy": error.remedy}
