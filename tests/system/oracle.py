"""Random hospitals and random questions, and what plain SQL and the rules on paper say the answer is.

Nothing of the daemon is used here but the names of the codebook: derived variables are spelled out in SQL, counts
come from DuckDB over the files as they are, and the disclosure rules are applied cell by cell.
"""

from __future__ import annotations

import csv
import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import duckdb
import numpy as np

# --- the codebook, once more ------------------------------------------------------------------------------------

YES_NO, ANSWER = ("ja", "nee"), ("ja", "nee", "nvt")
MISSING = "missing"
RECORDED: dict[str, tuple[str, ...]] = {  # what a file must hold, with the levels in codebook order
    "daypart": ("night", "morning", "afternoon", "evening", MISSING),
    "sex": ("M", "V", "X", "unknown"),
    "triage": ("red", "orange", "yellow", "green", "blue", MISSING),
    "complaint_group": (
        "injury", "respiratory", "abdominal", "neurological", "fever", "intoxication", "psychosocial", "other", MISSING,
    ),
    "arrival_mode": ("own", "ambulance", "police", "other", MISSING),
    "referrer": ("self", "gp", "gp_post", "ambulance", "specialist", "other", MISSING),
    "nsk_status": ("complete", "partial", "absent"),
    "delay": (*ANSWER, MISSING),
    "interaction": (*ANSWER, MISSING),
    "injury_fit": (*ANSWER, MISSING),
    "other_signals": (*ANSWER, MISSING),
    "screener_role": ("nurse", "doctor", "other", MISSING),
    "top_to_toe": (*YES_NO, MISSING),
    "colleague_consult": (*YES_NO, MISSING),
    "leck_consult": (*YES_NO, MISSING),
    "vt_advice": (*YES_NO, MISSING),
    "vt_report": (*YES_NO, MISSING),
    "parents_informed": (*YES_NO, MISSING),
    "admitted": (*YES_NO, MISSING),
    "followup_outcome": ("abuse", "no_abuse", "unclear", MISSING),
    "ehr": ("HiX", "Epic", "Nexus", "other"),
    "hospital_type": ("academic", "teaching", "general"),
}  # fmt: skip
MONTHS = tuple(f"{year}-{month:02}" for year in range(2024, 2028) for month in range(1, 13))


def _abnormal(question: str, answer: str) -> str:
    return f"CASE WHEN {question} = '{answer}' THEN 'ja' WHEN {question} IS NULL THEN 'missing' ELSE 'nee' END"


_ANY_ABNORMAL = "(delay = 'ja' OR interaction = 'nee' OR injury_fit = 'nee' OR other_signals = 'ja')"
DERIVED: dict[str, tuple[tuple[str, ...], str]] = {  # levels, and SQL over columns that are NULL where missing
    "visit_quarter": (
        tuple(f"{year}-Q{quarter}" for year in range(2024, 2028) for quarter in range(1, 5)),
        "visit_month[1:4] || '-Q' || (CAST(visit_month[6:7] AS INTEGER) + 2) // 3",
    ),
    "visit_year": (tuple(str(year) for year in range(2024, 2028)), "visit_month[1:4]"),
    "age_band": (
        ("0-3", "4-8", "9-11", "12-17"),
        "CASE WHEN age // 12 <= 3 THEN '0-3' WHEN age // 12 <= 8 THEN '4-8' WHEN age // 12 <= 11 THEN '9-11'"
        " ELSE '12-17' END",
    ),
    "screened": (YES_NO, "CASE WHEN nsk_status = 'absent' THEN 'nee' ELSE 'ja' END"),
    "delay_abnormal": ((*YES_NO, MISSING), _abnormal("delay", "ja")),
    "interaction_abnormal": ((*YES_NO, MISSING), _abnormal("interaction", "nee")),
    "injury_fit_abnormal": ((*YES_NO, MISSING), _abnormal("injury_fit", "nee")),
    "other_signals_abnormal": ((*YES_NO, MISSING), _abnormal("other_signals", "ja")),
    "nsk_positive": (
        ("ja", "nee", "not_screened"),
        f"CASE WHEN coalesce({_ANY_ABNORMAL}, false) THEN 'ja' WHEN nsk_status = 'absent' THEN 'not_screened'"
        " ELSE 'nee' END",
    ),
}
LEVELS = {**RECORDED, **{name: levels for name, (levels, _) in DERIVED.items()}, "visit_month": MONTHS}
# A condition as a request writes it, and over columns that are NULL where a value is missing.
CONDITIONS: tuple[tuple[str | None, str], ...] = (
    (None, "true"),
    ("hospital_type = 'general'", "hospital_type = 'general'"),  # at some centres nothing is selected
    ("sex IN ('M', 'V') AND NOT (age_months < 6)", "sex IN ('M', 'V') AND age >= 6"),
    ("age_months BETWEEN 12 AND 150 OR delay = 'ja'", "age BETWEEN 12 AND 150 OR coalesce(delay = 'ja', false)"),
    ("triage IS NOT NULL", "triage IS NOT NULL"),
    ("daypart = 'missing' OR admitted IS NULL", "daypart IS NULL OR admitted IS NULL"),
    ("visit_month >= '2025-07' AND visit_month <> '2025-09'", "visit_month >= '2025-07' AND visit_month <> '2025-09'"),
    ("nsk_positive <> 'not_screened'", f"coalesce({_ANY_ABNORMAL}, false) OR nsk_status <> 'absent'"),
    ("age_months > 215", "false"),  # nobody, anywhere
)


