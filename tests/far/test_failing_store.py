"""A store that is slow or gone costs a caller its timeout at the most, then nothing for a while."""

from __future__ import annotations

import logging

import anyio
import pytest

from async_backfill import (
    BackfillCache,
    CircuitPolicy,
    CircuitState,
    ConfigurationError,
    FarTier,
    KeyRefusedError,
    StoreError,
)
from async_backfill.events import FarStoreFailed
from tests.callers import outcomes
from tests.far.shared import Leases, Shared
from tests.far.test_reading import ROWS, CountedSource, cache_of

pytestmark = pytest.mark.anyio

GONE = ConnectionError("gone")


def failing(**faults):
    shared = Shared()
    for name, value in faults.items():
        setattr(shared, name, value)
    return shared


@pytest.mark.parametrize("faults", [{"error": GONE}, {"delay": 3600.0}], ids=["gone", "hangs"])
async def test_reads_go_on_from_the_source(faults):
    shared, source = failing(**faults), CountedSource(ROWS)
    async with cache_of(source, shared) as cache:
        assert await outcomes(cache.get, *((key,) for key in ROWS)) == list(ROWS.values())

        assert [sorted(keys) for keys in source.calls] == [sorted(ROWS)]


async def test_a_store_that_hangs_costs_a_load_its_timeout():
    async with cache_of(CountedSource(ROWS), failing(delay=3600.0)) as cache:
        started = anyio.current_time()
        await cache.get("k1")

        assert anyio.current_time() - started == pytest.approx(0.05)


async def test_nor_does_it_cost_more_where_leases_are_asked_for():
    shared = failing(delay=3600.0)
    async with cache_of(CountedSource(ROWS), shared, leases=Leases(shared)) as cache:
        started = anyio.current_time()
        await cache.get("k1")

        assert anyio.current_time() - started == pytest.approx(0.05)


async def test_after_three_failures_it_is_left_alone():
    shared = failing(delay=3600.0)
    async with cache_of(CountedSource(ROWS), shared) as cache:
        for key in ROWS:
            await cache.get(key)
        await cache.settle()

        assert len(shared.calls) == 3
        assert cache.stats.far.circuit is CircuitState.OPEN
        assert cache.stats.far.failures == 3
        assert cache.stats.far.written == 0


async def test_a_key_that_the_store_cannot_take_is_loaded_and_does_not_open_the_circuit():
    shared = failing(error=ConfigurationError("key", "an object cannot be encoded"))
    async with cache_of(CountedSource(ROWS), shared) as cache:
        assert [await cache.get(key) for key in ROWS] == list(ROWS.values())
        with pytest.raises(StoreError, match="set: ConfigurationError: key: an object cannot be encoded"):
            await cache.put("k1", 1)

        assert cache.stats.far.circuit is CircuitState.CLOSED


async def test_it_is_used_again_a_second_after_it_came_back():
    shared = failing(error=GONE)
    source = CountedSource(ROWS)
    async with cache_of(source, shared) as cache:
        for key in ROWS:
            await cache.get(key)
        await cache.settle()
        shared.error = None
        await shared.set_many({"new": "from the store"})
        await anyio.sleep(1.0)

        assert await cache.get("new") == "from the store"
        assert cache.stats.far.circuit is CircuitState.CLOSED


async def test_it_is_logged_once_a_second_with_the_number_of_lines_left_out(caplog):
    shared = failing(error=GONE)
    async with cache_of(CountedSource(ROWS), shared, circuit=CircuitPolicy(failures=1000)) as cache:
        with caplog.at_level(logging.WARNING, logger="async_backfill.far"):
            for _ in range(10):
                await _quiet(cache.invalidate, "k1")
            await anyio.sleep(1.0)
            await _quiet(cache.invalidate, "k1")

    assert len(caplog.records) == 2
    assert "(9 more since the last line)" not in caplog.records[0].getMessage()
    assert "more since the last line" in caplog.records[1].getMessage()


async def _quiet(function, *args):
    with pytest.raises(StoreError):
        await function(*args)


async def test_a_put_that_the_store_did_not_take_says_so_and_holds_here():
    shared = failing(error=GONE)
    async with cache_of(CountedSource(ROWS), shared) as cache:
        with pytest.raises(StoreError, match="set: ConnectionError: gone") as caught:
            await cache.put("k1", "new")

        assert caught.value.__cause__ is GONE
        assert cache.peek("k1") == "new"


@pytest.mark.parametrize("change", ["put", "invalidate"])
async def test_a_copy_that_could_not_be_replaced_is_not_read_and_is_removed_later(change):
    shared, source = Shared(), CountedSource({"k1": "new"})
    await shared.set_many({"k1": "old"})
    async with cache_of(source, shared) as cache:
        shared.error = GONE
        await _quiet(cache.put, "k1", "new") if change == "put" else await _quiet(cache.invalidate, "k1")
        shared.error = None
        if change == "put":
            cache.evict_oldest()

        assert await cache.get("k1") == "new"
        await cache.settle()
        assert shared.value("k1") in {None, "new"}


class Picky(Shared):
    """Takes no call that has a key of `unknown`."""

    def __init__(self, *unknown) -> None:
        super().__init__()
        self.unknown = frozenset(unknown)

    async def _call(self, name, keys):
        await super()._call(name, keys)
        if bad := self.unknown.intersection(keys):
            raise ConfigurationError("key", f"{min(bad)} cannot be encoded")


