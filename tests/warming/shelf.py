"""A guarded store in memory that fails or waits on purpose, and pages to copy into it."""

from __future__ import annotations

from anyio import current_time, sleep

from async_backfill.contracts import FarCopy, GuardedStore, Kept


class Shelf(GuardedStore):
    """A far tier's store that is only copied to; ``before`` is awaited before each write."""

    deadline = 10.0

    def __init__(self, before=None):
        self.rows = {}
        self.writes = []
        self.reads = []
        self.under_way = self.most_under_way = 0
        self._before = before

    def now(self):
        return current_time()

    async def set_page(self, items, /, *, read_at, ttl=None):
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            if self._before is not None:
                await self._before(items)
            self.rows.update(items)
            self.writes.append((list(items), ttl))
            self.reads.append(read_at)
            return Kept(kept=len(items))
        finally:
            self.under_way -= 1

    async def get_many(self, keys, /):
        return {key: FarCopy(self.rows[key], 0.0) for key in keys if key in self.rows}


def page(number, size=2):
    """The rows of one page."""
    return {f"{number}.{row}": number for row in range(size)}


async def pages_of(count, seconds=0.0):
    """So many pages, each of which takes some seconds to read."""
    for number in range(count):
        await sleep(seconds)
        yield page(number)
