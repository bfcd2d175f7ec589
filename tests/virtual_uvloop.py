"""The event loop of uvloop in virtual time."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from typing import Any

import uvloop


class _Timer(asyncio.TimerHandle):
    __slots__ = ("number",)


class VirtualUvloop(uvloop.Loop):
    """The event loop of uvloop, but with timers of its own: when nothing else is left, time jumps.

    Nothing is left when no callback is pending and no thread of the executor is at work. Sockets,
    pipes and processes are not watched: a test that waits for one cannot run on it.
    """

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        self._pending = 0
        self._timers: dict[int, asyncio.TimerHandle] = {}
        self._times: list[tuple[float, int]] = []
        self._numbers = itertools.count()

    def time(self) -> float:
        return self._now

    def call_soon(self, callback: Any, *args: Any, context: Any = None) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._pending += 1
        super().call_soon(self._run, handle)
        return handle

    def call_soon_threadsafe(self, callback: Any, *args: Any, context: Any = None) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        super().call_soon_threadsafe(self._run_from_thread, handle)
        return handle

    def call_later(self, delay: float, callback: Any, *args: Any, context: Any = None) -> asyncio.TimerHandle:
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(self, when: float, callback: Any, *args: Any, context: Any = None) -> asyncio.TimerHandle:
        timer = _Timer(when, callback, args, self, context)
        timer.number = next(self._numbers)
        self._timers[timer.number] = timer
        heapq.heappush(self._times, (when, timer.number))
        self._jump_when_idle()
        return timer

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:
        future = super().run_in_executor(executor, func, *args)
        self._pending += 1
        future.add_done_callback(self._end_of_thread)
        return future

    def _timer_handle_cancelled(self, timer: _Timer) -> None:
        """Let go of a cancelled timer, whose context keeps much alive; asyncio calls this."""
        self._timers.pop(timer.number, None)

    def _run(self, handle: asyncio.Handle) -> None:
        try:
            if not handle.cancelled():
                handle._run()
        finally:
            self._pending -= 1
            self._jump_when_idle()

    def _run_from_thread(self, handle: asyncio.Handle) -> None:
        self._pending += 1
        self._run(handle)

    def _end_of_thread(self, _: object) -> None:
        self._pending -= 1
        self._jump_when_idle()

    def _jump_when_idle(self) -> None:
        if not self._pending and self._timers:
            super().call_soon(self._jump)

    def _jump(self) -> None:
        """Go to the time of the next timer, unless something has come up since."""
        if self._pending:
            return
        due = False
        while self._times and (not due or self._times[0][0] <= self._now):
            when, number = heapq.heappop(self._times)
            if number in self._timers:
                due, self._now = True, max(self._now, when)
                self._pending += 1
                super().call_soon(self._run, self._timers.pop(number))