@pytest.mark.parametrize("bad", [["k0"], ["k1", "k500", "k999"]], ids=["one", "three"])
async def test_a_key_that_no_store_could_take_does_not_keep_others_from_being_removed(bad):
    shared, keys = Picky(*bad), [f"k{number}" for number in range(1000)]
    async with cache_of(CountedSource(ROWS), shared) as cache:
        await _quiet(cache.put_many, dict.fromkeys(keys, "new"))
        await cache.get("unrelated", default=None)
        await cache.settle()
        good = [key for key in keys if key not in bad]
        await shared.set_many(dict.fromkeys(good, "theirs"))
        for _ in keys:
            cache.evict_oldest()

        assert set((await cache.get_many(good)).values()) == {"theirs"}


async def test_a_clear_that_failed_says_so():
    shared = failing(error=GONE)
    async with cache_of(CountedSource(ROWS), shared) as cache:
        await cache.get("k1")
        with pytest.raises(StoreError, match="clear"):
            await cache.clear()

        assert cache.peek("k1") is None


async def test_observers_are_told():
    events = []
    cache = BackfillCache(
        CountedSource(ROWS), far=FarTier(store=failing(error=GONE)), observers=[events.append]
    )
    async with cache:
        await cache.get("k1")
        await cache.settle()

    texts = [str(event.error) for event in events if isinstance(event, FarStoreFailed)]
    assert texts == ["get: ConnectionError: gone", "set: ConnectionError: gone"]


async def test_a_cache_with_a_dead_store_closes():
    shared = failing(delay=3600.0)
    async with cache_of(CountedSource(ROWS), shared) as cache:
        await cache.get_many(ROWS)

    assert cache.stats.far.unwritten == len(ROWS)


class Refusing(Shared):
    """A far tier that refuses some keys in one kind of call, and does what was asked for the others."""

    def __init__(self, kind, *bad):
        super().__init__()
        self.kind = kind
        self.bad = set(bad)

    async def _call(self, name, keys):
        await super()._call(name, keys)
        if name == self.kind and (bad := self.bad.intersection(keys)):
            raise KeyRefusedError("key_type", "nobody else could tell it apart", keys=tuple(bad))


async def test_a_key_whose_news_is_refused_fails_alone():
    shared = Refusing("publish", "k1")
    async with cache_of(CountedSource(ROWS), shared, invalidations=shared.ears(0)) as cache:
        ended = await outcomes(cache.put, ("k1", "new"), ("k2", "new"), ("k3", "new"))

        assert [type(outcome) for outcome in ended] == [StoreError, type(None), type(None)]
        assert [set(keys) for keys in shared.calls_of("publish")] == [{"k1", "k2", "k3"}]
        await shared.set_many({"k2": "theirs", "k3": "theirs"})
        for _ in range(3):
            cache.evict_oldest()
        assert await cache.get_many(["k2", "k3"]) == {"k2": "theirs", "k3": "theirs"}


@pytest.mark.parametrize("change", ["put", "invalidate"])
async def test_of_a_change_whose_message_was_lost_only_the_message_is_sent_again(change):
    shared = Shared()
    async with (
        cache_of(CountedSource(ROWS), shared, invalidations=shared.ears("a")) as cache,
        cache_of(CountedSource(ROWS), shared, invalidations=shared.ears("b")) as other,
    ):
        await other.get("k1")
        shared.errors["publish"] = ConnectionError("gone")
        with pytest.raises(StoreError, match="publish: ConnectionError: gone"):
            await getattr(cache, change)(*{"put": ("k1", "new"), "invalidate": ("k1",)}[change])
        removed = len(shared.calls_of("delete"))
        await shared.set_many({"k1": "of another process"})
        for number in range(5):
            await cache.get(number, default=None)
            await cache.settle()

        assert shared.value("k1") == "of another process"
        assert len(shared.calls_of("delete")) == removed
        if cache.stats.size:
            cache.evict_oldest()
        assert await cache.get("k1") == "of another process"
        assert other.peek("k1") == 1
        shared.errors.clear()
        await anyio.sleep(1.1)
        await cache.get("k2")
        await cache.settle()
        assert other.peek("k1") is None
        sent = len(shared.calls_of("publish"))
        await cache.get("k3")
        await cache.settle()
        assert len(shared.calls_of("publish")) == sent


async def test_a_removal_that_succeeds_at_the_second_try_is_not_made_a_third_time():
    shared = Shared()
    async with cache_of(CountedSource(ROWS), shared, invalidations=shared.ears("a")) as cache:
        shared.errors["delete"] = ConnectionError("gone")
        with pytest.raises(StoreError):
            await cache.invalidate("k1")
        shared.errors = {"publish": ConnectionError("gone")}
        for number in range(4):
            await anyio.sleep(1.1)
            await cache.get(number, default=None)
            await cache.settle()

        assert len(shared.calls_of("delete")) == 2
        assert len(shared.calls_of("publish")) >= 3


async def test_keys_that_the_store_refused_do_not_count_as_written():
    shared = Refusing("set", "k1")
    async with cache_of(CountedSource(ROWS), shared) as cache:
        await cache.get_many(["k1", "k2", "k3"])
        await cache.settle()

        assert (cache.stats.far.written, cache.stats.far.unwritten) == (2, 1)
