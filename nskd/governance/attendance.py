"""Who takes part at this moment, as this centre knows it: in memory, so that asking takes no disk and no waiting.

Whatever lets data in asks here, and between the answer and the data nothing else happens.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from nskd.governance.charter import Charter
from nskd.governance.policy import PolicyError, Refusal, Rule
from nskd.governance.presence import Absence, Move, Presence, Standing, Word

RULES: Final = {Presence.PAUSED: Rule.CENTRE_PAUSED, Presence.LEFT: Rule.CENTRE_LEFT}


class Attendance:
    """What the centres of one charter have said of their presence; ``own`` is this centre."""

    def __init__(self, own: str, charter: Charter) -> None:
        self._own = own
        self._charter = charter
        self._standings: dict[str, Standing] = {}

    def standing(self, centre: str) -> Standing:
        """What counts of a centre's words."""
        return self._standings.get(centre, Standing())

    def put(self, word: Word) -> bool:
        """Let a word that was verified count from now on; False when it changes nothing."""
        before = self.standing(word.centre)
        after = before.after(word)
        self._standings[word.centre] = after
        return after is not before

    def absence(self, centre: str) -> Absence | None:
        """How a centre is not present; None when it is."""
        word = self.standing(centre).in_force(self._charter.version)
        return None if word is None else Absence.of(word)

    @property
    def own(self) -> Absence | None:
        """How this centre is not present."""
        return self.absence(self._own)

    @property
    def absences(self) -> tuple[Absence, ...]:
        """All centres of the charter that do not take part, in party order."""
        found = (self.absence(name) for name in self._charter.names)
        return tuple(absence for absence in found if absence is not None)

    @property
    def left(self) -> tuple[Absence, ...]:
        """Those that have left."""
        return tuple(absence for absence in self.absences if absence.presence is Presence.LEFT)

    @property
    def resumed_at(self) -> int:
        """When this centre last resumed, in seconds since 1970; −1 if it never did."""
        word = self.standing(self._own).other
        return word.issued_at if word is not None and word.move is Move.RESUME else -1

    # --- rules ----------------------------------------------------------------------------------------------

    def require_all(self) -> None:
        """Every centre of the charter takes part: all are parties of every run.  Raises ``PolicyError``."""
        self._require(self.absences)

    def require_own(self) -> None:
        """This centre takes part.  Raises ``PolicyError``."""
        self._require([] if self.own is None else [self.own])

    def require_nobody_left(self) -> None:
        """Whatever is asked now can come to something under this charter.  Raises ``PolicyError``."""
        self._require(self.left)

    def _require(self, absences: Iterable[Absence]) -> None:
        refusals = tuple(self.refusal(absence) for absence in absences)
        if refusals:
            raise PolicyError(refusals)

    def refusal(self, absence: Absence) -> Refusal:
        """What a centre's absence rules out, and what to do about it."""
        if absence.presence is Presence.LEFT:
            remedy = (
                "Nothing can run under this charter any more: agree on a later version, with that centre or without."
            )
        elif absence.centre == self._own:
            remedy = "`nskctl resume` lets it take part again."
        else:
            remedy = f"It is possible again once {absence.centre} resumes."
        return Refusal(RULES[absence.presence], absence.centre, absence.what, remedy)
