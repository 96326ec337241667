"""How the tests are spread over two processes: those that start daemons follow each other in one of them.

A daemon's own waits are bounded, and several workshops at once on two cores would show how slow that is, not whether
they are right.
"""

from __future__ import annotations

from pathlib import Path

import pytest

TESTS = Path(__file__).parent
_WITH_DAEMONS = ("system", "test_joining.py", "test_packs.py", "test_readme.py", "nskd/client/test_asking.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put every test with real daemons into one group (``--dist loadgroup``)."""
    for item in items:
        place = item.path.relative_to(TESTS).as_posix()
        if place.startswith(_WITH_DAEMONS):
            item.add_marker(pytest.mark.xdist_group("daemons"))
