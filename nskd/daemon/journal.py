"""Who asked this daemon for which change, on record before it is made."""

from __future__ import annotations

from typing import Final

from nskd.control.roles import Credentials, user_name
from nskd.control.service import Call
from nskd.daemon.auditor import Auditor
from nskd.governance.audit import Event

# A centre can always stop, whatever state its disk is in; the log of the service says it all the same.
_ALWAYS: Final = frozenset({"drain", "pause", "leave"})


class Journal:
    """The control socket's entries (:class:`nskd.control.service.Journal`)."""

    def __init__(self, audit: Auditor) -> None:
        self._audit = audit

    async def asked(self, call: Call, method: str, request: str | None) -> None:
        """Record it, or keep it from happening."""
        write = self._audit.note if method in _ALWAYS else self._audit.record
        await write(
            Event.CONTROL_ASKED,
            uid=call.credentials.uid,
            user=call.user,
            details={"method": method, "role": call.role.word, **({"named": request} if request else {})},
        )

    async def refused(self, call: Call, method: str, outcome: str, rule: str | None) -> None:
        """Record that it came to nothing, and by which rule; not in whose words, which may quote what was typed."""
        await self._audit.note(
            Event.CONTROL_REFUSED,
            outcome="refused",
            uid=call.credentials.uid,
            user=call.user,
            details={"method": method, "outcome": outcome, **({"rule": rule} if rule else {})},
        )

    async def forbidden(self, credentials: Credentials, method: str | None) -> None:
        """Record that somebody asked for what their role does not allow; no method: has no role at all."""
        await self._audit.note_of_user(
            credentials.uid,
            Event.CONTROL_FORBIDDEN,
            outcome="refused",
            user=user_name(credentials.uid),
            details={"method": method or "connect", "outcome": "forbidden"},
        )
