"""The links to one server: each command has one for itself, and few are ever opened at once."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Protocol

from async_backfill.redis.errors import RedisReplyError, RedisUnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from async_backfill.redis._wire import Reply


class Link(Protocol):
    """One open socket to a server."""

    async def exchange(self, packed: bytes, replies: int, /) -> list[Reply]:
        """Send ``packed`` and return so many replies; an error reply is among them, not raised."""
        ...

    async def is_usable(self) -> bool:
        """Return whether it is open and nothing unread is left on it."""
        ...

    async def close(self) -> None:
        """Close the socket at once; raises nothing."""
        ...

    async def aclose(self) -> None:
        """Say goodbye and close the socket, within a second; raises nothing."""
        ...


class LinkPool:
    """Lends links: at most ``size`` at a time, the last one given back first.

    A link is opened by a task of the pool, one at a time, which a caller that is cancelled leaves
    running: so a deadline that is shorter than a handshake does not keep the pool from ever being
    connected, and a server that is down is asked once for all who wait.

    :param dial: opens a link, within a time of its own; raises `RedisUnavailableError` or
        `RedisReplyError`.
    """

    def __init__(self, dial: Callable[[], Awaitable[Link]], *, size: int) -> None:
        self._dial = dial
        self._places = asyncio.Semaphore(size)
        self._idle: list[Link] = []
        self._dialing: asyncio.Task[None] | None = None
        self._closed = False

    @asynccontextmanager
    async def link(self) -> AsyncIterator[Link]:
        """Lend a link; it is closed unless it was left without an exception.

        A command that was cancelled half way would leave its answer to the next one.

        :raises RedisUnavailableError: when none can be opened, or the pool is closed.
        """
        async with self._places:
            link = await self._take()
            left_whole = False
            try:
                yield link
                left_whole = True
            finally:
                if left_whole and not self._closed:
                    self._idle.append(link)
                else:
                    await link.close()

    async def aclose(self) -> None:
        """Close all links, also those that are lent once they come back; what waits for one fails."""
        self._closed = True
        if self._dialing is not None:
            self._dialing.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await self._dialing
        while self._idle:
            await self._idle.pop().aclose()

    async def _take(self) -> Link:
        while True:
            while self._idle:
                link = self._idle.pop()
                if await link.is_usable():
                    return link
                await link.close()
            if self._closed:
                raise RedisUnavailableError("the connection is closed")
            if self._dialing is None:
                self._dialing = asyncio.create_task(self._open())
                self._dialing.add_done_callback(self._opened)
            await self._wait(self._dialing)

    async def _wait(self, dialing: asyncio.Task[None]) -> None:
        await asyncio.wait([dialing])  # unlike await, it leaves the task alone when it is cancelled
        if dialing.cancelled():
            raise RedisUnavailableError("the connection is closed")
        error = dialing.exception()
        if isinstance(error, RedisReplyError):
            raise RedisReplyError(error.code, error.message) from error
        if error is not None:
            raise RedisUnavailableError(str(error)) from error

    async def _open(self) -> None:
        self._idle.append(await self._dial())

    def _opened(self, dialing: asyncio.Task[None]) -> None:
        self._dialing = None
        if not dialing.cancelled():
            dialing.exception()  # those who waited have it; nobody may have
