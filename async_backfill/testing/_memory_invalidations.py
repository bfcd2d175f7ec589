"""Invalidations between the caches of one process, in memory."""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from anyio import CancelScope, Event, current_time

from async_backfill.contracts import K, SharedInvalidations

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from async_backfill.testing._memory_server import MemoryServer
    from async_backfill.testing._network_link import NetworkLink


_MOST: Final = 1_000
"""The messages that wait for who listens; of more it hears that everything may have changed."""


class MemoryInvalidations(SharedInvalidations[K]):
    """Invalidations through a `MemoryServer`, over ``link``; implements `Invalidations`.

    A message takes the latency of the sender's link and that of the listener's. While a listener's link is
    down it receives nothing; when the link is up again, the listener calls ``forget(None)``. ``calls`` lists
    the published messages.
    """

    def __init__(self, server: MemoryServer[K, Any], link: NetworkLink) -> None:
        self._server = server
        self._link = link
        self._arriving: deque[tuple[float, Sequence[K] | None]] = deque()
        self._woken = Event()
        self._was_down = False
        self.calls: list[tuple[K, ...] | None] = []
        self._join()

    def of_one_cache(self) -> MemoryInvalidations[K]:
        """Return invalidations for one cache, with the same ``calls``; see `SharedInvalidations`."""
        one = _OfOneCache[K](self._server, self._link)
        one.calls = self.calls
        return one

    async def publish(self, keys: Sequence[K] | None, /) -> None:
        """Tell all other caches to forget ``keys``; ``None`` means every key."""
        self.calls.append(None if keys is None else tuple(keys))
        await self._link.there()
        self._server.publish(self, keys)
        await self._link.back()

    async def listen(self, forget: Callable[[Sequence[K] | None], None], /) -> None:
        """Call ``forget`` with the keys that others publish, or have published before, until cancelled."""
        while True:
            while self._arriving and self._arriving[0][0] <= current_time():
                forget(self._arriving.popleft()[1])
            self._woken = Event()
            with CancelScope(deadline=self._arriving[0][0] if self._arriving else math.inf):
                await self._woken.wait()

    def _receive(self, sender: object, keys: Sequence[K] | None) -> None:
        if sender is not self and self._link.is_up:
            if len(self._arriving) >= _MOST:
                last = self._arriving[-1][0]
                self._arriving.clear()
                self._arriving.append((last, None))
            self._arriving.append((current_time() + self._link.latency, keys))
            self._woken.set()

    def _turned(self) -> None:
        if not self._link.is_up:
            self._arriving.clear()
        else:
            self._arriving.append((-math.inf, None))
        self._woken.set()

    def _join(self) -> None:
        self._server.subscribe(self._receive)
        self._link.add_callback(self._turned)


class _OfOneCache(MemoryInvalidations[K]):
    """Invalidations of one cache, which get no more messages when it has stopped to listen."""

    def __init__(self, server: MemoryServer[K, Any], link: NetworkLink) -> None:
        super().__init__(server, link)
        self._has_left = False

    async def listen(self, forget: Callable[[Sequence[K] | None], None], /) -> None:
        """See `MemoryInvalidations.listen`; what was published since it last ended may be missed."""
        if self._has_left:
            self._has_left = False
            self._join()
            forget(None)
        try:
            await super().listen(forget)
        finally:
            self._has_left = True
            self._server.unsubscribe(self._receive)
            self._link.remove_callback(self._turned)
            self._arriving.clear()
