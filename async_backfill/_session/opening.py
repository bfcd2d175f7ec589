"""Open and close a cache: what lives from one to the other."""

from __future__ import annotations

import contextvars
import os
import warnings
import weakref
from functools import partial
from typing import TYPE_CHECKING, Final, Generic

from anyio import CancelScope, Event

from async_backfill._session.backends import require_trio
from async_backfill._session.engine import Engine
from async_backfill._session.keeper import Keeper
from async_backfill._session.opened_in import OpenedIn, call_soon, lose_in_forks
from async_backfill.contracts import K, V
from async_backfill.errors import CacheClosedError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from types import TracebackType

    from async_backfill._session.parts import Parts

_FORKED: Final = (
    "the cache was opened before this process was forked, and is not open here; open it in this process with "
    "'async with cache:'"
)
_ENDED: Final = (
    "the tasks of the cache have ended: its event loop has ended, or one of them failed (then the log says "
    "why); open it again with 'async with cache:'"
)
_MEANWHILE: Final = "the cache was closed while it was being opened; open it again with 'async with cache:'"
_NOT_CLOSED: Final = "a cache that is open was dropped; open it with 'async with cache:', which closes it"


class Opening(Generic[K, V]):
    """One opening of a cache: its engine, and the keeper of all its tasks.

    ``is_open``
        whether the cache may be used: it is not while it opens or closes.

    :param lost: called with the reason when the cache is closed by something else than `close`.
    """

    def __init__(self, parts: Parts[K, V], lost: Callable[[str], object]) -> None:
        self.opened_in = OpenedIn()
        if self.opened_in.is_trio:
            require_trio(parts.settings)
        self.is_open = self.is_closing = False
        self._reports = parts.reports
        self._lost = lost
        self._starts = CancelScope()
        self._closed = Event()
        context = contextvars.copy_context()
        self._keeper = keeper = Keeper(parts.settings.name)

        def spawn(work: Callable[[], Coroutine[object, object, None]]) -> None:
            # Tasks outlive the request that needs them first, so they must not inherit its context.
            context.run(keeper.spawn, work)

        self.engine: Engine[K, V] = Engine(parts, spawn, self.opened_in)
        self._dropped = weakref.finalize(
            self.opened_in, _drop, keeper, self.opened_in.loop, os.getpid(), parts.settings.name
        )
        self._dropped.atexit = False
        keeper.over = partial(_over, self._dropped, self.engine.loader.stop, weakref.ref(self))
        # On trio what fails cancels the body of `async with`. On asyncio no scope can be left open in a task
        # that may end before the cache is closed.
        self._body = CancelScope() if self.opened_in.is_trio else None
        keeper.start()
        if self._body is not None:
            self._body.__enter__()
        lose_in_forks(self)

    async def start(self) -> None:
        """Start the engine; when that fails every task has ended."""
        try:
            with self._starts:
                await self.engine.start()
            self._require_still_opening()
        except BaseException as error:
            if not self.is_closing:
                self.is_closing = True
                self._leave_body(type(error), error, error.__traceback__)
                try:
                    await self._keeper.end()
                finally:
                    self._closed.set()
            raise
        self._reports.writer = self.engine.writer
        self.is_open = True

    async def close(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        """End every task; return whether the exception was that of a body which this has cancelled.

        Who comes second waits for the first.

        :raises BaseExceptionGroup: with what tasks have raised.
        """
        if self.is_closing:
            await self._closed.wait()
            return False
        if not self.is_open:
            self._starts.cancel()
        self.is_open, self.is_closing = False, True
        is_own = self._leave_body(exc_type, exc, traceback)
        try:
            try:
                await self.engine.close()
            finally:
                await self._keeper.end()
        finally:
            self._reports.writer = None
            self._closed.set()
        if self._keeper.errors:
            raise BaseExceptionGroup("tasks of the cache have failed", self._keeper.errors)
        return is_own

    def ended(self) -> None:
        """Take note that the tasks end although nobody closes the cache."""
        if not self.is_closing:
            self.is_open = False
            if self._body is not None:
                self._body.cancel()
            self._lost(_ENDED)

    def forked(self) -> None:
        """Take note that this is another process, where no task of the cache runs."""
        self._dropped.detach()
        if not self.is_closing:
            self.is_open = False
            self._lost(_FORKED)

    @property
    def is_over(self) -> bool:
        """Whether the cache may be opened again although nobody has closed this opening."""
        return (self._keeper.is_over and not self.is_closing) or self.opened_in.is_over()

    def _require_still_opening(self) -> None:
        if self.is_closing or self._keeper.is_over:
            raise CacheClosedError(_MEANWHILE)

    def _leave_body(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        return self._body is not None and bool(self._body.__exit__(exc_type, exc, traceback))


def _over(
    dropped: weakref.finalize[..., OpenedIn], stop: Callable[[], object], opening: weakref.ref[Opening[K, V]]
) -> None:
    """End what waits for tasks that end; holds no opening, so that one can be dropped."""
    dropped.detach()
    stop()
    if (still_there := opening()) is not None:
        still_there.ended()


def _drop(keeper: Keeper, loop: object, process: int, name: str | None) -> None:
    """End the tasks of a cache that nobody refers to any more, and say so."""
    if process == os.getpid() and call_soon(loop, keeper.cancel):
        which = "" if name is None else f" ({name!r})"
        warnings.warn(f"{_NOT_CLOSED}{which}", ResourceWarning, stacklevel=2)
