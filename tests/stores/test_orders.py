"""The eviction orders by their names."""

from __future__ import annotations

from functools import partial

import pytest

from async_backfill import BackfillCache, ConfigurationError, MappingSource, MemoryStore, WeighedStore
from async_backfill.stores._eviction.fifo import FifoOrder
from async_backfill.stores._eviction.lru import LruOrder
from async_backfill.stores._eviction.orders import EVICTIONS, make_order
from async_backfill.stores._eviction.s3_fifo import MOST_SPARED, SPARED_AGAIN, S3FifoOrder
from async_backfill.stores._eviction.sieve import SieveOrder
from async_backfill.stores._probation import ProbationStore

ORDERS = {"fifo": FifoOrder, "lru": LruOrder, "sieve": SieveOrder, "s3-fifo": S3FifoOrder}


def test_every_name_means_its_order():
    assert {name: type(make_order(name, 10)) for name in EVICTIONS} == ORDERS


@pytest.mark.parametrize("name", ["LRU", "s3fifo", "", "random", None, 1, True, ["lru"], b"lru", object()])
@pytest.mark.parametrize(
    "make",
    [
        lambda name: MemoryStore(10, eviction=name),
        lambda name: BackfillCache(MappingSource({}), capacity=10, eviction=name),
    ],
)
def test_any_other_name_is_refused_and_told_which_there_are(make, name):
    with pytest.raises(ConfigurationError, match=r"'fifo', 'lru', 'sieve', 's3-fifo'") as refused:
        make(name)

    assert refused.value.setting == "eviction"


@pytest.mark.parametrize("name", EVICTIONS)
def test_two_orders_of_one_name_know_nothing_of_each_other(name):
    one, other = make_order(name, 10), make_order(name, 10)
    one.add("a")

    assert one.evict() == "a"
    with pytest.raises(LookupError):
        other.evict()


@pytest.mark.parametrize("eviction", ["sieve", "s3-fifo"])
@pytest.mark.parametrize("shape", ["plain", "weighed", "weighed, full", "unread", "after unread"])
def test_a_page_into_a_cache_where_all_were_hit_spares_a_bounded_number(eviction, shape):
    size, page = 20 * MOST_SPARED, 100
    items = {-key: key for key in range(1, page + 1)}
    store = MemoryStore(size, eviction=eviction)
    if shape.startswith("weighed"):
        few = "full" in shape
        capacity = size if few else None
        store = WeighedStore(2 * size if few else size, lambda *_: 1, capacity=capacity, eviction=eviction)
    touch = store._order.touch
    store.set_many(dict.fromkeys(range(size)))
    for key in [*range(size)] * 3:
        touch(key)
    outer = ProbationStore(store, resolved=lambda *_: None) if "unread" in shape else store
    add = partial(outer.set_unread, evict=True) if shape == "unread" else outer.set_many

    before = marks(store._order)
    assert len(add(items)) == page
    after = marks(store._order)
    assert sum(after.get(key) != before[key] for key in before) <= MOST_SPARED + page * (SPARED_AGAIN + 1)


def marks(order):
    return dict.fromkeys(order._hit, 1) if isinstance(order, SieveOrder) else dict(order.hit_counts)
