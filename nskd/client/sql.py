"""SQL → one SELECT that reads visits: its list, its condition as it was written, and what it groups by.

Which request that makes is for each kind to say (:mod:`nskd.client.table_sql`).  What cannot be part of any is refused
here: by word (:mod:`nskd.client.sql_gate`), then by clause.  A condition stays the analyst's own text, to be read by
:mod:`nskd.data.where` here as at every hospital.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import attrs
import sqlglot
from sqlglot import exp
from sqlglot.tokenizer_core import Token, TokenType

from nskd.client.errors import SqlError
from nskd.client.sql_gate import FORM, allowed_tokens, refuse
from nskd.data.errors import RequestError
from nskd.data.where import parse_where
from nskd.packs.codebook import Codebook

SOURCE: Final = "visits"  # what every request reads
_CLAUSES: Final = frozenset({"expressions", "from_", "where", "group", "order"})


@attrs.frozen
class Select:
    """A SELECT of known clauses; `condition` is a checked text, None for all visits."""

    source: str
    listed: tuple[exp.Expression, ...]
    condition: str | None
    group: exp.Group | None
    order: exp.Order | None

    def refusal(self, what: str, node: object, remedy: str) -> SqlError:
        """Make the error for a part of it."""
        return refuse(what, position_of(node), remedy, self.source)


def read_select(source: str, codebook: Codebook) -> Select:
    """Read one SELECT.  Raises ``SqlError``."""
    tokens = allowed_tokens(source, codebook)
    tree = _parse(source[: tokens[-1].end + 1])
    for name, value in tree.args.items():
        if value and name not in _CLAUSES:
            what = "a request reads visits and nothing else" if name == "joins" else "this cannot be part of a request"
            raise refuse(what, position_of(value[0] if isinstance(value, list) else value), FORM, source)
    _check_source(tree, source)
    group, order = tree.args.get("group"), tree.args.get("order")
    return Select(
        source,
        tuple(tree.expressions),
        None if tree.args.get("where") is None else _condition(source, tokens, codebook),
        group if isinstance(group, exp.Group) else None,
        order if isinstance(order, exp.Order) else None,
    )


def position_of(node: object) -> int | None:
    """The first character of a node, where the parser kept it."""
    if not isinstance(node, exp.Expression):
        return None
    return min((part.meta["start"] for part in node.walk() if "start" in part.meta), default=None)


def bare(node: object, *allowed: str) -> bool:
    """Whether a node carries nothing but its operand and what is ``allowed``."""
    harmless = {"this", "quoted", *allowed}
    return isinstance(node, exp.Expression) and not any(v for k, v in node.args.items() if k not in harmless)


def _parse(source: str) -> exp.Select:
    try:
        trees = sqlglot.parse(source, read="duckdb")
    except sqlglot.errors.ParseError as error:
        first = error.errors[0] if error.errors else {}
        near, start = str(first.get("highlight") or ""), str(first.get("start_context") or "")
        at = source.find(start + near) + len(start) if near and start + near in source else None
        what = "the SQL cannot be understood" + (f' near "{near[:40]}"' if near else "")
        raise refuse(what, at, FORM, source) from error
    except Exception as error:  # whatever a third-party parser raises is a fault of the text; RecursionError too
        raise refuse("the SQL cannot be understood", None, FORM, source) from error
    if len(trees) != 1 or not isinstance(trees[0], exp.Select):
        raise refuse("the SQL is not one SELECT", None, FORM, source)
    return trees[0]


def _check_source(tree: exp.Select, source: str) -> None:
    clause = tree.args.get("from_")
    if not isinstance(clause, exp.From):
        raise refuse("there is no FROM", None, f"Write FROM {SOURCE}.", source)
    table = clause.this
    plain = isinstance(table, exp.Table) and isinstance(table.this, exp.Identifier) and bare(clause)
    if not plain or str(table.this.this).lower() != SOURCE:
        raise refuse("a request reads visits and nothing else", position_of(table), f"Write FROM {SOURCE}.", source)
    if not bare(table):
        what = f"{SOURCE} takes no other name, prefix or sample"
        raise refuse(what, position_of(table), f"Write FROM {SOURCE} alone.", source)


def _condition(source: str, tokens: Sequence[Token], codebook: Codebook) -> str:
    """The text between WHERE and what follows it, checked as a request's condition is."""
    begins = [token for token in tokens if token.token_type is TokenType.WHERE]
    ends = [token.start for token in tokens if token.token_type in (TokenType.GROUP_BY, TokenType.ORDER_BY)]
    if len(begins) != 1:
        raise refuse("there is more than one WHERE", begins[-1].start if begins else None, "Join them by AND.", source)
    begin = begins[0].end + 1
    end = min((at for at in ends if at > begin), default=tokens[-1].end + 1)
    text = source[begin:end]
    try:
        parse_where(text, codebook)
    except RequestError as error:
        at = begin if error.position is None else begin + error.position
        raise refuse(error.what, at, error.remedy, source) from error
    return text.strip()
