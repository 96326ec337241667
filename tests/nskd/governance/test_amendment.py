"""The next version of a charter: begun from the text, and told in words."""

from __future__ import annotations

from pathlib import Path

import pytest

from nskd.governance.amendment import amended_text
from nskd.governance.charter import load_charter, parse_charter
from nskd.governance.charter_diff import changes

from .test_charter_signatures import FIRST, SECOND
from .workshop import HEAD, PURPOSE, charter_toml, stewards_toml

SAMPLE = load_charter(Path(__file__).parents[3] / "configs" / "charter.toml")


def test_only_version_and_predecessor_change() -> None:
    second = parse_charter(amended_text(SAMPLE))
    third = parse_charter(amended_text(second))
    for before, after in ((SAMPLE, second), (second, third)):
        assert (after.version, after.previous) == (before.version + 1, before.digest)
        assert changes(before, after) == changes(SAMPLE, second)
    kept = [line for line in SAMPLE.raw.decode().splitlines() if not line.startswith("version")]
    lines = third.raw.decode().splitlines()
    assert [line for line in lines if not line.startswith(("version", "previous"))] == kept


@pytest.mark.parametrize(
    "head",
    [
        HEAD,  # version 1 unsaid
        HEAD + "version = 1  # the first\n",
        "version=1\n" + HEAD,
        HEAD + 'title = "version = 7"\n',
        HEAD + "  version   =   1\n",
    ],
)
def test_however_it_is_written(head: str) -> None:
    before = parse_charter(charter_toml(head=head))
    after = parse_charter(amended_text(before))
    assert (after.version, after.previous, after.title) == (2, before.digest, before.title)


def test_nothing_is_said_of_the_same_text() -> None:
    assert changes(FIRST, FIRST) == ()


def test_layout_alone_is_said_to_be_layout() -> None:
    (only,) = changes(SAMPLE, parse_charter(amended_text(SAMPLE)))
    assert only.en == "Only layout or comments differ, or the version's number."


def test_who_joins_and_who_leaves() -> None:
    said = [text.en for text in changes(FIRST, SECOND)]
    assert said[0] == "New centre: oost (oost, oost.example:7700)."
    assert said[1].startswith("dr. oost (SHA256:") and said[1].endswith(") decides for oost.")
    assert said[2:] == ["zuid (zuid) leaves."]
    assert [text.nl for text in changes(FIRST, SECOND)][2:] == ["zuid (zuid) doet niet meer mee."]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"head": HEAD + "[disclosure]\nthreshold = 5\n"}, ["threshold", "10 becomes 5"]),
        ({"head": HEAD + "[disclosure]\ninsider = false\n"}, ["insider", "yes becomes no"]),
        ({"head": HEAD + '[disclosure]\nhospital_points = "shuffled"\n'}, ["funnel plot", "own becomes shuffled"]),
        ({"head": HEAD + 'title = "New"\n'}, ["The title", "test becomes New"]),
        ({"purpose": PURPOSE + '[[purpose]]\nid = "x"\ntext = "Y."\n'}, ["New purpose x: Y."]),
        ({"purpose": PURPOSE.replace("To better it.", "Z.")}, ["Purpose improvement, text", "becomes Z."]),
        ({"purpose": PURPOSE + "valid_until = 2030-01-31\n"}, ["last day", "nothing becomes 2030-01-31"]),
        ({"zuid": 'roles = ["compute", "contribute"]'}, ["Centre zuid, roles", "becomes compute, contribute."]),
        ({"zuid": stewards_toml("zuid", "extra")}, ["dr. extra (SHA256:", "now decides for zuid."]),
        ({"names": ("midden", "noord", "zuid")}, ["The order of the centres becomes midden, noord, zuid."]),
    ],
)
def test_each_change_is_named(change: dict[str, str], words: list[str]) -> None:
    (only,) = changes(FIRST, parse_charter(charter_toml(**change)))  # type: ignore[arg-type]
    assert all(word in only.en for word in words), only.en
    assert only.nl != only.en


def test_no_field_is_passed_over() -> None:
    """A field that a charter gets and that `changes` does not know would be signed unread."""
    import attrs

    from nskd.governance import charter_diff
    from nskd.governance.charter import Centre, Charter, Purpose
    from nskd.governance.disclosure import DisclosureRules

    def fields(kind: type[attrs.AttrsInstance]) -> set[str]:
        return {field.name for field in attrs.fields(kind)}

    assert fields(Centre) == {"name", "stewards", *charter_diff._CENTRE_FIELDS}
    assert fields(Purpose) == {"id", *charter_diff._PURPOSE_FIELDS}
    assert fields(DisclosureRules) == set(charter_diff._RULES)
    assert fields(Charter) == {
        *("raw", "digest", "version", "previous"),  # of which version this is
        *("workshop", "title", "pack", "pack_digest", "disclosure", "centres", "purposes"),
    }