# --- a question ---------------------------------------------------------------------------------------------------


@attrs.frozen
class Question:
    """A request, with its condition in two wordings, and the charter's rules.

    Of the latter, what is not here is as in a charter that says nothing: NK(2, 90), 85 %, multiples of 5, zeros closed.
    """

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    measure: str
    condition: tuple[str | None, str]
    margins: bool
    threshold: int
    insider: bool

    @property
    def text(self) -> str:
        """The request as TOML."""
        lines = ['kind = "table"', 'title = "A question"', 'purpose = "research"']
        lines.append(f"rows = {json.dumps(list(self.rows) if len(self.rows) > 1 else self.rows[0])}")
        if self.columns:
            lines.append(f"columns = {json.dumps(list(self.columns))}")
        lines.append(f'measure = "{self.measure}"')
        if self.condition[0] is not None:
            lines.append(f"where = {json.dumps(self.condition[0])}")
        if self.margins:
            lines.append("margins = true")
        return "\n".join(lines) + "\n"


Levels = tuple[str, ...]  # one level of each of some variables; all "total" in a margin


def _groups(names: Sequence[str]) -> list[Levels]:
    return list(itertools.product(*(LEVELS[name] for name in names)))


def layout(question: Question) -> list[tuple[Levels, Levels]]:
    """The cells in codebook order: the interior row by row, then row totals, column totals and the grand total."""
    down, across = _groups(question.rows), _groups(question.columns)
    cells = [(row, column) for row in down for column in across]
    if question.margins:
        all_rows, all_columns = ("total",) * len(question.rows), ("total",) * len(question.columns)
        if question.columns:
            cells += [(row, all_columns) for row in down]
            cells += [(all_rows, column) for column in across]
        cells.append((all_rows, all_columns))
    return cells


# --- the answer -----------------------------------------------------------------------------------------------------


@attrs.frozen(eq=False)
class Answer:
    """In the order of :func:`layout`: the joint value, and each centre's distinct children and visits [centres, cells].

    ``impossible`` cells have nobody in them, whatever the data.
    """

    values: list[int]
    children: np.ndarray
    visits: np.ndarray
    impossible: list[bool]

    def safe(self, question: Question) -> list[bool]:
        """What the rules allow: enough children and centres, also for whoever knows one centre's own."""
        verdicts = []
        centres = len(self.children)
        for counts, visits in zip(self.children.T.tolist(), self.visits.T.tolist(), strict=True):
            without = [sum(counts) - own for own in counts] if question.insider else []
            safe = all(rest >= question.threshold for rest in (sum(counts), *without))
            safe &= sum(own > 0 for own in counts) >= min(centres, 3)
            if question.measure == "visits":
                largest = sorted(visits, reverse=True)
                safe &= 100 * largest[0] <= 85 * sum(visits)
                if centres > 2:
                    safe &= 100 * (largest[0] + largest[1]) <= 90 * sum(visits)
                    safe &= 100 * sum(largest[2:]) >= 10 * largest[0]
            verdicts.append(safe)
        return verdicts


