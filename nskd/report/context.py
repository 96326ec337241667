"""What a page needs beside the release itself, and the error of a release that no page can be made of."""

from __future__ import annotations

import attrs

from nskd.errors import OperatorError
from nskd.governance.charter import Charter
from nskd.governance.disclosure import DisclosureRules
from nskd.packs.codebook import Codebook


class ReportError(OperatorError):
    """A release that no page can be made of."""


def unreadable(what: str) -> ReportError:
    """The error of a release in a form that this version does not know; ``what`` is wrong with it."""
    return ReportError(what, where="report", remedy="Use the version of nskd that made it.")


@attrs.frozen
class Context:
    """What a release does not say itself.  ``released_at`` in seconds since 1970; digests in hexadecimal."""

    codebook: Codebook
    centres: tuple[str, ...]
    purpose: str
    rules: DisclosureRules
    request_digest: str
    result_digest: str
    charter_digest: str
    released_at: int | None = None

    @classmethod
    def bare(cls, codebook: Codebook) -> Context:
        """For figures alone: a page says under which rules and among whom, figures are the same whatever these are."""
        return cls(codebook, (), "", DisclosureRules(), "", "", "")

    @classmethod
    def of(
        cls, charter: Charter, codebook: Codebook, *, purpose: str, request: str, result: str, released_at: int | None
    ) -> Context:
        """From the charter in force; ``purpose`` is the id of one of its purposes."""
        known = charter.purpose(purpose)
        titles = {centre.name: centre.title for centre in charter.centres}
        return cls(
            codebook=codebook,
            centres=tuple(titles[name] for name in charter.contributors),
            purpose=purpose if known is None else known.text,
            rules=charter.disclosure,
            request_digest=request,
            result_digest=result,
            charter_digest=charter.digest.hex(),
            released_at=released_at,
        )
