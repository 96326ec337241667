"""What a daemon implements to be operated through the control socket."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import attrs

from nskd.control import answers, methods
from nskd.control.roles import Credentials, Role, user_name


async def _no_progress(_: dict[str, Any]) -> None:
    return None


@attrs.frozen
class Call:
    """Who calls, and a way to tell them how far it is.

    ``progress`` sends a ``progress`` notification with the fields given (``phase`` and ``done`` of ``total``,
    by custom); it may block for as long as the client does not read.
    """

    credentials: Credentials
    role: Role
    progress: Callable[[dict[str, Any]], Awaitable[None]] = attrs.field(default=_no_progress, repr=False)

    @property
    def user(self) -> str:
        """The caller's user name."""
        return user_name(self.credentials.uid)


class Journal(Protocol):
    """Puts every change that somebody asks for on record, before it is made, and that it was not made after all."""

    async def asked(self, call: Call, method: str, request: str | None, /) -> None:
        """About to be carried out; an ``OperatorError`` keeps it from being so."""

    async def refused(self, call: Call, method: str, outcome: str, rule: str | None, /) -> None:
        """It came to nothing: ``cancelled``, or the name of an error code in small letters, and the rule that refused.

        Raises nothing.
        """

    async def forbidden(self, credentials: Credentials, method: str | None, /) -> None:
        """Somebody asked for a method their role does not allow, or, without a method, has no role.  Raises nothing."""


class Service(Protocol):
    """One coroutine per method of :data:`nskd.control.methods.METHODS`, except ``subscribe``.

    May raise :class:`~nskd.errors.OperatorError` (the client sees ``REFUSED``) and
    :class:`~nskd.control.codes.ControlError`; anything else is a bug and gets an incident number.  The
    caller's role has been checked.  With ``params.check`` nothing may change.  Calls of one client may run at
    the same time.
    """

    async def version(self, call: Call, params: methods.Params, /) -> answers.VersionAnswer:
        """Tell versions."""

    async def status(self, call: Call, params: methods.Params, /) -> answers.StatusAnswer:
        """Tell how things are, at a glance."""

    async def peers(self, call: Call, params: methods.Params, /) -> answers.PeersAnswer:
        """List the other centres."""

    async def stock(self, call: Call, params: methods.Params, /) -> answers.StockAnswer:
        """Tell the stock of preprocessing."""

    async def charter(self, call: Call, params: methods.CharterParams, /) -> answers.CharterAnswer:
        """Show the charter in force, or one before it, with the signatures under it."""

    async def charter_sign(self, call: Call, params: methods.CharterSignParams, /) -> answers.CharterAnswer:
        """Sign the version that follows the one in force."""

    async def permits(self, call: Call, params: methods.Params, /) -> answers.PermitsAnswer:
        """List the permits on file."""

    async def request_list(self, call: Call, params: methods.ListParams, /) -> answers.RequestList:
        """List requests, oldest first."""

    async def request_show(self, call: Call, params: methods.NamedParams, /) -> answers.RequestDetail:
        """One request."""

    async def request_submit(self, call: Call, params: methods.SubmitParams, /) -> answers.SubmitAnswer:
        """Sign and send."""

    async def request_run(self, call: Call, params: methods.RunParams, /) -> answers.RunAnswer:
        """Propose the run to the other centres; returns once it has begun."""

    async def request_statement(self, call: Call, params: methods.StatementParams, /) -> answers.StatementAnswer:
        """Write what a steward signs to decide on a request."""

    async def request_approve(self, call: Call, params: methods.DecideParams, /) -> answers.DecisionAnswer:
        """Approve for this centre."""

    async def request_refuse(self, call: Call, params: methods.DecideParams, /) -> answers.DecisionAnswer:
        """Refuse for this centre."""

    async def request_revoke(self, call: Call, params: methods.DecideParams, /) -> answers.DecisionAnswer:
        """Withdraw this centre's approval."""

    async def result_show(self, call: Call, params: methods.NamedParams, /) -> answers.ResultAnswer:
        """Return what was released; ``NOT_FOUND`` while there is nothing."""

    async def result_wait(self, call: Call, params: methods.WaitParams, /) -> answers.ResultAnswer:
        """Wait until the request is done, refused, failed or expired."""

    async def document(self, call: Call, params: methods.DocumentParams, /) -> answers.DocumentAnswer:
        """Write a document about this centre."""

    async def audit_heads(self, call: Call, params: methods.Params, /) -> answers.HeadsAnswer:
        """What this centre holds of the others' audit logs."""

    async def audit_read(self, call: Call, params: methods.AuditParams, /) -> answers.AuditPage:
        """A page of the audit log."""

    async def pause(self, call: Call, params: methods.WithdrawParams, /) -> answers.PresenceAnswer:
        """Let nothing of this centre enter a run until it resumes."""

    async def resume(self, call: Call, params: methods.Changing, /) -> answers.PresenceAnswer:
        """Take part again."""

    async def leave(self, call: Call, params: methods.WithdrawParams, /) -> answers.PresenceAnswer:
        """Leave the workshop under its present charter, for good."""

    async def epoch_end(self, call: Call, params: methods.EpochEndParams, /) -> answers.EpochEndAnswer:
        """Destroy this centre's keys of the epoch, and its stock."""

    async def backup(self, call: Call, params: methods.Changing, /) -> answers.BackupAnswer:
        """Write a sealed backup of everything but epoch and stock."""

    async def reload(self, call: Call, params: methods.Changing, /) -> answers.ReloadAnswer:
        """Read the configuration anew."""

    async def metrics(self, call: Call, params: methods.Params, /) -> answers.MetricsAnswer:
        """Tell the numbers."""

    async def bugreport(self, call: Call, params: methods.Params, /) -> answers.BugReport:
        """Put together what helps others to help."""

    async def log_level(self, call: Call, params: methods.LogLevelParams, /) -> answers.LogLevelAnswer:
        """Log more or less."""

    async def drain(self, call: Call, params: methods.DrainParams, /) -> answers.DrainAnswer:
        """Finish what runs, take on nothing new; returns once nothing runs."""
