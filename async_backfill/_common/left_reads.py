"""Reads of a file in threads: one that goes on after it was cancelled is left to its thread."""

from __future__ import annotations

from contextlib import suppress
from contextvars import copy_context
from queue import Empty, SimpleQueue
from threading import Lock, Thread, current_thread
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from anyio import Event, to_thread
from anyio.lowlevel import current_token

from async_backfill._common.each_process import EachProcess
from async_backfill.errors import LoadError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from async_backfill.errors import AsyncBackfillError

T = TypeVar("T")

_MOST: Final = 20
_IDLE: Final = 2.0  # seconds that a thread waits for another read: to start one takes as long as a small read


class LeftReads:
    """Runs reads of the file at ``path``, and counts the cancelled ones whose thread has not ended.

    A thread cannot be stopped: a read of a disk that does not answer would keep who waits for it. At most 20
    such threads are left; then reads fail at once, until one of them ends. None of them keeps the process.
    A thread serves read after read, and ends when there was none for two seconds, or at `close`.

    :param error: the error of reads that fail for that.
    """

    # Threads of its own, not those of anyio, which the interpreter waits for when it ends: on asyncio a
    # read that never ends kept a process that could only be killed.

    def __init__(self, path: str | os.PathLike[str], *, error: type[AsyncBackfillError] = LoadError) -> None:
        self._path = path
        self._error = error
        self._lock = EachProcess(Lock)  # another thread may hold it at a fork
        self._idle = EachProcess(list[_ReadThread])  # a fork has none of them
        self._left = 0

    async def run(self, read: Callable[[], T], *, discard: Callable[[T], object] | None = None) -> T:
        """Return the result of ``read()``, which runs in a thread; `check_left` ends it when it was left.

        :param discard: called with a result that nobody waits for any more, in the thread.
        :raises AsyncBackfillError: the ``error`` given, when too many reads that were cancelled still run.
        """
        if self._left >= _MOST:
            still = f"{self._left} reads of it were cancelled and have not ended"
            raise self._error(f"{self._path}: not read, because {still}; is the disk there?")
        async with to_thread.current_default_thread_limiter():
            one = _Read(read, discard)
            self._begin(one)
            try:
                await one.done.wait()
            except BaseException:
                with self._lock.get():
                    self._left += one.leave()
                raise
        if one.error is None:
            return one.results.pop()
        try:
            raise one.error
        finally:
            one.error = None  # it holds this frame

    async def run_last(self, read: Callable[[], object]) -> None:
        """Run ``read()`` in a thread, and `close` then."""
        try:
            await self.run(read)
        finally:
            self.close()

    def close(self) -> None:
        """Let the threads end that wait for a read; a later read begins one anew."""
        with self._lock.get():
            idle = self._idle.get()
            ending = tuple(idle)
            idle.clear()
        for thread in ending:
            thread.reads.put(None)

    def _begin(self, one: _Read[Any]) -> None:
        with self._lock.get():
            idle = self._idle.get()
            thread = idle.pop() if idle else None
        if thread is not None:
            thread.reads.put(one)
            return
        thread = _ReadThread(self._ended, self._may_end)
        thread.reads.put(one)
        thread.start()

    def _ended(self, thread: _ReadThread, one: _Read[Any]) -> bool:
        with self._lock.get():
            was_left = one.end()
            self._left -= was_left
            self._idle.get().append(thread)  # before who waits is told: the next read is often his
        return was_left

    def _may_end(self, thread: _ReadThread) -> bool:
        with self._lock.get():
            idle = self._idle.get()
            may = thread in idle
            if may:
                idle.remove(thread)
        return may


class _LeftError(Exception):
    """Nobody waits for the result of this read any more."""


class _Read(Generic[T]):
    """One read, and who waits for it."""

    def __init__(self, read: Callable[[], T], discard: Callable[[T], object] | None) -> None:
        self._read = read
        self._discard = discard
        self._context = copy_context()
        self._token = current_token()
        self._has_ended = False
        self.is_left = False
        self.done = Event()
        self.results: list[T] = []
        self.error: BaseException | None = None

    def run(self) -> None:
        """Read."""
        try:
            self.results.append(self._context.run(self._read))
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is for who waits
            self.error = error

    def tell(self) -> None:
        """Tell who waits, in his event loop."""
        loop: Any = self._token.native_token
        soon = getattr(loop, "call_soon_threadsafe", None) or loop.run_sync_soon  # of asyncio, of trio
        with suppress(RuntimeError):  # the event loop has ended
            soon(self.done.set)

    def leave(self) -> bool:
        """Let the read go on alone; return whether it still runs. The caller holds the lock."""
        self.is_left = True
        if self._has_ended:
            self.drop()
        return not self._has_ended

    def end(self) -> bool:
        """Note that the read has ended; return whether it was left. The caller holds the lock."""
        self._has_ended = True
        return self.is_left

    def drop(self) -> None:
        """Drop what nobody waits for any more."""
        self.error = None
        while self.results:
            result = self.results.pop()
            if self._discard is not None:
                self._discard(result)


class _ReadThread(Thread):
    """A thread for one read after the other, which does not keep the process from ending.

    :param ended: called in the thread when a read has ended; returns whether it was left before. From then
        on there may be another one.
    :param may_end: whether there is none, after a while.
    """

    def __init__(
        self,
        ended: Callable[[_ReadThread, _Read[Any]], bool],
        may_end: Callable[[_ReadThread], bool],
    ) -> None:
        super().__init__(name="a read of async_backfill", daemon=True)
        self._ended = ended
        self._may_end = may_end
        self.reads: SimpleQueue[_Read[Any] | None] = SimpleQueue()
        """What is to be read; ``None`` ends the thread."""
        self.one: _Read[Any] | None = None

    def run(self) -> None:
        """Read, tell the event loop, and wait for the next read."""
        while (one := self._next()) is not None:
            self.one = one
            if not one.is_left:  # many that are cancelled at once are over before they begin
                one.run()
            if self._ended(self, one):
                one.drop()
            else:
                one.tell()
            self.one = one = None  # or the result would live until the next read

    def _next(self) -> _Read[Any] | None:
        try:
            return self.reads.get(timeout=_IDLE)
        except Empty:
            return None if self._may_end(self) else self.reads.get()


def check_left() -> None:
    """End a read that nobody waits for any more; long ones call it now and then."""
    thread = current_thread()
    if isinstance(thread, _ReadThread) and thread.one is not None and thread.one.is_left:
        raise _LeftError
