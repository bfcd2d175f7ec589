"""Copy pages of rows into the far tier (L2): a reader ahead of a few writers."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from functools import partial
from typing import TYPE_CHECKING, Generic, Literal, TypeAlias

from anyio import CancelScope, create_memory_object_stream, create_task_group

from async_backfill._common.attempt import attempt
from async_backfill._common.error_text import error_line, key_text
from async_backfill.contracts import K, V
from async_backfill.warming._calls import StoppedError, in_time
from async_backfill.warming._guards import guard_of
from async_backfill.warming._last_looks import LastLooks
from async_backfill.warming._page import Page, Sample, page_of
from async_backfill.warming._page_writer import PageWriter
from async_backfill.warming._progress import CopyError, CopyProgress, Tally
from async_backfill.warming._settings import Settings, checked

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

    from async_backfill.contracts import FarStore, Invalidations, Seconds, Source
    from async_backfill.warming._guards import Guard

    _Sending: TypeAlias = MemoryObjectSendStream[tuple[int, Page[K, V]]]
    _Receiving: TypeAlias = MemoryObjectReceiveStream[tuple[int, Page[K, V]]]


async def copy_rows(  # noqa: PLR0913 - the settings users name are flat
    pages: AsyncIterator[Mapping[K, V]],
    store: FarStore[K, V],
    *,
    guard: Literal["stamp", "version", "recheck", "none"] = "stamp",
    source: Source[K, V] | None = None,
    invalidations: Invalidations[K] | None = None,
    ttl: Seconds | None = None,
    ttl_jitter: float = 0.05,
    writers: int = 4,
    ahead: int = 4,
    write_timeout: Seconds = 3.0,
    read_timeout: Seconds | None = 60.0,
    attempts: int = 3,
    max_dead: int = 0,
    max_lost: float = 0.25,
    progress: Callable[[CopyProgress[K]], object] | None = None,
) -> CopyProgress[K]:
    """Write the rows of ``pages`` to ``store``, and return what became of them.

    A row is not written where the store has a value, a removal or a lease that is later than the moment at
    which its page was asked for. So a page must be read when it is asked for, not before.

    Pages are read while earlier ones are written; at most ``ahead`` + ``writers`` pages are in memory. A key
    that is in several pages ends with the value of the one that was read last, or with that of any under no
    guard. After an error no new page is begun, and writes in progress are finished. When it is cancelled it
    stops at once; the last call of ``progress`` said how far it came.

    :param pages: pages of rows, such as those of `async_backfill.contracts.Rows`, whose cursors are then what
        the copy can resume after, and whose failed rows are dead; a generator is closed at the end.
    :param store: the far tier's store that the rows are written to.
    :param guard: ``"stamp"`` leaves alone what is later, and needs a store that inherits from
        `async_backfill.contracts.GuardedStore`. ``"version"`` is that of a store with ``version_of=``, which
        leaves a value alone whose version is higher. ``"recheck"`` reads each row once more from ``source``
        after it was written, and mends it if it has changed: for rows that others change in ways of their
        own. ``"none"`` overrules what is later, for a store that nobody else uses.
    :param source: where rows are read again whose page was too old for the store, or that were leased.
        ``None``: the former are dead, the latter left alone.
    :param invalidations: under ``"recheck"``, is told which keys were mended or removed.
    :param ttl: seconds above 0 for which each row is kept, from its read on; ``None`` for as long as the
        store has room.
    :param ttl_jitter: the largest share, 0.0 to 0.9, by which the ttl of a page is shortened at random, so
        that the pages do not expire together.
    :param writers: the number of pages written at once, 1 or more.
    :param ahead: the number of pages read ahead of the writers, 1 or more.
    :param write_timeout: seconds that one call of the store may take; under ``"recheck"``, one page with the
        reads of its rows.
    :param read_timeout: seconds that the read of one page may take; ``None`` for any time.
    :param attempts: how often a page is tried, 1 or more; then its bad rows are found and left out.
    :param max_dead: the number of rows that may be left out because they cannot be written.
    :param max_lost: the largest share of kept rows, 0.0 to 1.0, that may be gone at the end, but not nearly
        all of a tenth of the copy; 1.0 allows that too. A sample of at most 2,000 is looked for.
    :param progress: called after each page, with the progress so far; an exception that it raises stops the
        copy.
    :raises CopyError: when a page cannot be read or written, too many rows are dead, or rows were lost.
    :raises ConfigurationError: when a setting is outside what is allowed, or the store has no such guard.
    """
    settings = checked(
        ttl=ttl,
        ttl_jitter=ttl_jitter,
        writers=writers,
        ahead=ahead,
        write_timeout=write_timeout,
        read_timeout=read_timeout,
        attempts=attempts,
        max_dead=max_dead,
        max_lost=max_lost,
    )
    checked_guard = guard_of(store, guard, source, invalidations)
    return await _CopyJob(store, checked_guard, settings, source, progress).run(pages)


class _CopyJob(Generic[K, V]):
    """One copy: a reader numbers the pages, and writers finish them in any order.

    So progress is counted from the pages without a gap; see decision 44 in notes.md. All that is awaited is
    awaited in tasks of its own: the task of the caller only waits for them, so that its cancellation, by
    whatever means of its backend, is nothing that a page could be blamed for.
    """

    def __init__(
        self,
        store: FarStore[K, V],
        guard: Guard[K, V],
        settings: Settings,
        source: Source[K, V] | None,
        progress: Callable[[CopyProgress[K]], object] | None,
    ) -> None:
        self._guard = guard
        self._settings = settings
        self._progress = progress
        self._tally: Tally[K] = Tally()
        self._sample: Sample[K, V] = Sample()
        self._writer = PageWriter(
            self._guard, settings, self._tally, self._sample, source, lambda: self._stopped is not None
        )
        self._looks = LastLooks(store, self._guard, settings, self._tally, source)
        self._reading = CancelScope()
        self._stopped: StoppedError | None = None

    async def run(self, pages: AsyncIterator[Mapping[K, V]]) -> CopyProgress[K]:
        """Copy all ``pages``; return the progress, or raise the error that stopped the copy."""
        # Hence - 1: the reader holds one more page while it waits for room.
        to_write, numbered = create_memory_object_stream[tuple[int, Page[K, V]]](self._settings.ahead - 1)
        with to_write, numbered:
            async with create_task_group() as tasks:
                for _ in range(self._settings.writers):
                    tasks.start_soon(self._unless_stopped, partial(self._write, numbered))
                tasks.start_soon(self._unless_stopped, partial(self._read, pages, to_write))
        async with create_task_group() as tasks:
            tasks.start_soon(self._unless_stopped, self._look)
        return self._result()

    async def _unless_stopped(self, step: Callable[[], Awaitable[None]]) -> None:
        try:
            await step()
        except StoppedError as error:
            self._stop(error)

    async def _read(self, pages: AsyncIterator[Mapping[K, V]], to_write: _Sending[K, V]) -> None:
        """Send each page with its number to the writers, until the last page or an error."""
        try:
            with self._reading:
                await self._read_all(pages, to_write)
        finally:
            to_write.close()
            if isinstance(pages, AsyncGenerator):
                closed = await attempt(pages.aclose, CancelScope())
                if closed.error is not None:
                    self._stop(_read_error(closed.error))

    async def _read_all(self, pages: AsyncIterator[Mapping[K, V]], to_write: _Sending[K, V]) -> None:
        number = 0
        while self._stopped is None:
            read_at = self._guard.now()
            rows, error = await in_time(
                partial(anext, pages, None), self._settings.read_timeout, "read_timeout"
            )
            if error is not None:
                raise _read_error(error)
            if rows is None:
                return
            page = page_of(rows, read_at, self._settings.drawn_ttl())
            del rows  # or the page would stay in memory here while it is written
            if page is not None:
                await to_write.send((number, page))
                number += 1
            del page

    async def _write(self, numbered: _Receiving[K, V]) -> None:
        """Write the pages that arrive, until the last one; after an error, drop them."""
        async for number, page in numbered:
            if self._stopped is None:
                await self._unless_stopped(partial(self._write_one, number, page))
            del page

    async def _write_one(self, number: int, page: Page[K, V]) -> None:
        if not await self._writer.write(page):
            return
        self._tally.finish(number, page.end)
        if self._progress is not None:
            try:
                self._progress(self._tally.progress())
            except BaseException as error:  # noqa: BLE001 - handed on
                raise StoppedError(f"progress raised {error_line(error)}", error) from None

    async def _look(self) -> None:
        if self._stopped is None:
            await self._looks.at_leased()
            await self._looks.at_sample(self._sample)

    def _stop(self, error: StoppedError) -> None:
        if self._stopped is None:
            self._stopped = error
            self._reading.cancel()

    def _result(self) -> CopyProgress[K]:
        copied = self._tally.progress()
        if self._stopped is None:
            return copied
        what, error = str(self._stopped), self._stopped.cause
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            raise error
        kept = f"{copied.kept:,} of {copied.read:,} rows were kept"
        if copied.through is not None:
            kept = f"{kept}, all is done through {key_text(copied.through)}"
        raise CopyError(f"{what}; {kept}", copied=copied) from error


def _read_error(error: BaseException) -> StoppedError:
    return StoppedError(f"a page could not be read: {error_line(error)}", error)
