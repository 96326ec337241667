"""What ``nskctl`` prints for people; text from a daemon is shown without markup or control characters."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Literal

import attrs
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from nskd.control import answers

SUPPRESSED: Final = "."
TOTAL: Final = "total"
RAISED: Final = "*"
_NORMAL_95: Final = 1.96
_GOOD: Final = frozenset({"up", "ready", "done", "approve", "approved", "ok"})
_YES_NO: Final = (("ja", "nee"), ("yes", "no"))  # keys of levels between which a share makes sense
_BAD: Final = frozenset({"down", "failed", "refused", "refuse", "expired", "paused", "left", "not working"})


def plain(value: object) -> str:
    """Turn ``value`` into one safe line."""
    return "".join(c if c.isprintable() else " " for c in str(value))


def cell(value: object) -> Text:
    """Turn ``value`` into a cell: nothing for None, a colour for a state that is good or bad."""
    if value is None:
        return Text("–", style="dim")
    text = plain(value)
    return Text(text, style="green" if text in _GOOD else "red" if text in _BAD else "")


def table(console: Console, heads: Sequence[str], rows: Iterable[Sequence[object]], *, right: int = 99) -> None:
    """Print a table; columns from index ``right`` on are numbers."""
    grid = Table(box=box.SIMPLE_HEAD if console.is_terminal else None, pad_edge=False, header_style="bold")
    for index, head in enumerate(heads):
        # The first is a name that people copy, and stays in one piece on a narrow terminal.
        justify: Literal["left", "right"] = "right" if index >= right else "left"
        grid.add_column(Text(plain(head)), justify=justify, overflow="fold", no_wrap=index == 0)
    for row in rows:
        grid.add_row(*(cell(value) for value in row))
    console.print(grid)


def pairs(console: Console, rows: Iterable[tuple[str, object]]) -> None:
    """Print names and values in two columns."""
    grid = Table.grid(padding=(0, 2))
    for name, value in rows:
        grid.add_row(Text(name, style="bold"), cell(value))
    console.print(grid)


def time(seconds: int | None) -> str | None:
    """Write a moment in this machine's time zone."""
    if seconds is None:
        return None
    try:
        return datetime.datetime.fromtimestamp(seconds, datetime.UTC).astimezone().strftime("%Y-%m-%d %H:%M")
    except (ValueError, OverflowError, OSError):
        return f"{seconds} s"


def duration(seconds: int) -> str:
    """Write a length of time in its two largest units."""
    days, rest = divmod(seconds, 86_400)
    hours, rest = divmod(rest, 3_600)
    minutes, rest = divmod(rest, 60)
    parts = [(days, "d"), (hours, "h"), (minutes, "min"), (rest, "s")]
    first = next((index for index, (count, _) in enumerate(parts) if count), 3)
    return " ".join(f"{count} {unit}" for count, unit in parts[first : first + 2])


