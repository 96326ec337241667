"""The notebook section of ``docs/asking.md`` as a notebook; ``python -m tests.nskd.client.notebook`` writes it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[3] / "docs"
SOURCE, NOTEBOOK = DOCS / "asking.md", DOCS / "asking.ipynb"


def notebook_of(document: str) -> dict[str, Any]:
    """Text and Python blocks in turn as cells, without outputs: the same each time."""
    section = document[document.index("## In a notebook") :]
    cells: list[dict[str, Any]] = []
    for part in re.split(r"(```python\n.*?```)", section, flags=re.DOTALL):
        code = re.fullmatch(r"```python\n(.*?)\n```", part, flags=re.DOTALL)
        source = (code[1] if code else part).strip()
        if source:
            cell: dict[str, Any] = {
                "id": f"cell-{len(cells)}",
                "metadata": {},
                "source": source.splitlines(keepends=True),
            }
            kind = {"cell_type": "code", "execution_count": None, "outputs": []} if code else {"cell_type": "markdown"}
            cells.append(kind | cell)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}


def written(document: str) -> str:
    """The notebook as its file holds it."""
    return json.dumps(notebook_of(document), ensure_ascii=False, indent=1) + "\n"


if __name__ == "__main__":
    NOTEBOOK.write_text(written(SOURCE.read_text()))
