"""A page read with the standard library's parser: a tree, or a complaint."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import attrs

VOID = frozenset({"meta", "br", "hr", "link", "img", "input"})
ELEMENTS = frozenset(
    [
        "html",
        "head",
        "meta",
        "title",
        "style",
        "body",
        "main",
        "h1",
        "h2",
        "h3",
        "p",
        "dl",
        "dt",
        "dd",
        "div",
        "section",
        "ul",
        "li",
        "figure",
        "figcaption",
        "details",
        "summary",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "code",
        "svg",
        "desc",
        "text",
        "line",
        "rect",
        "path",
        "circle",
        "polygon",
    ]
)


@attrs.define
class Node:
    name: str
    attributes: dict[str, str]
    children: list[Node] = attrs.field(factory=list)
    text: str = ""

    def all(self, name: str) -> list[Node]:
        here = [self] if self.name == name else []
        return here + [found for child in self.children for found in child.all(name)]

    @property
    def words(self) -> str:
        return self.text + "".join(child.words for child in self.children)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Node("", {})
        self.open = [self.root]

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attributes]
        assert len(names) == len(set(names)), f"an attribute twice in {tag}"
        assert all(value is not None for _, value in attributes), f"an attribute without a value in {tag}"
        node = Node(tag, {name: value or "" for name, value in attributes})
        self.open[-1].children.append(node)
        if tag not in VOID:
            self.open.append(node)

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1].name == tag, f"{tag} closes {self.open[-1].name}"
        self.open.pop()

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        raise AssertionError(f"{tag} closes itself")

    def handle_data(self, data: str) -> None:
        self.open[-1].text += data

    def handle_comment(self, data: str) -> None:
        raise AssertionError("a comment")

    def unknown_decl(self, data: str) -> None:
        raise AssertionError("a declaration")

    def handle_pi(self, data: str) -> None:
        raise AssertionError("an instruction")


def read(page: str) -> Node:
    """The tree of a page; fails unless every element is known here, closed in order, and harmless."""
    reader = _Reader()
    reader.feed(page)
    reader.close()
    assert len(reader.open) == 1, f"{reader.open[-1].name} is not closed"
    _check(reader.root)
    identifiers = [node.attributes["id"] for node in _nodes(reader.root) if "id" in node.attributes]
    assert len(identifiers) == len(set(identifiers))
    for node in _nodes(reader.root):
        assert set(node.attributes.get("aria-labelledby", "").split()) <= set(identifiers)
    return reader.root


def _nodes(node: Node) -> list[Node]:
    return [node, *(found for child in node.children for found in _nodes(child))]


def _check(root: Node) -> None:
    for node in _nodes(root)[1:]:
        assert node.name in ELEMENTS, f"element {node.name}"
        for name, value in node.attributes.items():
            assert not name.startswith("on"), name
            assert name not in ("href", "src", "style", "xlink:href", "srcdoc"), name
            if name != "aria-label":  # the one that holds people's words
                assert not re.search(r"\b(nan|inf)\b", value, flags=re.IGNORECASE), value
