"""Every method of the control socket: its role, its parameters, whether it changes anything.

Parameters are an object; an unknown name in it is an error.  Every changing method takes ``check: true``,
which goes through all the checks and changes nothing.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Annotated, Final, Literal

import attrs
import msgspec

from nskd.control.roles import Role
from nskd.governance import limits

# pattern and bounds on what a person types; the daemon resolves a unique prefix
RequestName = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-fA-F]{4,64}\Z")]
RequestState = Literal["submitted", "approved", "running", "done", "refused", "failed", "expired"]


class Params(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Root of all parameters; by itself: none."""


class Changing(Params, frozen=True, kw_only=True):
    """Root of the parameters of changing methods."""

    check: bool = False


class SubmitParams(Changing, frozen=True, kw_only=True):
    """``text`` is the request's TOML; ``again`` submits it although the same words are undecided."""

    text: Annotated[str, msgspec.Meta(min_length=1, max_length=limits.REQUEST_TEXT_BYTES_MAX)]
    again: bool = False


class ListParams(Params, frozen=True, kw_only=True):
    """The newest ``limit`` requests in the given states, all when empty."""

    states: Annotated[list[RequestState], msgspec.Meta(max_length=7)] = []
    limit: Annotated[int, msgspec.Meta(ge=1, le=limits.LIST_MAX)] = 50


class NamedParams(Params, frozen=True, kw_only=True):
    """``request``: its digest in hexadecimal, or the first few digits."""

    request: RequestName


class WaitParams(NamedParams, frozen=True, kw_only=True):
    """``timeout_s``: answer with the state as it is after that long; null waits for good."""

    timeout_s: Annotated[float, msgspec.Meta(gt=0, le=604_800)] | None = None


class RunParams(Changing, frozen=True, kw_only=True):
    """``request`` as in :class:`NamedParams`."""

    request: RequestName


class StatementParams(Params, frozen=True, kw_only=True):
    """``steward`` says who is going to sign: a name in the charter, a fingerprint, or a public key line.

    ``validity_s`` is for approvals.
    """

    request: RequestName
    verdict: Literal["approve", "refuse", "withdraw"]
    steward: Annotated[str, msgspec.Meta(min_length=1, max_length=limits.STEWARD_LINE_CHARS_MAX)] | None = None
    validity_s: Annotated[int, msgspec.Meta(ge=1, le=limits.APPROVAL_VALIDITY_MAX_S)] = (
        limits.APPROVAL_VALIDITY_DEFAULT_S
    )


class CharterParams(Params, frozen=True, kw_only=True):
    """``digest``: of a charter that was in force here before; without it the one that is."""

    digest: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")] | None = None


class CharterSignParams(Changing, frozen=True, kw_only=True):
    """``text`` is the TOML of the version that follows the charter in force."""

    text: Annotated[str, msgspec.Meta(min_length=1, max_length=limits.CHARTER_BYTES_MAX)]


class DocumentParams(Params, frozen=True, kw_only=True):
    """``kind``: the data protection impact assessment, or the entry for a catalogue of health data."""

    kind: Literal["dpia", "catalogue"]


class AuditParams(Params, frozen=True, kw_only=True):
    """Entries from number ``after`` + 1 on, at most ``limit``, and fewer where they are long."""

    after: Annotated[int, msgspec.Meta(ge=0, le=limits.AUDIT_ENTRIES_MAX)] = 0
    limit: Annotated[int, msgspec.Meta(ge=1, le=limits.AUDIT_PAGE_ENTRIES_MAX)] = 100


class DecideParams(Changing, frozen=True, kw_only=True):
    """``statement`` as ``request.statement`` wrote it, ``signature`` as ``ssh-keygen -Y sign`` made it."""

    request: RequestName
    statement: Annotated[str, msgspec.Meta(min_length=1, max_length=limits.STATEMENT_BYTES_MAX)]
    signature: Annotated[str, msgspec.Meta(min_length=1, max_length=2 * limits.SSH_SIGNATURE_BYTES_MAX)]


class WithdrawParams(Changing, frozen=True, kw_only=True):
    """``reason``: one line that all centres are shown."""

    reason: Annotated[str, msgspec.Meta(max_length=limits.PRESENCE_REASON_CHARS_MAX)] = ""


class DrainParams(Changing, frozen=True, kw_only=True):
    """``exit``: end the daemon once nothing runs any more."""

    exit: bool = False


