from __future__ import annotations

import datetime
import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nskd.governance import limits
from nskd.governance.charter import Address, Charter, CharterError, Role, load_charter, parse_charter
from nskd.governance.disclosure import DisclosureRules, HospitalPoints, Zeros

from .mutations import mutated
from .workshop import HEAD, NAMES, PURPOSE, charter_toml, noise_key, signing_key

PHI_HEAD = HEAD + "[disclosure]\noverdispersion = true\n"
CONFIGS = Path(__file__).parents[3] / "configs"


def refused(raw: bytes | str) -> str:
    with pytest.raises(CharterError) as caught:
        parse_charter(raw if isinstance(raw, bytes) else raw.encode(), where="c.toml")
    return str(caught.value)


def test_reads_all_there_is() -> None:
    raw = charter_toml(
        head='workshop = "w-1"\ntitle = "W"\nversion = 3\nprevious = "'
        + "cd" * 32
        + '"\npack = "nsk"\npack_digest = "'
        + "ab" * 32
        + '"\n[disclosure]\nthreshold = 12\ninsider = false\ncentres_min = 2\n'
        + 'dominance = 90\nrounding = 3\nzeros = "show"\n',
        purpose='[[purpose]]\nid = "improvement"\ntext = "T"\nlegal_basis = "L"\nehds = "f"\n'
        "valid_until = 2030-01-31\n",
        zuid='roles = ["compute", "contribute"]',
    )
    charter = parse_charter(raw)
    assert (charter.workshop, charter.title, charter.version, charter.pack) == ("w-1", "W", 3, "nsk")
    assert charter.previous == b"\xcd" * 32
    assert charter.pack_digest == b"\xab" * 32
    assert charter.disclosure == DisclosureRules(12, False, 2, 90, 100, 0, 3, Zeros.SHOW)
    assert charter.names == charter.contributors == NAMES
    assert [charter.index(name) for name in NAMES] == [0, 1, 2]
    zuid = charter.find("zuid")
    assert zuid is not None
    assert zuid.roles == {Role.COMPUTE, Role.CONTRIBUTE}
    assert str(zuid.address) == "zuid.example:7700"
    assert zuid.noise_key == noise_key("zuid").public_key().public_bytes_raw()
    assert zuid.signing_key == signing_key("zuid").public_key().public_bytes_raw()
    purpose = charter.purpose("improvement")
    assert purpose is not None
    assert (purpose.ehds, purpose.legal_basis, purpose.valid_until) == ("f", "L", datetime.date(2030, 1, 31))
    assert charter.find("west") is None
    assert charter.purpose("x") is None
    with pytest.raises(KeyError):
        charter.index("west")


def test_defaults() -> None:
    charter = parse_charter(charter_toml())
    assert charter.disclosure == DisclosureRules(10, True, 3, 85, 90, 10, 5, Zeros.SUPPRESS)
    assert charter.centres[0].roles == frozenset(Role)
    assert (charter.title, charter.version, charter.pack_digest) == ("test", 1, None)


def test_what_a_funnel_tells_of_hospitals_is_for_the_charter_to_say() -> None:
    usual = parse_charter(charter_toml()).disclosure
    assert (usual.hospital_points, usual.overdispersion, usual.models) == (HospitalPoints.OWN, False, False)
    told = HEAD + '[disclosure]\nhospital_points = "shuffled"\noverdispersion = true\nmodels = true\n'
    four = parse_charter(charter_toml(head=told, names=(*NAMES, "oost"))).disclosure
    assert (four.hospital_points, four.overdispersion, four.models) == (HospitalPoints.SHUFFLED, True, True)
    three = parse_charter(charter_toml(head=HEAD + '[disclosure]\nhospital_points = "shuffled"\n')).disclosure
    assert three.hospital_points is HospitalPoints.SHUFFLED


def test_digest_is_over_the_bytes_as_they_are() -> None:
    raw = charter_toml()
    assert parse_charter(raw).digest == hashlib.sha256(b"nskd charter v1\0" + raw).digest()
    assert parse_charter(raw + b"# a comment\n").digest != parse_charter(raw).digest


