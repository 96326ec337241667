"""Manual pages and shell completion, written from the commands themselves, so that they cannot be out of date.

The pages are in the man(7) macros that groff and mandoc read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import click

SHELLS: Final = ("bash", "zsh", "fish")
_SECTION: Final = {"nskctl": 1, "nskd": 8}
_FILES: Final = {
    "/etc/nskd/nskd.toml": "the configuration of this centre",
    "/run/nskd/control.sock": "the control socket",
}
_EXIT: Final = {
    "nskctl": (
        ("0", "done"),
        ("1", "the daemon, or a check, said no"),
        ("2", "the daemon cannot be reached"),
        ("3", "wrong usage"),
    ),
    "nskd": (
        ("0", "done"),
        ("1", "a check said no"),
        ("2", "wrong usage"),
        ("78", "configuration, charter, keys and data do not go together"),
    ),
}


def pages(root: click.Group, name: str, version: str) -> Iterator[tuple[str, str]]:
    """A file name and its text for ``name`` and for every command below it."""
    for path, command in _commands(root, (name,)):
        yield f"{'-'.join(path)}.{_SECTION[name]}", _page(path, command, version)


def completion(program: str, root: click.Command, shell: str) -> str:
    """The script that ``shell`` reads once to complete commands and options of ``program``."""
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"{shell} is not known; known are {', '.join(SHELLS)}.")
    variable = f"_{program.upper()}_COMPLETE"
    return kind(root, {}, program, variable).source()


def _commands(command: click.Command, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name, each in sorted(command.commands.items()):
            yield from _commands(each, (*path, name))


def _page(path: tuple[str, ...], command: click.Command, version: str) -> str:
    section = _SECTION[path[0]]
    context = click.Context(command, info_name=" ".join(path), **command.context_settings)
    summary, description = _described(command)
    lines = [
        f'.TH {_quoted("-".join(path).upper())} {section} "" {_quoted(f"nskd {version}")}',
        ".SH NAME",
        f"{_text('-'.join(path))} \\- {_text(summary)}",
        ".SH SYNOPSIS",
        f".B {_text(' '.join(path))}",
        _text(" ".join(command.collect_usage_pieces(context))),
    ]
    if description:
        lines += [".SH DESCRIPTION", *_paragraphs(description)]
    lines += _options(command, context)
    if isinstance(command, click.Group):
        lines.append(".SH COMMANDS")
        for name, each in sorted(command.commands.items()):
            lines += [".TP", f".B {_text(name)}", _line(_described(each)[0])]
    lines += [".SH EXIT STATUS"]
    for code, meaning in _EXIT[path[0]]:
        lines += [".TP", f".B {code}", _line(meaning)]
    if len(path) == 1:
        lines += [".SH FILES"]
        for file, meaning in _FILES.items():
            lines += [".TP", f".I {_text(file)}", _line(meaning)]
    lines += [".SH SEE ALSO", _see_also(path, command)]
    return "\n".join(lines) + "\n"


def _described(command: click.Command) -> tuple[str, str]:
    """The first sentence, for the heading, and all of it."""
    described = " ".join((command.help or "").split("\f")[0].split("\n\n")[0].split())
    sentence = re.split(r"(?<=[.!?:;])\s", described, maxsplit=1)[0].rstrip(".:;")
    return sentence or command.name or "", (command.help or "").split("\f")[0].strip()


def _options(command: click.Command, context: click.Context) -> list[str]:
    records = [record for each in command.get_params(context) if (record := _option(each, context)) is not None]
    if not records:
        return []
    lines = [".SH OPTIONS"]
    for names, text in records:
        lines += [".TP", f".B {_text(names)}", _line(text)]
    return lines


def _option(parameter: click.Parameter, context: click.Context) -> tuple[str, str] | None:
    record: Any = parameter.get_help_record(context)
    return None if record is None else (str(record[0]), " ".join(str(record[1]).split()) or "see above")


def _see_also(path: tuple[str, ...], command: click.Command) -> str:
    section = _SECTION[path[0]]
    names = [f"{'-'.join(path[:-1])}({section})"] if len(path) > 1 else []
    if isinstance(command, click.Group):
        names += [f"{'-'.join((*path, name))}({section})" for name in sorted(command.commands)]
    if len(path) == 1:
        names.append("nskd(8)" if path[0] == "nskctl" else "nskctl(1)")
    return _text(", ".join(names))


def _paragraphs(text: str) -> Iterator[str]:
    for index, paragraph in enumerate(text.replace("\b", "").split("\n\n")):
        if index:
            yield ".PP"
        yield _line(" ".join(paragraph.split()))


def _line(text: str) -> str:
    return _text(text)


def _text(text: str) -> str:
    """Text in which nothing is a macro."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\e").replace('"', "") + '"'
