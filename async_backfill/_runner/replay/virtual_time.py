"""Virtual time: an asyncio event loop whose clock jumps, with looptime; needs the extra ``virtual``."""

# asyncio and not trio with its mock clock: asyncio runs ready tasks in the order in which they became ready,
# trio shuffles them with a generator that only private names can seed. See decision 29 in notes.md.

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar, TypeVarTuple, Unpack

import anyio
import looptime

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

Arguments = TypeVarTuple("Arguments")
T = TypeVar("T")


class RunVirtually(Protocol):
    """The type of `run_virtually`, for modules that must not import looptime."""

    def __call__(self, work: Callable[[Unpack[Arguments]], Awaitable[T]], /, *arguments: *Arguments) -> T:
        """Return the result of ``work``."""
        ...


def run_virtually(work: Callable[[Unpack[Arguments]], Awaitable[T]], /, *arguments: *Arguments) -> T:
    """Return the result of ``work``, run in an event loop of its own whose time begins at 0.0.

    Time stands still while any task can run, then jumps to the next timer. The clock does not wait for
    threads or sockets: ``work`` must use neither.
    """
    return anyio.run(work, *arguments, backend_options={"loop_factory": _new_loop})


def _new_loop() -> Any:
    # No idle turns before a jump: they are for events from outside, and there are none.
    return looptime.new_event_loop(start=0.0, noop_cycles=0)
