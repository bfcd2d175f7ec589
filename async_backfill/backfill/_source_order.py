"""The selection in source order: the first keys of the source that are not cached."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic

from anyio import Lock

from async_backfill._common.validation import whole
from async_backfill.contracts import K, Page, Scan

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence


class SourceOrder(Generic[K]):
    """Selects the first keys, in the order of the source's scan, that are not cached.

    It remembers how far it has scanned, and which keys before that point were not cached when it last
    looked, so a selection costs only what is new, not the whole source. When an entry has been removed
    from the cache since, this may be wrong, and the scan starts again. Keys that are added to the source
    before that point are found only then.

    :param scan: the scan of the source's keys.
    :param is_cached: returns whether a key is in the store.
    :param is_loading: returns whether a key is in flight.
    :param removals: returns a number that rises whenever an entry is removed from the store.
    :param page_size: the number of keys in one page of the scan.
    """

    def __init__(
        self,
        scan: Scan[K],
        *,
        is_cached: Callable[[K], bool],
        is_loading: Callable[[K], bool],
        removals: Callable[[], int],
        page_size: int = 1000,
    ) -> None:
        self._scan = scan
        self._is_cached = is_cached
        self._is_loading = is_loading
        self._removals = removals
        self._page_size = whole("page_size", page_size, least=1)
        self._scanning = Lock()
        self._ahead: list[K] = []
        self._cursor: object | None = None
        self._at_end = False
        self._removals_seen = removals()

    async def select(self, limit: int, /) -> Sequence[K]:
        """Return the first ``limit`` keys in source order that are neither cached nor in flight."""
        async with self._scanning:
            if self._removals_seen != self._removals():
                self._start_again()
            self._forget_cached()
            wanted = [key for key in self._ahead if not self._is_loading(key)]
            while len(wanted) < limit and not self._at_end:
                page: Page[K] = await self._scan.scan(self._cursor, self._page_size)
                self._cursor = page.cursor
                self._at_end = page.cursor is None
                fresh = [key for key in page.keys if not self._is_cached(key)]
                self._ahead.extend(fresh)
                wanted.extend(key for key in fresh if not self._is_loading(key))
        return [key for key in wanted if self._is_missing(key)][:limit]

    def outlook(self) -> bool | None:
        """Return whether a selection would find a key; ``None`` when it would have to scan to know."""
        if self._removals_seen != self._removals():
            return None
        if self._ahead and self._is_cached(self._ahead[0]):
            self._forget_cached()
        if any(self._is_missing(key) for key in self._ahead):
            return True
        return False if self._at_end else None

    def drop(self, keys: Collection[K], /) -> None:
        """Forget ``keys`` until the scan starts again."""
        gone = set(keys)
        self._ahead = [key for key in self._ahead if key not in gone]

    def _is_missing(self, key: K) -> bool:
        return not self._is_cached(key) and not self._is_loading(key)

    def _forget_cached(self) -> None:
        self._ahead = [key for key in self._ahead if not self._is_cached(key)]

    def _start_again(self) -> None:
        self._removals_seen = self._removals()
        self._ahead = []
        self._cursor = None
        self._at_end = False
