"""Asking from Python: for notebooks and scripts on a machine with a daemon, and for rehearsals on any.

    from nskd.client import Client

    client = Client()
    request = client.table(rows="age_band", columns="nsk_positive").titled("…").for_purpose("improvement")
    client.rehearse(request)          # synthetic data, no daemon
    client.check(request)             # what it means, and whether this centre would take it
    client.submit(request).wait()     # the result, once all centres have approved

Reading order: ``client`` (all of the above), ``request``, ``table`` and ``asked`` (a request built step by step, and
its TOML), ``sql_gate``, ``sql`` and ``table_sql`` (SQL, word by word, clause by clause, as a table), ``rehearsal``,
``daemon``, ``progress`` and ``submitted`` (a request on its way), ``result``, ``frames`` and ``html`` (what came out),
``errors``.

A kind of request has a method of ``Client``; only a table can be written in SQL.  No package is loaded before it is
needed: neither the SQL parser, nor the engine of a rehearsal, nor the library of a frame.  No daemon imports anything
of this.
"""

from nskd.client.asked import Asked
from nskd.client.client import Checked, Client
from nskd.client.errors import MissingPackageError, RefusedError, SqlError, UnansweredError
from nskd.client.request import Request
from nskd.client.result import Result
from nskd.client.submitted import Submitted
from nskd.client.table import Table

__all__ = [
    "Asked",
    "Checked",
    "Client",
    "MissingPackageError",
    "RefusedError",
    "Request",
    "Result",
    "SqlError",
    "Submitted",
    "Table",
    "UnansweredError",
]
