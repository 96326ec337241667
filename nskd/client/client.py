"""The one object of the API: it makes requests, rehearses them, and puts them to this centre's daemon."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import attrs

from nskd.client.daemon import Daemon
from nskd.client.errors import plain
from nskd.client.result import Result
from nskd.client.submitted import Submitted
from nskd.client.table import Table, names_of, table_of
from nskd.control.answers import PageSection, RequestDetail, SubmitAnswer
from nskd.control.client import DEFAULT_SOCKET
from nskd.errors import OperatorError
from nskd.governance.explain.page import LANGUAGES, Language
from nskd.packs.pack import Pack, load_pack


@attrs.frozen(eq=False, repr=False)
class Checked:
    """A daemon's word that a request is in order, and what it means: the page that every steward will read."""

    pages: Mapping[str, Sequence[PageSection]]
    language: Language

    def __repr__(self) -> str:
        lines = ["in order; nothing was submitted"]
        for section in self.pages.get(self.language, ()):
            lines += ["", plain(section.title), *(f"- {plain(sentence)}" for sentence in section.sentences)]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        from nskd.client.html import sections

        return f"<p>in order; nothing was submitted</p>\n{sections(self.pages, self.language)}"


class Client:
    """Asks at this centre.

    ``socket`` is the daemon's control socket, by default that of ``$NSKD_SOCKET`` or of an installed daemon; it is
    connected to only when something is put to the daemon.  ``pack`` is the workshop's: a built-in name or a directory.
    ``language`` is what explanations come in, ``en`` or ``nl``.  Whatever goes wrong is an
    :class:`~nskd.errors.OperatorError`.
    """

    def __init__(
        self, socket: str | Path | None = None, *, pack: str | Path = "nsk", language: Language = "en"
    ) -> None:
        if language not in LANGUAGES:
            remedy = f"Choose {' or '.join(LANGUAGES)}."
            raise OperatorError(f"{language!r} is no language here", where="language", remedy=remedy)
        self._daemon = Daemon(Path(socket or os.environ.get("NSKD_SOCKET") or DEFAULT_SOCKET))
        self._language: Language = language
        self.pack: Pack = load_pack(pack)

    def __repr__(self) -> str:
        return f"<Client of {self._daemon.socket}, pack {self.pack.name}>"

    # --- making requests ------------------------------------------------------------------------------------

    def table(self, rows: str | Iterable[str], columns: str | Iterable[str] = (), measure: str = "children") -> Table:
        """Begin a request for counts of ``visits`` or ``children`` by rows and columns; its methods say the rest."""
        return Table(self.pack, rows=names_of(rows), columns=names_of(columns), measure=measure)

    def sql(
        self, source: str, *, title: str, purpose: str, columns: str | Iterable[str] = (), permit: str | None = None
    ) -> Table:
        """Make a request of SQL; ``columns`` are those of its variables that go across.

        Raises :class:`~nskd.client.errors.SqlError` for what no request can say, with its place.
        """
        from nskd.client.table_sql import read_table

        query = read_table(source, self.pack.codebook, columns=names_of(columns))
        return Table(
            self.pack,
            rows=query.rows,
            columns=query.columns,
            measure=query.measure.value,
            condition=query.condition,
            totals=query.totals,
            title=title,
            purpose=purpose,
            permit=permit,
        )

    def read(self, text: str) -> Table:
        """Make a request of the text of a request file."""
        return table_of(text, self.pack)

    # --- trying out -----------------------------------------------------------------------------------------

    def rehearse(
        self,
        request: Table,
        *,
        centres: int = 3,
        seed: int = 1,
        visits: int | None = None,
        charter: str | Path | None = None,
    ) -> Result:
        """Compute a request over synthetic extracts of so many centres, here, without a daemon.

        ``visits`` is how many each has, ``charter`` the file whose disclosure rules hold; else a new charter's do.
        """
        from nskd.client.rehearsal import Cast, rehearse, rules_of

        cast = Cast(centres, seed, visits)
        agreed = rules_of(None if charter is None else Path(charter), centres)
        return rehearse(request, cast, agreed, self._language)

    # --- asking ---------------------------------------------------------------------------------------------

    def check(self, request: Table) -> Checked:
        """Have the daemon check a request as if it were submitted; nothing is."""
        answer = self._daemon.ask("request.submit", SubmitAnswer, text=request.text, check=True)
        return Checked(answer.pages, self._language)

    def submit(self, request: Table, *, again: bool = False) -> Submitted:
        """Have the daemon sign a request and send it to all centres; ``again`` although the same is open already."""
        answer = self._daemon.ask("request.submit", SubmitAnswer, text=request.text, again=again)
        return Submitted(str(answer.request), self._language, self._daemon)

    def submitted(self, request: str) -> Submitted:
        """A request submitted before; the first digits of its name will do."""
        detail = self._daemon.ask("request.show", RequestDetail, request=request)
        return Submitted(detail.row.request, self._language, self._daemon)
