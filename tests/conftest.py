"""How the suite runs: what is long is left out unless asked for, long files come first, one thread a process."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.examples import register

# Before anything imports numpy.  Two workers on two cores, and the processes that they start, gain nothing by more.
for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

_TESTS = Path(__file__).parent
_DAEMONS = ("system/test_kill", "system/test_faults", "system/test_audit", "test_", "system/")
_OTHERS = ("protocol/", "")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run the long tests too, and try properties at length")


def pytest_configure(config: pytest.Config) -> None:
    register(thorough=config.getoption("--long"))


@pytest.fixture(scope="session")
def at_length(request: pytest.FixtureRequest) -> bool:
    """Whether a test that has a short and a long way is to take the long one."""
    return bool(request.config.getoption("--long"))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--long"):
        config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker("long")])
        items[:] = [item for item in items if not item.get_closest_marker("long")]
    files: dict[str, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(str(item.path.relative_to(_TESTS)), []).append(item)
    items[:] = [item for path in _spread(list(files)) for item in files[path]]


def _spread(paths: list[str]) -> list[str]:
    """The files in the order in which workers take them.

    Long ones first, so that none is left over at the end; and between those with daemons, which use several cores and
    wait for each other in turn, so many of the others that two workers seldom have daemons at once.
    """
    daemons = sorted((path for path in paths if path.startswith(_DAEMONS)), key=lambda path: _place(path, _DAEMONS))
    others = sorted((path for path in paths if not path.startswith(_DAEMONS)), key=lambda path: _place(path, _OTHERS))
    each = -(-len(others) // len(daemons)) if daemons else len(others)
    mixed = []
    for number, path in enumerate(daemons or [""]):
        mixed += [path, *others[number * each : (number + 1) * each]]
    return [path for path in mixed if path]


def _place(path: str, order: tuple[str, ...]) -> tuple[int, str]:
    return next(place for place, first in enumerate(order) if path.startswith(first)), path
