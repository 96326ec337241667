"""What is loaded when: nothing of the API in a daemon, and nothing heavy in the API before it is needed."""

from __future__ import annotations

import subprocess
import sys

HEAVY = ("sqlglot", "duckdb", "numba", "trio", "rich", "pandas", "polars", "pyarrow", "IPython")


def loaded(code: str, names: tuple[str, ...]) -> list[str]:
    """Which of ``names`` a fresh interpreter has loaded after running ``code``."""
    listed = f"import sys\n{code}\nprint(*[name for name in {names!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", listed], capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.split()


def test_a_daemon_loads_nothing_of_the_api() -> None:
    everything = "import nskd.__main__, nskd.daemon.serve, nskd.daemon.start, nskd.control.server"
    assert loaded(everything, ("nskd.client", "nskd.analysis.clear_rules", "pandas", "polars", "pyarrow")) == []


def test_the_api_loads_nothing_heavy_by_itself() -> None:
    assert loaded("import nskd.client; nskd.client.Client()", HEAVY) == []


def test_nskctl_loads_the_sql_parser_for_sql_alone() -> None:
    assert loaded("import nskd.control.cli", ("sqlglot", "nskd.client")) == []


def test_a_request_loads_the_sql_parser_and_no_engine() -> None:
    made = "from nskd.client import Client; Client().table(rows='sex').where('true')"
    assert loaded(made, ("sqlglot", "duckdb", "numba")) == ["sqlglot"]
