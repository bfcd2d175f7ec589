"""An event loop of asyncio whose clock jumps, with looptime; needs the extra ``virtual``.

Asyncio rather than trio with its mock clock: asyncio runs what is ready in the order in which it became
so, while trio shuffles it, from a generator that only private names can seed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar, TypeVarTuple, Unpack

import anyio
import looptime

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

Arguments = TypeVarTuple("Arguments")
T = TypeVar("T")


class RunVirtually(Protocol):
    """What `run_virtually` is, for those who must not import this module."""

    def __call__(self, work: Callable[[Unpack[Arguments]], Awaitable[T]], /, *arguments: *Arguments) -> T:
        """Return what ``work`` returns."""
        ...


def run_virtually(work: Callable[[Unpack[Arguments]], Awaitable[T]], /, *arguments: *Arguments) -> T:
    """Return what ``work`` returns in an event loop of its own, whose time begins at 0.0.

    Time stands still while anything can run, then jumps to the next timer. It knows nothing of
    threads and sockets: ``work`` must use neither.
    """
    return anyio.run(work, *arguments, backend_options={"loop_factory": _new_loop})


def _new_loop() -> Any:
    # No idle turns before a jump: they are there for what comes from outside, and nothing does.
    return looptime.new_event_loop(start=0.0, noop_cycles=0)
