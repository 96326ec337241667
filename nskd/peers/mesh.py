"""All links to all peers: keeps them up, routes what comes in, and opens sessions across them."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Sequence
from functools import partial
from typing import Any, Final, TypeVar

import attrs
import structlog
import trio

from nskd.peers.channel import SessionChannel
from nskd.peers.complaints import Complaints
from nskd.peers.control import ControlTraffic
from nskd.peers.dialer import Connect, Dialer, Jitter, Pace, connect_tcp
from nskd.peers.greeting import Arrival, Greeter, welcome_message
from nskd.peers.lanes import PROTOCOL_VERSION, Lane, Member
from nskd.peers.link import Link, LinkEnd
from nskd.peers.listener import Answerer
from nskd.peers.stream import MessageStream
from protocol import limits
from protocol.errors import Fault, LocalProtocolError, RemoteProtocolError
from protocol.messages import Abort, ControlMessage, encode_control
from protocol.noise import StaticKey
from protocol.wire import Message

M = TypeVar("M", bound=ControlMessage)
Handler = Callable[[str, Any], Awaitable[None]]
Now = Callable[[], datetime.datetime]

ALL_LANES: Final = frozenset(Lane)
_NOT_YET: Final = "not connected yet"
_NOT_CALLED: Final = (
    "it has not called us, as the centre that comes first in the charter does: check that nskd runs there"
)


def _utc_now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


@attrs.frozen
class PeerStatus:
    """How a peer stands: the lanes that are up, since when it is connected or not, and why it is not."""

    name: str
    lanes: tuple[Lane, ...]
    since: datetime.datetime
    last_error: str | None
    round_trip_s: float | None
    stray_messages: int  # since the present links came up
    queued: int = 0  # messages to it that have not left, and of it that wait for their handler

    @property
    def connected(self) -> bool:
        """Whether all lanes are up."""
        return len(self.lanes) == len(ALL_LANES)


@attrs.define(eq=False)
class _Peer:
    member: Member
    since: datetime.datetime
    last_error: str | None
    links: dict[Lane, Link] = attrs.field(factory=dict)
    control: ControlTraffic | None = None


class Mesh:
    """The links of this centre; :meth:`run` keeps them up until it is cancelled.

    ``members`` are all centres in charter order, this one included.  ``listeners`` are open already.
    ``jitter`` returns uniform numbers in [0, 1).
    """

    def __init__(
        self,
        *,
        own: str,
        static: StaticKey,
        charter_digest: bytes,
        members: Sequence[Member],
        listeners: Sequence[trio.abc.Listener[Any]],
        jitter: Jitter,
        log: structlog.typing.FilteringBoundLogger,
        connect: Connect = connect_tcp,
        pace: Pace | None = None,
        now: Now = _utc_now,
        version: int = PROTOCOL_VERSION,
    ) -> None:
        self.own = own
        self._greeter = Greeter(own=own, static=static, charter_digest=charter_digest, members=members, version=version)
        self._listeners = list(listeners)
        self._jitter = jitter
        self._connect = connect
        self._pace = pace or Pace()
        self._now = now
        self._log = log
        self._complaints = Complaints(log)
        self._peers = {
            name: _Peer(member, now(), _NOT_YET if name in self._greeter.callees else _NOT_CALLED)
            for name, member in self._greeter.peers.items()
        }
        self._channels: dict[bytes, SessionChannel] = {}
        self.failed_calls: Counter[str] = Counter()  # of ours, by peer, since the start
        self.failed_answers = 0  # callers that were not let in, since the start
        self._handlers: dict[type[Any], Handler] = {}
        self._changed = trio.lowlevel.ParkingLot()
        self._answerer = Answerer(
            greeter=self._greeter,
            serve=self._serve_caller,
            complaints=self._complaints,
            on_stranger=self._note_stranger,
        )

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Dial, answer and serve for ever; says goodbye on every link when cancelled."""
        async with trio.open_nursery() as nursery:
            for name in sorted(self._greeter.callees):
                for lane in Lane:
                    nursery.start_soon(self._dialer(self._peers[name], lane).run)
            if self._listeners:
                await nursery.start(partial(trio.serve_listeners, self._answerer.handle, self._listeners))
            task_status.started()

    def _dialer(self, peer: _Peer, lane: Lane) -> Dialer:
        def note(problem: str) -> None:
            peer.last_error = problem
            self.failed_calls[peer.member.name] += 1

        return Dialer(
            peer.member,
            lane,
            greeter=self._greeter,
            connect=self._connect,
            serve=self._serve,
            jitter=self._jitter,
            pace=self._pace,
            complaints=self._complaints,
            on_problem=note,
        )

    # --- for everybody ------------------------------------------------------------------------------------

    @property
    def peers(self) -> tuple[str, ...]:
        """The names of all other centres, in charter order."""
        return tuple(self._peers)

    def status(self) -> tuple[PeerStatus, ...]:
        """How each peer stands, in charter order."""
        return tuple(
            PeerStatus(
                name=name,
                lanes=tuple(lane for lane in Lane if lane in peer.links),
                since=peer.since,
                last_error=peer.last_error,
                round_trip_s=peer.control.round_trip_s if peer.control is not None else None,
                stray_messages=sum(link.stray_messages for link in peer.links.values()),
                queued=sum(link.queued for link in peer.links.values())
                + (peer.control.queued if peer.control is not None else 0),
            )
            for name, peer in self._peers.items()
        )

    def connected(self, names: Collection[str] | None = None, lanes: Collection[Lane] = ALL_LANES) -> bool:
        """Whether ``lanes`` are up to all of ``names`` (by default to every peer); ourselves are skipped."""
        wanted = self._peers if names is None else [name for name in names if name != self.own]
        return all(lane in self._peer(name).links for name in wanted for lane in lanes)

    async def wait_connected(self, names: Collection[str] | None = None, lanes: Collection[Lane] = ALL_LANES) -> None:
        """Wait until :meth:`connected`.  The caller bounds the time."""
        await trio.lowlevel.checkpoint()
        while not self.connected(names, lanes):
            await self._changed.park()

    async def wait_link(self, name: str, lane: Lane, known: Link | None = None) -> Link:
        """Wait for a link to ``name`` other than ``known``: each connection is met once, however it flaps."""
        await trio.lowlevel.checkpoint()
        while (link := self._peer(name).links.get(lane)) is None or link is known:
            await self._changed.park()
        return link

    def _peer(self, name: str) -> _Peer:
        try:
            return self._peers[name]
        except KeyError:
            raise LocalProtocolError(f"{name!r} is not a peer") from None

    # --- control messages ---------------------------------------------------------------------------------

    def register(self, kind: type[M], handler: Callable[[str, M], Awaitable[None]]) -> None:
        """Have ``handler(peer, message)`` called for incoming control messages of one type.

        A peer's messages are handled one after another in the order sent, so a handler should not wait for
        another message of the same peer.  A ``RemoteProtocolError`` it raises ends that peer's control link.
        """
        if kind in self._handlers:
            raise LocalProtocolError(f"{kind.__name__} has a handler already")
        self._handlers[kind] = handler

    async def send_control(self, name: str, message: ControlMessage) -> None:
        """Send a control message, all of it; ``RemoteProtocolError(DISCONNECTED)`` if that cannot be."""
        await trio.lowlevel.checkpoint()
        link = self._peer(name).links.get(Lane.CONTROL)
        if link is None:
            raise RemoteProtocolError(Fault.DISCONNECTED, f"{name} is not connected", party=name)
        await link.send(encode_control(message))

    def post_control(self, name: str, message: ControlMessage) -> bool:
        """Queue a control message without waiting; ``False`` if the peer is not connected."""
        link = self._peer(name).links.get(Lane.CONTROL)
        if link is not None:
            link.submit(encode_control(message))
        return link is not None

    def broadcast_control(self, message: ControlMessage, names: Collection[str] | None = None) -> tuple[str, ...]:
        """Queue a control message to all peers, or to ``names``; returns those that are not connected."""
        wanted = self._peers if names is None else [name for name in names if name != self.own]
        return tuple(name for name in wanted if not self.post_control(name, message))

    # --- sessions -----------------------------------------------------------------------------------------

    def open_session(self, session: bytes, lane: Lane, parties: tuple[str, ...]) -> SessionChannel:
        """Open a channel among ``parties``, in party order, ourselves included; a context manager.

        Bound to the links of this moment: ``RemoteProtocolError(DISCONNECTED)`` with the party's index if one
        is missing.
        """
        if len(session) != limits.SESSION_BYTES or session in self._channels:
            raise LocalProtocolError("a session id is used once, and has its length")
        if lane is Lane.CONTROL or self.own not in parties or len(set(parties)) != len(parties):
            raise LocalProtocolError("a session has a data lane and distinct parties, this centre among them")
        links: dict[int, Link] = {}
        for index, name in enumerate(parties):
            if name != self.own:
                link = self._peer(name).links.get(lane)
                if link is None:
                    raise RemoteProtocolError(Fault.DISCONNECTED, f"{name} is not connected", party=index)
                links[index] = link
        channel = SessionChannel(session, lane, parties, links, on_close=self._forget)
        self._channels[session] = channel
        return channel

    def _forget(self, channel: SessionChannel) -> None:
        del self._channels[channel.session]

    # --- links --------------------------------------------------------------------------------------------

    @property
    def strangers(self) -> int:
        """Callers that have not shown yet who they are."""
        return self._answerer.unauthenticated

    def _note_stranger(self, problem: str) -> None:
        self.failed_answers += 1
        # Whoever fails in the handshake remains unknown.  It may be any of those that we wait for, so they all show it.
        for name, peer in self._peers.items():
            if name not in self._greeter.callees and not peer.links:
                peer.last_error = f"{_NOT_CALLED}; {problem}"

    async def _serve_caller(self, arrival: Arrival) -> None:
        # The newcomer has proved who it is, so the peer itself has given up the former connection.
        former = self._peers[arrival.member.name].links.get(arrival.lane)
        if former is not None:
            former.close("replaced by a newer connection")
        await self._serve(arrival.member, arrival.lane, arrival.pipe, welcome_message())

    async def _serve(self, member: Member, lane: Lane, pipe: MessageStream, *first: Message) -> None:
        """Run one link from greeting to end."""
        peer = self._peers[member.name]
        control: ControlTraffic | None = None
        if lane is Lane.CONTROL:
            control = ControlTraffic(
                on_abort=partial(self._take_abort, member.name), handle=partial(self._handle, member.name)
            )
            peer.control = control
        deliver = self._route if control is None else control.deliver
        link = Link(pipe, peer=member.name, lane=lane, deliver=deliver, on_end=self._link_ended)
        for message in first:
            link.submit(message)
        peer.links[lane] = link
        if peer.links.keys() == ALL_LANES:
            peer.since, peer.last_error = self._now(), None
            self._complaints.resolved(("link", member.name))
            self._log.info("peer connected", peer=member.name)
        self._changed.unpark_all()
        await link.run(*([control.dispatch, control.keep_alive] if control is not None else []))

    def _link_ended(self, link: Link, end: LinkEnd) -> None:
        peer = self._peers[link.peer]
        if peer.links.get(link.lane) is link:
            if peer.links.keys() == ALL_LANES:
                peer.since = self._now()
            del peer.links[link.lane]
            peer.last_error = end.reason
            self._complaints.report(
                ("link", link.peer),
                f"the connection to {link.peer} was lost: {end.reason}",
                lane=link.lane.value,
            )
        for channel in tuple(self._channels.values()):
            index = channel.index_of(link)
            if index is not None:
                channel.peer_lost(index, f"the connection to {link.peer} was lost: {end.reason}")
        unheard_of = end.broken and link.lane is Lane.CONTROL and link.peer in self._greeter.callees
        if end.silent or unheard_of:
            # Only this lane is pinged: a dead network says nothing on the others either.  Nor does a peer that lost
            # power and is back before it was missed: it knows nothing of them, and waits for us to call it anew.
            for other in tuple(peer.links.values()):
                other.finish(LinkEnd(end.reason))

    async def _route(self, link: Link, message: Message) -> None:
        """Take a message of a data lane from its link's reader."""
        channel = self._channels.get(message.session)
        index = channel.index_of(link) if channel is not None else None
        if channel is None or index is None:
            # The tail of an aborted session, as a rule.
            link.stray_messages += 1
            return
        await channel.deliver(index, message)

    async def _handle(self, name: str, message: ControlMessage) -> None:
        handler = self._handlers.get(type(message))
        if handler is None:
            self._log.debug("a control message nobody handles", peer=name, kind=type(message).__name__)
            return
        await handler(name, message)

    def _take_abort(self, name: str, abort: Abort) -> None:
        channel = self._channels.get(abort.session)
        if channel is not None and name in channel.parties:
            index = channel.parties.index(name)
            channel.peer_aborted(index, claimed_fault(abort), f"{name} stopped the session: {abort.detail}")


def claimed_fault(abort: Abort) -> Fault:
    """Read the fault an abort names; a peer that stops for a reason of its own has simply left."""
    try:
        return Fault(abort.fault)
    except ValueError:
        return Fault.DISCONNECTED
