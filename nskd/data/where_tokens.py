"""The first gate of a condition: only the words of a small grammar reach the parser, and only so many."""

from __future__ import annotations

from collections.abc import Sequence

import sqlglot
from sqlglot.tokenizer_core import Token, TokenType

from nskd.data.errors import RequestError
from nskd.packs.codebook import Codebook, closest

WHERE_CHARS_MAX = 4000  # a steward must be able to read what is asked
TOKENS_MAX = 500  # keeps every sum of whole numbers inside 64 bits, with INTEGER_MAX
DEPTH_MAX = 16  # the parser takes some twenty Python frames a level; the limit is a thousand

FUNCTIONS = ("abs", "coalesce", "lower", "upper")
GRAMMAR = (
    "Allowed are variables of the codebook, 'text' and whole numbers, = <> < <= > >=, AND, OR, NOT, IN (…),"
    f" BETWEEN, IS NULL, + and -, parentheses, and the functions {', '.join(FUNCTIONS)}."
)

_TOKENS = frozenset(
    {
        TokenType.VAR, TokenType.IDENTIFIER, TokenType.STRING, TokenType.NUMBER,
        TokenType.EQ, TokenType.NEQ, TokenType.LT, TokenType.LTE, TokenType.GT, TokenType.GTE,
        TokenType.AND, TokenType.OR, TokenType.NOT, TokenType.IN, TokenType.BETWEEN,
        TokenType.IS, TokenType.NULL, TokenType.TRUE, TokenType.FALSE,
        TokenType.L_PAREN, TokenType.R_PAREN, TokenType.COMMA, TokenType.PLUS, TokenType.DASH,
    }
)  # fmt: skip


def refuse(what: str, position: int | None, remedy: str) -> RequestError:
    """Return the error for a condition that is refused at a character (from 0), or as a whole."""
    where = "where" if position is None else f"where, character {position + 1}"
    return RequestError(what, where=where, remedy=remedy, position=position)


def allowed_tokens(source: str, codebook: Codebook) -> Sequence[Token]:
    """Return the tokens of a condition, each of them allowed. Raises `RequestError`."""
    if len(source) > WHERE_CHARS_MAX:
        raise refuse(f"the condition is longer than {WHERE_CHARS_MAX} characters", None, "Shorten it.")
    odd = next((index for index, char in enumerate(source) if not (char.isprintable() or char in "\t\r\n")), None)
    if odd is not None:
        raise refuse("there is a character that cannot be printed", odd, "Remove it.")
    try:
        tokens = sqlglot.tokenize(source, read="duckdb")
    except Exception as error:  # whatever a third-party tokenizer raises is a fault of the text
        raise refuse("the text cannot be read as SQL", None, "Check that every quote is closed.") from error
    opened = run = 0
    for index, token in enumerate(tokens):
        if token.comments:
            raise refuse("comments are not allowed", token.start, "Remove the comment.")
        following = tokens[index + 1].token_type if index + 1 < len(tokens) else None
        _check_token(token, following is TokenType.L_PAREN, codebook)
        opened += (token.token_type is TokenType.L_PAREN) - (token.token_type is TokenType.R_PAREN)
        # A run of NOT or of signs nests in the parser just as parentheses do.
        run = run + 1 if token.token_type in (TokenType.NOT, TokenType.DASH) else 0
        if opened + run > DEPTH_MAX:
            raise refuse(f"the condition is nested deeper than {DEPTH_MAX}", token.start, "Write it flatter.")
    if len(tokens) > TOKENS_MAX:
        raise refuse(f"the condition has more than {TOKENS_MAX} words", None, "Shorten it.")
    if not tokens:
        raise refuse("there is nothing but a comment", None, "Write a condition, or leave it out.")
    return tokens


def _check_token(token: Token, called: bool, codebook: Codebook) -> None:
    word = token.text
    known = word.lower() in codebook.variables
    if token.token_type not in _TOKENS and not known:
        raise refuse(f'"{word}" is not allowed here', token.start, GRAMMAR)
    if called and token.token_type is TokenType.VAR and word.lower() not in FUNCTIONS:
        raise refuse(f'"{word}" is not a function that may be used', token.start, GRAMMAR)
    if token.token_type in (TokenType.VAR, TokenType.IDENTIFIER) and not called and not known:
        raise _unknown_variable(word, token, codebook)


def _unknown_variable(word: str, token: Token, codebook: Codebook) -> RequestError:
    if any(word in variable.keys for variable in codebook.variables.values()):
        return refuse(f'"{word}" is a level, not a variable', token.start, f"Write it in single quotes: '{word}'.")
    near = closest(word, [name for name in codebook.variables if not codebook.private(name)])
    remedy = f'Did you mean "{near}"?' if near else "Use a variable of the codebook."
    return refuse(f'there is no variable "{word}"', token.start, remedy)
