"""Contract tests for a far tier's store (L2) that lists its keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic

from async_backfill.contracts import K, KeyListing, V
from async_backfill.testing._claims import holds, same

if TYPE_CHECKING:
    from collections.abc import Mapping


class KeyListingContract(Generic[K, V]):
    """Tests of the promises of `KeyListing`; inherit from it, and give the fixture ``store``, empty at first.

    Use it beside `FarStoreContract`.
    """

    listed: Mapping[K, V]
    """Three values or more, by key."""

    async def test_a_store_says_that_it_lists_its_keys(self, store: Any) -> None:
        holds("the class of the store inherits from KeyListing", kept=KeyListing in type(store).__mro__)

    async def test_an_empty_store_lists_no_keys(self, store: Any) -> None:
        same(await self._all(store, 10), set(), "an empty store has no keys")

    async def test_each_key_comes_in_pages_of_any_size(self, store: Any) -> None:
        await store.set_many(self.listed)
        for size in (1, 2, len(self.listed), 100):
            same(await self._all(store, size), set(self.listed), f"pages of {size} have every key")

    async def test_a_key_that_stays_comes_although_others_go_meanwhile(self, store: Any) -> None:
        await store.set_many(self.listed)
        page = await store.list_keys(None, 1)
        if page.keys:
            await store.delete_many(page.keys)
        left, cursor = set(self.listed) - set(page.keys), page.cursor
        while cursor is not None:
            page = await store.list_keys(cursor, 1)
            left, cursor = left - set(page.keys), page.cursor
        same(left, set(), "keys that the store holds all the time come")

    async def _all(self, store: Any, size: int) -> set[K]:
        found: set[K] = set()
        cursor = None
        while True:
            page = await store.list_keys(cursor, size)
            found.update(page.keys)
            if page.cursor is None:
                return found
            cursor = page.cursor
