"""The first gate of SQL that is to become a request: word by word, before a parser sees any of it.

A parser drops what means little to it (``COUNT(ALL x)``, hints in comments), and runs deep on what is nested deep.  So
only known words pass, only so many, and the rest is refused here with its place and what to write instead.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import MappingProxyType
from typing import Final

import sqlglot
from sqlglot.tokenizer_core import Token, TokenType

from nskd.client.errors import SqlError
from nskd.data.where_tokens import DEPTH_MAX, FUNCTIONS, WHERE_CHARS_MAX
from nskd.data.where_tokens import TOKENS_MAX as WHERE_TOKENS_MAX
from nskd.packs.codebook import Codebook

SQL_CHARS_MAX: Final = WHERE_CHARS_MAX + 4_000  # eight variables, named in SELECT and in each of four grouping sets
TOKENS_MAX: Final = WHERE_TOKENS_MAX + 200
FORM: Final = (
    "Write SELECT variables, COUNT(*) or COUNT(DISTINCT child) FROM visits WHERE a condition GROUP BY the variables."
)
COUNTED: Final = ("count",)

T = TokenType
_ALLOWED: Final = frozenset(
    {
        T.SELECT, T.FROM, T.WHERE, T.GROUP_BY, T.ORDER_BY, T.ASC, T.STAR, T.DISTINCT, T.ALIAS,
        T.GROUPING_SETS, T.CUBE, T.ROLLUP, T.VAR, T.IDENTIFIER, T.STRING, T.NUMBER,
        T.EQ, T.NEQ, T.LT, T.LTE, T.GT, T.GTE, T.AND, T.OR, T.NOT, T.IN, T.BETWEEN,
        T.IS, T.NULL, T.TRUE, T.FALSE, T.L_PAREN, T.R_PAREN, T.COMMA, T.PLUS, T.DASH,
    }
)  # fmt: skip
_JOINS: Final = (
    T.JOIN, T.INNER, T.OUTER, T.LEFT, T.RIGHT, T.FULL, T.CROSS, T.NATURAL, T.ASOF, T.SEMI, T.ANTI, T.STRAIGHT_JOIN,
    T.LATERAL, T.ON, T.USING,
)  # fmt: skip
_JOIN: Final = (
    "a request reads visits and nothing else",
    "Write FROM visits alone; every variable of the codebook is a column of it.",
)
_WINDOW: Final = ("window functions cannot be asked", "Ask for the counts, and compute from the result.")
_WHOLE: Final = ("a table is released as a whole", "Leave {} out, and choose from the result.")
_SETS: Final = ("one request is one table", "Ask for each table by itself.")
_LIKE: Final = ("patterns cannot be asked", "Name the levels: variable IN ('…', '…').")
_VALUE: Final = ("there are no parameters", "Write the value itself.")
_ARITHMETIC: Final = ("this cannot be computed", "Ask for the counts, and compute from the result.")
_CAST: Final = ("there are no conversions", "Compare a variable with a value of its own kind.")
_REFUSALS: Final = MappingProxyType(
    {
        **dict.fromkeys(_JOINS, _JOIN),
        **dict.fromkeys((T.LIMIT, T.OFFSET, T.FETCH, T.TABLE_SAMPLE), _WHOLE),
        **dict.fromkeys((T.OVER, T.WINDOW, T.PARTITION_BY, T.QUALIFY), _WINDOW),
        **dict.fromkeys((T.UNION, T.INTERSECT, T.EXCEPT), _SETS),
        **dict.fromkeys((T.LIKE, T.ILIKE, T.GLOB, T.RLIKE, T.SIMILAR_TO), _LIKE),
        **dict.fromkeys((T.PARAMETER, T.PLACEHOLDER, T.COLON), _VALUE),
        **dict.fromkeys((T.SLASH, T.DIV, T.MOD, T.DPIPE, T.CARET), _ARITHMETIC),
        **dict.fromkeys((T.DCOLON,), _CAST),
        T.HAVING: (
            "groups are not chosen by their size: which cells are shown is for the charter's rules",
            "Leave HAVING out, and choose from the result.",
        ),
        T.WITH: ("nothing can be defined beside the one SELECT", FORM),
        T.CASE: ("CASE cannot be computed", "Take a variable of the codebook that has these groups."),
        T.FILTER: ("counts cannot be filtered", "Put the condition in WHERE, or group by the variable it is about."),
        T.ALL: ("ALL is not allowed", "Name the variables."),
        T.DOT: ("variables have no prefix", "Write the name of the variable alone."),
        T.DESC: ("a table comes in the order of the codebook", "Leave ORDER BY out, and sort the result."),
        T.SEMICOLON: ("there is more than one statement", "Write one SELECT."),
    }
)


def refuse(what: str, position: int | None, remedy: str, source: str) -> SqlError:
    """Return the error for SQL that is refused at a character (from 0), or as a whole."""
    where = "SQL"
    if position is not None:
        line = source.count("\n", 0, position)
        character = position - (source.rfind("\n", 0, position) + 1) + 1
        where = f"SQL, line {line + 1}, character {character}" if "\n" in source else f"SQL, character {character}"
    return SqlError(what, where=where, remedy=remedy, position=position)


def allowed_tokens(source: str, codebook: Codebook) -> list[Token]:
    """Return the tokens of one statement, each of them allowed, a last semicolon left out.  Raises ``SqlError``."""
    if len(source) > SQL_CHARS_MAX:
        raise refuse(f"the SQL is longer than {SQL_CHARS_MAX} characters", None, "Shorten it.", source)
    odd = next((k for k, char in enumerate(source) if not (char.isprintable() or char in "\t\r\n")), None)
    if odd is not None:
        raise refuse("there is a character that cannot be printed", odd, "Remove it.", source)
    try:
        tokens = list(sqlglot.tokenize(source, read="duckdb"))
    except Exception as error:  # whatever a third-party tokenizer raises is a fault of the text
        raise refuse("the text cannot be read as SQL", None, "Check that every quote is closed.", source) from error
    if tokens and tokens[-1].token_type is T.SEMICOLON and not tokens[-1].comments:
        tokens.pop()
    if not tokens or tokens[0].token_type is not T.SELECT:
        raise refuse("a request begins with SELECT", tokens[0].start if tokens else None, FORM, source)
    if len(tokens) > TOKENS_MAX:
        raise refuse(f"the SQL has more than {TOKENS_MAX} words", None, "Shorten it.", source)
    _check(tokens, codebook, source)
    return tokens


def _check(tokens: Iterable[Token], codebook: Codebook, source: str) -> None:
    depth = run = 0
    before: Token | None = None
    for token in tokens:
        if token.comments:
            what, remedy = "comments are not kept in a request", "Remove the comment; the title can say what it said."
            raise refuse(what, token.start, remedy, source)
        if token.token_type is T.L_PAREN and before is not None:
            _check_call(before, source)
        _check_word(token, before, codebook, source)
        depth += (token.token_type is T.L_PAREN) - (token.token_type is T.R_PAREN)
        # A run of NOT or of signs nests in a parser just as parentheses do.
        run = run + 1 if token.token_type in (T.NOT, T.DASH) else 0
        if depth + run > DEPTH_MAX:
            raise refuse(f"the SQL is nested deeper than {DEPTH_MAX}", token.start, "Write it flatter.", source)
        before = token


def _check_word(token: Token, before: Token | None, codebook: Codebook, source: str) -> None:
    kind, word = token.token_type, token.text
    if word.lower() in codebook.variables:  # a name that SQL has another use for is still a name
        return
    if kind is T.SELECT and before is not None:
        raise refuse("there are no subqueries", token.start, "Put the condition itself in WHERE.", source)
    if kind is T.DISTINCT and (before is None or before.token_type is not T.L_PAREN):
        remedy = "Count groups, by GROUP BY, with COUNT(*) or COUNT(DISTINCT child)."
        raise refuse("DISTINCT lists rows, and rows never leave a hospital", token.start, remedy, source)
    if kind is T.STAR and (before is None or before.token_type is not T.L_PAREN):
        remedy = "Name the variables to group by, and count with COUNT(*) or COUNT(DISTINCT child)."
        raise refuse("rows never leave a hospital", token.start, remedy, source)
    if kind in _ALLOWED:
        return
    what, remedy = _REFUSALS.get(kind, (f'"{word[:40]}" cannot be part of a request', FORM))
    raise refuse(what, token.start, remedy.format(word.upper()), source)


def _check_call(function: Token, source: str) -> None:
    """Refuse a function by its name."""
    name = function.text.lower()
    if function.token_type is not T.VAR or name in (*COUNTED, *FUNCTIONS):
        return
    remedy = "Only COUNT(*) and COUNT(DISTINCT child) can be asked; compute the rest from the result."
    raise refuse(f"{function.text[:40].upper()} cannot be asked", function.start, remedy, source)
