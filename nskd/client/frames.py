"""Results as frames of the three libraries that notebooks use; none of them comes with nskd."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from nskd.client.errors import MissingPackageError

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow

    from nskd.client.result import Result


def pandas_frame(result: Result) -> pandas.DataFrame:
    """As a pandas frame; ``MissingPackageError`` without pandas."""
    library = _library("pandas")
    columns: dict[str, Any] = result.columns()
    for name in result.variables:
        columns[name] = library.Categorical(columns[name], categories=_levels(columns[name]), ordered=True)
    columns[result.count_name] = library.array(columns[result.count_name], dtype="Int64")
    frame = library.DataFrame(columns)
    frame.attrs["title"] = result.title
    return frame


def polars_frame(result: Result) -> polars.DataFrame:
    """As a Polars frame; ``MissingPackageError`` without Polars."""
    library = _library("polars")
    columns = result.columns()
    schema: dict[str, Any] = {name: library.Enum(_levels(columns[name])) for name in result.variables}
    schema[result.count_name] = library.Int64
    frame: polars.DataFrame = library.DataFrame(columns, schema_overrides=schema)
    return frame


def arrow_table(result: Result) -> pyarrow.Table:
    """As an Arrow table; ``MissingPackageError`` without pyarrow."""
    library = _library("pyarrow")
    columns: dict[str, Any] = result.columns()
    for name in result.variables:
        levels = _levels(columns[name])
        places = library.array([levels.index(level) for level in columns[name]], type=library.int16())
        columns[name] = library.DictionaryArray.from_arrays(places, library.array(levels), ordered=True)
    columns[result.count_name] = library.array(columns[result.count_name], type=library.int64())
    return library.table(columns)


def _levels(column: list[str]) -> list[str]:
    """The levels in codebook order, which is that of their first cells; a total comes last."""
    return list(dict.fromkeys(column))


def _library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise MissingPackageError(
            f"{name} is not installed", where="result", remedy=f"Install it with: pip install {name}"
        ) from None
