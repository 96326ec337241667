"""JSON-RPC 2.0 lines, there and back.  Pure.

Two things of the specification are not served, and are refused in clear words: batches (one line per request
does the same), and requests without an ``id`` (nobody would learn whether they worked).
"""

from __future__ import annotations

from typing import Any, Final, Literal, TypeVar

import attrs
import msgspec

from nskd.control.codes import Code, ControlError
from nskd.control.limits import ID_CHARS_MAX

Id = str | int | None

_NO_PARAMS: Final = msgspec.Raw(b"{}")
_P = TypeVar("_P")


class _Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    jsonrpc: Literal["2.0"]
    method: str
    id: str | int
    params: msgspec.Raw = _NO_PARAMS


class _Named(msgspec.Struct, frozen=True):
    """Just enough of a bad request to say which one it was."""

    id: str | int | None = None


@attrs.frozen
class Request:
    """One request; ``params`` is still JSON."""

    id: str | int
    method: str
    params: bytes = attrs.field(repr=False)


def decode_request(line: bytes) -> Request | tuple[Id, ControlError]:
    """Read one line; what is wrong with it comes back beside the id to answer under, if there is one."""
    try:
        read = msgspec.json.decode(line, type=_Line)
    except msgspec.ValidationError as exc:
        return _explain(line, exc)
    except (ValueError, RecursionError) as exc:  # not JSON, not UTF-8, or nested without end
        return None, ControlError(Code.PARSE_ERROR, f"the line is not JSON: {exc}")
    if isinstance(read.id, str) and len(read.id) > ID_CHARS_MAX:
        return None, ControlError(Code.INVALID_REQUEST, f"an id has at most {ID_CHARS_MAX} characters")
    return Request(id=read.id, method=read.method, params=bytes(read.params))


def _explain(line: bytes, wrong: msgspec.ValidationError) -> tuple[Id, ControlError]:
    """Say what keeps ``line`` from being a request, under its id if that much can be read."""
    reason = f"not a JSON-RPC 2.0 request: {wrong}"
    found: Id = None
    try:
        found = msgspec.json.decode(line, type=_Named).id
    except msgspec.ValidationError:
        if line.startswith(b"["):
            reason = "batches are not served: send one request per line"
    except (
        ValueError,
        RecursionError,
    ) as exc:  # and it ends in rubbish, too
        return None, ControlError(Code.PARSE_ERROR, f"the line is not JSON: {exc}")
    if isinstance(found, str) and len(found) > ID_CHARS_MAX:
        found = None
    return found, ControlError(Code.INVALID_REQUEST, reason)


def decode_params(params: bytes, shape: type[_P]) -> _P:
    """Read parameters into ``shape``; :class:`ControlError` (``INVALID_PARAMS``) says what is off."""
    try:
        return msgspec.json.decode(params, type=shape)
    except (ValueError, RecursionError) as exc:
        raise ControlError(Code.INVALID_PARAMS, f"parameters: {exc}") from None


def result_line(request_id: Id, result: object) -> bytes:
    """Encode an answer, newline included; ``result`` is JSON or a msgspec struct."""
    return msgspec.json.encode({"jsonrpc": "2.0", "id": request_id, "result": result}) + b"\n"


def error_line(request_id: Id, error: ControlError) -> bytes:
    """Encode an error, newline included."""
    body: dict[str, Any] = {"code": int(error.code), "message": error.message}
    if error.data:
        body["data"] = error.data
    return msgspec.json.encode({"jsonrpc": "2.0", "id": request_id, "error": body}) + b"\n"


def notification_line(method: str, params: dict[str, Any]) -> bytes:
    """Encode a notification, newline included."""
    return msgspec.json.encode({"jsonrpc": "2.0", "method": method, "params": params}) + b"\n"