def test_sample_is_in_order() -> None:
    assert load_charter(CONFIGS / "charter.toml").names[0] == "ziekenhuis-noord"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"head": HEAD + "worksop = 1\n"},
            "c.toml: worksop: unknown key 'worksop' (did you mean 'workshop'?). Allowed",
        ),
        ({"head": 'workshop = "test"\n'}, "c.toml: pack: this key is missing"),
        ({"head": 'workshop = "Test One"\npack = "nsk"\n'}, "'Test One' is not a name of small letters"),
        ({"head": "workshop = 7\npack = 'nsk'\n"}, "text in quotes is expected, not 7"),
        ({"head": HEAD + "version = true\n"}, "a whole number is expected, not true"),
        ({"head": HEAD + "pack_digest = 'abc'\n"}, "64 hexadecimal digits are expected, not 'abc'"),
        ({"head": HEAD + "[disclosure]\nthreshold = 2\n"}, "disclosure.threshold: 2 is outside 3 to 1000"),
        ({"head": HEAD + "[disclosure]\nthreshold = 10.5\n"}, "a whole number is expected, not a float"),
        ({"head": HEAD + "[disclosure]\ninsider = 'yes'\n"}, "true or false is expected, not 'yes'"),
        ({"head": HEAD + "[disclosure]\ntreshold = 9\n"}, "did you mean 'threshold'"),
        ({"names": NAMES[:2]}, "centres_min: 2 centres have the role contribute, and a cell is shown only when 3"),
        ({"zuid": "roles = ['compute']"}, "write centres_min = 2, if all agree that each can then subtract its own"),
        ({"head": HEAD + "[disclosure]\ncentres_min = 4\n"}, "Write centres_min = 3 or less"),
        ({"head": HEAD + "[disclosure]\ncentres_min = 1\n"}, "centres_min: 1 is outside 2 to 16"),
        ({"head": HEAD + "[disclosure]\ncentres_min = 2\nnk = 90\n"}, "Leave nk out, or raise centres_min to 3"),
        ({"head": HEAD + "[disclosure]\ncentres_min = 2\np_percent = 1\n"}, "which this rule never allows"),
        ({"head": HEAD + "[disclosure]\nrounding = 4\n"}, "Write one of: 1, 3, 5"),
        ({"head": HEAD + "[disclosure]\ndominance = 5\n"}, "dominance: 5 is outside 10 to 100"),
        ({"head": HEAD + "[disclosure]\nzeros = 'hide'\n"}, 'Write "suppress" or "show"'),
        (
            {"names": NAMES[:2], "head": HEAD + '[disclosure]\ncentres_min = 2\nhospital_points = "shuffled"\n'},
            "hospital_points: 2 centres have the role contribute, and of two points each of two knows the other's",
        ),
        ({"head": HEAD + "[disclosure]\nhospital_points = 'all'\n"}, 'Write "own" or "shuffled"'),
        ({"head": HEAD + "[disclosure]\noverdispersion = 'no'\n"}, "true or false is expected"),
        (
            {"head": PHI_HEAD},
            "overdispersion: 3 centres have the role contribute",
        ),
        (
            {
                "names": (*NAMES, "oost"),
                "oost": "roles = ['compute']",
                "head": PHI_HEAD,
            },
            "it takes 4 that contribute",
        ),
        ({"head": HEAD + "disclosure = 3\n"}, "a table is expected"),
        ({"purpose": ""}, "purpose: 0 entries, 1 to 64 are allowed"),
        ({"purpose": PURPOSE + PURPOSE}, "the id 'improvement' is listed twice"),
        ({"purpose": PURPOSE + "ehds = 'z'\n"}, "purpose[1].ehds: 'z' is not known"),
        ({"purpose": PURPOSE + "valid_until = '2030-01-01'\n"}, "a date is expected"),
        ({"purpose": PURPOSE + "valid_until = 2030-01-01T00:00:00Z\n"}, "a date is expected"),
        (
            {"purpose": '[[purpose]]\nid = "improvement"\ntext = "a\\u202eb"\n'},
            "invisible or control characters",
        ),
        ({"noord": "title = ''"}, "centre[1].title: the text is empty"),
        (
            {"zuid": "roles = ['contribute']"},
            "centre[3].roles: a centre without the role compute has no seat",
        ),
        ({"zuid": "roles = ['compute', 'compute']"}, "listed twice"),
        ({"zuid": "roles = ['computer']"}, "'computer' is not a role"),
        ({"zuid": "roles = []"}, "0 entries"),
        ({"zuid": "colour = 'red'"}, "centre[3].colour: unknown key"),
        (
            {"noord": "roles = ['compute']", "zuid": "roles = ['compute']"},
            "fewer than two centres have the role",
        ),
        (dict.fromkeys(NAMES, "roles = ['compute', 'contribute']"), "no centre has the role request"),
        ({"names": ("noord",)}, "centre: 1 entries, 2 to 16 are allowed"),
        ({"names": tuple(f"c{n}" for n in range(17))}, "17 entries, 2 to 16"),
        ({"names": ("noord", "noord")}, "entry 2 has the same name as entry 1"),
    ],
)
def test_each_fault_is_named(change: dict[str, str], said: str) -> None:
    assert said in refused(charter_toml(**change))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("zuid.example:7700", "NOORD.example.:7700", "entry 3 has the same address as entry 1"),
        ("zuid.example:7700", "zuid.example", "lacks a port"),
        ("zuid.example:7700", "zuid.example:0", "lacks a port"),
        ("zuid.example:7700", "::1:7700", "belongs in brackets"),
        ("zuid.example:7700", "[::zz]:7700", "not an IPv6 address"),
        ("zuid.example:7700", "zu id:7700", "neither a DNS name nor an IP address"),
    ],
)
def test_addresses(old: str, new: str, said: str) -> None:
    assert said in refused(charter_toml().replace(old.encode(), new.encode()))


