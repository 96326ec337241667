"""A table is read as a file of the same rows is: of a DuckDB file, or of a PostgreSQL server that runs for the test."""

from __future__ import annotations

import itertools
import pickle
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from nskd.credentials import CredentialError, Password, load_password
from nskd.daemon.serve import _open_data
from nskd.data import stage_server, stage_table
from nskd.data.errors import DataError
from nskd.data.load import Dataset, load, load_visits
from nskd.data.origin import Origin, origin_of
from nskd.data.staged import Numbering, table_digest
from nskd.errors import OperatorError
from nskd.packs.synthetic import generate
from tests.examples import examples
from tests.nskd.data.extracts import Row, nsk, visit, write_csv
from tests.postgres import OWNER, Server, running

BOOK = nsk().codebook
SECRET = "Zq9-correct-horse"
NUMBERS = itertools.count()  # a server serves all tests, so each table has a name of its own


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running(trusted=(OWNER, "reader"), with_password=("guarded",)) as found:
        with found.connect() as connection:
            connection.execute("CREATE ROLE reader LOGIN; CREATE ROLE guarded LOGIN PASSWORD '" + SECRET + "'")
            connection.execute("CREATE SCHEMA nsk; GRANT USAGE ON SCHEMA nsk TO reader, guarded")
            connection.execute("ALTER DEFAULT PRIVILEGES IN SCHEMA nsk GRANT SELECT ON TABLES TO reader, guarded")
        yield found


Store = Callable[..., Origin]


