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
# A worker takes the next file when it is done with one, so the long ones come first: at the end none is left over.
_FIRST = ("system/test_governance", "system/", "test_", "attack/", "protocol/", "nskd/daemon/", "nskd/analysis/", "")


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
    items.sort(key=_place)  # stable: within a file they stay as they are


def _place(item: pytest.Item) -> tuple[int, str]:
    path = str(item.path.relative_to(_TESTS))
    return next(place for place, first in enumerate(_FIRST) if path.startswith(first)), path
