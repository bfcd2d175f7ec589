"""A pool of connections to one server; each command has a connection to itself."""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final, Protocol

from async_backfill.redis.errors import RedisReplyError, RedisUnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from async_backfill.redis._wire import Reply


_BETWEEN_RENEWALS: Final = 1.0  # seconds
_ELSEWHERE: Final = (
    "the connection is used in another event loop, which has not ended: make one for each event loop"
)


class Link(Protocol):
    """One open connection to a server."""

    async def exchange(self, packed: bytes, replies: int, /, most: int | None = None) -> list[Reply]:
        """Send ``packed`` and return the given number of replies; error replies are returned, not raised.

        :raises TextTooLongError: when a reply has a text of more than ``most`` bytes; the rest is unread.
        """
        ...

    async def is_usable(self) -> bool:
        """Return whether the connection is open and has nothing unread."""
        ...

    async def close(self) -> None:
        """Close the connection at once; raises nothing."""
        ...

    async def aclose(self) -> None:
        """Shut the connection down and close it, within a second; raises nothing."""
        ...


class LinkPool:
    """A pool that lends at most ``size`` connections at a time, the most recently returned one first.

    :param dial: opens a connection, with a timeout of its own; raises `RedisUnavailableError` or
        `RedisReplyError`.
    """

    # A task of the pool opens links, one at a time, and goes on when a caller is cancelled. So a deadline
    # shorter than a handshake does not keep the pool from ever connecting, and a server that is down is tried
    # once for all waiting callers: see decision 40 in notes.md.

    def __init__(self, dial: Callable[[], Awaitable[Link]], *, size: int) -> None:
        self._dial = dial
        self._size = size
        self._process = os.getpid()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._inherited: list[object] = []
        self._closed = False
        self._next_renewal = 0.0
        self.age = 0
        """How often the pool was renewed."""
        self._begin()

    def _begin(self) -> None:
        self._places = asyncio.Semaphore(self._size)
        self._idle: list[tuple[Link, int]] = []
        self._dialing: asyncio.Task[None] | None = None

    def _come_here(self) -> None:
        """Begin anew in another event loop or process: what was connected there cannot be used here.

        :raises RedisUnavailableError: when the other event loop has not ended.
        """
        try:
            loop, process = asyncio.get_running_loop(), os.getpid()
        except RuntimeError:
            raise RedisUnavailableError(
                "a connection to Redis needs asyncio, which does not run here"
            ) from None
        if loop is self._loop and process == self._process:
            return
        if process != self._process:
            # Kept: to close what the parent has open would close it for the parent, too.
            self._inherited += self._idle, self._dialing, self._loop
        elif self._loop is not None and not self._loop.is_closed():
            raise RedisUnavailableError(_ELSEWHERE)
        if self._loop is not None:
            self._begin()
        self._loop, self._process = loop, process

    @asynccontextmanager
    async def link(self) -> AsyncIterator[Link]:
        """Lend a connection; it is closed when the block ends with an exception.

        :raises RedisUnavailableError: when none can be opened, or the pool is closed.
        """
        self._come_here()
        # The next command would read the reply to a cancelled one: see decision 40 in notes.md.
        async with self._places:
            link, age = await self._take()
            left_whole = False
            try:
                yield link
                left_whole = True
            finally:
                if left_whole and not self._closed:
                    self._idle.append((link, age))
                else:
                    await link.close()

    def renew(self, age: int) -> bool:
        """Open all connections anew, those in use once they are returned; return whether new ones are used.

        It is done once a second at the most, and not when it was done since the pool had this ``age``.
        """
        if self.age != age:
            return True
        now = asyncio.get_running_loop().time()
        if now < self._next_renewal:
            return False
        self._next_renewal = now + _BETWEEN_RENEWALS
        self.age += 1
        return True

    async def aclose(self) -> None:
        """Close all connections, lent ones once they are returned; waiting callers fail."""
        self._closed = True
        self._come_here()
        if self._dialing is not None:
            self._dialing.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await self._dialing
        while self._idle:
            await self._idle.pop()[0].aclose()

    async def _take(self) -> tuple[Link, int]:
        while True:
            while self._idle:
                link, age = self._idle.pop()
                if age == self.age and await link.is_usable():
                    return link, age
                await link.close()
            if self._closed:
                raise RedisUnavailableError("the connection is closed")
            if self._dialing is None:
                self._dialing = asyncio.create_task(self._open())
                self._dialing.add_done_callback(self._opened)
            await self._wait(self._dialing)

    async def _wait(self, dialing: asyncio.Task[None]) -> None:
        await asyncio.wait([dialing])  # unlike await, it never cancels the task
        if dialing.cancelled():
            raise RedisUnavailableError("the connection is closed")
        error = dialing.exception()
        if isinstance(error, RedisReplyError):
            raise RedisReplyError(error.code, error.message) from error
        if error is not None:
            raise RedisUnavailableError(str(error)) from error

    async def _open(self) -> None:
        age = self.age
        self._idle.append((await self._dial(), age))

    def _opened(self, dialing: asyncio.Task[None]) -> None:
        self._dialing = None
        if not dialing.cancelled():
            dialing.exception()  # retrieved here, as perhaps no caller waits any longer
