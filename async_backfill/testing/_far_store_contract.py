"""Contract tests for a far tier's store (L2)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Generic

import anyio

from async_backfill.contracts import FarStore, K, V
from async_backfill.testing._calls import PATIENCE, give_up, moments, together
from async_backfill.testing._claims import holds, same

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_LONG = 3600.0


class FarStoreContract(Generic[K, V]):
    r"""Tests of the promises of `FarStore`; inherit from it, and give the fixtures ``store`` and ``other``.

    Both are empty when a test begins. ``other`` is on the same server, in another namespace::

        @pytest.mark.anyio
        class TestMyStore(FarStoreContract[str, object]):
            items = {"apple": 1, "pear": {"kind": "conference"}, "plum": None}
            odd_keys = ["", "a b", "line\nend", "nul\0", "*", "é"]

            @pytest.fixture
            async def store(self):
                async with MyStore(namespace="one") as store:
                    yield store

            @pytest.fixture
            async def other(self):
                async with MyStore(namespace="two") as store:
                    yield store

    Nothing here imports pytest; see `SourceContract`.
    """

    items: Mapping[K, V]
    """Three keys or more with their values, which all differ. One value should be ``None``."""

    odd_keys: Sequence[K] = ()
    """Keys that a store could refuse, or confuse with each other."""

    ttl: float = 0.05
    """The shortest useful ttl in seconds; the tests wait for it, a few times."""

    resolution: float = 0.01
    """The largest difference in seconds between the store's clock and the event loop's over one ttl."""

    async def test_nothing_is_found_in_an_empty_store(self, store: FarStore[K, V]) -> None:
        same(await self._find(store, tuple(self.items)), {}, "an empty store has no key")

    async def test_what_was_set_is_found(self, store: FarStore[K, V]) -> None:
        await store.set_many(self.items)
        same(await self._find(store, tuple(self.items)), dict(self.items), "one call has all values")
        for key, value in self.items.items():
            same(await self._find(store, (key,)), {key: value}, "a key alone has its value")

    async def test_keys_that_are_not_there_are_left_out(self, store: FarStore[K, V]) -> None:
        first, *others = self.items
        await store.set_many({first: self.items[first]})
        same(
            await self._find(store, (*others, first)), {first: self.items[first]}, "absent keys are left out"
        )

    async def test_the_order_of_the_keys_does_not_matter(self, store: FarStore[K, V]) -> None:
        await store.set_many(self.items)
        keys = list(self.items)[::-1]
        same(await self._find(store, keys), dict(self.items), "the keys backwards have the same values")

    async def test_a_new_value_replaces_the_old_one(self, store: FarStore[K, V]) -> None:
        keys, values = tuple(self.items), tuple(self.items.values())
        await store.set_many(self.items)
        moved = dict(zip(keys, (*values[1:], values[0]), strict=True))
        await store.set_many(moved)
        same(await self._find(store, keys), moved, "the newest values are found")

    async def test_a_copy_knows_its_age(self, store: FarStore[K, V]) -> None:
        key = next(iter(self.items))
        for wait in (0.0, self.ttl):
            begin = anyio.current_time()
            await store.set_many(self.items, ttl=_LONG)
            kept = anyio.current_time()
            await anyio.sleep(wait)
            asked = anyio.current_time()
            age = (await store.get_many((key,)))[key].age
            least, most = asked - kept - self.resolution, anyio.current_time() - begin + self.resolution
            holds(f"an age of {age}, expected {least} to {most}", kept=max(0.0, least) <= age <= most)

    async def test_a_value_is_gone_when_its_time_is_over(self, store: FarStore[K, V]) -> None:
        await store.set_many(self.items, ttl=self.ttl)
        await self._outlive()
        same(await self._find(store, tuple(self.items)), {}, "after the ttl nothing is found")

    async def test_a_value_is_there_until_its_time_is_over(self, store: FarStore[K, V]) -> None:
        await store.set_many(self.items, ttl=_LONG)
        await self._outlive()
        same(await self._find(store, tuple(self.items)), dict(self.items), "within the ttl all is found")

    async def test_a_value_without_a_ttl_does_not_inherit_one(self, store: FarStore[K, V]) -> None:
        await store.set_many(self.items, ttl=self.ttl)
        await store.set_many(self.items)
        await self._outlive()
        same(await self._find(store, tuple(self.items)), dict(self.items), "the later value has no ttl")

    async def test_a_value_with_a_ttl_replaces_one_without(self, store: FarStore[K, V]) -> None:
        await store.set_many(self.items)
        await store.set_many(self.items, ttl=self.ttl)
        await self._outlive()
        same(await self._find(store, tuple(self.items)), {}, "the later value has a ttl")

    async def test_deleted_keys_are_gone_and_others_stay(self, store: FarStore[K, V]) -> None:
        first, *others = self.items
        await store.set_many(self.items)
        await store.delete_many((first,))
        left = {key: self.items[key] for key in others}
        same(await self._find(store, tuple(self.items)), left, "deleted keys are gone, and no others")

    async def test_keys_that_are_not_there_can_be_deleted(self, store: FarStore[K, V]) -> None:
        first, *others = self.items
        await store.set_many({first: self.items[first]})
        await store.delete_many(others)
        same(await self._find(store, (first,)), {first: self.items[first]}, "the others stay")

    async def test_a_cleared_store_is_empty_and_can_be_filled_again(self, store: FarStore[K, V]) -> None:
        await store.clear()
        await store.set_many(self.items)
        await store.clear()
        same(await self._find(store, tuple(self.items)), {}, "nothing is left")
        await store.set_many(self.items)
        same(await self._find(store, tuple(self.items)), dict(self.items), "values set after clear are found")

    async def test_two_namespaces_do_not_see_each_other(
        self, store: FarStore[K, V], other: FarStore[K, V]
    ) -> None:
        keys = (*self.items, *self.odd_keys)
        await store.set_many(self._valued(keys))
        same(await self._find(other, keys), {}, "the other namespace has none of these keys")
        first, second = tuple(self.items)[:2]
        await other.set_many({first: self.items[second]})
        same(await self._find(store, (first,)), {first: self._valued(keys)[first]}, "each has its own value")

    async def test_what_is_removed_in_one_namespace_stays_in_another(
        self, store: FarStore[K, V], other: FarStore[K, V]
    ) -> None:
        await store.set_many(self.items)
        await other.set_many(self.items)
        await other.delete_many(tuple(self.items))
        same(await self._find(store, tuple(self.items)), dict(self.items), "a delete stays in its namespace")
        await other.clear()
        same(await self._find(store, tuple(self.items)), dict(self.items), "clear stays in its namespace")

    async def test_odd_keys_are_keys_like_others(self, store: FarStore[K, V]) -> None:
        keys = (*self.odd_keys, *self.items)
        expected = self._valued(keys)
        for key, value in expected.items():
            await store.set_many({key: value})
        same(await self._find(store, keys), expected, "each odd key has its own value")
        for key in keys:
            same(await self._find(store, (key,)), {key: expected.pop(key)}, "an odd key alone has its value")
            await store.delete_many((key,))
            same(await self._find(store, keys), expected, f"{key!r} was deleted, and no other")

    async def test_calls_at_the_same_time_do_not_mix(self, store: FarStore[K, V]) -> None:
        keys = (*self.items, *self.odd_keys)
        expected = self._valued(keys)

        async def keep_and_find(key: K) -> None:
            for _ in range(5):
                await store.set_many({key: expected[key]})
                same(await self._find(store, (key,)), {key: expected[key]}, "each call has its own answer")

        await together(*(partial(keep_and_find, key) for key in keys * 3))
        same(await self._find(store, keys), expected, "all keys have their values in the end")

    async def test_a_cancelled_get_does_not_answer_another_key(self, store: FarStore[K, V]) -> None:
        await store.set_many(self.items)
        first, *others = self.items
        get_first = partial(self._find, store, (first,))
        for moment in await moments(get_first):
            await give_up(get_first, moment)
            for key in others:
                same(await self._find(store, (key,)), {key: self.items[key]}, "each key has its own value")

    async def test_a_get_beside_a_cancelled_one_has_its_own_answer(self, store: FarStore[K, V]) -> None:
        await store.set_many(self.items)
        first, *others = self.items
        get_first = partial(self._find, store, (first,))

        async def get_others() -> None:
            for key in others:
                same(await self._find(store, (key,)), {key: self.items[key]}, "each key has its own value")

        for moment in await moments(get_first):
            given_up = [partial(give_up, get_first, moment) for _ in range(5)]
            await together(get_others, *given_up, get_others)

    async def test_a_cancelled_set_was_made_or_was_not(self, store: FarStore[K, V]) -> None:
        (first, old), (second, new) = tuple(self.items.items())[:2]
        set_new = partial(store.set_many, {first: new})
        for moment in await moments(set_new):
            await store.set_many({first: old, second: new})
            await give_up(set_new, moment)
            found = await self._find(store, (first, second))
            either = ({first: old, second: new}, {first: new, second: new})
            holds(f"{found!r} is neither before nor after", kept=found in either)

    async def _find(self, store: FarStore[K, V], keys: Sequence[K]) -> dict[K, V]:
        with anyio.fail_after(PATIENCE):
            copies = await store.get_many(keys)
        same(set(copies) - set(keys), set(), "a store returns only the keys it was asked for")
        return {key: copy.value for key, copy in copies.items()}

    async def _outlive(self) -> None:
        """Wait until values stored with the short ttl must have expired."""
        await anyio.sleep(self.ttl + self.resolution)

    def _valued(self, keys: Sequence[K]) -> dict[K, V]:
        """Return a value for each key, different from those of its neighbours."""
        values = tuple(self.items.values())
        return {key: values[number % len(values)] for number, key in enumerate(keys)}
