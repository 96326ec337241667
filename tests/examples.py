"""How many examples a property is tried with: some in the normal suite, ten times as many with ``--long``."""

from __future__ import annotations

from typing import Any, Final

import attrs
from hypothesis import settings


@attrs.frozen
class Profile:
    """``examples`` are those of a property that does not say how many it needs."""

    name: str
    examples: int


NORMAL: Final = Profile("normal", 30)
THOROUGH: Final = Profile("thorough", 300)


def register(*, thorough: bool) -> None:
    """Have hypothesis go by one of them.  No deadline in either: the machine may be busy."""
    for profile in (NORMAL, THOROUGH):
        settings.register_profile(profile.name, max_examples=profile.examples, deadline=None)
    settings.load_profile((THOROUGH if thorough else NORMAL).name)


def examples(count: int, **more: Any) -> settings:
    """Settings of a property that needs ``count`` in the normal suite; ``more`` as hypothesis has it."""
    times = THOROUGH.examples // NORMAL.examples if settings.get_current_profile_name() == THOROUGH.name else 1
    return settings(max_examples=count * times, **more)
