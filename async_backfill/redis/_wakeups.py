"""One subscription for all who wait in this process for something to happen to a key."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from async_backfill.redis.errors import RedisError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterator

    from async_backfill.redis.connection import RedisConnection

_BETWEEN_TRIES: Final = 0.25
_LEAST_WAIT: Final = 0.05


class Wakeups:
    """Wakes who watches a digest when a message on ``channel`` names it.

    A message is digests of ``digest`` bytes, one after the other. The subscription is held by a task that
    lives as long as somebody watches; who began to watch before it stood is woken once it does.
    """

    def __init__(self, connection: RedisConnection, channel: bytes, *, digest: int) -> None:
        self._connection = connection
        self._channel = channel
        self._digest = digest
        self._watches: dict[_Watch, None] = {}
        self._listening: asyncio.Task[None] | None = None

    @contextmanager
    def watch(self, digests: Collection[bytes]) -> Iterator[Callable[[float], Awaitable[None]]]:
        """Watch ``digests``; what this gives waits for so many seconds at the most, 0.05 at the least.

        The least is not waited for when there is news.
        """
        watch = _Watch(frozenset(digests))
        self._watches[watch] = None
        if self._listening is None:
            self._listening = asyncio.get_running_loop().create_task(self._listen())
        try:
            yield watch.wait
        finally:
            del self._watches[watch]
            if not self._watches:
                self._listening.cancel()
                self._listening = None

    async def _listen(self) -> None:
        while True:
            with suppress(RedisError):
                async with self._connection.subscribe(self._channel) as messages:
                    self._wake(None)
                    async for _, payload in messages:
                        size = self._digest
                        self._wake({payload[at : at + size] for at in range(0, len(payload), size)})
            self._wake(None)
            await asyncio.sleep(_BETWEEN_TRIES)

    def _wake(self, digests: set[bytes] | None) -> None:
        for watch in self._watches:
            if digests is None or not watch.digests.isdisjoint(digests):
                watch.woken.set()


class _Watch:
    """One who watches ``digests``."""

    def __init__(self, digests: frozenset[bytes]) -> None:
        self.digests = digests
        self.woken = asyncio.Event()

    async def wait(self, seconds: float) -> None:
        """Return when there was news since this returned last, or after ``seconds``."""
        with suppress(TimeoutError):
            async with asyncio.timeout(max(seconds, _LEAST_WAIT)):
                await self.woken.wait()
        self.woken.clear()
