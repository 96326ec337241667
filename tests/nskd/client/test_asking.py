"""Every example of ``docs/asking.md``, as it stands there; its notebook among real daemons, whose stewards approve."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from nskd.client import Client, Request
from nskd.data.where_tokens import FUNCTIONS
from nskd.errors import OperatorError
from nskd.governance.question import Kind
from nskd.governance.request_text import parse_request
from tests.console import Done, commands, known, run
from tests.system.workshop import Plan, Workshop, lay_out

from .notebook import DOCS, NOTEBOOK, SOURCE, notebook_of, written

DOCUMENT = SOURCE.read_text()
CLIENT = Client("/nowhere/control.sock")
GIVEN = {"title": "T", "purpose": "research"}


def test_the_sql_there_is_a_request() -> None:
    blocks = re.findall(r"```sql\n(.*?)```", DOCUMENT, flags=re.DOTALL)
    requests = [CLIENT.sql(block, **GIVEN) for block in blocks]
    assert [request.totals for request in requests] == [False, True, True]
    assert (requests[1].rows, requests[1].columns) == (("age_band",), ("nsk_positive",))
    assert (requests[2].rows, requests[2].columns) == (("age_band", "sex"), ("nsk_positive",))


def test_the_sql_refused_there_is_answered_so() -> None:
    rows = re.findall(r"^\| `(SELECT .*?)` \| (.*) \|$", DOCUMENT, flags=re.MULTILINE)
    assert len(rows) == 7
    for source, answer in rows:
        with pytest.raises(OperatorError) as caught:
            CLIENT.sql(source, **GIVEN)
        assert str(caught.value) == answer


def test_the_calls_there_make_every_kind() -> None:
    rows = re.findall(r"^\| `(\w+)` \| .* \| `(client\..*)` \|$", DOCUMENT, flags=re.MULTILINE)
    assert {kind for kind, _ in rows} == set(Kind) - {Kind.TABLE}
    for kind, call in rows:
        request = eval(call, {"client": CLIENT}).titled("T").for_purpose("improvement")
        assert isinstance(request, Request)
        assert parse_request(request.text.encode()).kind == kind
        assert CLIENT.read(request.text) == request


def test_the_words_of_conditions_named_there_are_those_there_are() -> None:
    (listed,) = re.findall(r"It knows (.*?)\. A missing", DOCUMENT, flags=re.DOTALL)
    words = set(re.findall(r"`([^`]+)`", listed))
    assert words >= set(FUNCTIONS)
    for word in words - set(FUNCTIONS):
        assert word in "= <> < <= > >= AND OR NOT IN BETWEEN IS NULL + -"


def test_the_keys_named_there_are_those_of_a_request() -> None:
    named = set(re.findall(r"`(\w+)`", " ".join(re.findall(r"^\| (`.*?) \|", DOCUMENT, flags=re.MULTILINE)[:5])))
    full = CLIENT.table(rows="sex", columns="ehr").where("true").with_totals().titled("T").for_purpose("research")
    assert named == set(re.findall(r"^(\w+) =", full.under_permit("P-1").text, flags=re.MULTILINE)) - {"kind"}


def test_the_notebook_is_that_section_and_has_no_outputs() -> None:
    assert NOTEBOOK.read_text() == written(DOCUMENT), "write it anew: python -m tests.nskd.client.notebook"
    cells = notebook_of(DOCUMENT)["cells"]
    assert [cell["cell_type"] for cell in cells[:2]] == ["markdown", "code"]
    assert DOCUMENT.count("```python") == sum(cell["cell_type"] == "code" for cell in cells)


def execute(notebook: Path, directory: Path) -> dict[str, Any]:
    """Run a notebook in a kernel of its own; return it with its outputs."""
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from nbclient.cli import main; main()",
            "--timeout=120",
            "--output=done",
            str(notebook),
        ],
        env={**os.environ, "IPYTHONDIR": str(directory), "JUPYTER_RUNTIME_DIR": str(directory)},
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    executed: dict[str, Any] = json.loads(notebook.with_name("done.ipynb").read_text())
    return executed


def texts(cell: dict[str, Any]) -> str:
    """All that a cell shows, in every form."""
    found = []
    for output in cell["outputs"]:
        found += output.get("traceback", [])
        for part in (output.get("text"), *output.get("data", {}).values()):
            found.append("".join(part or ""))
    return "\n".join(found)


async def approve_all(workshop: Workshop, task_status: trio.TaskStatus[None]) -> None:
    """Every steward approves whatever is asked at the first centre."""
    async with workshop.daemons[0].events("request.state") as client, trio.open_nursery() as nursery:
        task_status.started()
        while True:
            event = await client.next_event()
            if event["state"] == "submitted" and "centre" not in event:
                for daemon in workshop.daemons:
                    nursery.start_soon(workshop.approve, daemon, event["request"])


async def aside(done: list[Any], call: Callable[[], Any]) -> None:
    done.append(await trio.to_thread.run_sync(call))


def test_the_commands_there_are_known() -> None:
    assert {known(command) for command in commands(DOCUMENT)} == {"nskctl request submit", "nskctl request from-sql"}


def test_the_notebook_needs_no_daemon_as_far_as_the_rehearsal_goes() -> None:
    """Its cells one after the other in one namespace, each with what its last line shows."""
    names: dict[str, Any] = {}
    shown: list[str] = []
    code = [cell for cell in notebook_of(DOCUMENT)["cells"] if cell["cell_type"] == "code"]
    for cell in code[:5]:
        *before, last = ast.parse("".join(cell["source"])).body
        exec(compile(ast.Module(before, []), "<cell>", "exec"), names)
        if isinstance(last, ast.Expr):
            shown.append(repr(eval(compile(ast.Expression(last.value), "<cell>", "eval"), names)))
    begin, built, _, rehearsal, frame = shown
    assert "pack nsk" in begin
    assert 'title = "Children screened, by age band"' in built
    assert names["same"] == names["request"]
    assert "SYNTHETIC DATA" in rehearsal
    assert "synthetic" in frame
    with pytest.raises(OperatorError):
        exec("".join(code[5]["source"]), names)  # the first that asks a daemon


@pytest.mark.long
@pytest.mark.timeout(240)
async def test_commands_and_notebook_among_real_daemons(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[Any] = []
    document = notebook_of(DOCUMENT)
    failing = {"cell_type": "code", "execution_count": None, "outputs": [], "id": "wrong", "metadata": {}}
    failing |= {"source": "client.table(rows='age_bnad')"}
    failing["metadata"] = {"tags": ["raises-exception"]}
    document["cells"].append(failing)
    with tempfile.TemporaryDirectory(prefix="nskd-asking-") as name:
        directory = Path(name)
        workshop = lay_out(directory, [Plan("noord"), Plan("zuid")])
        notebook = directory / "asking.ipynb"
        notebook.write_text(json.dumps(document))
        (directory / "request.toml").write_bytes((DOCS.parent / "configs" / "request.toml").read_bytes())
        monkeypatch.setenv("NSKD_SOCKET", str(workshop.daemons[0].socket))
        try:
            workshop.start()
            async with trio.open_nursery() as approving:
                await approving.start(lambda task_status: approve_all(workshop, task_status))
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(aside, ran, lambda: run(directory, commands(DOCUMENT), timeout_s=100))
                    nursery.start_soon(aside, ran, lambda: execute(notebook, directory))
                approving.cancel_scope.cancel()
        finally:
            workshop.reap()
        written_by_sql = (directory / "positive.toml").read_bytes()

    (console,) = (each for each in ran if isinstance(each, Done))
    (executed,) = (each for each in ran if isinstance(each, dict))
    assert console.status == 0, console.errors[-3000:]
    assert console.output.count("in order; nothing was submitted") == 2
    assert parse_request(written_by_sql).columns == ("nsk_positive",)
    code = [cell for cell in executed["cells"] if cell["cell_type"] == "code"]
    begin, built, sql, rehearsal, frame, checked, waited, result, printed, caught, wrong = map(texts, code)
    assert "pack nsk" in begin
    assert 'title = "Children screened, by age band"' in built
    assert sql.startswith("True\nSELECT age_band, screened, COUNT(DISTINCT person_link)\n")
    assert rehearsal.count("SYNTHETIC DATA") == 2  # as text and as a page
    assert "synthetic" in frame
    assert "What is asked" in checked
    lines = waited.splitlines()
    assert lines[0] == "the request is submitted, approved by 0 of 2"
    assert any(re.fullmatch("(noord|zuid) has decided, the request is approved", line) for line in lines)
    assert any(line.startswith("computing: ") for line in lines)
    assert "SYNTHETIC" not in result
    assert "<table>" in result
    assert "rounded to multiples of 5" in result
    assert printed.splitlines()[0] == "age_band,screened,children"
    assert len(printed.splitlines()) >= 9
    assert any(line.split(",")[2].isdigit() for line in printed.splitlines()[1:] if line)
    assert caught.startswith('rows: there is no variable "age_bnad". Did you mean "age_band"?')
    assert wrong.strip() == caught.strip()  # an error nobody caught is that sentence, and no traceback
