"""Neither the daemon nor the statistics load scipy's libraries before somebody asks for a figure that needs them.

numba imports the bare package ``scipy`` where it is installed, a few milliseconds; what weighs are its subpackages.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

_EVERYTHING = """
import importlib, pkgutil
package = importlib.import_module({name!r})
for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    importlib.import_module(module.name)
"""
_HEAVY = "{'special', 'optimize', 'stats', 'linalg', 'sparse'}"


def loaded(code: str) -> set[str]:
    script = f"{code}\nimport sys\nprint(*({_HEAVY} & {{n[6:] for n in sys.modules if n.startswith('scipy.')}}))"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("name", ["nskd.daemon", "nskd.statistics", "nskd.report", "nskd.control"])
def test_scipy_is_not_loaded_with(name: str) -> None:
    assert loaded(_EVERYTHING.format(name=name)) == set()


def test_but_it_is_when_a_figure_needs_it() -> None:
    assert "special" in loaded("from nskd.statistics.binomial import clopper_pearson; clopper_pearson(1, 9)")
