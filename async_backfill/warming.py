"""Warming: copy a source into the far tier (L2) before it is needed."""

from __future__ import annotations

import reprlib
from collections import deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Generic

from anyio import CancelScope, create_memory_object_stream, create_task_group

from async_backfill._common.attempt import attempt
from async_backfill._common.error_text import error_line
from async_backfill._common.validation import positive_seconds_or_none, whole
from async_backfill.contracts import K, K_co, V
from async_backfill.errors import AsyncBackfillError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from typing import TypeAlias

    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

    from async_backfill.contracts import FarStore, Seconds

    _Sending: TypeAlias = MemoryObjectSendStream[tuple[int, Mapping[K, V]]]
    _Receiving: TypeAlias = MemoryObjectReceiveStream[tuple[int, Mapping[K, V]]]

__all__ = ["CopyError", "CopyProgress", "copy_rows"]


@dataclass(frozen=True, slots=True)
class CopyProgress(Generic[K_co]):
    """The progress of a copy: the number of ``rows`` and ``pages`` written, and the key to resume after.

    All rows up to the key ``through``, in the order of the pages, are written; ``None`` when not even the
    first page is. Later rows may be written, and counted, as well. A stopped copy can resume after this key.
    """

    rows: int = 0
    pages: int = 0
    through: K_co | None = None


class CopyError(AsyncBackfillError):
    """A copy stopped because a page could not be read or written; ``copied`` says how far it came.

    The exception of the source or the store is the ``__cause__``. Some rows of the page that failed may be
    in the store.
    """

    def __init__(self, message: str, *, copied: CopyProgress[object]) -> None:
        super().__init__(message)
        self.copied = copied


async def copy_rows(
    pages: AsyncIterator[Mapping[K, V]],
    store: FarStore[K, V],
    *,
    ttl: Seconds | None = None,
    writers: int = 4,
    ahead: int = 4,
    progress: Callable[[CopyProgress[K]], object] | None = None,
) -> CopyProgress[K]:
    """Write all rows of ``pages`` to ``store``, and return how many were written.

    Pages are read while earlier ones are written; at most ``ahead`` + ``writers`` pages are in memory. A key
    that is in several pages ends with the value of any of them. After an error no new page is begun, and
    writes in progress are finished. When it is cancelled it stops at once; the last call of ``progress``
    said how far it came.

    :param pages: pages of rows, such as those of `async_backfill.sources.sql.SQLSource.rows`; a generator is
        closed at the end.
    :param store: the far tier's store that the rows are written to.
    :param ttl: seconds above 0 for which each row is kept; ``None`` for as long as the store has room.
    :param writers: the number of pages written at once, 1 or more.
    :param ahead: the number of pages read ahead of the writers, 1 or more.
    :param progress: called after each page that was written, with the progress so far; an exception that it
        raises stops the copy.
    :raises CopyError: when a page cannot be read or written.
    :raises ConfigurationError: when a setting is outside what is allowed.
    """
    lifetime = positive_seconds_or_none("ttl", ttl)
    writers, ahead = whole("writers", writers, least=1), whole("ahead", ahead, least=1)
    copying = _CopyJob(store, lifetime, progress)
    # Hence - 1: the reader holds one more page while it waits for room.
    to_write, numbered = create_memory_object_stream[tuple[int, "Mapping[K, V]"]](ahead - 1)
    try:
        with to_write, numbered:
            async with create_task_group() as tasks:
                for _ in range(writers):
                    tasks.start_soon(copying.write, numbered)
                await copying.read(pages, to_write)
                to_write.close()
    finally:
        if isinstance(pages, AsyncGenerator):
            await pages.aclose()
    return copying.result()


class _CopyJob(Generic[K, V]):
    """One copy: a reader numbers the pages, and writers finish them in any order.

    So progress is counted from the pages without a gap; see decision 44 in notes.md.
    """

    def __init__(
        self, store: FarStore[K, V], ttl: float | None, progress: Callable[[CopyProgress[K]], object] | None
    ) -> None:
        self._store = store
        self._ttl = ttl
        self._progress = progress
        self._reading = CancelScope()
        self._stopped: tuple[str, BaseException] | None = None
        self._copied: CopyProgress[K] = CopyProgress()
        self._written: dict[int, K] = {}
        self._unbroken = 0

    async def read(self, pages: AsyncIterator[Mapping[K, V]], to_write: _Sending[K, V]) -> None:
        """Send each page with its number to the writers, until the last page or an error."""
        number = 0
        with self._reading:
            while self._stopped is None:
                done = await attempt(partial(anext, pages, None), CancelScope())
                if done.error is not None:
                    self._stop("read", done.error)
                elif done.result is None:
                    return
                elif done.result:
                    await to_write.send((number, done.result))
                    number += 1
                del done  # or the page would stay in memory here while it is written

    async def write(self, numbered: _Receiving[K, V]) -> None:
        """Write the pages that arrive, until the last one; after an error, drop them."""
        async for number, page in numbered:
            if self._stopped is None:
                done = await attempt(partial(self._write_one, number, page), CancelScope())
                if done.error is not None:
                    self._stop("written", done.error)

    async def _write_one(self, number: int, page: Mapping[K, V]) -> None:
        await self._store.set_many(page, ttl=self._ttl)
        self._written[number] = deque(page, maxlen=1)[0]
        through = self._copied.through
        while self._unbroken in self._written:
            through = self._written.pop(self._unbroken)
            self._unbroken += 1
        self._copied = CopyProgress(self._copied.rows + len(page), self._copied.pages + 1, through)
        if self._progress is not None:
            self._progress(self._copied)

    def _stop(self, what: str, error: BaseException) -> None:
        if self._stopped is None:
            self._stopped = what, error
            self._reading.cancel()

    def result(self) -> CopyProgress[K]:
        """Return the progress, or raise the error that stopped the copy."""
        if self._stopped is None:
            return self._copied
        what, error = self._stopped
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            raise error
        copied = self._copied
        written = f"{copied.rows:,} rows were written"
        if copied.through is not None:
            written = f"{written}, all through {reprlib.repr(copied.through)}"
        raise CopyError(
            f"a page could not be {what}: {error_line(error)}; {written}", copied=copied
        ) from error