def ask_sql(files: Sequence[Path], question: Question) -> Answer:
    """Count over the concatenated files."""
    cells = layout(question)
    index = {row + column: k for k, (row, column) in enumerate(cells)}
    values = [0] * len(cells)
    children = np.zeros((len(files), len(cells)), dtype=np.int64)
    visits = np.zeros_like(children)
    with duckdb.connect(":memory:", config={"threads": 1}) as connection:
        _concatenate(connection, files)
        counted = "count(*)" if question.measure == "visits" else "count(DISTINCT centre || ':' || person_link)"
        where = question.condition[1]
        sides = (False, True) if question.margins else (False,)
        for no_rows, no_columns in {(r, c and bool(question.columns)) for r in sides for c in sides}:
            shown = ["'total'" if no_rows else f"g_{name}" for name in question.rows]
            shown += ["'total'" if no_columns else f"g_{name}" for name in question.columns]
            what = ", ".join(f"{sql} AS side{k}" for k, sql in enumerate(shown))
            for *levels, value in connection.execute(
                f"SELECT {what}, {counted} FROM wide WHERE {where} GROUP BY ALL"
            ).fetchall():
                values[index[tuple(levels)]] = value
            for *levels, centre, count, all_visits in connection.execute(
                f"SELECT {what}, centre, count(DISTINCT person_link), count(*) FROM wide WHERE {where} GROUP BY ALL"
            ).fetchall():
                children[centre, index[tuple(levels)]] = count
                visits[centre, index[tuple(levels)]] = all_visits
    return Answer(values, children, visits, impossible(question))


def impossible(question: Question) -> list[bool]:
    """Cells that no visit can be in: those into which none of very many random ones falls."""
    cells = layout(question)
    found = [False] * len(cells)
    index = {row + column: k for k, (row, column) in enumerate(cells)}
    domains = {**RECORDED, "visit_month": MONTHS, "age_months": [str(months) for months in range(216)]}
    with duckdb.connect(":memory:", config={"threads": 1}) as connection:
        connection.execute("SELECT setseed(0.5)")
        drawn = ", ".join(
            f"{list(levels)!r}[1 + CAST(floor(random() * {len(levels)}) AS INTEGER)] AS {name}"
            for name, levels in domains.items()
        )
        connection.execute(f"CREATE TABLE drawn AS SELECT {drawn} FROM range(20000)")
        recorded = ", ".join(f"nullif({name}, 'missing') AS {name}" for name in domains)
        connection.execute(f"CREATE TABLE raw AS SELECT {recorded} FROM drawn")
        _widen(connection)
        shown = ", ".join(f"g_{name}" for name in (*question.rows, *question.columns))
        for levels in connection.execute(f"SELECT DISTINCT {shown} FROM wide WHERE {question.condition[1]}").fetchall():
            row, column = levels[: len(question.rows)], levels[len(question.rows) :]
            no_row, no_column = ("total",) * len(row), ("total",) * len(column)
            for cell in (row + column, row + no_column, no_row + column, no_row + no_column):
                if cell in index:
                    found[index[cell]] = True
    return [not each for each in found]


def _concatenate(connection: duckdb.DuckDBPyConnection, files: Sequence[Path]) -> None:
    needed = ["person_link", "visit_month", "age_months", *RECORDED]
    parts = []
    for centre, path in enumerate(files):
        read = (
            f"read_parquet('{path}')"
            if path.suffix == ".parquet"
            else f"read_csv('{path}', all_varchar = true, header = true, delim = '{_delimiter(path)}')"
        )
        columns = ", ".join(f"nullif(nullif(CAST({name} AS VARCHAR), ''), 'missing') AS {name}" for name in needed)
        parts.append(f"SELECT {centre} AS centre, {columns} FROM {read}")
    connection.execute(f"CREATE TABLE raw AS {' UNION ALL '.join(parts)}")
    _widen(connection)


