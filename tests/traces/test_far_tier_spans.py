"""Calls of the far tier (L2) are spans: reads below their load, writes below who put or linked to a load."""

from __future__ import annotations

import anyio
import pytest
from anyio import create_task_group
from opentelemetry.trace import StatusCode

from async_backfill import BackfillCache, FarTier, LoadError, MappingSource, StoreError, each
from tests.far.shared import Leases, Shared
from tests.traces.spans import QueriedSource, Spans, facts_of, id_of, is_below, links_of

pytestmark = pytest.mark.anyio

ROWS = {f"k{number}": number for number in range(50)}


class QueriedStore(Shared):
    """A store with instrumentation of its own."""

    def __init__(self, spans):
        super().__init__()
        self._spans = spans

    async def get_many(self, keys, /):
        with self._spans.span("GET"):
            return await super().get_many(keys)

    async def set_many(self, items, /, *, ttl=None):
        with self._spans.span("SET"):
            await super().set_many(items, ttl=ttl)


def cache_of(spans, shared, **tier):
    return BackfillCache(
        QueriedSource(spans, MappingSource(ROWS)),
        far=FarTier(store=shared, **tier),
        tracing=spans.tracing,
        name="rows",
        clock=anyio.current_time,
    )


async def test_a_load_reads_the_far_tier_then_the_source_below_one_span():
    spans = Spans()
    shared = QueriedStore(spans)
    async with cache_of(spans, shared) as cache:
        with spans.span("request"):
            await cache.get("k1")
        await cache.settle()

    load, read, call = spans.one("load"), spans.one("far tier get"), spans.one("source call")
    assert is_below(load, spans.one("request"))
    assert is_below(read, load)
    assert is_below(spans.one("GET"), read)
    assert is_below(call, load)
    assert is_below(spans.one("query"), call)
    assert spans.open == 0


async def test_a_source_call_that_answers_with_failures_alone_is_an_error():
    spans, shared = Spans(), Shared()

    async def load(_):
        raise ConnectionError("down")

    async with BackfillCache(each(load), far=FarTier(store=shared), tracing=spans.tracing) as cache:
        with pytest.raises(LoadError):
            await cache.get("k1")

    assert spans.one("source call").status.status_code is StatusCode.ERROR
    assert spans.one("load").status.status_code is StatusCode.ERROR


async def test_a_load_that_the_far_tier_answers_says_so():
    spans = Spans()
    shared = QueriedStore(spans)
    async with cache_of(spans, shared) as cache:
        await cache.get_many(["k1", "k2"])
    async with cache_of(spans, shared) as cache:
        await cache.get_many(["k1", "k2", "k3"])

    assert facts_of(spans.named("load")[-1]) == {
        "cache": "rows",
        "cause": "miss",
        "keys": 3,
        "found": 3,
        "found_in_far_tier": 2,
    }
    assert len(spans.named("load")) == 2  # also the one whose keys took two ways


async def test_a_write_in_the_background_is_linked_to_the_load_that_brought_the_value():
    spans = Spans()
    shared = QueriedStore(spans)
    async with cache_of(spans, shared) as cache:
        with spans.span("request"):
            await cache.get("k1")
        await cache.settle()

    write = spans.one("far tier write")
    assert write.parent is None
    assert links_of(write) == {id_of(spans.one("load"))}
    assert is_below(spans.one("far tier set"), write)
    assert is_below(spans.one("SET"), spans.one("far tier set"))


@pytest.mark.parametrize("what", ["put", "invalidate", "clear"])
async def test_the_write_of_a_change_is_below_who_waits_for_it(what):
    spans = Spans()
    shared = QueriedStore(spans)
    async with cache_of(spans, shared, invalidations=shared.ears("a")) as cache:
        with spans.span("request"):
            if what == "put":
                await cache.put("k1", 7)
            elif what == "invalidate":
                await cache.invalidate("k1")
            else:
                await cache.clear()

    write = spans.one("far tier write")
    assert is_below(write, spans.one("request"))
    assert is_below(spans.one("far tier publish"), write)


async def test_a_write_for_several_who_wait_is_linked_to_them():
    spans = Spans()
    shared = QueriedStore(spans)

    async def put(key):
        with spans.span("request"):
            await cache.put(key, 7)

    async with cache_of(spans, shared) as cache, create_task_group() as tasks:
        tasks.start_soon(put, "k1")
        tasks.start_soon(put, "k2")

    write = spans.one("far tier write")
    assert write.parent is None
    assert links_of(write) == {id_of(request) for request in spans.named("request")}


async def test_a_call_that_fails_or_takes_too_long_ends_with_its_error():
    spans = Spans()
    shared = QueriedStore(spans)
    async with cache_of(spans, shared, timeout=1.0) as cache:
        shared.error = OSError("down at 10.0.0.1")
        with pytest.raises(StoreError):
            await cache.put("k1", 7)
        shared.error, shared.delay = None, 5.0
        await cache.get("k2")

    failed, late = spans.named("far tier set")[0], spans.named("far tier get")[0]
    assert failed.status.status_code is StatusCode.ERROR
    assert failed.attributes["error.type"] == "OSError"
    assert "10.0.0.1" not in failed.to_json()
    assert late.attributes["error.type"] == "async_backfill.errors.StoreError"
    assert spans.open == 0


async def test_a_wait_for_the_load_of_another_process_is_part_of_the_load():
    spans = Spans()
    shared = QueriedStore(spans)
    await Leases(shared).acquire_many(["k1"], b"another one" + bytes(5))
    async with cache_of(spans, shared, leases=Leases(shared), lease_wait=1.0) as cache:
        with spans.span("request"):
            assert await cache.get_many(["k1", "k2"]) == {"k1": 1, "k2": 2}
        await cache.settle()

    load = spans.one("load")
    calls = spans.named("far tier get") + spans.named("far tier lease") + spans.named("source call")
    assert all(is_below(call, load) for call in calls)
    assert len(spans.named("source call")) == 2
    assert facts_of(load)["found"] == 2
    assert all(call.end_time <= load.end_time for call in calls)
    assert spans.open == 0
