"""The page of a model: effects, reasons, and words in both languages."""

from __future__ import annotations

from typing import Any

import pytest

from nskd.client import Client
from nskd.governance.disclosure import DisclosureRules
from nskd.packs.codebook import Text
from nskd.report.context import Context
from nskd.report.document import Section, Table
from nskd.report.kinds import document, figures
from nskd.report.model import model_sections, own_section
from nskd.report.page import render
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


def test_a_rehearsed_model_has_its_page_and_its_figures() -> None:
    client = Client("/nowhere")
    request = client.regression("nsk_positive = 'ja'", ["age_band", "sex"]).where("sex IN ('M', 'V')")
    result = client.rehearse(request.titled("T").for_purpose("improvement"), visits=12000)
    context = Context(client.pack.codebook, ("A", "B", "C"), "p", DisclosureRules(), "00", "11", "22")
    assert "Kenmerken" in render(document(result.release, context), "nl")
    assert "Covariates" in render(document(result.release, context), "en")
    found = figures(result.release, context)
    assert found is not None
    told = {(row.keys, row.name): row.value for row in found.rows}
    estimates = {(each["name"], each["level"]): each["estimate"] for each in result.release["model"]["coefficients"]}
    for (name, level), estimate in estimates.items():
        keys = ("(intercept)", "") if name is None else (name, level)
        assert told[keys, "estimate"] == estimate
    assert len(estimates) == 1 + 3 + 1


def test_a_page_without_a_model_says_so() -> None:
    client = Client("/nowhere")
    request = client.regression("nsk_positive = 'ja'", ["age_band", "sex"]).titled("T").for_purpose("improvement")
    release = client.rehearse(request, visits=300).release
    context = Context(client.pack.codebook, ("A", "B", "C"), "p", DisclosureRules(), "00", "11", "22")
    assert "No model was computed" in render(document(release, context), "en")
    found = figures(release, context)
    assert found is not None
    assert [(row.name, row.value) for row in found.rows] == [("model", None)]


def test_own_rows_beside_the_model_are_said_to_stay_here() -> None:
    said = texts(own_section(120.0, 100.0, 64.0))
    assert "1.20" in said
    assert "0.84 – 1.16" in said
    assert "have not left this hospital" in said
