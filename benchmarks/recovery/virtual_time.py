"""Virtual time: an asyncio event loop whose clock jumps when all tasks wait, so that no machine is too slow.

Other than that of the command line it waits for worker threads: a journal is written by one.
"""

from __future__ import annotations

import asyncio
from functools import partial
from selectors import DefaultSelector
from typing import TYPE_CHECKING, Any, TypeVar, TypeVarTuple, Unpack

import anyio
from anyio import to_thread

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

Arguments = TypeVarTuple("Arguments")
T = TypeVar("T")


class _JumpingSelector(DefaultSelector):
    """Lets the time that the loop would wait for pass at once, unless a thread is at work."""

    now = 0.0
    threads: anyio.CapacityLimiter | None = None

    def select(self, timeout: float | None = None) -> list[Any]:
        if not timeout or (self.threads is not None and self.threads.borrowed_tokens):
            return super().select(timeout)
        found = super().select(0)
        if not found:
            self.now += timeout
        return found


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self, selector: _JumpingSelector) -> None:
        super().__init__(selector)
        self._time = selector

    def time(self) -> float:
        return self._time.now


def run_virtually(work: Callable[[Unpack[Arguments]], Awaitable[T]], /, *arguments: *Arguments) -> T:
    """Return the result of ``work``, run in an event loop of its own whose time begins at 0.0."""
    selector = _JumpingSelector()

    async def watched() -> T:
        selector.threads = to_thread.current_default_thread_limiter()
        return await work(*arguments)

    return anyio.run(watched, backend_options={"loop_factory": partial(_Loop, selector)})
