"""Configuration: what is accepted, and one clear sentence for everything else."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nskd import units
from nskd.config import Config, ConfigError, Watermarks, differences, load_config, parse_config
from nskd.control.roles import RoleMap
from nskd.governance.charter import Address

ROOT = Path(__file__).parents[2]

MINIMAL = """
[centre]
name = "a"
[workshop]
charter = "/etc/nskd/charter.toml"
[data]
source = "/srv/visits.csv"
[network]
listen = "0.0.0.0:7443"
"""


def parse(text: str) -> Config:
    return parse_config(text.encode(), "nskd.toml")


def test_defaults() -> None:
    config = parse(MINIMAL)
    assert config.centre.name == "a"
    assert config.network.address == Address("0.0.0.0", 7443)
    assert config.network.connect_timeout == 10
    assert config.data.source == Path("/srv/visits.csv")
    assert config.state.directory == Path("/var/lib/nskd")
    assert config.stock.triples == Watermarks(low=200_000, high=1_000_000)
    assert config.stock.squares == Watermarks(low=0, high=0)
    assert config.stock.history_max == 10_000_000
    assert config.log.format == "auto"
    assert config.limits.worker_threads == 0


def test_numbers_are_for_this_machine_alone() -> None:
    assert parse(MINIMAL).metrics.address is None
    assert parse(MINIMAL + '[metrics]\nlisten = "127.0.0.1:9464"\n').metrics.address == Address("127.0.0.1", 9464)
    assert parse(MINIMAL + '[metrics]\nlisten = "[::1]:9464"\n').metrics.address == Address("::1", 9464)
    for listen in (
        "0.0.0.0:9464",
        "[::]:9464",
        "10.0.0.1:9464",
        "localhost:9464",
        "127.0.0.1",
        "127.0.0.1.example:9464",
    ):
        with pytest.raises(ConfigError, match=r"metrics\.listen"):
            parse(MINIMAL + f'[metrics]\nlisten = "{listen}"\n')
    changed = differences(parse(MINIMAL), parse(MINIMAL + '[metrics]\nlisten = "127.0.0.1:9464"\n'))
    assert changed == (["metrics.listen"], ["metrics.listen"])


def test_everything() -> None:
    config = parse(
        MINIMAL
        + """
        connect_timeout = "2.5 s"
        redial_first = "250 ms"
        redial_max = "5 min"
        [state]
        directory = "/tmp/state"
        [control]
        socket = "/tmp/s.sock"
        [control.roles]
        read = ["0"]
        approve = ["@0", "root"]
        [stock]
        history_max = "50M"
        [stock.squares]
        low = 1
        high = 2
        [stock.triples]
        low = 1_000
        high = "2M"
        [stock.masks]
        low = "1.5k"
        high = "10k"
        [log]
        level = "debug"
        format = "json"
        [limits]
        worker_threads = 4
        """
    )
    assert (config.network.connect_timeout, config.network.redial_first, config.network.redial_max) == (2.5, 0.25, 300)
    assert config.stock.triples == Watermarks(low=1_000, high=2_000_000)
    assert config.stock.masks == Watermarks(low=1_500, high=10_000)
    assert config.stock.squares == Watermarks(low=1, high=2)
    assert config.stock.history_max == 50_000_000
    assert config.control.roles.principals() == {
        "read": ("0",),
        "operate": (),
        "approve": ("@0", "root"),
        "admin": (),
    }
    RoleMap.parse(config.control.roles.principals())
    assert config.limits.worker_threads == 4


def test_no_stock_in_advance() -> None:
    assert parse(MINIMAL + "[stock.bits]\nlow = 0\nhigh = 0").stock.bits == Watermarks(low=0, high=0)


def test_a_centre_without_data() -> None:
    assert parse(MINIMAL.replace('[data]\nsource = "/srv/visits.csv"', "")).data.source is None


@pytest.mark.parametrize(
    ("text", "key", "complaint"),
    [
        ("", "centre", "section is missing"),
        ("[centre]", "centre.name", "key is missing"),
        (MINIMAL + "listn = 1", "network.listn", "did you mean 'listen'"),
        (MINIMAL + "[netwrok]\n", "netwrok", "did you mean 'network'"),
        (MINIMAL + "[stock.triple]\nlow = 1", "stock.triple", "did you mean 'triples'"),
        (MINIMAL + "[control.roles]\napprov = []", "control.roles.approv", "did you mean 'approve'"),
        (MINIMAL + "zzz = 1", "network.zzz", "Allowed in [network]: listen"),
        (MINIMAL + '"a\\nb" = 1', "network.?", "unknown key"),
        (MINIMAL + "connect_timeout = 30", "network.connect_timeout", '"30 s" or "5 min"'),
        (MINIMAL + 'connect_timeout = "30"', "network.connect_timeout", "the unit is missing"),
        (MINIMAL + 'connect_timeout = "30 m"', "network.connect_timeout", "'m' is not one of ms, s, min, h, d"),
        (MINIMAL + 'connect_timeout = "0 s"', "network.connect_timeout", "> 0"),
        (MINIMAL + 'connect_timeout = "2 d"', "network.connect_timeout", "86400"),
        (MINIMAL + 'connect_timeout = "-1 s"', "network.connect_timeout", "time with its unit"),
        (MINIMAL + 'redial_first = "1 h"', "network.redial_first", "above network.redial_max"),
        (MINIMAL.replace("0.0.0.0:7443", "0.0.0.0"), "network.listen", "port"),
        (MINIMAL.replace('"a"', '"A b"'), "centre.name", "small letters"),
        (MINIMAL.replace('"a"', "3"), "centre.name", "expected text, got a whole number"),
        (MINIMAL.replace("/srv/", "srv/"), "data.source", "not an absolute path"),
        (MINIMAL.replace('"/srv/visits.csv"', "3"), "data.source", "a path in quotes"),
        (MINIMAL.replace('"/srv/visits.csv"', '"/srv/\\u0000"'), "data.source", "a path in quotes"),
        (MINIMAL + '[stock.triples]\nlow = "2k"', "stock.triples.high", "key is missing"),
        (MINIMAL + '[stock.triples]\nlow = "2k"\nhigh = "1k"', "stock.triples", "below high"),
        (MINIMAL + '[stock.triples]\nlow = "1k"\nhigh = "1k"', "stock.triples", "below high"),
        (MINIMAL + '[stock.triples]\nlow = "2kk"\nhigh = 1', "stock.triples.low", "'kk' is not one of k, M"),
        (MINIMAL + '[stock.triples]\nlow = "0.0005k"\nhigh = 1', "stock.triples.low", "not a whole number"),
        (MINIMAL + "[stock.triples]\nlow = -1\nhigh = 1", "stock.triples.low", "whole number is expected"),
        (MINIMAL + "[stock.triples]\nlow = true\nhigh = 1", "stock.triples.low", "whole number is expected"),
        (MINIMAL + '[log]\nlevel = "inf"', "log.level", "did you mean 'info'"),
        (MINIMAL + "[log]\nlevel = []", "log.level", "a list is not known"),
        ("log = 3\n" + MINIMAL, "log", "a section is expected"),
        (MINIMAL + "[[log]]\n", "log", "a section is expected, not a list"),
        (MINIMAL + '[control.roles]\nread = "bob"', "control.roles.read", "expected a list, got text"),
        (MINIMAL + "[control.roles]\nread = [1]", "control.roles.read[0]", "expected text"),
        (MINIMAL + '[limits]\nworker_threads = "2"', "limits.worker_threads", "expected a whole number"),
        (MINIMAL + "[limits]\nworker_threads = 1000", "limits.worker_threads", "<= 256"),
        (MINIMAL + 'password = "x"', "network.password", "no secret belongs into this file"),
        (MINIMAL + 'noise_key = "x"', "network.noise_key", "no secret belongs into this file"),
        (MINIMAL + '[state]\ndirectory = "' + "ab" * 32 + '"', "state.directory", "looks like a key"),
    ],
)
def test_complaints(text: str, key: str, complaint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    assert str(caught.value).startswith(f"nskd.toml: {key}: ")
    assert complaint in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert "abab" not in str(caught.value)


@pytest.mark.parametrize(
    ("raw", "complaint"),
    [
        (b"[centre", "not TOML"),
        (b"\xff", "not UTF-8"),
        (b"a = 1\na = 2", "not TOML"),
        (b"#" * 70_000, "more than"),
        (b"a = " + b"[" * 30_000, "not TOML"),
    ],
)
def test_what_is_not_toml(raw: bytes, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        parse_config(raw, "nskd.toml")


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "nskd.toml"
    with pytest.raises(ConfigError, match="--config"):
        load_config(path)
    path.write_text(MINIMAL)
    assert load_config(path).centre.name == "a"
    path.chmod(0o646)
    with pytest.raises(ConfigError, match="everybody"):
        load_config(path)


def test_the_sample() -> None:
    """It parses, and so does it with every default that it shows uncommented – which changes nothing."""
    sample = ROOT / "configs" / "nskd.toml"
    config = load_config(sample)
    lines = [
        line.removeprefix("# ") if line.startswith(("# [", "# ")) and _is_setting(line[2:]) else line
        for line in sample.read_text().splitlines()
    ]
    assert sum(a != b for a, b in zip(lines, sample.read_text().splitlines(), strict=True)) >= 15
    assert parse("\n".join(lines)) == config


def _is_setting(text: str) -> bool:
    return text.startswith("[stock") or (" = " in text and text.split(" = ")[0].replace("_", "").isalpha())


def test_differences() -> None:
    old = parse(MINIMAL)
    assert differences(old, old) == ([], [])
    new = parse(
        MINIMAL.replace('"a"', '"b"')
        + 'redial_max = "1 min"\n[log]\nlevel = "debug"\n[stock.bits]\nlow = 5\nhigh = 6\n[limits]\nworker_threads = 2'
    )
    assert differences(old, new) == (
        [
            "centre.name",
            "limits.worker_threads",
            "log.level",
            "network.redial_max",
            "stock.bits.high",
            "stock.bits.low",
        ],
        ["centre.name", "limits.worker_threads", "log.level", "network.redial_max"],
    )


def test_units() -> None:
    assert units.duration_s("1_000 ms") == 1
    assert units.duration_s("1.5h") == 5400
    assert units.size_bytes("64 MiB") == 64 << 20
    assert units.size_bytes("0.5 KiB") == 512
    assert units.count("1M") == 1_000_000
    assert units.count(7) == 7
    for wrong in ("64 MB", "64", 64, "", "MiB", "1e3 B", "0.3 B", "9" * 400 + " B", "1 MiB\n", None):
        with pytest.raises(ValueError):
            units.size_bytes(wrong)


@given(st.one_of(st.text(), st.integers(), st.floats(), st.none(), st.booleans(), st.lists(st.integers())))
def test_units_raise_nothing_else(value: object) -> None:
    for read in (units.duration_s, units.size_bytes, units.count):
        try:
            assert read(value) >= 0
        except ValueError as error:
            assert str(error)


VALUES = st.recursive(
    st.one_of(st.integers(), st.booleans(), st.text(max_size=20), st.floats(allow_nan=False), st.just("30 s")),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)),
    max_leaves=8,
)
KEYS = st.sampled_from(["centre", "network", "stock", "log", "name", "listen", "triples", "low", "control", "roles"])


@given(st.dictionaries(KEYS, st.one_of(VALUES, st.dictionaries(KEYS, VALUES)), max_size=5))
def test_only_config_errors_come_out(table: dict[str, object]) -> None:
    from nskd import config as module

    def read(_raw: bytes, **_more: object) -> dict[str, object]:
        return table

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "read_document", read)
        try:
            parse_config(b"", "nskd.toml")
        except ConfigError as error:
            assert "nskd.toml: " in str(error)
