"""Contract tests for a far tier's store (L2) that takes pages of rows which were read some time ago."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Generic

import anyio

from async_backfill.contracts import GuardedStore, K, Kept, V
from async_backfill.errors import StalePageError
from async_backfill.testing._calls import together
from async_backfill.testing._claims import holds, same
from async_backfill.testing._outdated_leases_contract import found, lease

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from async_backfill.contracts import Leases

_LONG = 3600.0


class GuardedStoreContract(Generic[K, V]):
    """Tests of the promises of `GuardedStore`; inherit from it, and give the fixtures ``store`` and ``peer``.

    ``store`` is empty when a test begins; ``peer`` is the store of another process, with the same values and
    a clock that agrees. Use it beside `FarStoreContract`, and with `GuardedLeasesContract` if it has leases.
    """

    items: Mapping[K, V]
    """Three keys or more with their values, which all differ. One value should be ``None``."""

    margin: float = 0.0
    """The seconds by which what is there must be older than the read of a page that replaces it."""

    refused: Sequence[Any] = ()
    """Values that the store cannot keep."""

    ttl: float = 0.05
    """The shortest useful ttl in seconds."""

    resolution: float = 0.01
    """The largest difference in seconds between the store's clock and the event loop's over one ttl."""

    async def test_a_store_says_that_it_is_guarded(self, store: Any) -> None:
        holds("the class of the store inherits from GuardedStore", kept=GuardedStore in type(store).__mro__)
        holds("a page may take some time", kept=0.0 <= self.margin < store.deadline)

    async def test_the_rows_of_a_page_are_kept_and_counted(self, store: Any, peer: Any) -> None:
        done = await store.set_page(self.items, read_at=store.now())
        adds_up(done, self.items)
        same(done.kept, len(self.items), "all rows are kept where nothing is")
        same(await found(peer, self.items), dict(self.items), "every process finds them")

    async def test_a_value_that_was_set_after_the_read_began_wins(self, store: Any, peer: Any) -> None:
        first, newer = self._first_and_another()
        read_at = store.now()
        await peer.set_many({first: newer})
        await self._is_left_alone(store, first, read_at)
        same(await found(store, self.items), {**self.items, first: newer}, "the newer value stays")

    async def test_a_value_that_is_older_than_the_read_is_replaced(self, store: Any, peer: Any) -> None:
        first, older = self._first_and_another()
        await peer.set_page({first: older}, read_at=self._long_ago(peer))
        done = await store.set_page(self.items, read_at=store.now())
        same((done.kept, list(done.newer)), (len(self.items), []), "what is older is replaced")
        same(await found(peer, self.items), dict(self.items), "all have the rows of the page")

    async def test_a_key_that_was_removed_after_the_read_began_stays_away(
        self, store: Any, peer: Any
    ) -> None:
        first, second, *_ = self.items
        await peer.set_page({first: self.items[second]}, read_at=self._long_ago(peer))
        read_at = store.now()
        await peer.delete_many((first, second))  # one has a value, the other has none
        done = await store.set_page(self.items, read_at=read_at)
        adds_up(done, self.items)
        same(set(done.newer), {first, second}, "a later removal is told as newer")
        left = {key: value for key, value in self.items.items() if key not in {first, second}}
        same(await found(peer, self.items), left, "what was removed does not come back, others are kept")

    async def test_a_page_that_was_read_before_a_clear_is_left_out(self, store: Any, peer: Any) -> None:
        first, *others = self.items
        read_at = store.now()
        await peer.set_many({first: self.items[first]})
        await peer.clear()
        done = await store.set_page(self.items, read_at=read_at)
        adds_up(done, self.items)
        same(set(done.newer), {first, *others}, "a later clear is newer than every row")
        same(await found(peer, self.items), {}, "nothing comes back after a clear")

    async def test_a_page_that_was_read_too_long_ago_is_refused(self, store: Any, peer: Any) -> None:
        await self._is_refused(store, self.items, store.now() - store.deadline - 1.0)
        same(await found(peer, self.items), {}, "nothing of it is kept")

    async def test_of_two_pages_the_one_that_was_read_later_wins(self, store: Any, peer: Any) -> None:
        (first, value), (second, other) = tuple(self.items.items())[:2]
        old = self._long_ago(store)
        await peer.set_page({first: value}, read_at=store.now())
        done = await store.set_page({first: other, second: other}, read_at=old)
        same((done.kept, list(done.newer)), (1, [first]), "the page that was read first comes too late")
        await peer.set_page({second: value}, read_at=store.now())
        expected = {first: value, second: value}
        same(await found(store, (first, second)), expected, "each key has what was read last")

    async def test_a_page_may_be_written_again(self, store: Any, peer: Any) -> None:
        read_at = store.now()
        for _ in range(2):
            done = await store.set_page(self.items, read_at=read_at)
            same(done.kept, len(self.items), "what is there from the same read is no later")
        adds_up(await peer.set_page(self.items, read_at=peer.now()), self.items)
        same(await found(peer, self.items), dict(self.items), "the rows are there as before")

    async def test_a_put_and_a_removal_replace_what_a_page_brought(self, store: Any, peer: Any) -> None:
        first, newer = self._first_and_another()
        second, *others = [key for key in self.items if key != first]
        await store.set_page(self.items, read_at=store.now())
        await peer.set_many({first: newer})
        await peer.delete_many((second,))
        left = {first: newer, **{key: self.items[key] for key in others}}
        same(await found(store, self.items), left, "explicit changes need no permission")

    async def test_the_age_of_a_copy_counts_from_the_begin_of_its_read(self, store: Any, peer: Any) -> None:
        ago = store.deadline / 2
        await store.set_page(self.items, read_at=store.now() - ago, ttl=_LONG)
        copies = await peer.get_many(tuple(self.items))
        same(set(copies), set(self.items), "all rows are kept")
        least = min(copy.age for copy in copies.values())
        holds(f"a copy read {ago} s ago is not {least} s old", kept=least >= ago - self.resolution)

    async def test_a_copy_lives_no_longer_than_its_ttl_after_its_read(self, store: Any) -> None:
        ago = store.deadline / 2
        with suppress(StalePageError):  # of a machine that is busy
            await store.set_page(self.items, read_at=store.now() - ago, ttl=ago + self.ttl)
        await anyio.sleep(self.ttl + self.resolution)
        same(await found(store, self.items), {}, "the ttl counts from the begin of the read")

    async def test_a_page_whose_ttl_is_over_leaves_nothing(self, store: Any) -> None:
        ago = store.deadline / 2
        with suppress(StalePageError):
            adds_up(await store.set_page(self.items, read_at=store.now() - ago, ttl=ago / 2), self.items)
        same(await found(store, self.items), {}, "its ttl was over before it was written")

    async def test_a_row_that_cannot_be_kept_is_named_and_spoils_no_other(self, store: Any) -> None:
        first, *others = self.items
        for bad in self.refused:
            rows: dict[K, Any] = {first: bad, **{key: self.items[key] for key in others}}
            done = await store.set_page(rows, read_at=store.now())
            adds_up(done, rows)
            same(list(done.rejected), [first], "what cannot be kept is rejected")
            holds("it is said why", kept=bool(done.rejected[first]))
            same(set(await found(store, self.items)), set(others), "the others are kept")

    async def test_pages_at_the_same_time_each_add_up(self, store: Any, peer: Any) -> None:
        first, newer = self._first_and_another()
        pages = [partial(each.set_page, self.items, read_at=each.now()) for each in (store, peer)] * 5
        for done in await together(*pages):
            adds_up(done, self.items)
        same(await found(store, self.items), dict(self.items), "all wrote the same rows")
        await peer.set_many({first: newer})
        same((await found(store, self.items))[first], newer, "and none undoes a later put")

    def _first_and_another(self) -> tuple[K, V]:
        """Return the first key and the value of another one."""
        first, second, *_ = self.items
        return first, self.items[second]

    def _long_ago(self, store: Any) -> float:
        """Return a time that is older than the margin, and not too old for a page."""
        now: float = store.now()
        return now - self.margin - float(store.deadline - self.margin) / 4

    async def _is_left_alone(self, store: Any, key: K, read_at: float) -> None:
        done = await store.set_page(self.items, read_at=read_at)
        adds_up(done, self.items)
        same(list(done.newer), [key], "what is newer than the read is left alone, and told")

    async def _is_refused(self, store: Any, items: Mapping[K, V], read_at: float) -> None:
        try:
            await store.set_page(items, read_at=read_at)
        except StalePageError:
            return
        holds("a page that was read too long ago raises StalePageError", kept=False)


class GuardedLeasesContract(Generic[K, V]):
    """Tests of `GuardedStore` beside leases; inherit from it, and give the fixtures ``store`` and ``leases``.

    ``leases`` belong to another process; none of them expires during a test.
    """

    items: Mapping[K, V]
    """Two keys or more with their values, which all differ."""

    async def test_a_page_does_not_overrule_a_lease(self, store: Any, leases: Leases[K, V]) -> None:
        (first, old), (_, new) = tuple(self.items.items())[:2]
        read_at = store.now()
        tokens = await lease(leases, (first,))
        done = await store.set_page(self.items, read_at=read_at)
        adds_up(done, self.items)
        same((list(done.leased), list(done.newer)), ([first], []), "a leased key is left alone, and told")
        same(list(await leases.set_many({first: new}, tokens)), [first], "its lease is still valid")
        await store.set_page({first: old}, read_at=read_at)
        same((await found(store, (first,)))[first], new, "what was loaded under the lease stays")

    async def test_nor_does_a_page_that_was_read_after_the_lease_began(
        self, store: Any, leases: Leases[K, V]
    ) -> None:
        first = next(iter(self.items))
        tokens = await lease(leases, (first,))
        done = await store.set_page(self.items, read_at=store.now())
        same(list(done.leased), [first], "a leased key is left alone, and told")
        same(list(await leases.set_many({first: self.items[first]}, tokens)), [first], "it is still valid")

    async def test_what_was_removed_stays_away_when_a_later_lease_ends_empty(
        self, store: Any, leases: Leases[K, V]
    ) -> None:
        first = next(iter(self.items))
        read_at = store.now()
        await store.delete_many((first,))
        tokens = await lease(leases, (first,))
        same(set(tokens), {first}, "what was removed can be leased")
        await leases.release_many(tokens)
        done = await store.set_page(self.items, read_at=read_at)
        adds_up(done, self.items)
        same(list(done.newer), [first], "the end of the lease leaves a trace")
        holds("the row does not come back", kept=first not in await found(store, self.items))

    async def test_an_outdated_value_that_was_removed_under_a_lease_stays_away(
        self, store: Any, leases: Leases[K, V]
    ) -> None:
        (first, old), *_ = self.items.items()
        await store.set_many({first: old})
        read_at = store.now()
        tokens = await lease(leases, (first,), outdated=(first,))
        await store.delete_many((first,))
        await leases.release_many(tokens)
        done = await store.set_page({first: old}, read_at=read_at)
        same(list(done.newer), [first], "the removal overruled the lease, and is newer")
        same(await found(store, (first,)), {}, "the row does not come back")


def adds_up(done: Kept[K], items: Mapping[K, Any]) -> None:
    """Raise an `AssertionError` unless each key of ``items`` is in ``done`` exactly once."""
    named = [*done.newer, *done.leased, *done.rejected]
    holds(f"{done!r} names keys of the page, each once", kept=len(set(named)) == len(named))
    same(set(named) - set(items), set(), "only keys of the page are named")
    same(done.kept + len(named), len(items), "each row is kept, newer, leased or rejected")