@pytest.fixture(params=["duckdb", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """Puts rows into a table of either engine; `view` is what is read instead, over `{table}`."""

    def make(rows: list[Row], *, view: str = "") -> Origin:
        columns = {name: [row[name] for row in rows] for name in rows[0]}
        name = f"t{next(NUMBERS)}"
        if request.param == "duckdb":
            path = tmp_path / f"{name}.duckdb"
            with duckdb.connect(str(path)) as connection:
                connection.register("made", {key: _objects(values) for key, values in columns.items()})
                connection.execute("CREATE SCHEMA nsk")
                connection.execute(f"CREATE TABLE nsk.{name} AS SELECT * FROM made")
                if view:
                    connection.execute(f"CREATE VIEW nsk.v{name} AS {view.format(table='nsk.' + name)}")
            return Origin(path=path, table=("nsk", f"v{name}" if view else name))
        found: Server = request.getfixturevalue("server")
        found.fill(name, columns)
        if view:
            with found.connect() as connection:
                connection.execute(f"CREATE VIEW nsk.v{name} AS {view.format(table='nsk.' + name)}")
        return Origin(url=found.url(user="reader"), table=("nsk", f"v{name}" if view else name))

    return make


def _objects(values: list[str]) -> Any:
    import numpy as np

    return np.array(values, dtype=object)


def content(data: Dataset) -> list[tuple[Any, ...]]:
    return data.fetch("SELECT * FROM visits ORDER BY visit_id")


def refusal(origin: Origin, password: Password | None = None) -> OperatorError:
    with pytest.raises(OperatorError) as caught:
        load(origin, nsk(), password=password).close()
    shown = "".join(traceback.format_exception(caught.value))
    assert SECRET not in shown
    return caught.value


def made(visits: int) -> list[Row]:
    columns = generate(nsk(), seed=7, visits=visits)
    return [dict(zip(columns, map(str, row), strict=True)) for row in zip(*columns.values(), strict=True)]


def test_a_table_and_a_text_file_say_the_same(store: Store, tmp_path: Path) -> None:
    rows = made(300)
    with load_visits(write_csv(tmp_path / "v.csv", rows), BOOK) as data:
        expected = content(data)
    progress: list[int] = []
    with load(store(rows), nsk(), progress=progress.append) as data:
        assert content(data) == expected
        assert data.rows == 300
        assert data.leave_out({rows[0]["person_link"]}).people == 1
        assert data.fetch("SELECT count(*) FROM visits")[0][0] < 300
        with pytest.raises(duckdb.Error):
            data.fetch("SELECT * FROM read_text('/etc/hostname')")
        names = {row[0] for row in data.fetch("SELECT table_name FROM information_schema.tables")}
        assert names == {"loaded", "objections", "visits"}
    assert progress in ([], [300])


def test_the_digest_is_that_of_the_contents(store: Store) -> None:
    """Neither the order of rows or columns nor derived columns' place change it; any value does."""
    rows = made(50)
    turned = [dict(reversed(list(row.items()))) for row in reversed(rows)]
    changed = [rows[0] | {"triage": "blue" if rows[0]["triage"] != "blue" else "red"}, *rows[1:]]
    digests = []
    for each in (rows, turned, changed):
        with load(store(each), nsk()) as data:
            digests.append(data.digest)
    assert digests[0] == digests[1] != digests[2]


def test_engines_agree_on_the_digest(server: Server, tmp_path: Path) -> None:
    rows = made(20)
    server.fill("agreed", {name: [row[name] for row in rows] for name in rows[0]})
    with duckdb.connect(str(tmp_path / "v.duckdb")) as connection:
        connection.execute(
            f"CREATE TABLE v AS SELECT * FROM read_csv('{write_csv(tmp_path / 'v.csv', rows)}', all_varchar = true)"
        )
    with load(Origin(url=server.url(user="reader"), table=("nsk", "agreed")), nsk()) as data:
        digest = data.digest
    with load(Origin(path=tmp_path / "v.duckdb", table=("v",)), nsk()) as data:
        assert data.digest == digest


VALUES = st.one_of(st.none(), st.text("ab:-0123", min_size=1, max_size=3))


SMALL = st.lists(st.tuples(VALUES, VALUES), min_size=1, max_size=3)


@examples(20)
@given(SMALL, SMALL)
def test_different_tables_have_different_digests(one: list[Any], other: list[Any]) -> None:
    def digest(rows: list[Any]) -> bytes:
        connection.execute("CREATE OR REPLACE TABLE staging (_row BIGINT, a VARCHAR, b VARCHAR)")
        connection.executemany("INSERT INTO staging VALUES (?, ?, ?)", [[i, *row] for i, row in enumerate(rows)])
        return table_digest(connection, ["a", "b"])

    with duckdb.connect(config={"threads": 1}) as connection:
        assert (digest(one) == digest(other)) == (one == other)


def test_a_finding_names_the_visit_by_its_place_among_identifiers(store: Store) -> None:
    rows = [visit(3, delay="JA"), visit(1), visit(2)]
    error = refusal(store(rows))
    assert isinstance(error, DataError)
    assert [(f.row, f.column, f.right) for f in error.findings] == [(3, "delay", 'write "ja"')]


@pytest.mark.parametrize("column", ["bsn", "toelichting", "arrival_time", "naam"])
def test_a_forbidden_column_is_refused_by_name(store: Store, column: str) -> None:
    error = refusal(store([visit(1) | {column: "999911120"}]))
    assert f"{column}: this column may not be in the file; remove it" in str(error)
    assert "999911120" not in str(error)


def test_a_column_too_few_or_twice_is_a_finding(store: Store) -> None:
    row = visit(1)
    del row["delay"]
    assert "delay: the column is missing" in str(refusal(store([row])))
    assert "there is no visit" in str(refusal(store([visit(1)], view="SELECT * FROM {table} WHERE 1 = 0")))


@pytest.mark.parametrize("kind", ["TIMESTAMP", "DATE", "DOUBLE PRECISION", "BOOLEAN"])
def test_a_type_that_holds_more_than_a_key_is_refused_unread(store: Store, kind: str) -> None:
    names = ", ".join(f"CAST(NULL AS {kind}) AS {n}" if n == "daypart" else n for n in visit(1))
    error = refusal(store([visit(1)], view=f"SELECT {names} FROM {{table}}"))
    assert "daypart: the column has the type" in str(error)
    assert "CAST in a view" in str(error)


def test_whole_numbers_and_identifiers_of_their_own_types(store: Store) -> None:
    names = ", ".join(
        {"age_months": "CAST(age_months AS SMALLINT) AS age_months"}.get(
            n, "CAST('0190163d-8694-739b-aea5-966c26f8ad91' AS UUID) AS visit_id" if n == "visit_id" else n
        )
        for n in visit(1)
    )
    with load(store([visit(1)], view=f"SELECT {names} FROM {{table}}"), nsk()) as data:
        assert data.fetch("SELECT age_months, visit_id FROM visits") == [(30, "0190163d-8694-739b-aea5-966c26f8ad91")]


def test_a_value_too_long_to_be_one_is_refused(store: Store) -> None:
    error = refusal(store([visit(1, person_link="p" * 64), visit(2, person_link="p" * 65)]))
    assert "row 2, person_link: the value is not a pseudonym" in str(error)


def test_too_many_rows(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (stage_server, stage_table):
        monkeypatch.setattr(module, "ROWS_MAX", 2)
    with load(store([visit(1), visit(2)]), nsk()) as data:
        assert data.rows == 2
    assert "there are more than 2 visits" in str(refusal(store([visit(n) for n in range(9)])))


def test_an_error_of_the_engine_quotes_no_row(store: Store) -> None:
    names = ", ".join(f"CAST(CAST({n} AS INTEGER) AS VARCHAR) AS {n}" if n == "person_link" else n for n in visit(1))
    error = refusal(store([visit(1, person_link=SECRET)], view=f"SELECT {names} FROM {{table}}"))
    assert "cannot be read (" in str(error)


def test_no_such_table(store: Store) -> None:
    import attrs

    error = refusal(attrs.evolve(store([visit(1)]), table=("nsk", "nope")))
    assert "there is no table or view nsk.nope" in str(error)


# ---- DuckDB files ----------------------------------------------------------------------------------------------------


def test_a_view_reads_this_file_alone(tmp_path: Path) -> None:
    rows = write_csv(tmp_path / "v.csv", [visit(1)])
    with duckdb.connect(str(tmp_path / "v.duckdb")) as connection:
        connection.execute(f"CREATE VIEW leaky AS SELECT * FROM read_csv('{rows}', all_varchar = true)")
    error = refusal(Origin(path=tmp_path / "v.duckdb", table=("leaky",)))
    assert "cannot be read (PermissionException)" in str(error)


def test_a_file_that_another_program_writes(tmp_path: Path) -> None:
    path = tmp_path / "v.duckdb"
    hold = f"import duckdb; c = duckdb.connect({str(path)!r}); c.execute('CREATE TABLE v (a INT)'); print(1); input()"
    holder = subprocess.Popen([sys.executable, "-uc", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None and holder.stdout.readline() == "1\n"
        assert "another program has it open" in str(refusal(Origin(path=path, table=("v",))))
    finally:
        holder.communicate("\n", timeout=60)


def test_changes_that_are_not_in_the_main_file_yet_are_read(tmp_path: Path) -> None:
    """They lie in a log beside it, when whoever wrote them was killed."""
    path = tmp_path / "v.duckdb"
    rows = write_csv(tmp_path / "v.csv", [visit(1), visit(2)])
    write = (
        f"import duckdb, os; c = duckdb.connect({str(path)!r}); c.execute('SET checkpoint_threshold = \"1GB\"');"
        f" c.execute(\"CREATE TABLE v AS SELECT * FROM read_csv('{rows}', all_varchar = true)\"); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", write], check=True, timeout=60)
    assert path.with_name("v.duckdb.wal").stat().st_size > 0
    before = path.read_bytes()
    with load(Origin(path=path, table=("v",)), nsk()) as data:
        assert data.rows == 2
    assert path.read_bytes() == before


def test_files_that_are_none(tmp_path: Path) -> None:
    text = write_csv(tmp_path / "v.csv", [visit(1)])
    assert "is not a DuckDB database file" in str(refusal(Origin(path=text, table=("v",))))
    (tmp_path / "v.duckdb").write_bytes(b"\0" * 8 + b"DUCK" + b"\xff" * 5000)
    assert "cannot be opened as a DuckDB database" in str(refusal(Origin(path=tmp_path / "v.duckdb", table=("v",))))
    assert "cannot be opened" in str(refusal(Origin(path=tmp_path / "nope", table=("v",))))
    with duckdb.connect(str(tmp_path / "w.duckdb")) as connection:
        connection.execute("CREATE TABLE v (a INT)")
    assert 'name one of its tables with "table"' in str(refusal(Origin(path=tmp_path / "w.duckdb")))


# ---- servers ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def table(server: Server) -> tuple[str, ...]:
    with server.connect() as connection:
        connection.execute("DROP TABLE IF EXISTS nsk.plain CASCADE")
    rows = [visit(1), visit(2)]
    server.fill("plain", {name: [row[name] for row in rows] for name in rows[0]})
    return ("nsk", "plain")


def test_a_password_comes_from_the_credentials(server: Server, table: tuple[str, ...], tmp_path: Path) -> None:
    origin = Origin(url=server.url(user="guarded"), table=table)
    assert "the server cannot be reached" in str(refusal(origin))
    path = tmp_path / Password.filename
    path.write_text(SECRET + "\n")
    path.chmod(0o400)
    password = load_password(tmp_path)
    assert password == Password(SECRET) and SECRET not in repr(password)
    with load(origin, nsk(), password=password) as data:
        assert data.rows == 2
    error = refusal(origin, Password(SECRET + "x"))
    assert "password authentication failed" in str(error)
    # Words of the driver that hold the password, here because it is the user's name, are not passed on.
    error = refusal(origin, Password("guarded"))
    assert "cannot be reached: OperationalError" in str(error) and "guarded" not in str(error)
    with pytest.raises(TypeError, match="neither pickled nor copied"):
        pickle.dumps(password)


def test_a_password_that_is_none(tmp_path: Path) -> None:
    assert load_password(tmp_path) is None
    path = tmp_path / Password.filename
    for raw in (b"", b"\n", b"two\nlines\n", b"\xff\n"):
        path.unlink(missing_ok=True)
        path.write_bytes(raw)
        path.chmod(0o400)
        with pytest.raises(CredentialError, match="it is not one line of text"):
            load_password(tmp_path)
    path.chmod(0o444)
    with pytest.raises(CredentialError, match="others than its owner"):
        load_password(tmp_path)


def test_a_password_file_of_libpq_is_found(
    server: Server, table: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "pgpass"
    path.write_text(f"*:*:hospital:guarded:{SECRET}\n")
    path.chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(path))
    with load(Origin(url=server.url(user="guarded"), table=table), nsk()) as data:
        assert data.rows == 2


def test_nothing_is_written(server: Server, table: tuple[str, ...]) -> None:
    """Not even by a view that would."""
    with server.connect() as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS nsk.seen (who text); GRANT INSERT ON nsk.seen TO reader")
        connection.execute(
            "CREATE OR REPLACE FUNCTION nsk.note() RETURNS boolean LANGUAGE sql VOLATILE AS"
            " $$ INSERT INTO nsk.seen VALUES ('x') RETURNING true $$"
        )
        connection.execute("CREATE VIEW nsk.writing AS SELECT * FROM nsk.plain WHERE nsk.note()")
    error = refusal(Origin(url=server.url(user="reader"), table=("nsk", "writing")))
    assert "it cannot be read (ReadOnlySqlTransaction 25006)" in str(error)
    with server.connect() as connection:
        assert connection.execute("SELECT count(*) FROM nsk.seen").fetchone() == (0,)


def test_only_the_named_columns_are_asked_for_in_one_statement(server: Server, table: tuple[str, ...]) -> None:
    log = server.socket / "log"
    before = log.stat().st_size
    with load(Origin(url=server.url(user="reader"), table=table), nsk()):
        pass
    said = log.read_bytes()[before:].decode()
    assert said.count('FROM "nsk"."plain"') == 1, said
    assert "SELECT *" not in said


def test_a_table_that_this_user_may_not_read(server: Server, table: tuple[str, ...]) -> None:
    with server.connect() as connection:
        connection.execute("REVOKE SELECT ON nsk.plain FROM reader")
    error = refusal(Origin(url=server.url(user="reader"), table=table))
    assert "InsufficientPrivilege 42501" in str(error)


def test_servers_that_cannot_be_reached(server: Server, table: tuple[str, ...]) -> None:
    for url in (server.url(user="stranger"), "postgres:///hospital?host=/nonexistent", server.url(more="&nonsense=1")):
        error = refusal(Origin(url=url, table=table))
        assert "the server cannot be reached" in str(error)
        assert error.where == "postgres:///hospital, nsk.plain"


@pytest.mark.parametrize(
    ("url", "asked"),
    [
        ("postgres://db.example/h", "verify-full"),
        ("postgres:///h?host=db.example", "verify-full"),
        ("postgres://db.example/h?sslmode=require", None),
        ("postgres://127.0.0.1/h", None),
        ("postgres:///h?host=/run/postgresql", None),
    ],
)
def test_nothing_crosses_a_network_in_clear_unless_asked(url: str, asked: str | None) -> None:
    origin = origin_of(source=None, url=url, table="v")
    assert origin is not None
    given = stage_server._for_postgres(origin, dict(origin.options))
    assert given.get("sslmode") == asked
    assert "default_transaction_read_only=on" in given["options"]


def test_without_the_packages(table: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ibis", None)
    error = refusal(Origin(url="postgres:///h", table=table))
    assert "the packages that read from postgres are not installed" in str(error)
    assert "requirements/databases.lock" in error.remedy


def test_files_need_none_of_the_packages(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "v.csv", [visit(1)])
    code = (
        "import sys; sys.modules |= dict.fromkeys(('ibis', 'psycopg', 'pyarrow', 'pandas'))\n"
        "from pathlib import Path; from nskd.data.load import load; from nskd.data.origin import Origin\n"
        f"from nskd.packs.pack import load_pack; print(load(Origin(path=Path({str(path)!r})), load_pack('nsk')).rows)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout == "1\n"


async def test_a_daemon_reads_its_table_and_logs_neither_row_nor_password(
    server: Server, table: tuple[str, ...]
) -> None:
    origin = Origin(url=server.url(user="guarded"), table=table)
    papers: Any = SimpleNamespace(
        config=SimpleNamespace(data=SimpleNamespace(origin=origin)),
        pack=nsk(),
        keys=SimpleNamespace(database=Password(SECRET)),
    )
    with structlog.testing.capture_logs() as logged:
        dataset = await _open_data(papers, structlog.get_logger())
    assert dataset is not None
    dataset.close()
    (entry,) = [each for each in logged if each["event"] == "data read"]
    assert (entry["file"], entry["visits"]) == ("postgres:///hospital, nsk.plain", 2)
    assert not any(word in repr(logged) for word in (SECRET, "guarded", "p1", "v1"))


def test_numbering_of_one_file_of_several() -> None:
    at = Numbering(files=("a", "b"), lines=[(0, 5), (1, 2)])
    assert str(at.finding(2, "x", "wrong", "right")) == "b, row 2, x: wrong; right"
    assert str(Numbering(first=2).finding(1, None, "wrong", "right")) == "row 2: wrong; right"
