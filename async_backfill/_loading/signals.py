"""Something that happens once, and those who wait for it.

`anyio.Event` does the same on every backend. On asyncio it costs a search for the backend, two more
coroutines for each who waits and a checkpoint, on a path where ten thousand callers wait for one load. So
there a signal is made of the futures of the event loop.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Protocol

from anyio import Event
from anyio.lowlevel import current_token

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_FEW: Final = 64


class Signal(Protocol):
    """Is set once; who awaits `wait` waits until then."""

    def set(self) -> object:
        """Wake everyone who waits."""
        ...

    def wait(self) -> Awaitable[object]:
        """Return what to await, at once and only once."""
        ...


class FutureSignal:
    """A `Signal` on asyncio: each who waits has a future, so cancelling one touches no other."""

    __slots__ = ("_futures", "_is_set", "_loop", "_most")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._futures: list[asyncio.Future[None]] = []
        self._is_set = False
        self._most = _FEW

    def set(self) -> None:
        """Wake everyone who waits."""
        self._is_set = True
        futures, self._futures = self._futures, []
        for future in futures:
            if not future.done():
                future.set_result(None)

    def wait(self) -> asyncio.Future[None]:
        """Return a future that ends when this is set."""
        future: asyncio.Future[None] = asyncio.Future(loop=self._loop)
        if self._is_set:
            future.set_result(None)
            return future
        futures = self._futures
        futures.append(future)
        if len(futures) > self._most:
            # Who was cancelled left a future behind; there must not be more of those than of others.
            futures[:] = [waits for waits in futures if not waits.done()]
            self._most = max(_FEW, 2 * len(futures))
        return future


def signals() -> Callable[[], Signal]:
    """Return what makes signals in the running event loop."""
    loop = current_token().native_token
    if not isinstance(loop, asyncio.AbstractEventLoop):
        return Event
    return lambda: FutureSignal(loop)
