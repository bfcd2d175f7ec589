"""A store that is full by weight: never above it, whatever comes, and the figures agree."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from async_backfill import BackfillCache, ConfigurationError, LoadPolicy, MappingSource, WeighedStore
from async_backfill.outcomes import ABSENT
from async_backfill.stores._eviction.orders import EVICTIONS
from async_backfill.testing import GatedSource

keys = st.integers(0, 7)
weights = st.integers(0, 14)
items = st.dictionaries(keys, weights, max_size=5)
operations = st.lists(
    st.tuples(st.sampled_from(["set", "set in free room"]), items)
    | st.tuples(st.just("delete"), st.lists(keys))
    | st.tuples(st.just("read"), keys)
    | st.tuples(st.sampled_from(["clear", "evict"]), st.none()),
    max_size=40,
)


def by_value(_, value):
    return value


def held(store):
    return {key: value for key in range(8) if (value := store.peek(key, ABSENT)) is not ABSENT}


def do(store, operation, argument):
    match operation:
        case "set":
            return store.set_many(argument)
        case "set in free room":
            return store.set_many(argument, evict=False)
        case "delete":
            store.delete_many(argument)
        case "read":
            store.read(argument, ABSENT)
        case "clear":
            store.clear()
        case "evict" if len(store):
            return [store.evict_oldest()]
    return []


@settings(deadline=None, max_examples=80)
@given(eviction=st.sampled_from(EVICTIONS), capacity=st.none() | st.integers(1, 4), operations=operations)
def test_whatever_is_done_it_weighs_what_it_holds_and_never_more_than_it_may(eviction, capacity, operations):
    store = WeighedStore(10, by_value, capacity=capacity, eviction=eviction)
    for operation, argument in operations:
        before = held(store)
        gone = do(store, operation, argument)
        after = held(store)

        assert store.weight == sum(after.values()) <= 10
        assert len(store) == len(after) <= (capacity or 8)
        assert set(gone) <= set(before) | (set(argument) if operation.startswith("set") else set())
        assert (store.free_room() or 0) >= 0
        if operation.startswith("set"):
            # Whoever is not there any more was evicted, or was too heavy by its new value.
            lost = set(before) - set(after)
            assert lost <= set(gone) | set(argument)
            assert all(after[key] == value for key, value in argument.items() if key in after)
        if operation == "set in free room":
            assert list(gone) == []
            assert set(before) - set(argument) <= set(after)


@pytest.mark.parametrize("eviction", EVICTIONS)
def test_an_item_heavier_than_everything_is_not_kept_and_pushes_nobody_out(eviction):
    store = WeighedStore(10, by_value, eviction=eviction)
    store.set_many({"a": 5, "b": 5})

    assert list(store.set_many({"heavy": 11})) == []
    assert (store.peek("a"), store.peek("b"), store.peek("heavy")) == (5, 5, ABSENT)


@pytest.mark.parametrize("evict", [True, False])
def test_an_item_that_has_become_too_heavy_takes_its_older_value_with_it(evict):
    store = WeighedStore(10, by_value)
    store.set_many({"a": 5})
    store.set_many({"a": 11}, evict=evict)

    assert (store.peek("a"), store.weight, len(store), store.removals) == (ABSENT, 0, 0, 1)


def test_a_heavier_value_pushes_out_the_next_in_order_until_it_fits():
    store = WeighedStore(10, by_value)
    store.set_many({"a": 3, "b": 3, "c": 3})

    assert list(store.set_many({"c": 6})) == ["a"]
    assert (store.weight, store.peek("c")) == (9, 6)


def test_a_heavier_value_of_the_key_that_is_next_to_leave_is_kept_and_is_no_eviction():
    store = WeighedStore(10, by_value)
    store.set_many({"a": 3, "b": 3, "c": 3})

    assert list(store.set_many({"a": 10})) == ["b", "c"]
    assert (store.weight, len(store), store.peek("a")) == (10, 1, 10)


def test_a_lighter_value_makes_room():
    store = WeighedStore(10, by_value)
    store.set_many({"a": 10})
    store.set_many({"a": 1})

    assert list(store.set_many({"b": 9})) == []


def test_items_without_weight_are_bounded_by_the_capacity_alone():
    store = WeighedStore(1, lambda _key, _value: 0, capacity=3)
    store.set_many(dict.fromkeys(range(10)))

    assert (len(store), store.weight) == (3, 0)


@pytest.mark.parametrize("nonsense", [-1, 1.0, None, "1", True, float("nan"), [1]])
def test_a_weight_that_is_no_whole_number_is_refused_and_nothing_changes(nonsense):
    store = WeighedStore(10, by_value)
    store.set_many({"a": 1})
    with pytest.raises(ConfigurationError, match="weigh"):
        store.set_many({"b": 1, "a": nonsense})

    assert (store.peek("a"), store.peek("b"), store.weight) == (1, ABSENT, 1)


def raising(_key, _value):
    raise RuntimeError("no scales")


@pytest.mark.anyio
@pytest.mark.parametrize("weigh", [raising, lambda _key, _value: None, lambda _key, _value: -5, lambda: 1])
async def test_a_weigh_that_fails_never_breaks_a_get(weigh, caplog):
    source = MappingSource({"a": 1, "b": 2})
    async with BackfillCache(source, store=WeighedStore(10, weigh)) as cache:
        assert await cache.get("a") == 1
        assert await cache.get_many("ab") == {"a": 1, "b": 2}
        assert (cache.stats.size, cache.stats.in_flight, cache.stats.failed) == (0, 0, 0)
    assert "was not kept" in caplog.text


@pytest.mark.anyio
async def test_a_backfill_into_free_room_by_weight_pushes_nobody_out():
    rows = dict.fromkeys(range(10), 3) | {"heavy": 9}
    store = WeighedStore(10, by_value)
    async with BackfillCache(
        MappingSource(rows), scan=MappingSource(rows), store=store, max_backfills=0
    ) as cache:
        await cache.put("mine", 2)
        await cache.force_backfill()
        await cache.force_backfill()

        assert cache.peek("mine") == 2
        assert (cache.stats.evictions, store.weight) == (0, 8)


@pytest.mark.anyio
async def test_nothing_heavy_that_is_being_loaded_is_ever_above_the_weight():
    rows = {key: key % 12 for key in range(200)}
    source = GatedSource(rows)
    source.open()
    store = WeighedStore(10, by_value, eviction="sieve")
    seen = []
    cache = BackfillCache(
        source, store=store, load=LoadPolicy(max_batch=7), observers=[lambda _: seen.append(store.weight)]
    )
    async with cache:
        assert await cache.get_many(range(200)) == rows
    assert len(seen) > 20
    assert 0 < max(seen) <= 10


@pytest.mark.parametrize("limit", [0, -1, 1.0, True, None, "10"])
def test_a_limit_that_is_no_whole_number_of_one_or_more_is_refused(limit):
    with pytest.raises(ConfigurationError) as refused:
        WeighedStore(limit, by_value)

    assert refused.value.setting == "max_weight"
