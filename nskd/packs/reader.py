"""Pack files → model. Every fault becomes a `PackError` that names the file, the key and the remedy."""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from nskd.packs import schema
from nskd.packs.codebook import (
    INTEGER_MAX,
    LEVELS_MAX,
    MISSING,
    TOTAL,
    VARIABLES_MAX,
    Codebook,
    Level,
    Rule,
    Text,
    Variable,
    VariableType,
    closest,
)
from nskd.packs.conditions import Cases, Condition, OneOf, PackDerivation, Period, PeriodUnit, Within
from nskd.packs.errors import PackError

CODEBOOK_LABEL = b"nskd codebook 1\0"
NAME = re.compile(r"[a-z][a-z0-9_]{0,47}")
KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,31}")
MONTH = re.compile(r"(\d{4})-(0[1-9]|1[0-2])")

FileT = TypeVar("FileT")


def decode(raw: bytes, kind: type[FileT], file: str) -> FileT:
    """Read the bytes of a TOML file as its schema struct."""
    try:
        tree = tomllib.loads(raw.decode())
    except UnicodeDecodeError as error:
        raise PackError("is not UTF-8 text", file=file, remedy="Save the file as UTF-8.") from error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits is no TOMLDecodeError
        raise PackError(f"is not TOML: {error}", file=file, remedy="Correct the line it names.") from error
    try:
        return msgspec.convert(tree, kind)
    except msgspec.ValidationError as error:
        what, _, path = str(error).partition(" - at ")
        raise PackError(
            what,
            file=file,
            key=_readable(path.strip("`"), tree),
            remedy="Correct this key; the pack guide lists the keys of each table.",
        ) from error


def _readable(path: str, tree: Any) -> str:
    """`$.variable[3].levels` as `variable "delay".levels`, so that nobody has to count tables."""
    shown, node = "", tree
    for name, index in re.findall(r"\.([^.\[\]]+)|\[(\d+|\.\.\.)\]", path.removeprefix("$")):
        try:
            node = node[name] if name else node[int(index)]
        except (KeyError, IndexError, TypeError, ValueError):
            node = None
        if name:
            shown += f".{name}" if shown else name
        else:
            table = node if isinstance(node, dict) else {}
            title = next((table[k] for k in ("name", "id", "key", "variable") if k in table), None)
            shown += f' "{title}"' if title else f" {index}"
    return shown


def month_range(first: str, last: str) -> tuple[str, ...]:
    """Every month from `first` to `last`, both included, as `YYYY-MM`."""
    start, stop = (int(m[:4]) * 12 + int(m[5:]) - 1 for m in (first, last))
    return tuple(f"{month // 12:04d}-{month % 12 + 1:02d}" for month in range(start, stop + 1))


def resolve_condition(when: schema.When, variables: Mapping[str, Variable], *, file: str, key: str) -> Condition:
    """Return a condition whose variables, levels and bounds all exist."""
    tests: list[tuple[str, OneOf | Within]] = []
    for name, wanted in when.items():
        variable = variables.get(name)
        if variable is None:
            raise _unknown("variable", name, variables, file, key)
        if isinstance(wanted, schema.RangeFile):
            if variable.type is not VariableType.INTEGER:
                remedy = "Name its levels instead."
                raise PackError(
                    f'"{name}" has levels and cannot be tested by a range', file=file, key=key, remedy=remedy
                )
            tests.append((name, Within(wanted.min, wanted.max)))
            continue
        keys = (wanted,) if isinstance(wanted, str) else tuple(wanted)
        if not keys:
            raise PackError(f'no level of "{name}" is named', file=file, key=key, remedy="Name at least one.")
        for level in keys:
            if level not in variable.keys:
                raise _unknown(f'level of "{name}"', level, variable.keys, file, key)
        tests.append((name, OneOf(keys)))
    return Condition(tuple(tests))


def _unknown(kind: str, word: str, choices: Mapping[str, Any] | Sequence[str], file: str, key: str) -> PackError:
    near = closest(word, choices)
    remedy = f'Did you mean "{near}"?' if near else f"Known: {', '.join(list(choices)[:12]) or 'none'}."
    return PackError(f'"{word}" is not a {kind} known at this point', file=file, key=key, remedy=remedy)


