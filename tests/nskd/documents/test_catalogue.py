"""A catalogue entry satisfies the shapes, and the shapes notice each thing that is missing."""

from __future__ import annotations

from pathlib import Path

import attrs
import pyshacl
import pytest
import rdflib
from rdflib.namespace import DCAT, DCTERMS, FOAF, RDF

from nskd.config import ConfigError
from nskd.documents.catalogue import CatalogueError, catalogue
from nskd.packs.codebook import Text

from .facts import CHARTER, KEYS, config_text, facts

SHAPES = rdflib.Graph().parse(Path(__file__).parent / "shapes.ttl")
SH = rdflib.Namespace("http://www.w3.org/ns/shacl#")
VCARD = rdflib.Namespace("http://www.w3.org/2006/vcard/ns#")
DCATAP = rdflib.Namespace("http://data.europa.eu/r5r/")
MANDATORY = {
    DCAT.Dataset: (
        DCTERMS.accessRights,
        DCATAP.applicableLegislation,
        DCAT.contactPoint,
        DCTERMS.creator,
        DCTERMS.description,
        DCTERMS.identifier,
        DCAT.keyword,
        DCTERMS.publisher,
        DCAT.theme,
        DCTERMS.title,
    ),
    DCAT.Catalog: (DCAT.contactPoint, DCAT.dataset, DCTERMS.description, DCTERMS.publisher, DCTERMS.title),
    FOAF.Agent: (FOAF.name, DCTERMS.identifier, FOAF.mbox, FOAF.homepage),
    VCARD.Kind: (VCARD.fn, VCARD.hasEmail),
}


def entry() -> rdflib.Graph:
    return rdflib.Graph().parse(data=catalogue(facts()), format="turtle")


def faults(graph: rdflib.Graph) -> set[rdflib.term.Node]:
    """The properties that the shapes complain of; empty for a valid entry."""
    valid, report, text = pyshacl.validate(graph, shacl_graph=SHAPES)
    assert isinstance(report, rdflib.Graph), text
    paths = set(report.objects(None, SH.resultPath))
    assert valid == (not paths), text
    return paths


def test_the_entry_is_valid() -> None:
    assert faults(entry()) == set()


def test_the_shapes_look_at_every_mandatory_property_and_no_other() -> None:
    looked_at = {
        target: {SHAPES.value(shape, SH.path) for shape in SHAPES.objects(node, SH.property)}
        for node, target in SHAPES.subject_objects(SH.targetClass)
    }
    assert looked_at == {target: set(paths) for target, paths in MANDATORY.items()}


@pytest.mark.parametrize(
    ("kind", "path"),
    [(kind, path) for kind, paths in MANDATORY.items() for path in paths],
    ids=lambda each: str(each).rsplit("/", 1)[-1].rsplit("#", 1)[-1],
)
def test_each_mandatory_property_is_missed(kind: rdflib.URIRef, path: rdflib.URIRef) -> None:
    graph = entry()
    for node in list(graph.subjects(RDF.type, kind)):
        graph.remove((node, path, None))
    assert path in faults(graph)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (DCTERMS.accessRights, rdflib.URIRef("http://publications.europa.eu/resource/authority/access-right/PUBLIC")),
        (DCATAP.applicableLegislation, rdflib.URIRef("http://data.europa.eu/eli/reg/2016/679/oj")),
        (DCAT.theme, rdflib.URIRef("http://publications.europa.eu/resource/authority/data-theme/EDUC")),
        (DCTERMS.publisher, rdflib.URIRef("https://example.nl")),
        (DCAT.contactPoint, rdflib.Literal("somebody")),
        (DCAT.keyword, rdflib.URIRef("https://example.nl/word")),
    ],
)
def test_a_wrong_value_is_noticed(path: rdflib.URIRef, value: rdflib.term.Node) -> None:
    graph = entry()
    (dataset,) = graph.subjects(RDF.type, DCAT.Dataset)
    graph.set((dataset, path, value))
    assert path in faults(graph)


def test_an_empty_file_is_not_valid() -> None:
    assert not pyshacl.validate(rdflib.Graph(), shacl_graph=SHAPES)[0]


@pytest.mark.parametrize("key", KEYS)
def test_what_is_not_configured_is_named(key: str) -> None:
    with pytest.raises(CatalogueError, match=rf"\[catalogue\] {key}.*nskd\.toml.*{key} = "):
        catalogue(facts(config=config_text(without=key)))


def test_the_contact_is_the_centre_where_nobody_is_named() -> None:
    graph = rdflib.Graph().parse(data=catalogue(facts(config=config_text(without="contact"))), format="turtle")
    assert set(graph.objects(None, VCARD.fn)) == {rdflib.Literal("Ziekenhuis Noord")}
    assert set(entry().objects(None, VCARD.fn)) == {rdflib.Literal("Datadesk Ziekenhuis Noord")}


def test_text_of_a_charter_cannot_become_turtle() -> None:
    hostile = CHARTER.replace("Ziekenhuis Noord", 'N\\" ; a <x:y> . <x:z> a <x:y> . #')
    graph = rdflib.Graph().parse(data=catalogue(facts(charter=hostile)), format="turtle")
    assert faults(graph) == set()
    assert rdflib.Literal('N" ; a <x:y> . <x:z> a <x:y> . #') in set(graph.objects(None, FOAF.name))


def test_a_pack_without_keywords_is_listed_under_its_name() -> None:
    bare = facts()
    bare = attrs.evolve(bare, pack=attrs.evolve(bare.pack, keywords=()))
    graph = rdflib.Graph().parse(data=catalogue(bare), format="turtle")
    assert {str(word) for word in graph.objects(None, DCAT.keyword)} == {"nsk"}
    worded = attrs.evolve(bare, pack=attrs.evolve(bare.pack, keywords=(Text("a", "b"),)))
    assert '"a"@nl' in catalogue(worded)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("dataset", "ziekenhuis.example/data"),
        ("dataset", "https://ziekenhuis.example/data#x"),
        ("publisher", "https://a b"),
        ("publisher", "javascript:alert(1)"),
        ("homepage", "https://ziekenhuis.example/<x>"),
        ("homepage", ""),
        ("email", "nobody"),
        ("email", "a@b.nl?subject=x"),
        ("email", "mailto:a@b.nl"),
        ("email", "a@b.nl>\\n<x:y"),
        ("contact", " "),
        ("contact", "a\\u202eb"),
        ("contact", "a" * 400),
        ("homepage", "https://a.nl/" + "x" * 300),
    ],
)
def test_each_key_is_checked_when_the_configuration_is_read(key: str, value: str) -> None:
    text = config_text(without=key).replace("[catalogue]", f'[catalogue]\n{key} = "{value}"')
    with pytest.raises(ConfigError, match=rf"nskd\.toml: catalogue\.{key}: ") as caught:
        facts(config=text)
    assert caught.value.remedy
