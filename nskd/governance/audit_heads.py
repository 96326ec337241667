"""What this centre holds of another centre's audit log, and whether what it hears goes together with that.

No I/O: heads and proofs go in, and what is to be asked next, or a contradiction, comes out (``docs/protocol.md``,
section 13).
"""

from __future__ import annotations

from collections import OrderedDict

import attrs

from nskd.governance.audit import Head, link
from nskd.governance.signing import DIGEST_BYTES
from protocol import limits
from protocol.errors import Fault, RemoteProtocolError


@attrs.frozen
class Query:
    """Which digests to ask the centre for: of entries ``after`` + 1 … ``until``."""

    after: int
    until: int


@attrs.frozen
class Contradiction:
    """A centre's log is not what it was: ``head`` does not go together with ``held``, both of them signed."""

    what: str
    held: Head
    head: Head


class PeerLog:
    """One other centre's log.  ``held`` is the latest head proved to extend all before it."""

    def __init__(self, held: Head | None = None, contradiction: Contradiction | None = None) -> None:
        self.held = held
        self.contradiction = contradiction
        self._hashes: OrderedDict[int, bytes] = OrderedDict()
        self._waiting: dict[int, Head] = {}
        self._asked: Query | None = None
        if held is not None:
            self._hashes[held.sequence] = held.hash

    @property
    def waits(self) -> bool:
        """Whether a later head is still to be proved."""
        return bool(self._waiting)

    def reconnected(self) -> None:
        """Nothing that was asked will be answered any more."""
        self._asked = None

    def take(self, head: Head, *, own_word: bool) -> Query | Contradiction | None:
        """Take a head whose signature is in order; ``own_word`` if the centre itself told it."""
        if self.contradiction is not None:
            return None
        if self.held is None:
            self.held = head
            self._hashes[head.sequence] = head.hash
            return None
        known = self._hashes.get(head.sequence)
        if known is not None:
            if known != head.hash:
                return self._contradicted("another entry under the same number", head)
            self.held = max(self.held, head, key=lambda each: each.sequence)
            return None
        if head.sequence < self.held.sequence:
            # Too far back to compare.  Passed on by another it is merely old; as the centre's own latest it is a cut.
            return self._contradicted("its log has become shorter", head) if own_word else None
        rival = self._waiting.get(head.sequence)
        if rival is not None and rival.hash != head.hash:
            return self._contradicted("two heads of the same number", head, held=rival)
        if len(self._waiting) < limits.AUDIT_HEADS_WAITING_MAX:
            self._waiting[head.sequence] = head
        return self._ask()

    def take_proof(self, after: int, digests: bytes) -> Query | Contradiction | None:
        """Take the answer to the last query; raises ``RemoteProtocolError`` for more than was asked, or no digests.

        An answer to nothing is ignored: it may be to what was asked on the connection before.
        """
        asked = self._asked
        if asked is None or after != asked.after:
            return None
        count, rest = divmod(len(digests), DIGEST_BYTES)
        if rest or count > asked.until - asked.after:
            raise RemoteProtocolError(Fault.UNEXPECTED, "more digests of an audit log than were asked for")
        self._asked = None
        if not count:
            return self._contradicted("it cannot show the entries that lead there", self._waiting[max(self._waiting)])
        sequence, hashed = next(reversed(self._hashes.items()))
        for begin in range(0, len(digests), DIGEST_BYTES):
            sequence += 1
            hashed = link(hashed, sequence, digests[begin : begin + DIGEST_BYTES])
            self._remember(sequence, hashed)
            head = self._waiting.pop(sequence, None)
            if head is not None and head.hash != hashed:
                return self._contradicted("the entries it shows do not lead there", head)
            self.held = head or self.held
        return self._ask()

    def _ask(self) -> Query | None:
        """What to ask next, if anything is to be proved and nothing is under way."""
        if not self._waiting or self._asked is not None:
            return None
        after = next(reversed(self._hashes))
        self._asked = Query(after, min(max(self._waiting), after + limits.AUDIT_DIGESTS_MAX))
        return self._asked

    def _remember(self, sequence: int, hashed: bytes) -> None:
        self._hashes[sequence] = hashed
        while len(self._hashes) > limits.AUDIT_HASHES_HELD_MAX:
            self._hashes.popitem(last=False)

    def _contradicted(self, what: str, head: Head, *, held: Head | None = None) -> Contradiction:
        against = held or self.held
        self.contradiction = Contradiction(what, head if against is None else against, head)
        self._waiting.clear()
        self._asked = None
        return self.contradiction