class _VariableReader:
    """Builds the variables one by one; each may refer only to those before it."""

    def __init__(self, book: schema.CodebookFile, purposes: Sequence[str], file: str) -> None:
        self.file = file
        self.purposes = purposes
        self.default_purposes = self._purposes(book.default_purposes, "default_purposes")
        self.sets = {s.id: s.levels for s in book.level_set}
        self.variables: dict[str, Variable] = {}

    def fail(self, what: str, key: str, remedy: str) -> PackError:
        return PackError(what, file=self.file, key=key, remedy=remedy)

    def add(self, v: schema.VariableFile) -> None:
        key = f'variable "{v.name}"'
        if not NAME.fullmatch(v.name):
            raise self.fail("a name is a lower-case word of at most 48 letters, digits and _", key, "Rename it.")
        if v.name in self.variables:
            raise self.fail("is defined twice", key, "Remove one of the two.")
        self._applicable(v, key)
        derivation = self._derivation(v, key)
        variable = Variable(
            name=v.name,
            type=VariableType(v.type),
            label=Text(v.nl, v.en),
            levels=self._levels(v, derivation, key),
            minimum=v.min,
            maximum=v.max,
            missing=v.missing,
            derivation=derivation,
            purposes=self.default_purposes if v.purposes is None else self._purposes(v.purposes, key),
            note=Text(v.note_nl, v.note_en) if v.note_nl or v.note_en else None,
        )
        if isinstance(derivation, Cases):
            for level in sorted(derivation.keys):
                if level not in variable.keys:
                    raise _unknown(f'level of "{v.name}"', level, variable.keys, self.file, key)
        self.variables[v.name] = variable

    def _applicable(self, v: schema.VariableFile, key: str) -> None:
        """Keys that mean nothing for this type are mistakes, not decoration."""
        allowed = {
            "identifier": set(),
            "category": {"levels", "missing", "cases", "otherwise", "period", "of"},
            "integer": {"min", "max", "missing"},
            "month": {"first", "last"},
        }[v.type]
        optional = ("levels", "min", "max", "first", "last", "cases", "otherwise", "period", "of", "missing")
        for name in optional:
            if getattr(v, name) not in (None, False) and name not in allowed:
                raise self.fail(f'"{name}" does not apply to type {v.type}', key, "Remove it, or change the type.")
        bounded = v.min is not None and v.max is not None and -INTEGER_MAX <= v.min <= v.max <= INTEGER_MAX
        if v.type == "integer" and not bounded:
            raise self.fail("a whole number needs min ≤ max, within ±10⁹", key, "Give both bounds.")
        if v.type == "month" and not (
            v.first and v.last and MONTH.fullmatch(v.first) and MONTH.fullmatch(v.last) and v.first <= v.last
        ):
            raise self.fail("a month needs first ≤ last, written YYYY-MM", key, "Give both.")

    def _levels(self, v: schema.VariableFile, derivation: PackDerivation | None, key: str) -> tuple[Level, ...]:
        if v.type in ("identifier", "integer"):
            return ()
        if v.type == "month":
            levels = tuple(Level(m, m, m) for m in month_range(v.first or "", v.last or ""))
        elif isinstance(derivation, Period):
            months = self.variables[derivation.of].keys
            levels = tuple(Level(p, p, p) for p in dict.fromkeys(derivation.level(m) for m in months))
        else:
            if isinstance(v.levels, str) and v.levels not in self.sets:
                raise _unknown("level_set", v.levels, list(self.sets), self.file, key)
            given = self.sets.get(v.levels, []) if isinstance(v.levels, str) else v.levels or []
            levels = tuple(Level(level.key, level.nl, level.en, level.not_applicable) for level in given)
            if v.missing:
                levels += (Level(MISSING, "ontbreekt", "missing"),)
        if not 1 <= len(levels) <= LEVELS_MAX:
            remedy = f"Give between 1 and {LEVELS_MAX} levels, or the id of a level_set."
            raise self.fail(f"has {len(levels)} levels", key, remedy)
        seen: set[str] = set()
        for position, level in enumerate(levels):
            reserved = level.key == TOTAL or (level.key == MISSING and not (v.missing and position == len(levels) - 1))
            if reserved or not KEY.fullmatch(level.key) or level.key in seen:
                what = f'"{level.key}" cannot be a level key here: it is reserved, repeated or not a plain word'
                raise self.fail(what, key, f'Rename it; "{MISSING}" is added by "missing = true".')
            seen.add(level.key)
        return levels

    def _derivation(self, v: schema.VariableFile, key: str) -> PackDerivation | None:
        if (v.period is None) != (v.of is None) or (v.cases is None) != (v.otherwise is None):
            raise self.fail('half a derivation: "period" needs "of", "cases" needs "otherwise"', key, "Give both.")
        if v.period is not None and v.of is not None:
            if v.cases is not None or v.levels is not None or v.missing:
                raise self.fail("a period has no cases or levels of its own", key, "Remove them.")
            source = self.variables.get(v.of)
            if source is None or source.type is not VariableType.MONTH:
                raise self.fail(f'"{v.of}" is not a month variable above this one', key, "Name one.")
            return Period(v.of, PeriodUnit(v.period))
        if v.cases is not None and v.otherwise is not None:
            cases = tuple(
                (resolve_condition(case.when, self.variables, file=self.file, key=key), case.level) for case in v.cases
            )
            if not cases:
                raise self.fail("a derived variable needs a case", key, "Add one.")
            return Cases(cases, v.otherwise)
        return None

    def _purposes(self, names: Sequence[str], key: str) -> tuple[str, ...]:
        for name in names:
            if name not in self.purposes:
                raise _unknown("purpose", name, self.purposes, self.file, key)
        return tuple(names)


