"""Arguments that several ``nskctl`` commands take."""

from __future__ import annotations

import re

import click


class RequestName(click.ParamType[str]):
    """A request's digest or the first digits of it, as lists show it."""

    name = "request"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Check the digits; which request they name is the daemon's to say."""
        if not re.fullmatch("[0-9a-fA-F]{4,64}", value):
            self.fail(f"{value!r} names no request; give 4 or more of the digits that nskctl request list shows.")
        return value


request_name = click.argument("name", metavar="REQUEST", type=RequestName())
language_option = click.option(
    "--language", type=click.Choice(["nl", "en"]), help="What it means in Dutch or in English only; in both by default."
)