def amount(count: int) -> str:
    """Write a number of bytes."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1_000 or unit == "GB":
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1_000
    raise AssertionError


def status(console: Console, answer: answers.StatusAnswer) -> None:
    """``nskctl status``."""
    counted = ", ".join(f"{count} {state}" for state, count in answer.requests.items() if count)
    pairs(
        console,
        [
            ("centre", answer.centre),
            ("workshop", answer.workshop),
            ("charter", answer.charter[:16]),
            ("health", answer.health),
            ("state", answer.state),
            ("up for", duration(answer.uptime_s)),
            ("peers", f"{answer.peers_up} of {answer.peers} connected"),
            ("epoch", answer.epoch[:16] if answer.epoch else None),
            ("requests", counted or "none"),
            ("version", answer.version),
            ("kernels", answer.kernels or None),
            *((("log level", changed),) if (changed := _changed_level(answer)) else ()),
        ],
    )
    for finding in answer.findings:
        style = "red" if finding.health == "not working" else "yellow"
        console.print()
        console.print(Text(f"{plain(finding.health)}: {plain(finding.what)}", style=style))
        pairs(
            console,
            [("  since", time(finding.since)), ("  do", finding.remedy), ("  more", finding.runbook)],
        )


def _changed_level(answer: answers.StatusAnswer) -> str | None:
    if answer.log_level == answer.log_configured:
        return None
    return f"{answer.log_level}, until a restart; configured is {answer.log_configured}"


def peers(console: Console, answer: answers.PeersAnswer) -> None:
    """``nskctl peers``."""
    table(
        console,
        ("centre", "address", "state", "since", "lanes", "detail", "round trip"),
        (
            (
                peer.name,
                peer.address,
                peer.state,
                time(peer.since),
                " ".join(peer.lanes) or None,
                peer.detail,
                None if peer.rtt_ms is None else f"{peer.rtt_ms:.1f} ms",
            )
            for peer in answer.peers
        ),
        right=6,
    )


def stock(console: Console, answer: answers.StockAnswer) -> None:
    """``nskctl stock``."""
    table(
        console,
        ("kind", "ready", "unconfirmed", "requested", "low", "high", "per second"),
        (
            (
                row.kind,
                f"{row.level:,}",
                f"{row.locked:,}",
                f"{row.requested:,}",
                None if row.low is None else f"{row.low:,}",
                None if row.high is None else f"{row.high:,}" + RAISED * (row.marks == "history"),
                None if row.per_second is None else f"{row.per_second:,.0f}",
            )
            for row in answer.rows
        ),
        right=1,
    )
    if any(row.marks == "history" for row in answer.rows):
        console.print(Text(f"{RAISED} raised: past runs used more than [stock] provides for", style="dim"))
    console.print(Text("generating" if answer.generating else "not generating", style="dim"))


def requests(console: Console, answer: answers.RequestList) -> None:
    """``nskctl request list``."""
    if answer.more:
        console.print(Text("(older ones are not shown; see --limit)", style="dim"))
    table(
        console,
        ("request", "submitted", "centre", "purpose", "title", "state", "approvals"),
        (
            (
                row.request[:12],
                time(row.submitted_at),
                row.centre,
                row.purpose,
                row.title,
                row.state,
                f"{row.approved}/{row.needed}",
            )
            for row in answer.requests
        ),
        right=6,
    )


def request(console: Console, answer: answers.RequestDetail) -> None:
    """``nskctl request show``, below its page: where it stands, and who has said what."""
    pairs(
        console,
        [
            ("request", answer.row.request),
            ("state", answer.row.state),
            ("submitted", time(answer.row.submitted_at)),
            *((("permit", answer.permit),) if answer.permit else ()),
            *((name, value) for name, value in (("fault", answer.fault), ("detail", answer.row.detail)) if value),
        ],
    )
    console.print()
    table(
        console,
        ("centre", "verdict", "steward", "given", "valid until", "needed"),
        (
            (
                row.centre,
                "withdrawn" if row.withdrawn else "lapsed" if row.lapsed else row.verdict,
                row.steward,
                time(row.issued_at),
                time(row.expires_at),
                row.needed,
            )
            for row in answer.approvals
        ),
        right=5,
    )
    for who in answer.waits_for:
        console.print(Text(f"nothing runs: {plain(who)}", style="yellow"))
    for refusal in answer.refusals:
        console.print(Text(f"this centre's own check refuses it: {plain(refusal)}", style="red"))


def permits(console: Console, answer: answers.PermitsAnswer) -> None:
    """``nskctl permits``."""
    table(
        console,
        ("permit", "holder", "purposes", "data of", "valid", "results until", "state"),
        (
            (
                row.id,
                row.holder,
                ", ".join(row.purposes),
                f"{row.first} – {row.last}",
                f"{row.valid_from} – {row.valid_until}",
                row.retention_end,
                row.state,
            )
            for row in answer.permits
        ),
    )
    if answer.required:
        console.print(Text("a request without a permit is refused", style="dim"))


def decision(console: Console, answer: answers.DecisionAnswer) -> None:
    """``nskctl request approve``, ``refuse`` and ``revoke``."""
    pairs(
        console,
        [
            ("request", answer.request),
            ("verdict", f"{answer.verdict} (only checked)" if answer.checked else answer.verdict),
            ("steward", answer.steward),
            ("valid until", time(answer.expires_at)),
            ("state", answer.state),
        ],
    )


def presence(console: Console, answer: answers.PresenceAnswer) -> None:
    """``nskctl pause``, ``resume`` and ``leave``."""
    pairs(
        console,
        [
            ("centre", answer.centre),
            ("state", f"{answer.state} (only checked)" if answer.checked else answer.state),
            ("since", time(answer.since)),
            ("reason", answer.reason),
            ("open requests", answer.waiting),
            ("runs under way", answer.running),
            *((("told on return", ", ".join(answer.not_told)),) if answer.not_told else ()),
        ],
    )
    if answer.running and answer.state != "present":
        line = "a run to which this centre's data has been given is seen through; any other stops"
        console.print(Text(line, style="yellow"))


def result(console: Console, answer: answers.ResultAnswer, show: Callable[[Console, dict[str, Any]], None]) -> None:
    """``nskctl result show``; ``show`` prints the numbers of what was released."""
    console.print(Text(plain(answer.title), style="bold"))
    if answer.release is None:
        why = (("fault", answer.fault), ("detail", answer.detail))
        pairs(console, [("state", answer.state), *((name, value) for name, value in why if value)])
        return
    show(console, answer.release)
    if any(each.get("value") is None for each in answer.release.get("cells") or ()):
        console.print(Text(f"{SUPPRESSED} = not shown, to protect children in small groups", style="dim"))
    rounding(console, answer.release)
    hospitals(console, answer)
    pairs(console, [("released", time(answer.recorded_at)), ("digest", answer.digest)])


def hospitals(console: Console, answer: answers.ResultAnswer) -> None:
    """What a funnel tells of hospitals, and this centre's own point, which is no part of the release."""
    content = answer.release or {}
    shown = []
    if "phi" in content:
        phi = content["phi"]
        shown.append(("overdispersion", "not shown" if phi is None else f"φ {phi:g}"))
    if "points" in content:
        points = content["points"]
        listed = "none shown" if points is None else ", ".join(f"{events} of {size}" for events, size in points)
        shown.append(("hospitals", listed))
    if answer.own_point is not None:
        events, size = answer.own_point
        shown.append(("this centre", f"{events} of {size}, exactly; known here only"))
    if answer.own_case_mix is not None:
        observed, expected, variance = answer.own_case_mix
        reach = _NORMAL_95 * variance**0.5 / expected
        chance = f"by chance {max(1 - reach, 0):.2f} – {1 + reach:.2f}"
        ratio = f"{observed:.0f} with the outcome, {expected:.1f} expected: {observed / expected:.2f}"
        shown.append(("this centre", f"{ratio} ({chance}); known here only"))
    if shown:
        pairs(console, shown)


