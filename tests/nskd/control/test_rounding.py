"""A rounded table says that it is."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from nskd.control import render


@pytest.mark.parametrize(("content", "said"), [({"rounding": 5}, "multiples of 5"), ({"rounding": 1}, ""), ({}, "")])
def test_what_is_said_of_rounding(content: dict[str, int], said: str) -> None:
    console = Console(file=io.StringIO(), width=200)
    render.rounding(console, content)
    written = console.file.getvalue()  # type: ignore[attr-defined]
    assert said in written
    assert bool(written) == bool(said)
