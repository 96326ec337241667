"""Events for subscribers.  Publishing never waits: who does not read loses events, and is told."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

Event = dict[str, Any]


class Subscription:
    """A bounded queue of events for one client; ``wake`` is called when there is something to take."""

    def __init__(self, kinds: Sequence[str], queued_max: int, wake: Callable[[], None]) -> None:
        self._kinds = tuple(kinds)
        self._queue: deque[Event] = deque()
        self._queued_max = queued_max
        self._dropped = 0
        self._wake = wake

    def wants(self, kind: str) -> bool:
        """Whether this client asked for events of ``kind``."""
        return not self._kinds or any(kind == wanted or kind.startswith(f"{wanted}.") for wanted in self._kinds)

    def put(self, event: Event) -> None:
        """Queue ``event``, or count it as dropped when the queue is full."""
        if len(self._queue) >= self._queued_max:
            self._dropped += 1
        else:
            self._queue.append(event)
        self._wake()

    def take(self) -> Event | None:
        """Return the next event; where some were lost, a ``dropped`` event with their ``count``."""
        if self._queue:
            return self._queue.popleft()
        if self._dropped:
            count, self._dropped = self._dropped, 0
            return {"kind": "dropped", "count": count}
        return None


class EventBus:
    """Where the daemon publishes; used from the event loop's thread only."""

    def __init__(self) -> None:
        self._subscriptions: set[Subscription] = set()

    def publish(self, kind: str, **fields: Any) -> None:
        """Hand an event to all who want it.

        ``kind`` is a dotted word (``peer.up``, ``request.state``, ``run.phase``), ``fields`` are JSON.
        Nothing that names a child, and nothing not released, may go in.
        """
        event = {"kind": kind, **fields}
        for subscription in self._subscriptions:
            if subscription.wants(kind):
                subscription.put(event)

    def attach(self, subscription: Subscription) -> None:
        """Begin handing events to ``subscription``."""
        self._subscriptions.add(subscription)

    def detach(self, subscription: Subscription) -> None:
        """Stop; harmless when it was not attached."""
        self._subscriptions.discard(subscription)

    def __len__(self) -> int:
        return len(self._subscriptions)
