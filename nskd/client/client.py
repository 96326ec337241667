"""The one object of the API: it makes requests, rehearses them, and puts them to this centre's daemon."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import attrs

from nskd.client.asked import Asked, request_of
from nskd.client.daemon import Daemon
from nskd.client.errors import plain
from nskd.client.request import Request, names_of, one_or_more
from nskd.client.result import Result
from nskd.client.submitted import Submitted
from nskd.client.table import Table
from nskd.control.answers import PageSection, RequestDetail, SubmitAnswer
from nskd.control.client import DEFAULT_SOCKET
from nskd.errors import OperatorError
from nskd.governance.explain.page import LANGUAGES, Language
from nskd.governance.question import Kind
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
        return Table(pack=self.pack, rows=names_of(rows), columns=names_of(columns), measure=measure)

    def rate(self, of: str, by: str | Iterable[str] = (), measure: str = "children") -> Asked:
        """What part of all that count meets the condition ``of``, overall and ``by`` groups."""
        return self._asked(Kind.RATE, measure, of=of, by=one_or_more(names_of(by)))

    def spc(
        self,
        of: str,
        by: str,
        chart: str = "p",
        *,
        baseline: str | None = None,
        change: str | None = None,
        measure: str = "children",
    ) -> Asked:
        """A rate from period to period on a control chart: ``p``, ``laney`` or ``ewma``.

        ``by`` is a month, quarter or year; ``baseline`` the last one that settles the limits (all if None); ``change``
        the first after something changed.
        """
        return self._asked(Kind.SPC, measure, of=of, by=by, chart=chart, baseline=baseline, change=change)

    def funnel(self, of: str, measure: str = "children") -> Asked:
        """A rate of all centres together, and how far from it chance alone would bring one of them."""
        return self._asked(Kind.FUNNEL, measure, of=of)

    def cascade(self, steps: Mapping[str, str], by: str | Iterable[str] = (), measure: str = "children") -> Asked:
        """How many reach each step: names and conditions, in order; whoever is at one has taken all before."""
        listed = [{"name": name, "where": where} for name, where in steps.items()]
        return self._asked(Kind.CASCADE, measure, by=one_or_more(names_of(by)), steps=listed)

    def association(self, exposure: str, outcome: str, *, screening: bool = False, measure: str = "children") -> Asked:
        """How two conditions go together; ``screening``: the first is a test, the second what it is to find."""
        return self._asked(
            Kind.ASSOCIATION, measure, exposure=exposure, outcome=outcome, screening=True if screening else None
        )

    def summary(
        self, variable: str, bins: Iterable[int], by: str | Iterable[str] = (), measure: str = "children"
    ) -> Asked:
        """Mean, spread and quantiles of a whole number, from the numbers in bins; ``bins`` are where these begin."""
        return self._asked(Kind.SUMMARY, measure, variable=variable, bins=list(bins), by=one_or_more(names_of(by)))

    def regression(
        self,
        outcome: str,
        covariates: str | Iterable[str],
        *,
        family: str = "logistic",
        centre_effects: bool = False,
    ) -> Asked:
        """Fit a model over all hospitals' visits.

        The outcome is a condition, for ``linear`` the name of a number.  Of a covariate ``"age_band: 4-8"`` says which
        level the others are compared with.
        """
        return self._asked(
            Kind.REGRESSION,
            "visits",
            family=family,
            outcome=outcome,
            covariates=list(names_of(covariates)),
            centre_effects=True if centre_effects else None,
        )

    def _asked(self, kind: Kind, measure: str, **own: object) -> Asked:
        return Asked(
            pack=self.pack,
            kind=kind,
            measure=measure,
            own={key: value for key, value in own.items() if value is not None},
        )

    def sql(
        self, source: str, *, title: str, purpose: str, columns: str | Iterable[str] = (), permit: str | None = None
    ) -> Table:
        """Make a request of SQL; ``columns`` are those of its variables that go across.

        Raises :class:`~nskd.client.errors.SqlError` for what no request can say, with its place.
        """
        from nskd.client.table_sql import read_table

        query = read_table(source, self.pack.codebook, columns=names_of(columns))
        return Table(
            pack=self.pack,
            rows=query.rows,
            columns=query.columns,
            measure=query.measure.value,
            condition=query.condition,
            totals=query.totals,
            title=title,
            purpose=purpose,
            permit=permit,
        )

    def read(self, text: str) -> Request:
        """Make a request of the text of a request file, of whatever kind."""
        return request_of(text, self.pack)

    # --- trying out -----------------------------------------------------------------------------------------

    def rehearse(
        self,
        request: Request,
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

    def check(self, request: Request) -> Checked:
        """Have the daemon check a request as if it were submitted; nothing is."""
        answer = self._daemon.ask("request.submit", SubmitAnswer, text=request.text, check=True)
        return Checked(answer.pages, self._language)

    def submit(self, request: Request, *, again: bool = False) -> Submitted:
        """Have the daemon sign a request and send it to all centres; ``again`` although the same is open already."""
        answer = self._daemon.ask("request.submit", SubmitAnswer, text=request.text, again=again)
        return Submitted(str(answer.request), self._language, self._daemon, self.pack)

    def submitted(self, request: str) -> Submitted:
        """A request submitted before; the first digits of its name will do."""
        detail = self._daemon.ask("request.show", RequestDetail, request=request)
        return Submitted(detail.row.request, self._language, self._daemon, self.pack)