def read_codebook(raw: bytes, purposes: Sequence[str], file: str) -> Codebook:
    """`codebook.toml` → `Codebook`; `purposes` are the ids that `pack.toml` lists."""
    book = decode(raw, schema.CodebookFile, file)
    if len(book.variable) > VARIABLES_MAX:
        raise PackError(f"has more than {VARIABLES_MAX} variables", file=file, key="variable", remedy="Split the pack.")
    reader = _VariableReader(book, purposes, file)
    for v in book.variable:
        reader.add(v)
    variables = reader.variables
    _check_roles(book.roles, variables, file)
    rules = []
    for r in book.rule:
        key = f'rule "{r.id}"'
        if not r.then:
            raise PackError("has no outcome", file=file, key=key, remedy='Give "then" at least one condition.')
        when = resolve_condition(r.when, variables, file=file, key=key)
        then = tuple(resolve_condition(t, variables, file=file, key=key) for t in r.then)
        rules.append(Rule(r.id, when, then, Text(r.nl, r.en), r.severity == "error"))
    forbidden = {name.casefold(): Text(f.nl, f.en) for f in book.forbidden for name in f.names}
    clash = sorted(forbidden.keys() & variables.keys())
    if clash:
        raise PackError("is both forbidden and a variable", file=file, key=clash[0], remedy="Remove one of the two.")
    return Codebook(
        variables=variables,
        visit_id=book.roles.visit_id,
        person_link=book.roles.person_link,
        month=book.roles.month,
        rules=tuple(rules),
        forbidden=forbidden,
        digest=hashlib.sha256(CODEBOOK_LABEL + raw).digest(),
    )


def _check_roles(roles: schema.RolesFile, variables: Mapping[str, Variable], file: str) -> None:
    wanted = (
        ("visit_id", roles.visit_id, VariableType.IDENTIFIER),
        ("person_link", roles.person_link, VariableType.IDENTIFIER),
        ("month", roles.month, VariableType.MONTH),
    )
    for role, name, kind in wanted:
        if name is None:
            continue
        if name not in variables or variables[name].type is not kind:
            remedy = f"Name a variable of type {kind.value}."
            raise PackError(f'"{name}" cannot play this role', file=file, key=f"roles.{role}", remedy=remedy)
    if roles.visit_id == roles.person_link:
        remedy = "Give the visit and the child a variable each."
        raise PackError("visit_id and person_link are the same column", file=file, key="roles", remedy=remedy)
