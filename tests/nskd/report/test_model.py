"""The page of a model: effects, reasons, and words in both languages."""

from __future__ import annotations

from typing import Any

import pytest

from nskd.packs.codebook import Text
from nskd.report.document import Section, Table
from nskd.report.model import model_sections
from nskd.report.plots.forest import ForestPlot
from nskd.statistics.figure import StatisticsError
from tests.nskd.statistics.test_model import LINEAR, LOGISTIC


def label(name: str, level: str | None) -> Text:
    return Text(f"nl {name} {level}", f"en {name} {level}")


def texts(section: Section) -> str:
    return " ".join(f"{block.nl} {block.en}" for block in section.blocks if isinstance(block, Text))


def test_ratios_are_a_forest_and_a_table() -> None:
    (section,) = model_sections(LOGISTIC, label)
    forest, table = section.blocks[:2]
    assert isinstance(forest, ForestPlot)
    assert [row.label.en for row in forest.rows] == [
        "en sex None: en sex V against en sex M",
        "en sex None: en sex X against en sex M",
    ]
    assert isinstance(table, Table)
    assert len(table.rows) == 3
    assert "χ² = 9.5" in texts(section)
    assert "no cause" in texts(section)


def test_a_linear_model_has_differences() -> None:
    (section,) = model_sections(LINEAR, label)
    assert isinstance(section.blocks[0], Table)
    assert "21.0 %" in texts(section)


def test_own_levels_of_hospitals_are_said_to_stay_there() -> None:
    release = {**LOGISTIC, "reading": {"family": "logistic", "centre_effects": True}}
    assert "which it worked out itself and keeps" in texts(model_sections(release, label)[0])


@pytest.mark.parametrize("reason", ["levels", "separated", "collinear", "not-converged"])
def test_why_there_is_none(reason: str) -> None:
    model: dict[str, Any] = {"reason": reason, "levels": [{"name": "sex", "level": "X"}]}
    (section,) = model_sections({"reading": {"family": "logistic"}, "model": model}, label)
    assert "en sex X" in texts(section)
    assert "nl sex X" in texts(section)
    assert ("no number opened" in texts(section)) == (reason == "levels")


def test_nothing_for_another_kind_and_an_error_for_nonsense() -> None:
    assert model_sections({"cells": []}, label) == ()
    with pytest.raises(StatisticsError):
        model_sections({"model": {}}, label)
