"""What a peer has sent and the protocol has not asked for yet: bounded, so that running ahead costs us little."""

from __future__ import annotations

from collections import deque

import trio

from protocol import limits
from protocol.wire import Message


class Inbox:
    """The messages of one peer in one session: at most ``SESSION_QUEUE_MESSAGES_MAX``, or one of any size."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._messages: deque[tuple[Message, int]] = deque()
        self._bytes = 0
        self._changed = trio.lowlevel.ParkingLot()
        self._closed = False

    def __len__(self) -> int:
        return len(self._messages)

    def offer(self, message: Message, size: int) -> bool:
        """Queue a message of ``size`` bytes if there is room; a closed inbox drops it."""
        # A single message is always taken; the byte bound is on what piles up behind it.
        fits = not self._messages or (
            len(self._messages) < limits.SESSION_QUEUE_MESSAGES_MAX and self._bytes + size <= self._bytes_max
        )
        if fits and not self._closed:
            self._messages.append((message, size))
            self._bytes += size
        return fits or self._closed

    async def wait_changed(self) -> None:
        """Wait until a message has been taken, or the inbox closed."""
        await self._changed.park()

    def take(self) -> Message:
        """Take the first message; there must be one."""
        message, size = self._messages.popleft()
        self._bytes -= size
        self._changed.unpark_all()
        return message

    def close(self) -> None:
        """Drop everything, now and from now on; whoever waits for room goes on."""
        self._closed = True
        self._messages.clear()
        self._changed.unpark_all()