def public(name: str) -> tuple[bytes, bytes]:
    return (
        noise_key(name).public_key().public_bytes_raw().hex().encode(),
        signing_key(name).public_key().public_bytes_raw().hex().encode(),
    )


def test_keys_are_nobody_elses() -> None:
    raw = charter_toml()
    noord, zuid = public("noord"), public("zuid")
    assert "same noise_key as entry 1" in refused(raw.replace(zuid[0], noord[0]))
    assert "same signing_key as entry 1" in refused(raw.replace(zuid[1], noord[1]))
    assert "same signing_key as entry 1" in refused(raw.replace(zuid[1], noord[0]))
    assert "same signing_key as entry 3" in refused(raw.replace(zuid[1], zuid[0]))


@pytest.mark.parametrize(
    "weak",
    [
        "00" * 32,
        "01" + "00" * 31,
        "ec" + "ff" * 30 + "7f",
        "ec" + "ff" * 30 + "ff",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    ],
)
def test_weak_keys_are_refused(weak: str) -> None:
    assert "not a usable Ed25519" in refused(charter_toml().replace(public("zuid")[1], weak.encode()))


def test_weak_channel_keys_are_refused() -> None:
    assert "not a usable X25519" in refused(charter_toml().replace(public("zuid")[0], b"00" * 32))


def test_files(tmp_path: Path) -> None:
    with pytest.raises(CharterError, match="cannot be read: No such file"):
        load_charter(tmp_path / "none.toml")
    path = tmp_path / "charter.toml"
    path.write_bytes(charter_toml() + b"#" * limits.CHARTER_BYTES_MAX)
    with pytest.raises(CharterError, match="bytes is more than"):
        load_charter(path)


@pytest.mark.parametrize("raw", [b"\xff", b"a=" + b"[" * 5000, b"a=1" + b"0" * 5000, b"workshop = [", b"\xef\xbb\xbf"])
def test_not_toml(raw: bytes) -> None:
    assert "c.toml: " in refused(raw)


def test_deep_and_huge_values_are_named_without_being_shown() -> None:
    assert "a table" in refused(("workshop." + ".".join("a" * 4000) + "=1").encode())
    assert "a huge number" in refused(b"workshop = 0x" + b"f" * 20_000)


@given(raw=mutated(charter_toml()))
def test_mutations_give_a_charter_or_the_declared_error(raw: bytes) -> None:
    try:
        charter = parse_charter(raw)
    except CharterError:
        return
    assert isinstance(charter, Charter)
    assert charter.raw == raw
    assert len(set(charter.names)) == len(charter.centres) >= 2


@given(st.text(max_size=40))
def test_addresses_parse_or_raise_value_error(text: str) -> None:
    try:
        address = Address.parse(text)
    except ValueError:
        return
    assert Address.parse(str(address)) == address
