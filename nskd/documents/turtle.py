"""RDF as Turtle: what a catalogue entry needs, escaped so that no text becomes syntax (W3C Turtle 1.1, section 6)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import attrs

_PREFIX: Final = re.compile(r"[a-z][a-z0-9]*")
_LOCAL: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_IRI_FORBIDDEN: Final = re.compile(r'[\x00-\x20<>"{}|^`\\]')
_ESCAPES: Final = str.maketrans(
    {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b", "\f": "\\f"}
)


@attrs.frozen
class Iri:
    """An absolute IRI; ``ValueError`` for characters that cannot stand in one."""

    value: str

    def __attrs_post_init__(self) -> None:
        if _IRI_FORBIDDEN.search(self.value) or not re.match(r"[A-Za-z][A-Za-z0-9+.-]*:.", self.value):
            raise ValueError(f"{self.value!r} is not an absolute IRI")

    def __str__(self) -> str:
        return f"<{self.value}>"


@attrs.frozen
class Name:
    """A prefixed name, as ``dct:title``."""

    prefix: str
    local: str

    def __attrs_post_init__(self) -> None:
        if not (_PREFIX.fullmatch(self.prefix) and _LOCAL.fullmatch(self.local)):
            raise ValueError(f"{self.prefix}:{self.local} is not a plain prefixed name")

    def __str__(self) -> str:
        return f"{self.prefix}:{self.local}"


@attrs.frozen
class Literal:
    """Text, in a language, or of a datatype."""

    text: str
    language: str | None = None
    datatype: Name | None = None

    def __str__(self) -> str:
        quoted = '"' + self.text.translate(_ESCAPES) + '"'
        if self.language is not None:
            return f"{quoted}@{self.language}"
        return quoted if self.datatype is None else f"{quoted}^^{self.datatype}"


@attrs.frozen
class Blank:
    """A node without a name of its own: its properties, in order."""

    properties: tuple[tuple[Name, Object], ...]


Object = Iri | Name | Literal | Blank
A: Final = Name("rdf", "type")


def document(prefixes: Mapping[str, str], subjects: Sequence[tuple[Iri, Sequence[tuple[Name, Object]]]]) -> str:
    """Write a whole file; ``KeyError`` for a prefix that ``prefixes`` lacks."""
    lines = [f"@prefix {prefix}: {Iri(iri)} ." for prefix, iri in prefixes.items()]
    for subject, properties in subjects:
        for prefix in _used(properties):
            _ = prefixes[prefix]
        lines += ["", str(subject), f"{_properties(properties, 1)} ."]
    return "\n".join(lines) + "\n"


def _properties(properties: Sequence[tuple[Name, Object]], depth: int) -> str:
    indent = "    " * depth
    return " ;\n".join(f"{indent}{'a' if name == A else name} {_object(value, depth)}" for name, value in properties)


def _object(value: Object, depth: int) -> str:
    if isinstance(value, Blank):
        return f"[\n{_properties(value.properties, depth + 1)}\n{'    ' * depth}]"
    return str(value)


def _used(properties: Sequence[tuple[Name, Object]]) -> Iterator[str]:
    for name, value in properties:
        if name != A:
            yield name.prefix
        if isinstance(value, Name):
            yield value.prefix
        elif isinstance(value, Literal) and value.datatype is not None:
            yield value.datatype.prefix
        elif isinstance(value, Blank):
            yield from _used(value.properties)
