"""What leaves: a request as a page for a paediatrician and a privacy officer, in Dutch and in English.

A page is data – sections of sentences, each in both languages – so that a terminal, a document and a report can show
the same words.  Reading order: `page` (what a page is), `words` (the European letters, dates, lists), then the sections
as they are read: `asked` (with `meant`), `absent`, `leaves`, `learnt` (both with `hospitals`), `rules`,
`earlier`.
"""

from __future__ import annotations

from collections.abc import Sequence

from nskd.governance.charter import Charter
from nskd.governance.explain.absent import absent
from nskd.governance.explain.asked import asked, purpose
from nskd.governance.explain.earlier import Earlier, earlier_releases
from nskd.governance.explain.learnt import learnt
from nskd.governance.explain.leaves import leaves, results
from nskd.governance.explain.page import Page, Question
from nskd.governance.explain.rules import rules
from nskd.governance.presence import Absence
from nskd.packs.codebook import Codebook

__all__ = ["Earlier", "Page", "Question", "explain"]


def explain(
    question: Question,
    *,
    own: str,
    charter: Charter,
    codebook: Codebook,
    opt_out: bool = False,
    absences: Sequence[Absence] = (),
    released: Sequence[Earlier] = (),
) -> Page:
    """Say what is asked, what leaves centre ``own``, what can be learnt from it, and what protects it.

    ``opt_out`` says that this centre has a list of people who object; ``absences`` are centres that have paused or
    left, and get a section if there are any; ``released`` are the releases on record here, in any order.  A request
    that this centre's own check refuses gets a page as well: unknown names stand as they are.
    """
    return Page(
        (
            asked(question, codebook),
            purpose(question, charter),
            *absent(absences, own, charter),
            leaves(question, own, charter, opt_out),
            results(question, charter),
            learnt(question, charter),
            rules(question, charter),
            earlier_releases(question, charter, codebook, released),
        )
    )