def rounding(console: Console, content: Mapping[str, Any]) -> None:
    """Say so when the values of a release are rounded."""
    base = content.get("rounding", 1)
    if isinstance(base, int) and base > 1:
        line = f"numbers are rounded to multiples of {base}, totals by themselves"
        console.print(Text(line, style="dim"))


@attrs.frozen
class Crosstab:
    """A released table as it is read: ``columns`` across, ``rows`` down; ``TOTAL`` stands in for a summed variable."""

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    down: tuple[tuple[str, ...], ...]  # the levels of `rows`, line by line
    across: tuple[tuple[str, ...], ...]
    values: Mapping[tuple[tuple[str, ...], tuple[str, ...]], Any]  # by (line, column)
    measure: str

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> Crosstab:
        """Arrange the content of a release."""
        cells: list[dict[str, Any]] = content.get("cells") or []
        columns = tuple(str(name) for name in content.get("columns") or ())
        names = [name for each in cells for name in each if name not in ("value", *columns)]
        rows = tuple(str(name) for name in content.get("rows") or dict.fromkeys(names))
        return cls(
            rows=rows,
            columns=columns,
            down=tuple(dict.fromkeys(_levels(each, rows) for each in cells)),
            across=tuple(dict.fromkeys(_levels(each, columns) for each in cells)),
            values={(_levels(each, rows), _levels(each, columns)): each.get("value") for each in cells},
            measure=str(content.get("measure") or "value"),
        )

    @property
    def pair(self) -> tuple[str, str] | None:
        """The two levels between which the one column variable has a share, yes before no, if it is of that kind."""
        if len(self.columns) != 1:
            return None
        keys = {each[0] for each in self.across}
        return next((pair for pair in _YES_NO if keys.issuperset(pair)), None)

    def line(self, levels: tuple[str, ...]) -> tuple[str, ...]:
        """The values of one line, as printed."""
        return tuple(shown_value(self.values.get((levels, each))) for each in self.across)


def release(console: Console, content: dict[str, Any]) -> None:
    """Print a released table under the keys of its variables and levels."""
    tab = Crosstab.of(content)
    equals = " = " if console.is_terminal else "="  # a terminal breaks lines at spaces, a script splits columns there
    heads = [
        " × ".join(f"{name}{equals}{level}" for name, level in zip(tab.columns, each, strict=True))
        for each in tab.across
    ]
    table(
        console,
        (*tab.rows, *(head or tab.measure for head in heads)),
        ((*levels, *tab.line(levels)) for levels in tab.down),
        right=len(tab.rows),
    )


def _levels(each: dict[str, Any], names: Sequence[str]) -> tuple[str, ...]:
    return tuple(str(each.get(name, TOTAL)) for name in names)


def shown_value(value: object) -> str:
    """Write a released value; a suppressed one is a dot."""
    return SUPPRESSED if value is None else plain(value)
