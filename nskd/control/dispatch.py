"""From a line to its answer: method, role, parameters, the service, and a log entry for every change."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from typing import Any

import structlog

from nskd.control import jsonrpc
from nskd.control.codes import Code, ControlError
from nskd.control.limits import LINE_BYTES_MAX
from nskd.control.methods import METHODS, Changing, Method, Params, SubscribeParams
from nskd.control.roles import Credentials, Role
from nskd.control.service import Call, Journal, Service
from nskd.errors import OperatorError
from nskd.governance.ledger import UnknownRequestError
from nskd.governance.lifecycle import StateError
from nskd.governance.policy import PolicyError
from nskd.governance.toml import closest, shown
from protocol.errors import RemoteProtocolError

Log = structlog.typing.FilteringBoundLogger
Send = Callable[[bytes], Awaitable[None]]


class Dispatcher:
    """Answers the lines of one client; ``send`` takes notifications, ``subscribe`` begins the events."""

    def __init__(
        self,
        service: Service,
        *,
        credentials: Credentials,
        role: Role,
        send: Send,
        subscribe: Callable[[SubscribeParams], None],
        journal: Journal,
        log: Log,
    ) -> None:
        self._service = service
        self._credentials = credentials
        self._role = role
        self._send = send
        self._subscribe = subscribe
        self._journal = journal
        self._log = log

    async def answer(self, line: bytes) -> bytes:
        """Return the one line that answers ``line``; never raises but for cancellation."""
        request = jsonrpc.decode_request(line)
        if isinstance(request, tuple):
            return jsonrpc.error_line(*request)
        try:
            method = await self._method(request.method)
            params = jsonrpc.decode_params(request.params, method.params)
            if isinstance(params, SubscribeParams):
                self._subscribe(params)
                return jsonrpc.result_line(request.id, {"subscribed": True, "kinds": params.kinds})
            answer = jsonrpc.result_line(request.id, await self._call(method, params, request.id))
        except ControlError as exc:
            return jsonrpc.error_line(request.id, exc)
        except Exception:  # an answer that is not JSON
            return jsonrpc.error_line(request.id, self._incident(request.method))
        if len(answer) > LINE_BYTES_MAX:
            error = ControlError(
                Code.TOO_LARGE, f"the answer would be {len(answer)} bytes", remedy="Ask for less at once."
            )
            return jsonrpc.error_line(request.id, error)
        return answer

    async def _method(self, name: str) -> Method:
        method = METHODS.get(name)
        if method is None:
            raise ControlError(
                Code.METHOD_NOT_FOUND,
                f"there is no method {shown(name)}{closest(name, METHODS)}",
                remedy=f"Methods: {', '.join(METHODS)}.",
            )
        if self._role < method.role:
            self._log.warning("control.forbidden", method=name, uid=self._credentials.uid, role=self._role.word)
            await self._journal.forbidden(self._credentials, name)
            raise ControlError(
                Code.FORBIDDEN,
                f"{name} needs the role {method.role.word}, and you have {self._role.word}",
                remedy="Ask an administrator of this daemon.",
            )
        return method

    async def _call(self, method: Method, params: Params, request_id: jsonrpc.Id) -> object:
        """Let only :class:`ControlError` out; log a change once it is over, whatever became of it."""

        async def progress(fields: dict[str, Any]) -> None:
            await self._send(jsonrpc.notification_line("progress", {**fields, "id": request_id}))

        call = Call(credentials=self._credentials, role=self._role, progress=progress)
        handler: Callable[[Call, Params], Awaitable[object]] = getattr(self._service, method.handler)
        outcome, rule = "cancelled", None
        on_record = method.changes and not (isinstance(params, Changing) and params.check)
        try:
            if on_record:
                await self._journal.asked(call, method.name, getattr(params, "request", None))
            result = await handler(call, params)
            outcome = "ok"
        except Exception as exc:
            error = self._error(method, exc)
            outcome, rule = error.code.name.lower(), error.data.get("rule")
            raise error from None
        finally:
            if method.changes:
                self._log.info(
                    "control.change",
                    method=method.name,
                    uid=self._credentials.uid,
                    pid=self._credentials.pid,
                    role=self._role.word,
                    check=isinstance(params, Changing) and params.check,
                    request=getattr(params, "request", None),
                    outcome=outcome,
                )
            if on_record and outcome != "ok":
                await self._journal.refused(call, method.name, outcome, rule)
        return result

    def _error(self, method: Method, exc: Exception) -> ControlError:
        match exc:
            case ControlError():
                return exc
            case UnknownRequestError():
                return ControlError.of(exc, Code.NOT_FOUND)
            case StateError():
                return ControlError.of(exc, Code.CONFLICT)
            case PolicyError():
                return ControlError.of(exc, rule=exc.rule.value)
            case OperatorError():
                return ControlError.of(exc)
            case RemoteProtocolError():
                return ControlError(Code.REFUSED, str(exc), fault=exc.fault.value)
            case _:
                return self._incident(method.name)

    def _incident(self, method: str) -> ControlError:
        """Log the exception being handled under a fresh number, and give the client the number only."""
        incident = secrets.token_hex(4)
        self._log.exception("control.incident", incident=incident, method=method)
        return ControlError(
            Code.INTERNAL,
            f"a fault of the daemon, incident {incident}",
            incident=incident,
            remedy="Look for the incident in the daemon's log and report it.",
        )
