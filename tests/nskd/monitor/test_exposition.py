"""What we write, an independent reader of the format reads back as it was."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from nskd.monitor.exposition import Family, by_label, counter, gauge, render

NAMES = st.from_regex(r"nskd_[a-z][a-z0-9_]{0,20}", fullmatch=True).filter(lambda name: not name.endswith("_total"))
# The reader, like the format, ends a line at a newline and nothing else.
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"))
VALUES = st.one_of(st.integers(-(2**53), 2**53), st.floats())


@settings(max_examples=40)
@given(NAMES, TEXTS, st.dictionaries(TEXTS, VALUES, max_size=5))
def test_what_is_written_is_read_back(name: str, text: str, values: dict[str, float]) -> None:
    written = render([by_label(name, "gauge", text.strip(), "centre", values)])
    read = list(text_string_to_metric_families(written))
    if not values:
        assert written == ""
        return
    (family,) = read
    assert (family.name, family.type) == (name, "gauge")
    found = {sample.labels["centre"]: sample.value for sample in family.samples}
    assert found.keys() == values.keys()
    for key, value in values.items():
        assert found[key] == value or (math.isnan(found[key]) and math.isnan(value))


def test_families() -> None:
    build = Family("nskd_build_info", "gauge", "Versions.", (({"version": "1", "kernels": 'a "b"\\'}, 1),))
    text = render([build, counter("nskd_made_total", "Made.", 3), gauge("nskd_health", "How.", True)])
    read = {family.name: family for family in text_string_to_metric_families(text)}
    assert read["nskd_build_info"].samples[0].labels == {"version": "1", "kernels": 'a "b"\\'}
    assert (read["nskd_made"].type, read["nskd_made"].samples[0].value) == ("counter", 3)
    assert read["nskd_health"].samples[0].value == 1
    assert text.count("# HELP") == text.count("# TYPE") == 3


@pytest.mark.parametrize(
    ("name", "kind", "labels"),
    [
        ("nskd_made", "counter", {}),
        ("nskd_made_total", "gauge", {}),
        ("made_total", "counter", {}),
        ("nskd_Health", "gauge", {}),
        ("nskd_x", "gauge", {'a="b",c': "d"}),
    ],
)
def test_a_name_that_is_none(name: str, kind: str, labels: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="is no name"):
        Family(name, kind, "x", ((labels, 1),))  # type: ignore[arg-type]
