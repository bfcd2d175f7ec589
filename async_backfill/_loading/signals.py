"""Signals: one-shot events that many tasks can wait for; and the time of the event loop.

`anyio.Event` does the same on every backend. On asyncio it costs a search for the backend, a checkpoint and
two more coroutines for each waiter, and ten thousand callers may wait for one load. So on asyncio a signal is
made of the event loop's own futures. See decision 32 in notes.md. Those who wait for signals that are set in
one turn are woken in turns, about as they came: one signal after the other, each would miss the caches of the
processor.
"""

from __future__ import annotations

import asyncio
from itertools import chain, zip_longest
from typing import TYPE_CHECKING, Final, Protocol

from anyio import Event, current_time
from anyio.lowlevel import current_token

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

_FEW: Final = 64
_AT_ONCE: Final = 8


class Signal(Protocol):
    """An event that is set once and then stays set."""

    def set(self) -> object:
        """Set the signal and wake all waiters."""
        ...

    def wait(self) -> Awaitable[object]:
        """Return an awaitable that ends when the signal is set; await it at once and only once."""
        ...


class FutureSignals:
    """Makes signals of the futures of ``loop``, and wakes who waits for them."""

    __slots__ = ("_landed", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._landed: list[Sequence[asyncio.Future[None]]] = []

    def __call__(self) -> Signal:
        """Return a new signal."""
        return FutureSignal(self)

    def wake(self, futures: Sequence[asyncio.Future[None]]) -> None:
        """End the ``futures`` of one signal: a few at once, many with those of all others of this turn."""
        if len(futures) <= _AT_ONCE:
            _end(futures)
            return
        if not self._landed:
            self.loop.call_soon(self._wake_all)
        self._landed.append(futures)

    def _wake_all(self) -> None:
        landed, self._landed = self._landed, []
        if len(landed) == 1:
            _end(landed[0])
        else:
            _end(chain.from_iterable(zip_longest(*landed)))


class FutureSignal:
    """A `Signal` on asyncio: each waiter has a future of its own, so cancelling one touches no other."""

    __slots__ = ("_futures", "_is_set", "_most", "_signals")

    def __init__(self, signals: FutureSignals) -> None:
        self._signals = signals
        self._futures: list[asyncio.Future[None]] = []
        self._is_set = False
        self._most = _FEW

    def set(self) -> None:
        """Set the signal and wake all waiters."""
        self._is_set = True
        futures, self._futures = self._futures, []
        self._signals.wake(futures)

    def wait(self) -> asyncio.Future[None]:
        """Return a future that ends when the signal is set."""
        future: asyncio.Future[None] = asyncio.Future(loop=self._signals.loop)
        if self._is_set:
            future.set_result(None)
            return future
        futures = self._futures
        futures.append(future)
        if len(futures) > self._most:
            # Cancelled waiters leave their futures behind; these must never be more than the others.
            futures[:] = [waits for waits in futures if not waits.done()]
            self._most = max(_FEW, 2 * len(futures))
        return future


def _end(futures: Iterable[asyncio.Future[None] | None]) -> None:
    for future in futures:
        if future is not None and not future.done():
            future.set_result(None)


def signals() -> Callable[[], Signal]:
    """Return a function that makes signals for the running event loop."""
    loop = current_token().native_token
    if not isinstance(loop, asyncio.AbstractEventLoop):
        return Event
    return FutureSignals(loop)


def loop_time() -> Callable[[], float]:
    """Return a function that returns the time of the running event loop, as ``anyio.current_time`` does.

    That searches for the event loop each time, which takes longer than much of a load.
    """
    loop = current_token().native_token
    return loop.time if isinstance(loop, asyncio.AbstractEventLoop) else current_time