class LogLevelParams(Changing, frozen=True, kw_only=True):
    """``level``: from now on and until the daemon is restarted; null goes back to what is configured."""

    level: Literal["debug", "info", "warning", "error"] | None = None


class EpochEndParams(Changing, frozen=True, kw_only=True):
    """``reason``: one line for log and audit log; it stays at this centre."""

    reason: Annotated[str, msgspec.Meta(max_length=limits.PRESENCE_REASON_CHARS_MAX)] = ""


class SubscribeParams(Params, frozen=True, kw_only=True):
    """``kinds``: only events of these kinds; ``peer`` stands for ``peer.up`` and so on; all when empty."""

    kinds: Annotated[list[Annotated[str, msgspec.Meta(max_length=64)]], msgspec.Meta(max_length=16)] = []


@attrs.frozen
class Method:
    """One method; ``handler`` is the name of the service's coroutine for it."""

    name: str
    role: Role
    params: type[Params]
    summary: str

    @property
    def handler(self) -> str:
        """``request.show`` is served by ``request_show``."""
        return self.name.replace(".", "_")

    @property
    def changes(self) -> bool:
        """Whether calls are logged as changes and take ``check``."""
        return issubclass(self.params, Changing)


SUBSCRIBE: Final = "subscribe"  # the server's own: it answers, then sends "event" notifications

METHODS: Final = MappingProxyType(
    {
        method.name: method
        for method in (
            Method("version", Role.READ, Params, "versions of the daemon and the protocol"),
            Method("status", Role.READ, Params, "this centre at a glance"),
            Method("peers", Role.READ, Params, "the other centres and the links to them"),
            Method("stock", Role.READ, Params, "preprocessing in stock"),
            Method(SUBSCRIBE, Role.READ, SubscribeParams, "events as they happen"),
            Method("charter", Role.READ, CharterParams, "the charter in force, or a former one, and who signed it"),
            Method("charter.sign", Role.ADMIN, CharterSignParams, "sign the charter's next version for this centre"),
            Method("permits", Role.READ, Params, "permits that requests may name, and how they stand"),
            Method("request.list", Role.READ, ListParams, "requests, oldest first"),
            Method("request.show", Role.READ, NamedParams, "one request, in plain words too"),
            Method("request.submit", Role.OPERATE, SubmitParams, "sign a request and send it to all centres"),
            Method("request.run", Role.OPERATE, RunParams, "run an approved request, or a failed one again"),
            Method("request.statement", Role.READ, StatementParams, "what a steward signs to decide on a request"),
            Method("request.approve", Role.APPROVE, DecideParams, "approve a request for this centre"),
            Method("request.refuse", Role.APPROVE, DecideParams, "refuse a request for this centre"),
            Method("request.revoke", Role.APPROVE, DecideParams, "withdraw this centre's approval of a request"),
            Method("result.show", Role.READ, NamedParams, "what was released"),
            Method("result.wait", Role.READ, WaitParams, "the same, once the request is decided"),
            Method("document", Role.READ, DocumentParams, "a document about this centre, from what is in force now"),
            Method("audit.heads", Role.READ, Params, "what this centre holds of the others' audit logs"),
            Method("audit.read", Role.APPROVE, AuditParams, "the audit log, a page at a time"),
            Method("pause", Role.APPROVE, WithdrawParams, "let nothing of this centre enter a run until it resumes"),
            Method("resume", Role.APPROVE, Changing, "take part again after a pause"),
            Method("leave", Role.APPROVE, WithdrawParams, "leave the workshop under its present charter, for good"),
            Method("metrics", Role.READ, Params, "the numbers of this daemon, as Prometheus reads them"),
            Method("bugreport", Role.ADMIN, Params, "what helps others to help, without secrets, rows or persons"),
            Method("log.level", Role.ADMIN, LogLevelParams, "log more or less until the next restart"),
            Method("epoch.end", Role.ADMIN, EpochEndParams, "destroy this centre's keys of the epoch and all stock"),
            Method("backup", Role.ADMIN, Changing, "write a sealed backup of everything but the stock"),
            Method("reload", Role.ADMIN, Changing, "read the configuration anew"),
            Method("drain", Role.ADMIN, DrainParams, "finish what runs, take on nothing new"),
        )
    }
)
