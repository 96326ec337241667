"""What a document may draw on: the charter, the pack and the configuration, and what a running daemon adds."""

from __future__ import annotations

import datetime

import attrs

from nskd.config import Config
from nskd.governance.charter import Centre, Charter
from nskd.governance.lifecycle import State
from nskd.packs.pack import Pack


@attrs.frozen
class Activity:
    """What a running daemon knows besides: requests by state, and how many visits it has read."""

    requests: dict[State, int]
    visits: int | None


@attrs.frozen
class Facts:
    """One centre's view.  ``activity`` is ``None`` when the files were read without a daemon."""

    config: Config
    charter: Charter
    pack: Pack
    today: datetime.date
    activity: Activity | None = None

    @property
    def centre(self) -> Centre:
        """This centre, as the charter lists it: whoever makes the facts has checked that it does."""
        return self.charter.centres[self.charter.index(self.config.centre.name)]
