"""Signals: one-shot events that many tasks can wait for; and the time of the event loop.

`anyio.Event` does the same on every backend. On asyncio it costs a search for the backend, a checkpoint and
two more coroutines for each waiter, and ten thousand callers may wait for one load. So on asyncio a signal is
made of the event loop's own futures. See decision 32 in notes.md. Those who wait for signals that are set in
one turn are woken in the order in which they came: one signal after the other, each would miss the caches of
the processor. A thousand are woken in one turn, the next ones in the next.
"""

from __future__ import annotations

import asyncio
from itertools import chain, count
from typing import TYPE_CHECKING, Final, Protocol

from anyio import Event, current_time
from anyio.lowlevel import current_token

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

_FEW: Final = 64
_AT_ONCE: Final = 8
_A_TURN: Final = 1000
"""Who waits is woken a thousand a turn: what they do then takes some five milliseconds."""
_is_done: Final = asyncio.Future.done


class Signal(Protocol):
    """An event that is set once and then stays set."""

    def set(self) -> object:
        """Set the signal and wake all waiters."""
        ...

    def wait(self) -> Awaitable[object]:
        """Return an awaitable that ends when the signal is set; await it at once and only once."""
        ...


class FutureSignals:
    """Makes signals of the futures of ``loop``, and wakes who waits for them.

    ``numbers``
        what those who wait are numbered with, in the order in which they came.
    """

    __slots__ = ("_landed", "loop", "numbers")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.numbers = count()
        self._landed: list[tuple[Sequence[int], Sequence[asyncio.Future[None]]]] = []

    def __call__(self) -> Signal:
        """Return a new signal."""
        return FutureSignal(self)

    def wake(self, numbers: Sequence[int], futures: Sequence[asyncio.Future[None]]) -> None:
        """End the ``futures`` of one signal: a few at once, many with those of all others of this turn."""
        if len(futures) <= _AT_ONCE:
            _end(futures)
            return
        if not self._landed:
            self.loop.call_soon(self._wake_all)
        self._landed.append((numbers, futures))

    def _wake_all(self) -> None:
        landed, self._landed = self._landed, []
        if len(landed) == 1:
            self._end_some(landed[0][1])
        else:
            numbered = chain.from_iterable(zip(*each, strict=True) for each in landed)
            self._end_some([future for _, future in sorted(numbered)])

    def _end_some(self, futures: Sequence[asyncio.Future[None]], begin: int = 0) -> None:
        end = begin + _A_TURN
        _end(futures[begin:end])
        if end < len(futures):
            self.loop.call_soon(self._end_some, futures, end)


class FutureSignal:
    """A `Signal` on asyncio: each waiter has a future of its own, so cancelling one touches no other."""

    __slots__ = ("_futures", "_is_set", "_most", "_numbers", "_signals")

    def __init__(self, signals: FutureSignals) -> None:
        self._signals = signals
        self._futures: list[asyncio.Future[None]] = []
        self._numbers: list[int] = []
        self._is_set = False
        self._most = _FEW

    def set(self) -> None:
        """Set the signal and wake all waiters."""
        self._is_set = True
        futures, self._futures = self._futures, []
        self._signals.wake(self._numbers, futures)

    def wait(self) -> asyncio.Future[None]:
        """Return a future that ends when the signal is set."""
        future: asyncio.Future[None] = asyncio.Future(loop=self._signals.loop)
        if self._is_set:
            future.set_result(None)
            return future
        futures = self._futures
        futures.append(future)
        self._numbers.append(next(self._signals.numbers))
        if len(futures) > self._most:
            # Cancelled waiters leave their futures behind; these must never be more than the others.
            if any(map(_is_done, futures)):
                both = zip(self._numbers, futures, strict=True)
                left = [(number, waits) for number, waits in both if not waits.done()]
                self._numbers, self._futures = [number for number, _ in left], [waits for _, waits in left]
            self._most = max(_FEW, 2 * len(self._futures))
        return future


def _end(futures: Iterable[asyncio.Future[None]]) -> None:
    for future in futures:
        if not future.done():
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
