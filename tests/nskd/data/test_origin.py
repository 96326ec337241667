"""Where the data are, as the configuration says it: one clear sentence for what cannot be, and never a password."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nskd.config import Config, ConfigError, parse_config
from nskd.data.origin import Origin, OriginError, origin_of

HEAD = '[centre]\nname = "a"\n[workshop]\ncharter = "/c.toml"\n[network]\nlisten = "0.0.0.0:7443"\n[data]\n'
URL = "postgres:///hospital?host=/run/postgresql"


def parse(data: str) -> Config:
    return parse_config((HEAD + data).encode(), "nskd.toml")


def test_each_kind() -> None:
    assert parse("").data.origin is None
    assert parse('source = "/v.csv"').data.origin == Origin(path=Path("/v.csv"))
    duck = parse('source = "/v.duckdb"\ntable = "nsk.visits"').data.origin
    assert duck == Origin(path=Path("/v.duckdb"), table=("nsk", "visits"))
    assert (str(duck), duck.name) == ("/v.duckdb, nsk.visits", "nsk.visits")
    server = parse(f'url = "{URL}"\ntable = "visits"\nopt_out = "/o.csv"').data.origin
    assert server is not None and server.table == ("visits",)
    assert (str(server), server.name) == ("postgres:///hospital, visits", "visits")


def test_it_is_shown_without_who_reads_it() -> None:
    origin = origin_of(source=None, url="postgres://reader@db.example:5433/h?sslmode=verify-full", table="a.v")
    assert str(origin) == "postgres://db.example:5433/h, a.v"
    assert "reader" not in repr(origin)


@pytest.mark.parametrize(
    ("data", "key", "what"),
    [
        ('source = "/v.csv"\nurl = "x"', "data.url", "there is a source besides it"),
        (f'url = "{URL}"', "data.table", "this key is missing"),
        ('table = "visits"', "data.table", "it is a table of nothing"),
        ('source = "/v.duckdb"\ntable = "a.b.c.d"', "data.table", "not the name of a table"),
        ('source = "/v.duckdb"\ntable = ""', "data.table", "not the name of a table"),
        ('source = "/v.duckdb"\ntable = "visits; DROP TABLE x"', "data.table", "not the name of a table"),
        ('source = "/v.duckdb"\ntable = "a.\\"b\\""', "data.table", "not the name of a table"),
        ('url = "duckdb:///v.duckdb"\ntable = "v"', "data.url", "it begins with none of postgres"),
        ('url = "/v.parquet"\ntable = "v"', "data.url", "it begins with none of postgres"),
        ('url = "postgres://h:port/d"\ntable = "v"', "data.url", "not an address of a database"),
        ('url = "postgres://[h/d"\ntable = "v"', "data.url", "not an address of a database"),
        ('url = "postgres://u/p#w@h/d"\ntable = "v"', "data.url", "a # or @ where none belongs"),
        ('url = "postgres://h/d#"\ntable = "v"', "data.url", "a # or @ where none belongs"),
        ('url = "postgres://u/p@h/d"\ntable = "v"', "data.url", "a # or @ where none belongs"),
        ('url = "postgres://u@p@h/d"\ntable = "v"', "data.url", "a # or @ where none belongs"),
        ('url = "postgres:///d?host"\ntable = "v"', "data.url", "not an address of a database"),
        ('url = "postgres:///d?host=/a&host=/b"\ntable = "v"', "data.url", "an option occurs twice"),
        ('opt_out = "/o.csv"', "data.opt_out", "no data to leave anybody out of"),
        ('password = "hunter2"', "data.password", "no secret belongs into this file"),
    ],
)
def test_a_fault_names_the_key(data: str, key: str, what: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(data)
    assert caught.value.where == f"nskd.toml: {key}"
    assert what in caught.value.what
    assert caught.value.remedy


PASSWORDS = st.text(st.characters(codec="ascii", exclude_categories=("Cc",)), min_size=8, max_size=20).map(
    "Zq9".__add__
)


@given(
    PASSWORDS,
    st.sampled_from(
        (
            "postgres://u:{raw}@h/d",
            "postgres://u:{quoted}@h/d",
            "postgres://:{quoted}@h/d",
            "postgres:///d?host=/run&password={quoted}",
            "postgres:///d?PassWord={quoted}",
            "postgres:///d?%70assword={quoted}",
            "mysql://h/d?ssl_key_passphrase={quoted}",
            "trino://h/d?auth_token={quoted}",
        )
    ),
)
def test_no_password_is_accepted_or_repeated(password: str, form: str) -> None:
    url = form.format(raw=password, quoted=quote(password, safe=""))
    with pytest.raises(OriginError) as caught:
        origin_of(source=None, url=url, table="visits")
    assert "Zq9" not in str(caught.value)


def test_where_a_secret_is_may_be_said() -> None:
    url = "postgres://h/d?passfile=/run/credentials/nskd/pgpass&sslkey=/etc/k.pem"
    assert origin_of(source=None, url=url, table="visits") is not None
