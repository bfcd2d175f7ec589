"""Wake the callers in this process that wait for a change of a key, with one subscription for all."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from async_backfill.redis.errors import RedisError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterator

    from async_backfill.redis.connection import RedisConnection

DIGEST: Final = 16
"""The length of a digest in bytes: so long that nobody finds two keys that share one."""
_BETWEEN_TRIES: Final = 0.25
_LEAST_WAIT: Final = 0.05


class Wakeups:
    """Watchers of keys, woken when a message on ``channel`` has the digest of their key.

    A message is a sequence of news: a digest of 16 bytes, one byte with a length, and a text. A task holds
    the subscription as long as there is a watcher; a watcher that is older than the subscription is woken
    once when it is ready.
    """

    # One subscription for all, as each would take a connection of its own. It only makes waiting shorter: a
    # lease also ends by the server's clock, without a message (decision 38 in notes.md).

    def __init__(self, connection: RedisConnection, channel: bytes) -> None:
        self._connection = connection
        self._channel = channel
        self._watches: dict[_Watch, None] = {}
        self._listening: asyncio.Task[None] | None = None
        self._left: list[asyncio.Task[None]] = []

    @contextmanager
    def watch(self, digests: Collection[bytes]) -> Iterator[Callable[[float], Awaitable[dict[bytes, bytes]]]]:
        """Watch ``digests`` for the time of ``with``; gives a function that waits for news of one of them.

        Its parameter is the longest wait in seconds, raised to 0.05 when it is less. It returns the texts
        of the news by digest.
        """
        loop = asyncio.get_running_loop()
        if self._listening is not None and self._listening.get_loop() is not loop:
            # That was before a fork, or in an event loop that has ended.
            self._left.append(self._listening)
            self._listening, self._watches = None, {}
        watch = _Watch(frozenset(digests))
        self._watches[watch] = None
        if self._listening is None:
            self._listening = loop.create_task(self._listen())
        try:
            yield watch.wait
        finally:
            self._watches.pop(watch, None)
            if not self._watches and self._listening is not None:
                self._listening.cancel()
                self._listening = None

    async def _listen(self) -> None:
        while True:
            with suppress(RedisError):
                async with self._connection.subscribe(self._channel) as messages:
                    self._wake(None)
                    async for _, payload in messages:
                        self._wake(_news_of(payload))
            self._wake(None)
            await asyncio.sleep(_BETWEEN_TRIES)

    def _wake(self, news: dict[bytes, bytes] | None) -> None:
        for watch in self._watches:
            if news is None or not watch.digests.isdisjoint(news):
                watch.news.update((key, text) for key, text in (news or {}).items() if key in watch.digests)
                watch.woken.set()


class _Watch:
    """A waiting caller and the digests it watches."""

    def __init__(self, digests: frozenset[bytes]) -> None:
        self.digests = digests
        self.news: dict[bytes, bytes] = {}
        self.woken = asyncio.Event()

    async def wait(self, seconds: float) -> dict[bytes, bytes]:
        """Return the news since the last return as soon as there is some, or after ``seconds``."""
        with suppress(TimeoutError):
            async with asyncio.timeout(max(seconds, _LEAST_WAIT)):
                await self.woken.wait()
        self.woken.clear()
        news, self.news = self.news, {}
        return news


def _news_of(message: bytes) -> dict[bytes, bytes] | None:
    """Return the texts in ``message`` by digest; ``None`` when it is damaged, so that all must look again."""
    news: dict[bytes, bytes] = {}
    at = 0
    while at < len(message):
        start = at + DIGEST + 1
        text = message[start : start + message[start - 1]] if start <= len(message) else None
        if text is None or len(text) < message[start - 1]:
            return None
        news[message[at : start - 1]] = text
        at = start + len(text)
    return news
