"""Secrets as types: the one base of every object that holds keys or shares."""

from __future__ import annotations

from typing import NoReturn, SupportsIndex


class Secret:
    """Base of every object that holds key material or shares: it prints as its type and refuses to be copied out.

    Python cannot wipe the memory of a ``bytes``; what can be prevented is that a log line, a traceback
    with locals, a pickle or a deep copy carries a secret to a place nobody thought of.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: redacted>"

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError(f"a {type(self).__name__} holds secrets and is neither pickled nor copied")
