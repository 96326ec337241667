"""Verifying a log without its daemon: with public keys, and with what other centres keep of it in theirs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

import attrs

from nskd.errors import OperatorError
from nskd.governance.audit import BadEntryError, Chain, Entry, Event, Head

HELD = "held_"  # before the details of the head that a contradictory one was compared with


@attrs.frozen
class Verified:
    """A log in order: its last entry's head, and how many heads kept elsewhere it agrees with."""

    centre: str
    entries: int
    head: Head
    confirmed: int


def head_details(head: Head, prefix: str = "") -> dict[str, int | str | bytes]:
    """A head as details of an entry about it."""
    return {f"{prefix}sequence": head.sequence, f"{prefix}hash": head.hash, f"{prefix}signature": head.signature}


def told_head(entry: Entry, prefix: str = "") -> Head:
    """The head that such an entry tells; :class:`BadEntryError` if it does not."""
    details = entry.body.details
    try:
        sequence = int(details[f"{prefix}sequence"])
        hashed, signature = (bytes.fromhex(str(details[f"{prefix}{name}"])) for name in ("hash", "signature"))
    except (KeyError, ValueError):
        raise BadEntryError(entry.body.sequence, "it does not tell a head as such entries do") from None
    return Head(entry.body.peer or "", sequence, hashed, signature)


def kept_heads(entries: Iterable[Entry], centre: str) -> Iterator[tuple[str, Head]]:
    """The heads of ``centre`` that another centre's log has kept, with the name of that other."""
    for entry in entries:
        body, details = entry.body, entry.body.details
        if body.event in (Event.HEAD_KEPT, Event.HEAD_CONTRADICTED) and body.peer == centre:
            yield body.centre, told_head(entry)
            if f"{HELD}sequence" in details:
                yield body.centre, told_head(entry, HELD)


def verify_log(lines: Iterable[bytes], keys: Collection[bytes], heads: Iterable[tuple[str, Head]]) -> Verified:
    """Follow a log and hold it against heads of it that others keep.

    Raises :class:`BadEntryError`, which names the first bad entry: one that does not hold, or one that its centre once
    signed differently, or that is there no more.  A head that its centre did not sign counts for nothing.
    """
    chain = Chain(keys)
    signed = [(keeper, head) for keeper, head in heads if head.is_signed(keys)]
    by_sequence: dict[int, list[tuple[str, Head]]] = {}
    for keeper, head in signed:
        by_sequence.setdefault(head.sequence, []).append((keeper, head))
    last: Entry | None = None
    for line in lines:
        last = chain.take(line)
        for keeper, head in by_sequence.pop(chain.sequence, ()):
            if head.hash != last.head.hash:
                raise BadEntryError(
                    chain.sequence,
                    f"it, or one before it, is not what it was: {keeper} keeps another head that this centre signed",
                )
    if last is None:
        raise OperatorError("it has no entry", where="audit log", remedy="A daemon writes one when it first starts.")
    if by_sequence:
        missing = max(by_sequence)
        keeper = by_sequence[missing][0][0]
        raise BadEntryError(
            chain.sequence + 1,
            f"it is missing, with all up to {missing}: the log was cut off; {keeper} keeps a head of entry {missing}",
        )
    return Verified(last.body.centre, chain.sequence, last.head, len(signed))
