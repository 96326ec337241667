"""Every kind of request, computed jointly by three to six centres, against the pooled data and other libraries.

The public data are those of the RAND Health Insurance Experiment and the carbon dioxide record of Mauna Loa
(``randhie/pack.toml`` and ``maunaloa/pack.toml`` have the sources), dealt out over centres at random.  Made-up extracts
are in the manner of :mod:`tests.system.oracle`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from scipy.stats import chi2_contingency, fisher_exact
from scipy.stats.contingency import odds_ratio
from statsmodels.datasets import co2, randhie
from statsmodels.stats.contingency_tables import Table2x2
from statsmodels.stats.proportion import proportion_confint

from nskd.governance.disclosure import DisclosureRules
from nskd.packs.pack import load_pack
from nskd.report.context import Context
from nskd.report.kinds import figures as page_figures
from nskd.statistics.association import TwoByTwo, accuracy, association
from nskd.statistics.binomial import proportion
from nskd.statistics.figure import Figure
from tests.system.joint import joint
from tests.system.oracle import write_centres

NSK = load_pack("nsk")
RANDHIE = load_pack(Path(__file__).with_name("randhie"))
MAUNALOA = load_pack(Path(__file__).with_name("maunaloa"))
PACKS = {pack.name: pack for pack in (NSK, RANDHIE, MAUNALOA)}
EXACT = {"rounding": 1, "centres_min": 3}
HEAD = 'title = "T"\nmeasure = "visits"\n'
Released = dict[tuple[str, ...], int | None]


def public_data() -> pandas.DataFrame:
    raw = randhie.load_pandas().data
    health = np.select([raw.hlthp == 1, raw.hlthf == 1, raw.hlthg == 1], ["poor", "fair", "good"], "excellent")
    return pandas.DataFrame(
        {
            "record": [f"r{number}" for number in range(len(raw))],
            "person": [f"p{number}" for number in range(len(raw))],
            "contacts": raw.mdvis.astype(int),
            "free_care": np.where(raw.lncoins == 0, "yes", "no"),
            "deductible": np.where(raw.idp == 1, "yes", "no"),
            "health": health,
        }
    )


def dealt(data: pandas.DataFrame, directory: Path, centres: int) -> list[Path]:
    """The rows over so many centres, unevenly."""
    rng = np.random.default_rng(centres)
    owner = rng.choice(centres, len(data), p=rng.dirichlet(np.full(centres, 5.0)))
    files = [directory / f"centre{k}.csv" for k in range(centres)]
    for k, file in enumerate(files):
        data[owner == k].to_csv(file, index=False)
    return files


async def released(pack: str, text: str, files: list[Path]) -> tuple[dict[str, Any], Released]:
    """The release, and its values by the levels of rows and columns."""
    which = PACKS[pack]
    purpose = which.purposes[0].id
    kind, rest = text.split("\n", 1)
    content = json.loads(await joint(which, f'{kind}\npurpose = "{purpose}"\n{HEAD}{rest}', files, EXACT, seed=7))
    names = (*content["rows"], *content["columns"])
    return content, {tuple(cell[name] for name in names): cell["value"] for cell in content["cells"]}


def known(value: int | None) -> int:
    assert value is not None
    return value


@pytest.mark.parametrize("centres", [3, pytest.param(6, marks=pytest.mark.long)])
async def test_a_rate_of_public_data(tmp_path: Path, centres: int) -> None:
    data = public_data()
    text = 'kind = "rate"\nof = "contacts >= 5"\nby = ["health"]\nwhere = "free_care = \'no\'"\n'
    _, found = await released("randhie", text, dealt(data, tmp_path, centres))
    pooled = data[data.free_care == "no"]
    for level, group in [("total", pooled), *pooled.groupby("health")]:
        events, size = int((group.contacts >= 5).sum()), len(group)
        assert (found[level, "yes"], found[level, "total"]) == (events, size)
        share = proportion(found[level, "yes"], found[level, "total"]).share
        low, high = proportion_confint(events, size, method="beta")
        assert figures(share) == pytest.approx([events / size, low, high], rel=1e-9)


async def test_an_association_in_public_data(tmp_path: Path) -> None:
    data = public_data()
    exposure = "health IN ('fair', 'poor')"
    text = f'kind = "association"\nexposure = "{exposure}"\noutcome = "contacts > 0"\nscreening = true\n'
    _, found = await released("randhie", text, dealt(data, tmp_path, 5))
    table = pandas.crosstab(data.health.isin(["fair", "poor"]), data.contacts > 0)
    a, b, c, d = (int(table.loc[x, y]) for x in (True, False) for y in (True, False))
    cells = [found[x, y] for x in ("yes", "no") for y in ("yes", "no")]
    assert cells == [a, b, c, d]
    ours = association(TwoByTwo(*cells))
    theirs = Table2x2(np.array([[a, b], [c, d]]))
    assert figures(ours.woolf) == pytest.approx([theirs.oddsratio, *theirs.oddsratio_confint()], rel=1e-9)
    conditional = odds_ratio([[a, b], [c, d]])
    exact = conditional.confidence_interval(0.95)
    # As near as scipy's search for these goes.
    assert figures(ours.conditional) == pytest.approx([conditional.statistic, exact.low, exact.high], rel=1e-6)
    chi = chi2_contingency([[a, b], [c, d]], correction=False)
    assert ours.chi_square.statistic.value == pytest.approx(chi.statistic, rel=1e-9)
    assert ours.fisher.value == pytest.approx(fisher_exact([[a, b], [c, d]]).pvalue, rel=1e-7, abs=1e-300)
    measures = accuracy(TwoByTwo(*cells))
    for measure, part, whole in (
        ("sensitivity", a, a + c),
        ("specificity", d, b + d),
        ("positive_predictive", a, a + b),
    ):
        low, high = proportion_confint(part, whole, method="beta")
        assert figures(getattr(measures, measure).share) == pytest.approx([part / whole, low, high], rel=1e-9)


def figures(figure: Figure) -> list[float]:
    """The value, and the ends of its interval."""
    assert figure.value is not None
    assert figure.interval is not None
    return [figure.value, figure.interval.low, figure.interval.high]


async def test_a_cascade_in_public_data(tmp_path: Path) -> None:
    data = public_data()
    steps = [("seen", "contacts >= 1"), ("often", "contacts >= 5"), ("ill", "health IN ('fair', 'poor')")]
    text = 'kind = "cascade"\n' + "".join(f'[[steps]]\nname = "{name}"\nwhere = "{where}"\n' for name, where in steps)
    _, found = await released("randhie", text, dealt(data, tmp_path, 4))
    seen, often, ill = data.contacts >= 1, data.contacts >= 5, data.health.isin(["fair", "poor"])
    reached = [len(data), int(seen.sum()), int((seen & often).sum()), int((seen & often & ill).sum())]
    levels = [known(found[(name,)]) for name in ("none", "seen", "often", "ill")]
    assert [sum(levels[step:]) for step in range(4)] == reached
    assert found[("total",)] == len(data)


async def test_a_summary_of_public_data(tmp_path: Path) -> None:
    data = public_data()
    edges = [0, 1, 2, 3, 5, 8, 12, 20]
    text = f'kind = "summary"\nvariable = "contacts"\nbins = {edges}\nby = "deductible"\n'
    content, found = await released("randhie", text, dealt(data, tmp_path, 3))
    assert content["reading"] == {"variable": "contacts", "edges": edges, "last": 77}
    for level, group in [("total", data), *data.groupby("deductible")]:
        counts, _ = np.histogram(group.contacts, bins=[*edges, 78])
        keys = [level["key"] for level in content["axes"]["@bin"]]
        assert [found[level, key] for key in keys] == [*counts.tolist(), 0]


async def test_a_funnel_of_public_data(tmp_path: Path) -> None:
    data = public_data()
    content, found = await released("randhie", 'kind = "funnel"\nof = "contacts >= 5"\n', dealt(data, tmp_path, 6))
    assert content["kind"] == "funnel"
    assert (found[("yes",)], found[("total",)]) == (int((data.contacts >= 5).sum()), len(data))


def weeks() -> pandas.DataFrame:
    """Weeks of the Mauna Loa record, and whether there was more carbon dioxide than in the week before."""
    level = co2.load_pandas().data.co2.dropna()
    rising = level.diff().iloc[1:] > 0
    return pandas.DataFrame(
        {
            "record": [f"w{number}" for number in range(len(rising))],
            "week": [f"p{number}" for number in range(len(rising))],
            "month": rising.index.strftime("%Y-%m"),
            "rising": np.where(rising, "yes", "no"),
        }
    )


async def test_a_control_chart_of_public_data(tmp_path: Path) -> None:
    data = weeks()
    text = 'kind = "spc"\nof = "rising = \'yes\'"\nby = "year"\n'
    content, found = await released("maunaloa", text, dealt(data, tmp_path, 3))
    pooled = data.groupby(data.month.str[:4]).rising.agg([lambda each: int((each == "yes").sum()), "size"])
    pooled.columns = ["events", "size"]
    known_years = [year for year in pooled.index if found[year, "yes"] is not None and found[year, "no"] is not None]
    assert len(known_years) > 25
    for year in known_years:
        assert (found[year, "yes"], found[year, "total"]) == tuple(pooled.loc[year])
    told = page_figures(content, Context(MAUNALOA.codebook, (), "", DisclosureRules(), "", "", ""))
    assert told is not None
    shares = {row.keys[0]: row for row in told.rows if row.name == "share"}
    chosen = pooled.loc[known_years]
    centre = chosen.events.sum() / chosen["size"].sum()
    limits = {row.keys[0]: row.within for row in told.rows if row.name == "chart-p"}
    for year in known_years:
        assert shares[year].value == pytest.approx(chosen.events[year] / chosen["size"][year], rel=1e-12)
        reach = 3 * np.sqrt(centre * (1 - centre) / chosen["size"][year])
        within = limits[year]
        assert within is not None
        assert (within.low, within.high) == pytest.approx((centre - reach, centre + reach), rel=1e-9)


# --- made-up extracts, where cells are closed ----------------------------------------------------------------

NSK_QUESTIONS: Mapping[str, tuple[str, Callable[[pandas.DataFrame], list[Any]]]] = {
    "spc": (
        'kind = "spc"\nof = "delay = \'ja\'"\nby = "visit_year"\n',
        lambda rows: [rows.visit_month.str[:4], yes_no(rows.delay == "ja")],
    ),
    "rate": (
        'kind = "rate"\nof = "age_months < 48"\nby = "sex"\n',
        lambda rows: [rows.sex, yes_no(months(rows) < 48)],
    ),
    "association": (
        'kind = "association"\nexposure = "age_months < 108"\noutcome = "sex = \'M\'"\n',
        lambda rows: [yes_no(months(rows) < 108), yes_no(rows.sex == "M")],
    ),
    "cascade": (
        'kind = "cascade"\nby = "sex"\n[[steps]]\nname = "one"\nwhere = "delay <> \'nee\'"\n'
        '[[steps]]\nname = "two"\nwhere = "age_months < 108"\n',
        lambda rows: [
            rows.sex,
            np.select([rows.delay == "nee", months(rows) >= 108], ["none", "one"], "two"),
        ],
    ),
    "summary": (
        'kind = "summary"\nvariable = "age_months"\nbins = [0, 48, 144]\nby = "sex"\n',
        lambda rows: [
            rows.sex,
            np.select([months(rows) < 48, months(rows) < 144], ["0-47", "48-143"], "144-"),
        ],
    ),
}


def months(rows: pandas.DataFrame) -> Any:
    return rows.age_months.astype(int)


def yes_no(holds: Any) -> Any:
    return np.where(holds, "yes", "no")


@pytest.mark.parametrize("kind", NSK_QUESTIONS)
@pytest.mark.parametrize("seed", [2, pytest.param(3, marks=pytest.mark.long)])
async def test_what_is_shown_of_random_extracts_is_the_pooled_count(tmp_path: Path, kind: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    files = write_centres(tmp_path, rng, 3 + seed, 250)
    frames = [pandas.read_parquet(f) if f.suffix == ".parquet" else read_text(f) for f in files]
    rows = pandas.concat(frames, ignore_index=True).astype(str)
    text, levels = NSK_QUESTIONS[kind]
    _, found = await released("nsk", text, files)
    pooled = rows.groupby([np.asarray(each) for each in levels(rows)]).size()
    shown = {cell: value for cell, value in found.items() if value is not None and "total" not in cell}
    assert shown, "every cell was closed: the data say nothing"
    assert shown == {cell: int(pooled.get(cell, 0)) for cell in shown}
    assert len(shown) < len(found)  # some cells of such small extracts must be closed


def read_text(path: Path) -> pandas.DataFrame:
    first = path.read_bytes().split(b"\n", 1)[0].decode("utf-8-sig", errors="replace")
    separator = max(",;\t|", key=first.count)
    return pandas.read_csv(path, sep=separator, dtype=str, encoding="utf-8-sig")
