"""Reads of a file in threads: one that goes on after it was cancelled is left to its thread."""

from __future__ import annotations

from contextlib import suppress
from contextvars import copy_context
from threading import Lock, Thread, current_thread
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from anyio import Event, from_thread, to_thread
from anyio.lowlevel import current_token

from async_backfill._common.each_process import EachProcess
from async_backfill.errors import LoadError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from async_backfill.errors import AsyncBackfillError

T = TypeVar("T")

_MOST: Final = 20


class LeftReads:
    """Runs reads of the file at ``path``, and counts the cancelled ones whose thread has not ended.

    A thread cannot be stopped: a read of a disk that does not answer would keep who waits for it. At most 20
    such threads are left; then reads fail at once, until one of them ends. None of them keeps the process.

    :param error: the error of reads that fail for that.
    """

    # A thread of its own, not one of anyio's, which the interpreter waits for when it ends: on asyncio a
    # read that never ends kept a process that could only be killed.

    def __init__(self, path: str | os.PathLike[str], *, error: type[AsyncBackfillError] = LoadError) -> None:
        self._path = path
        self._error = error
        self._lock = EachProcess(Lock)  # another thread may hold it at a fork
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
            thread = _ReadThread(read, discard, self._ended)
            thread.start()
            try:
                await thread.done.wait()
            except BaseException:
                with self._lock.get():
                    self._left += thread.leave()
                raise
        if thread.error is None:
            return thread.results.pop()
        try:
            raise thread.error
        finally:
            thread.error = None  # it holds this frame

    def _ended(self, thread: _ReadThread[Any]) -> bool:
        with self._lock.get():
            was_left = thread.end()
            self._left -= was_left
        return was_left


class _LeftError(Exception):
    """Nobody waits for the result of this read any more."""


class _ReadThread(Thread, Generic[T]):
    """A thread for one read, which does not keep the process from ending.

    :param ended: called in the thread when the read has ended; returns whether it was left before.
    """

    def __init__(
        self,
        read: Callable[[], T],
        discard: Callable[[T], object] | None,
        ended: Callable[[_ReadThread[Any]], bool],
    ) -> None:
        super().__init__(name="a read of async_backfill", daemon=True)
        self._read = read
        self._discard = discard
        self._ended = ended
        self._context = copy_context()
        self._token = current_token()
        self._has_ended = False
        self.is_left = False
        self.done = Event()
        self.results: list[T] = []
        self.error: BaseException | None = None

    def run(self) -> None:
        """Read, and tell the event loop."""
        try:
            self.results.append(self._context.run(self._read))
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is for who waits
            self.error = error
        if self._ended(self):
            self._drop()
            return
        with suppress(RuntimeError):  # the event loop has ended
            from_thread.run_sync(self.done.set, token=self._token)

    def leave(self) -> bool:
        """Let the read go on alone; return whether it still runs. The caller holds the lock."""
        self.is_left = True
        if self._has_ended:
            self._drop()
        return not self._has_ended

    def end(self) -> bool:
        """Note that the read has ended; return whether it was left. The caller holds the lock."""
        self._has_ended = True
        return self.is_left

    def _drop(self) -> None:
        self.error = None
        while self.results:
            result = self.results.pop()
            if self._discard is not None:
                self._discard(result)


def check_left() -> None:
    """End a read that nobody waits for any more; long ones call it now and then."""
    thread = current_thread()
    if isinstance(thread, _ReadThread) and thread.is_left:
        raise _LeftError
