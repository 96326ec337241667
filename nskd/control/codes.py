"""The error codes of the control socket.  They are stable: scripts may rely on them.

``error.message`` is a sentence for a person.  ``error.data`` is an object; ``where`` and ``remedy`` stand in
it when the daemon knows them, ``rule`` when a named rule refused, ``incident`` when the fault is the daemon's
own.
"""

from __future__ import annotations

import enum

from nskd.errors import OperatorError


class Code(enum.IntEnum):
    """JSON-RPC's own codes, then the daemon's."""

    PARSE_ERROR = -32700  # the line is not JSON
    INVALID_REQUEST = -32600  # JSON, but not one JSON-RPC 2.0 request
    METHOD_NOT_FOUND = -32601
    INVALID_PARAMS = -32602
    INTERNAL = -32603  # a bug; data.incident names the entry in the daemon's log
    REFUSED = -32000  # understood and refused; data.where and data.remedy say why and what to do
    FORBIDDEN = -32001  # the caller's role does not reach
    NOT_FOUND = -32002  # no such request or result
    CONFLICT = -32003  # it is there, but not in a state for that
    BUSY = -32004  # too many connections
    TOO_LARGE = -32005  # a line, or an answer, over 1 MiB
    DRAINING = -32006  # the daemon is stopping and takes on nothing new


class ControlError(Exception):
    """An error for the client; what a service raises when ``REFUSED`` is not the right code."""

    def __init__(self, code: Code, message: str, **data: str) -> None:
        self.code = code
        self.message = message
        self.data = data
        super().__init__(message)

    @classmethod
    def of(cls, error: OperatorError, code: Code = Code.REFUSED, **data: str) -> ControlError:
        """Turn a sentence for an operator into an answer; ``str()`` of the result reads as the error does."""
        return cls(code, str(error), what=error.what, where=error.where, remedy=error.remedy, **data)
