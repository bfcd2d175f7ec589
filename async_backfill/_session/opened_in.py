"""Where a cache is open: one event loop of one process, and nowhere else."""

from __future__ import annotations

import asyncio
import os
from functools import cache
from typing import TYPE_CHECKING, Final
from weakref import WeakSet

from anyio.lowlevel import current_token

from async_backfill.errors import CacheClosedError

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    class Opened(Protocol):
        """What a fork ends in the child."""

        def forked(self) -> None:
            """Take note that this is another process."""
            ...


ELSEWHERE: Final = (
    "the cache is open in an event loop that does not run here: use it there (from a thread with "
    "asyncio.run_coroutine_threadsafe or anyio.from_thread.run), or make one cache for each event loop"
)
OPEN_ELSEWHERE: Final = (
    "the cache is open in another event loop, which has not ended: close it there first, or make one cache "
    "for each event loop"
)
CLOSED_ELSEWHERE: Final = (
    "the cache is open in another event loop, which has not ended: it must be closed there"
)
OTHER_TASK: Final = (
    "on trio a cache must be closed by the task that opened it: use 'async with cache:' in one task, and "
    "tell that task when to leave the block"
)


class OpenedIn:
    """The event loop and the process that run now, to be compared later.

    ``loop``, ``running``
        the event loop, and a function that returns the one that runs now, or ``None``; every miss compares
        them.
    """

    __slots__ = ("__weakref__", "_pid", "_task", "is_trio", "loop", "running")

    def __init__(self) -> None:
        self._pid = os.getpid()
        self.loop: object = current_token().native_token
        self.is_trio = not isinstance(self.loop, asyncio.AbstractEventLoop)
        self.running: Callable[[], object] = (
            _running_trio if self.is_trio else asyncio._get_running_loop  # noqa: SLF001 - is in `__all__`
        )
        self._task = _trio_task() if self.is_trio else None

    def is_here(self) -> bool:
        """Return whether this event loop runs in the current thread."""
        return self.running() is self.loop and not self.is_forked()

    def require_here(self) -> None:
        """Raise `CacheClosedError` where another event loop runs, or none."""
        if self.running() is not self.loop:
            raise CacheClosedError(ELSEWHERE)

    def require_may_close(self) -> None:
        """Raise a `RuntimeError` where the cache cannot be closed."""
        if not self.is_here():
            raise RuntimeError(CLOSED_ELSEWHERE)
        if self.is_trio and _trio_task() is not self._task:
            raise RuntimeError(OTHER_TASK)

    def is_forked(self) -> bool:
        """Return whether this process is a fork of the one that opened the cache."""
        return self._pid != os.getpid()

    def is_over(self) -> bool:
        """Return whether this event loop will never run again, at least not in this process."""
        if self.is_forked():
            return True
        if isinstance(self.loop, asyncio.AbstractEventLoop):
            return self.loop.is_closed()
        return not call_soon(self.loop, _nothing)


def call_soon(loop: object, callback: Callable[[], object]) -> bool:
    """Call ``callback`` in the event loop ``loop``, from any thread; return whether the loop is there."""
    try:
        if isinstance(loop, asyncio.AbstractEventLoop):
            loop.call_soon_threadsafe(callback)
        else:
            loop.run_sync_soon(callback)  # type: ignore[attr-defined] # a token of trio
    except RuntimeError:  # also that of trio
        return False
    return True


def lose_in_forks(opened: Opened) -> None:
    """Call ``opened.forked()`` in each process that is forked from this one, while ``opened`` is there."""
    _lost_in_forks().add(opened)


@cache  # a hook on forks belongs to the process and cannot be removed, so there is one
def _lost_in_forks() -> WeakSet[Opened]:
    opened: WeakSet[Opened] = WeakSet()

    def forked() -> None:
        for one in list(opened):
            one.forked()

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=forked)
    return opened


def _running_trio() -> object:
    from trio.lowlevel import current_trio_token  # noqa: PLC0415 - trio is there: the cache is open in it

    try:
        return current_trio_token()
    except RuntimeError:
        return None


def _trio_task() -> object:
    from trio.lowlevel import current_task  # noqa: PLC0415 - as above

    return current_task()


def _nothing() -> None:
    """Do nothing."""
