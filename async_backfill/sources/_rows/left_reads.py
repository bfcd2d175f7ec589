"""Reads of a file in worker threads: one that goes on after it was cancelled is left to its thread."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Final, TypeVar

from anyio import to_thread

from async_backfill._common.each_process import EachProcess
from async_backfill.errors import LoadError

if TYPE_CHECKING:
    from collections.abc import Callable

    from async_backfill.sources._rows.rows import AnyPath

T = TypeVar("T")

_MOST: Final = 20


class LeftReads:
    """Runs reads of the file at ``path``, and counts the cancelled ones whose thread has not ended.

    A thread cannot be stopped: a read of a disk that does not answer would keep who waits for it. At most 20
    such threads are left; then reads fail at once, until one of them ends.
    """

    def __init__(self, path: AnyPath) -> None:
        self._path = path
        self._lock = EachProcess(Lock)  # another thread may hold it at a fork
        self._left = 0

    async def run(self, read: Callable[[], T]) -> T:
        """Return the result of ``read()``, which runs in a worker thread.

        :raises LoadError: when too many reads that were cancelled still run.
        """
        if self._left >= _MOST:
            still = f"{self._left} reads of it were cancelled and have not ended"
            raise LoadError(f"{self._path}: not read, because {still}; is the disk there?")
        is_running = is_left = False
        lock = self._lock.get()

        def counted() -> T:
            nonlocal is_running
            with lock:
                is_running = True
                self._left += is_left
            try:
                return read()
            finally:
                with lock:
                    is_running = False
                    self._left -= is_left

        has_ended = False
        try:
            result = await to_thread.run_sync(counted, abandon_on_cancel=True)
            has_ended = True
        finally:
            if not has_ended:
                with lock:
                    is_left = True
                    self._left += is_running
        return result
