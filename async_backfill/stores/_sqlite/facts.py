"""Marks of jobs in the file of a store, and how full it is."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from async_backfill._common.mark_names import mark_name
from async_backfill.contracts import StoreFacts, StoreState

if TYPE_CHECKING:
    from async_backfill._common.left_reads import LeftReads
    from async_backfill.stores._sqlite.calls import Calls


class FileFacts(StoreFacts):
    """The facts of a store in a file of SQLite; a mark goes with the file, and is never evicted."""

    _threads: LeftReads
    _max_bytes: int

    def _calls(self) -> Calls:
        raise NotImplementedError

    async def mark(self, name: str, value: str, /) -> None:
        """Keep ``value`` as the mark of that name; see `StoreFacts`."""
        await self._threads.run(partial(self._calls().mark, mark_name(name), value))

    async def marked(self, name: str, /) -> str | None:
        """Return the mark of that name; ``None`` if there is none."""
        return await self._threads.run(partial(self._calls().marked, mark_name(name)))

    async def unmark(self, name: str, /) -> None:
        """Forget the mark of that name, if there is one."""
        await self._threads.run(partial(self._calls().mark, mark_name(name), None))

    async def state(self) -> StoreState:
        """Return how much of ``max_bytes`` is in use, and how many entries of all namespaces were evicted."""
        used, evicted = await self._threads.run(self._calls().used)
        return StoreState(used=used, limit=self._max_bytes, evicted=evicted)
