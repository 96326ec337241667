"""Whatever is written reads back as itself, by an independent reader."""

from __future__ import annotations

import pytest
import rdflib
from hypothesis import given
from hypothesis import strategies as st

from nskd.documents.turtle import A, Blank, Iri, Literal, Name, document

PREFIXES = {"dct": "http://purl.org/dc/terms/", "xsd": "http://www.w3.org/2001/XMLSchema#"}
TITLE = Name("dct", "title")
SUBJECT = Iri("https://example.nl/x")
ANY_TEXT = st.text(st.characters(codec="utf-8"), max_size=60)


def triples(text: str) -> rdflib.Graph:
    return rdflib.Graph().parse(data=text, format="turtle")


@given(text=ANY_TEXT, language=st.sampled_from([None, "nl", "en"]))
def test_any_text_comes_back(text: str, language: str | None) -> None:
    graph = triples(document(PREFIXES, [(SUBJECT, [(TITLE, Literal(text, language))])]))
    ((_, _, value),) = graph
    assert value == rdflib.Literal(text, lang=language)


@given(tail=st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), max_size=30))
def test_any_iri_comes_back_or_is_refused(tail: str) -> None:
    try:
        iri = Iri(f"https://example.nl/{tail}")
    except ValueError:
        assert any(c in '<>"{}|^`\\' or c <= " " for c in tail)
        return
    ((subject, _, _),) = triples(document(PREFIXES, [(iri, [(TITLE, Literal("t"))])]))
    assert str(subject) == iri.value


def test_types_datatypes_and_nested_nodes() -> None:
    inner = Blank(((A, Name("dct", "Agent")), (TITLE, Literal("2", datatype=Name("xsd", "integer")))))
    graph = triples(
        document(PREFIXES, [(SUBJECT, [(A, Name("dct", "Thing")), (Name("dct", "creator"), inner), (TITLE, SUBJECT)])])
    )
    creator = graph.value(rdflib.URIRef(SUBJECT.value), rdflib.DCTERMS.creator)
    assert isinstance(creator, rdflib.BNode)
    assert graph.value(creator, rdflib.DCTERMS.title) == rdflib.Literal(2)
    assert (creator, rdflib.RDF.type, rdflib.DCTERMS.Agent) in graph
    assert len(graph) == 5


@pytest.mark.parametrize(
    "iri", ["", "example.nl", "https:", "https://a b", "https://a>", "mailto:a@b.nl\n", "/x", "<x:y>"]
)
def test_what_is_no_iri_is_refused(iri: str) -> None:
    with pytest.raises(ValueError, match="IRI"):
        Iri(iri)


@pytest.mark.parametrize("name", [("dct", "a b"), ("DCT", "a"), ("dct", "a.b"), ("", "a"), ("dct", ""), ("dct", 'a"')])
def test_what_is_no_plain_name_is_refused(name: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match="prefixed"):
        Name(*name)


@pytest.mark.parametrize(
    "value",
    [Name("foaf", "Agent"), Literal("1", datatype=Name("foaf", "x")), Blank(((Name("foaf", "name"), SUBJECT),))],
)
def test_a_prefix_that_is_not_declared_is_noticed(value: Name | Literal | Blank) -> None:
    with pytest.raises(KeyError, match="foaf"):
        document(PREFIXES, [(SUBJECT, [(TITLE, value)])])
