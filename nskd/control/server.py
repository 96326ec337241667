"""Connections to the control socket.

Each has one task that reads lines, one that writes, and one per call under way.  Answers wait for their turn,
events never do.  The caller's role is looked up once, when the connection is made: that is the moment of
which the kernel reports the credentials.
"""

from __future__ import annotations

import contextlib
import select
import socket
from collections import deque
from collections.abc import Callable

import structlog
import trio

from nskd.control import jsonrpc, limits
from nskd.control.codes import Code, ControlError
from nskd.control.dispatch import Dispatcher, Log
from nskd.control.events import EventBus, Subscription
from nskd.control.lines import LineReader, LineTooLongError
from nskd.control.methods import SubscribeParams
from nskd.control.roles import Credentials, HasSocketOptions, RoleMap, peer_credentials
from nskd.control.service import Journal, Service

_GONE = (trio.BrokenResourceError, trio.ClosedResourceError)


class ControlServer:
    """Serves ``service`` to whoever may use it.

    ``credentials`` says who connected (a test injects its own); ``log`` gets one line per change.
    ``journal`` puts on record who asks for a change, before it is made.  ``roles`` may be replaced at any time, for
    connections made from then on.
    """

    def __init__(
        self,
        service: Service,
        *,
        roles: RoleMap,
        events: EventBus,
        journal: Journal,
        bounds: limits.Bounds | None = None,
        credentials: Callable[[HasSocketOptions], Credentials] = peer_credentials,
        log: Log | None = None,
    ) -> None:
        self.service = service
        self.events = events
        self.journal = journal
        self.bounds = bounds or limits.Bounds()
        self.log: Log = log or structlog.get_logger("nskd.control")
        self.roles = roles
        self._credentials = credentials
        self._connections = 0

    @property
    def connections(self) -> int:
        """Clients that are connected."""
        return self._connections

    def use_roles(self, roles: RoleMap) -> None:
        """Judge connections made from now on by these roles."""
        self._roles = roles

    async def serve(
        self, listener: socket.socket, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Accept connections on ``listener`` until cancelled; closing it stays the caller's business."""
        acceptor = trio.socket.from_stdlib_socket(listener)
        async with trio.open_nursery() as nursery:
            task_status.started()
            while True:
                try:
                    accepted, _ = await acceptor.accept()
                except OSError as exc:  # a client gone again, or no descriptors left: no reason to stop serving
                    self.log.warning("control.accept", reason=exc.strerror)
                    await trio.sleep(0.1)
                    continue
                nursery.start_soon(self._welcome, trio.SocketStream(accepted))

    async def _welcome(self, stream: trio.SocketStream) -> None:
        """Serve one connection; whatever happens in it, the others go on."""
        async with stream:
            try:
                credentials = self._credentials(stream.socket)
                dispatch = self._admit(credentials)
                if isinstance(dispatch, ControlError):
                    if dispatch.code is Code.FORBIDDEN:
                        await self.journal.forbidden(credentials, None)
                    with trio.move_on_after(self.bounds.send_s):
                        await stream.send_all(jsonrpc.error_line(None, dispatch))
                    return
                self._connections += 1
                try:
                    await _Connection(self, stream, dispatch).run()
                finally:
                    self._connections -= 1
            except _GONE:
                pass
            except Exception:
                self.log.exception("control.connection")

    def _admit(self, credentials: Credentials) -> ControlError | Callable[[_Connection], Dispatcher]:
        role = self.roles.role_of(credentials)
        if role is None:
            self.log.warning("control.stranger", uid=credentials.uid, gid=credentials.gid, pid=credentials.pid)
            return ControlError(
                Code.FORBIDDEN,
                f"uid {credentials.uid} has no role at this daemon",
                remedy="Ask an administrator of this daemon for one.",
            )
        if self._connections >= self.bounds.connections:
            return ControlError(
                Code.BUSY, f"{self._connections} connections are open already", remedy="Try again later."
            )
        return lambda connection: Dispatcher(
            self.service,
            credentials=credentials,
            role=role,
            send=connection.send,
            subscribe=connection.subscribe,
            journal=self.journal,
            log=self.log,
        )


class _Connection:
    """One client, from its first line until it is gone, idle for too long, or takes no answers."""

    def __init__(
        self,
        server: ControlServer,
        stream: trio.SocketStream,
        dispatcher: Callable[[_Connection], Dispatcher],
    ) -> None:
        self._bounds = server.bounds
        self._events = server.events
        self._stream = stream
        self._dispatcher = dispatcher(self)
        self._slots = trio.CapacityLimiter(server.bounds.calls_per_connection)
        self._answers: deque[bytes] = deque()  # a sender waits until its line is out: the slots bound this
        self._subscription: Subscription | None = None
        self._calls = 0
        self._line = b""  # that was begun last, and what of it has not left yet
        self._rest = memoryview(self._line)
        self._quiet_since = trio.current_time()  # a line came, or a call ended: bytes alone are no reason to stay
        self._work = trio.Event()  # there may be something to write
        self._progress = trio.Event()  # a line went out, or a call ended; replaced each time

    async def run(self) -> None:
        """Serve until it is over."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._write, nursery.cancel_scope)
                await self._read(nursery)
                await self._linger()
                nursery.cancel_scope.cancel()
        finally:
            if self._subscription is not None:
                self._events.detach(self._subscription)
            await self._flush()

    async def _flush(self) -> None:
        """When the daemon ends: answers that are ready still go out, that of the call that ended it among them."""
        with trio.move_on_after(self._bounds.flush_s, shield=True), contextlib.suppress(*_GONE):
            await self._send_rest()
            while self._answers:
                if self._answers[0] is not self._line:
                    self._begin(self._answers[0])
                    await self._send_rest()
                self._answers.popleft()

    def subscribe(self, params: SubscribeParams) -> None:
        """Begin sending events, in place of any earlier subscription."""
        if self._subscription is not None:
            self._events.detach(self._subscription)
        self._subscription = Subscription(params.kinds, self._bounds.events_queued, self._wake)
        self._events.attach(self._subscription)

    async def send(self, line: bytes) -> None:
        """Send a line and wait until it is out, which holds back a client that does not read."""
        self._answers.append(line)
        self._wake()
        while any(waiting is line for waiting in self._answers):
            await self._progress.wait()

    def _wake(self) -> None:
        self._work.set()

    def _step(self) -> None:
        self._progress.set()
        self._progress = trio.Event()

    # --- reading --------------------------------------------------------------------------------------------

    async def _read(self, nursery: trio.Nursery) -> None:
        reader = LineReader()
        while data := await self._receive():
            reader.receive_data(data)
            try:
                while (line := reader.next_line()) is not None:
                    self._quiet_since = trio.current_time()
                    slot = object()
                    await self._slots.acquire_on_behalf_of(slot)
                    self._calls += 1
                    nursery.start_soon(self._serve, line, slot)
            except LineTooLongError:
                # Where the next line begins cannot be known any more, so this is the end of the connection.
                error = ControlError(Code.TOO_LARGE, f"a line has at most {limits.LINE_BYTES_MAX} bytes")
                await self.send(jsonrpc.error_line(None, error))
                return

    async def _receive(self) -> bytes:
        """Wait for data; empty at the end, which is also when nothing is under way for too long."""
        while True:
            with trio.move_on_at(self._quiet_since + self._bounds.idle_s):
                try:
                    return bytes(await self._stream.receive_some(limits.READ_BYTES))
                except _GONE:
                    return b""
            if not self._calls and self._subscription is None:
                return b""
            self._quiet_since = trio.current_time()

    async def _serve(self, line: bytes, slot: object) -> None:
        try:
            await self.send(await self._dispatcher.answer(line))
        finally:
            self._calls -= 1
            self._quiet_since = trio.current_time()
            self._slots.release_on_behalf_of(slot)
            self._step()

    async def _linger(self) -> None:
        """See through what was under way when the client stopped writing, as ``echo … | socat`` does at once.

        A client that half closed still wants its answers and its events; one that is gone altogether is told
        apart by the hang-up that the kernel reports.
        """
        poll = select.poll()
        poll.register(self._stream.socket.fileno(), 0)
        while (self._calls or self._subscription is not None) and not poll.poll(0):
            with trio.move_on_after(self._bounds.hangup_check_s):
                await self._progress.wait()

    # --- writing --------------------------------------------------------------------------------------------

    async def _write(self, connection: trio.CancelScope) -> None:
        """Write answers, then events; end the connection when the client is gone or takes too long."""
        try:
            while True:
                await self._work.wait()
                self._work = trio.Event()
                while (line := self._next_line()) is not None:
                    self._begin(line)
                    with trio.fail_after(self._bounds.send_s):
                        await self._send_rest()
                    if self._answers and self._answers[0] is line:
                        self._answers.popleft()
                        self._step()
        except (trio.TooSlowError, *_GONE):
            self._rest = memoryview(b"")
            self._answers.clear()
            connection.cancel()

    def _begin(self, line: bytes) -> None:
        self._line, self._rest = line, memoryview(line)

    async def _send_rest(self) -> None:
        """Send what is left of the line that was begun; where this is cancelled, what has left is known."""
        try:
            while self._rest:
                self._rest = self._rest[await self._stream.socket.send(self._rest) :]
        except OSError as exc:
            raise trio.BrokenResourceError from exc

    def _next_line(self) -> bytes | None:
        if self._answers:
            return self._answers[0]
        event = self._subscription.take() if self._subscription is not None else None
        return jsonrpc.notification_line("event", event) if event is not None else None
