"""The eviction orders by their names."""

from __future__ import annotations

import pytest

from async_backfill import BackfillCache, ConfigurationError, MappingSource, MemoryStore
from async_backfill.stores._eviction.fifo import FifoOrder
from async_backfill.stores._eviction.lru import LruOrder
from async_backfill.stores._eviction.orders import EVICTIONS, make_order
from async_backfill.stores._eviction.s3_fifo import S3FifoOrder
from async_backfill.stores._eviction.sieve import SieveOrder

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
