"""The selection in source order: the first keys of the source that are not cached."""

from __future__ import annotations

import math
from itertools import islice
from typing import TYPE_CHECKING, Final, Generic

from anyio import Lock, current_time
from anyio.lowlevel import checkpoint

from async_backfill._common.validation import whole
from async_backfill.contracts import K, Page, Scan

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

_LOOKS: Final = 1000
"""Listed keys looked at in one step: about a millisecond."""
_LISTED_PER_KEY: Final = 2
"""Keys that may be listed again for each key that was selected since."""


class SourceOrder(Generic[K]):
    """Selects the first keys, in the order of the source's scan, that are not cached.

    It remembers the keys that it has listed, in their order, so what left the cache is found again without
    the source: at most the cached keys and a page are remembered. The scan goes on from its cursor when
    these do not suffice. At its end it wraps around, but only a while later, and once half as many keys
    were selected as there were: so the keys listed are at most those of the source, and twice the keys
    selected. Keys that were added to the source before the cursor, and those that were dropped, are found
    only then.

    :param scan: the scan of the source's keys.
    :param is_cached: returns whether a key is in the store.
    :param is_loading: returns whether a key is in flight.
    :param removals: returns a number that rises whenever an entry is removed from the store.
    :param first_page: keys on the first page of a selection, or twice those wanted; each next page is twice
        as large.
    :param wrap_after: seconds between two scans from the first key at the least.
    :param page_size: the largest number of keys on one page.
    """

    def __init__(
        self,
        scan: Scan[K],
        *,
        is_cached: Callable[[K], bool],
        is_loading: Callable[[K], bool],
        removals: Callable[[], int],
        first_page: int = 100,
        wrap_after: float = 60.0,
        page_size: int = 1000,
    ) -> None:
        self._scan = scan
        self._is_cached = is_cached
        self._is_loading = is_loading
        self._removals = removals
        self._first_page = first_page
        self._wrap_after = wrap_after
        self._ended_at = math.inf
        self._page_size = whole("page_size", page_size, least=1)
        self._scanning = Lock()
        self._listed: list[K] = []
        self._looked = 0  # so many of them were looked at; those that were not cached then are `_ahead`
        self._ahead: list[K] = []
        self._dropped: set[K] = set()
        self._cursor: object | None = None
        self._at_end = False
        self._selected = 0
        self._removals_seen = removals()

    async def select(self, limit: int, /) -> Sequence[K]:
        """Return the first ``limit`` keys in source order that are neither cached nor in flight."""
        async with self._scanning:
            self._note_removals()
            size = max(self._first_page, 2 * limit)
            while not self._has_ahead(limit):
                if self._look():
                    if len(self._listed) - self._looked > 0:
                        await checkpoint()
                    continue
                if self._at_end and not self._may_wrap_around():
                    break
                if self._at_end:
                    self._start_again()
                await self._list(min(size, self._page_size))
                size *= 2
        found = list(islice(filter(self._is_missing, self._ahead), limit))
        self._selected += len(found)
        return found

    def outlook(self) -> bool | None:
        """Return whether a selection would find a key; ``None`` when it would have to look further to know.

        A few keys are looked at, however many there are.
        """
        self._note_removals()
        if self._has_ahead(1) or (self._look() and self._has_ahead(1)):
            return True
        is_all = self._at_end and self._looked == len(self._listed)
        return False if is_all and not self._may_wrap_around() else None

    def drop(self, keys: Collection[K], /) -> None:
        """Forget ``keys`` until the scan wraps around."""
        if keys:
            self._dropped.update(keys)
            self._ahead = [key for key in self._ahead if key not in self._dropped]
            self._selected = max(0, self._selected - len(keys))

    def _is_missing(self, key: K) -> bool:
        return not self._is_cached(key) and not self._is_loading(key)

    def _has_ahead(self, number: int) -> bool:
        """Return whether at least ``number`` of the keys that were looked at are missing."""
        if self._ahead and self._is_cached(self._ahead[0]):
            self._ahead = [key for key in self._ahead if not self._is_cached(key)]
        return sum(1 for _ in islice(filter(self._is_missing, self._ahead), number)) == number

    def _note_removals(self) -> None:
        if self._removals_seen != self._removals():
            self._removals_seen = self._removals()
            self._looked, self._ahead = 0, []

    def _look(self) -> bool:
        """Look at the next listed keys; return whether there were any."""
        step = self._listed[self._looked : self._looked + _LOOKS]
        self._looked += len(step)
        dropped = self._dropped
        self._ahead.extend(key for key in step if key not in dropped and not self._is_cached(key))
        return bool(step)

    async def _list(self, size: int) -> None:
        page: Page[K] = await self._scan.scan(self._cursor, size)
        self._cursor = page.cursor
        self._at_end = page.cursor is None
        self._ended_at = current_time()
        self._listed.extend(page.keys)

    def _may_wrap_around(self) -> bool:
        has_paid = 0 < len(self._listed) <= _LISTED_PER_KEY * self._selected
        is_due = has_paid and current_time() >= self._ended_at + self._wrap_after
        return is_due and all(map(self._is_cached, self._ahead))

    def _start_again(self) -> None:
        self._listed, self._ahead = [], []
        self._dropped.clear()
        self._looked = self._selected = 0
        self._cursor = None
        self._at_end = False