def _widen(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("CREATE TABLE typed AS SELECT *, CAST(age_months AS INTEGER) AS age FROM raw")
    # Raw columns for conditions, NULL where missing; and under names with g_ those to group by, "missing" a level.
    grouped = ", ".join(f"coalesce({name}, 'missing') AS g_{name}" for name in RECORDED)
    derived = ", ".join(f"{sql} AS g_{name}" for name, (_, sql) in DERIVED.items())
    connection.execute(f"CREATE TABLE wide AS SELECT *, visit_month AS g_visit_month, {grouped}, {derived} FROM typed")


def _delimiter(path: Path) -> str:
    first = path.read_text(encoding="utf-8-sig").splitlines()[0]
    return ";" if ";" in first else ","


# --- linear algebra -------------------------------------------------------------------------------------------------


def derivable(question: Question, shown: Sequence[bool]) -> list[bool]:
    """Which closed cells follow from the shown ones and the fact that totals are sums: by linear algebra."""
    cells = layout(question)
    place = {cell: k for k, cell in enumerate(cells)}
    equations = []
    if question.margins:
        down, across = _groups(question.rows), _groups(question.columns)
        all_rows, all_columns = ("total",) * len(question.rows), ("total",) * len(question.columns)
        lines = (
            [([(row, c) for c in across], (row, all_columns)) for row in (*down, all_rows)] if question.columns else []
        )
        lines += [([(r, column) for r in down], (all_rows, column)) for column in across]
        if question.columns:
            lines.append(([(r, all_columns) for r in down], (all_rows, all_columns)))
        for parts, total in lines:
            equation = np.zeros(len(cells))
            equation[[place[part] for part in parts]] = 1
            equation[place[total]] -= 1
            equations.append(equation)
    closed = np.flatnonzero(~np.array(shown))
    result = [False] * len(cells)
    if not len(closed) or not equations:
        return result
    matrix = np.array(equations)[:, closed]
    # What may still vary is the null space; a cell that is zero in all of it is fixed.
    _, sizes, vectors = np.linalg.svd(matrix)
    free = vectors[int((sizes > 1e-9).sum()) :]
    for k, cell in enumerate(closed.tolist()):
        result[cell] = bool(np.all(np.abs(free[:, k]) < 1e-9))
    return result


def check(
    question: Question, files: Sequence[Path], cells: Sequence[Mapping[str, Any]], near: Sequence[bool] = ()
) -> None:
    """Assert that ``cells``, as ``--json`` gives them, are what SQL and the rules say, no more and no less.

    ``near`` are cells that have to stay closed for an earlier table's sake (:func:`near_earlier`).
    """
    answer = ask_sql(files, question)
    names = (*question.rows, *question.columns)
    wanted = [dict(zip(names, row + column, strict=True)) for row, column in layout(question)]
    assert [{name: level for name, level in cell.items() if name != "value"} for cell in cells] == wanted
    shown = [cell["value"] is not None for cell in cells]
    for cell, is_shown, value in zip(cells, shown, answer.values, strict=True):
        assert not is_shown or cell["value"] == 5 * ((value + 2) // 5), cell
    allowed = [may and not close for may, close in itertools.zip_longest(answer.safe(question), near, fillvalue=False)]
    safe = [may or known for may, known in zip(allowed, answer.impossible, strict=True)]
    assert all(value == 0 for value, known in zip(answer.values, answer.impossible, strict=True) if known)
    if not question.margins:
        assert shown == safe
        return
    assert all(may for may, is_shown in zip(safe, shown, strict=True) if is_shown)
    assert not any(derivable(question, shown))
    for k, (may, is_shown) in enumerate(zip(safe, shown, strict=True)):
        if may and not is_shown:  # closed to protect another: without it something would follow
            opened = [*shown[:k], True, *shown[k + 1 :]]
            assert any(derivable(question, opened)), cells[k]


# --- earlier tables -------------------------------------------------------------------------------------------------

Members = list[list[dict[str, int]]]  # by cell, by centre: who is in it, and with how many visits


def members(files: Sequence[Path], question: Question) -> Members:
    """Who is in every cell, in the order of :func:`layout`."""
    cells = layout(question)
    index = {row + column: k for k, (row, column) in enumerate(cells)}
    found: Members = [[{} for _ in files] for _ in cells]
    sides = (False, True) if question.margins else (False,)
    with duckdb.connect(":memory:", config={"threads": 1}) as connection:
        _concatenate(connection, files)
        for no_rows, no_columns in {(r, c and bool(question.columns)) for r in sides for c in sides}:
            shown = ["'total'" if no_rows else f"g_{name}" for name in question.rows]
            shown += ["'total'" if no_columns else f"g_{name}" for name in question.columns]
            what = ", ".join(f"{sql} AS side{k}" for k, sql in enumerate(shown))
            for *levels, centre, child, visits in connection.execute(
                f"SELECT {what}, centre, person_link, count(*) FROM wide WHERE {question.condition[1]} GROUP BY ALL"
            ).fetchall():
                found[index[tuple(levels)]][centre][child] = visits
    return found


def near_earlier(
    question: Question, mine: Members, earlier: Sequence[tuple[Question, Members]], threshold: int
) -> list[bool]:
    """Cells that differ from one of an earlier table by fewer children than the threshold, but by some.

    Also by what is left when any one centre takes its own away.  Compared are cells that do not require different
    levels of a variable that both tables have.
    """
    near = []
    for (row, column), here in zip(layout(question), mine, strict=True):
        wanted = dict(zip((*question.rows, *question.columns), row + column, strict=True))
        near.append(False)
        for before, theirs in earlier:
            names = (*before.rows, *before.columns)
            for (other_row, other_column), there in zip(layout(before), theirs, strict=True):
                required = dict(zip(names, other_row + other_column, strict=True))
                if any(len({wanted[n], required[n], "total"}) > 2 for n in wanted.keys() & required.keys()):
                    continue
                apart = [
                    sum(a.get(child) != b.get(child) for child in a.keys() | b.keys())
                    for a, b in zip(here, there, strict=True)
                ]
                without = [sum(apart) - own for own in apart] if question.insider else [sum(apart)]
                near[-1] |= any(0 < left < threshold for left in without)
    return near


# --- hospitals --------------------------------------------------------------------------------------------------------


def write_centres(directory: Path, rng: np.random.Generator, centres: int, visits_max: int) -> list[Path]:
    """One file per centre, each written in its own manner."""
    files = []
    favourites = {name: rng.permutation(levels)[:2].tolist() for name, levels in RECORDED.items()}
    for centre in range(centres):
        rows = random_visits(rng, int(rng.integers(1, visits_max + 1)), favourites)
        path = directory / f"centre{centre}{'.parquet' if rng.random() < 0.3 else '.csv'}"
        write_file(path, rows, rng)
        files.append(path)
    return files


def random_visits(rng: np.random.Generator, count: int, favourites: Mapping[str, list[str]]) -> list[dict[str, str]]:
    children = max(1, int(count * rng.uniform(0.5, 1.0)))
    columns: dict[str, list[str]] = {
        "visit_id": [f"v{visit}" for visit in range(count)],
        # Pseudonyms repeat between centres on purpose: they are each centre's own, and mean different children.
        "person_link": [f"p{child}" for child in rng.integers(children, size=count)],
        "visit_month": rng.choice(MONTHS[12:24], count).tolist(),
        "age_months": rng.choice(["0", "11", "30", "47", "48", "107", "108", "143", "144", "215"], count).tolist(),
    }
    for name, levels in RECORDED.items():
        usual, any_level = rng.choice(favourites[name], count), rng.choice(levels, count)
        columns[name] = np.where(rng.random(count) < 0.85, usual, any_level).tolist()
    for name in ("hospital_type", "ehr"):
        columns[name] = [str(rng.choice(RECORDED[name]))] * count
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    if count >= 12 and rng.random() < 0.5:
        repeat_child(rows[:12])
    return rows


def repeat_child(rows: list[dict[str, str]]) -> None:
    """Make these the visits of one child, all alike."""
    for row in rows:
        row.update({name: value for name, value in rows[0].items() if name != "visit_id"})


def write_file(path: Path, rows: list[dict[str, str]], rng: np.random.Generator) -> None:
    names = [str(name) for name in rng.permutation(list(rows[0]))]
    for row in rows:
        for name in names:
            if row[name] == MISSING and rng.random() < 0.5:
                row[name] = ""  # the other spelling
    if rng.random() < 0.3:  # a derived column may be there as well
        names.append("age_band")
        for row in rows:
            years = int(row["age_months"]) // 12
            row["age_band"] = "0-3" if years < 4 else "4-8" if years < 9 else "9-11" if years < 12 else "12-17"
    if path.suffix == ".parquet":
        with duckdb.connect(":memory:", config={"threads": 1}) as connection:
            selected = ", ".join(
                f"CAST(nullif({name}, '') AS {'SMALLINT' if name == 'age_months' else 'VARCHAR'}) AS {name}"
                for name in names
            )
            connection.execute(f"CREATE TABLE t ({', '.join(f'{name} VARCHAR' for name in names)})")
            marks = ", ".join("?" for _ in names)
            connection.executemany(f"INSERT INTO t VALUES ({marks})", [[row[name] for name in names] for row in rows])
            connection.execute(f"COPY (SELECT {selected} FROM t) TO '{path}' (FORMAT parquet)")
        return
    with path.open("w", newline="", encoding="utf-8-sig" if rng.random() < 0.5 else "utf-8") as file:
        writer = csv.DictWriter(file, names, delimiter=";" if rng.random() < 0.5 else ",")
        writer.writeheader()
        writer.writerows(rows)


def random_question(rng: np.random.Generator, cells_max: int) -> Question:
    """A question whose table has at most so many interior cells."""
    while True:
        names = [str(name) for name in rng.permutation([n for n in LEVELS if n != "visit_month"])]
        rows, columns = int(rng.integers(1, 3)), int(rng.integers(0, 3))
        chosen = (tuple(names[:rows]), tuple(names[rows : rows + columns]))
        if len(_groups(chosen[0])) * len(_groups(chosen[1])) <= cells_max:
            break
    return Question(
        *chosen,
        measure=str(rng.choice(["visits", "children"])),
        condition=CONDITIONS[max(0, int(rng.integers(-4, len(CONDITIONS))))],  # about one in three without
        margins=bool(rng.random() < 0.5),
        threshold=min(int(rng.integers(3, 13)), int(rng.integers(3, 13))),
        insider=bool(rng.random() < 0.6),
    )
