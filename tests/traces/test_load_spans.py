"""A load is a span: below its only caller, linked to all of several, and current while the source runs."""

from __future__ import annotations

import anyio
import pytest
from anyio import create_task_group, sleep, wait_all_tasks_blocked
from opentelemetry.trace import StatusCode

from async_backfill import (
    AsyncBackfillError,
    BackfillCache,
    FreshnessPolicy,
    LoadError,
    LoadPolicy,
    MappingSource,
    each,
)
from async_backfill.testing import GatedSource, ManualClock
from tests.callers import start
from tests.traces.spans import QueriedSource, Spans, facts_of, id_of, is_below, links_of

pytestmark = pytest.mark.anyio

ROWS = {f"k{number}": number for number in range(50)}


def cache_of(spans, source=None, **settings):
    source = MappingSource(ROWS) if source is None else source
    return BackfillCache(QueriedSource(spans, source), tracing=spans.tracing, name="rows", **settings)


async def in_a_span(spans, cache, key, name="request"):
    with spans.span(name):
        return await cache.get(key)


@pytest.mark.parametrize("warm", [0, 40], ids=["through a worker", "begun at once"])
async def test_the_load_of_one_caller_is_below_his_span_and_the_query_below_it(warm):
    spans = Spans()
    async with cache_of(spans) as cache:
        for number in range(warm):
            await cache.get(f"k{number}")
        assert await in_a_span(spans, cache, "k49") == 49

    load, query, request = spans.named("load")[-1], spans.named("query")[-1], spans.one("request")
    assert is_below(load, request)
    assert is_below(query, load)
    assert load.name == "load rows"
    assert facts_of(load) == {"cache": "rows", "cause": "miss", "keys": 1, "found": 1}
    assert spans.open == 0


@pytest.mark.parametrize("slow", [False, True], ids=["at once", "after a wait"])
async def test_ten_concurrent_callers_of_loads_of_their_own_have_a_trace_each(slow):
    spans = Spans()

    @each
    async def source(key):
        with spans.span("query"):
            await sleep(1.0 * slow)
            return ROWS[key]

    async with BackfillCache(source, tracing=spans.tracing) as cache, create_task_group() as tasks:
        for number in range(10):
            tasks.start_soon(in_a_span, spans, cache, f"k{number}")

    requests = {span.context.trace_id: span for span in spans.named("request")}
    assert len(requests) == 10
    for load, query in zip(spans.named("load"), spans.named("query"), strict=True):
        assert is_below(load, requests[load.context.trace_id])
        assert query.context.trace_id in requests
    assert all(any(is_below(query, load) for load in spans.named("load")) for query in spans.named("query"))
    assert len(spans.named("load")) == 10


async def test_a_load_of_several_traces_has_its_own_and_links_to_and_from_all():
    spans = Spans()
    async with cache_of(spans) as cache, create_task_group() as tasks:
        for number in range(5):
            tasks.start_soon(in_a_span, spans, cache, f"k{number}")

    load, requests = spans.one("load"), spans.named("request")
    assert load.parent is None
    assert links_of(load) == {id_of(request) for request in requests}
    assert all(links_of(request) == {id_of(load)} for request in requests)
    assert facts_of(load)["keys"] == 5


async def test_callers_of_one_trace_keep_their_load_in_it():
    spans = Spans()
    async with cache_of(spans) as cache:
        with spans.span("request"):
            async with create_task_group() as tasks:
                for number in range(3):
                    tasks.start_soon(in_a_span, spans, cache, f"k{number}", f"field {number}")

    load, request = spans.one("load"), spans.one("request")
    fields = spans.named("field")
    assert load.context.trace_id == request.context.trace_id
    (above,) = [field for field in fields if is_below(load, field)]
    assert links_of(load) == {id_of(field) for field in fields if field is not above}


async def test_who_joins_a_load_that_runs_is_linked_to_it():
    spans, source = Spans(), GatedSource(ROWS)
    async with cache_of(spans, source) as cache, create_task_group() as tasks:
        tasks.start_soon(in_a_span, spans, cache, "k1", "first")
        await wait_all_tasks_blocked()
        tasks.start_soon(in_a_span, spans, cache, "k1", "second")
        await wait_all_tasks_blocked()
        source.release()

    load, second = spans.one("load"), spans.one("second")
    assert is_below(load, spans.one("first"))
    assert links_of(load) == {id_of(second)}
    assert links_of(second) == {id_of(load)}


async def test_a_caller_who_is_cancelled_is_linked_and_the_load_goes_on():
    spans, source = Spans(), GatedSource(ROWS)
    async with cache_of(spans, source) as cache, create_task_group() as tasks:
        first = start(tasks, in_a_span, spans, cache, "k1", "first")
        await wait_all_tasks_blocked()
        second = start(tasks, in_a_span, spans, cache, "k1", "second")
        await wait_all_tasks_blocked()
        first.cancel()
        await wait_all_tasks_blocked()
        source.release()

    load = spans.one("load")
    assert second.outcome == 1
    assert is_below(load, spans.one("first"))
    assert load.status.status_code is StatusCode.UNSET
    assert spans.open == 0


async def test_a_load_that_all_callers_have_left_ends_its_span_as_cancelled():
    spans, source = Spans(), GatedSource(ROWS)
    async with cache_of(spans, source) as cache, create_task_group() as tasks:
        caller = start(tasks, in_a_span, spans, cache, "k1")
        await wait_all_tasks_blocked()
        caller.cancel()
        await wait_all_tasks_blocked()

        assert facts_of(spans.one("load"))["cancelled"] is True
        assert spans.one("load").status.status_code is StatusCode.UNSET
        assert spans.open == 0


async def test_who_left_before_a_queued_load_began_is_not_a_caller_of_the_next():
    spans, source = Spans(), GatedSource(ROWS)
    load = LoadPolicy(concurrency=1)
    async with cache_of(spans, source, load=load) as cache, create_task_group() as tasks:
        tasks.start_soon(in_a_span, spans, cache, "k1")
        await wait_all_tasks_blocked()
        left = start(tasks, in_a_span, spans, cache, "k2", "left")
        await wait_all_tasks_blocked()
        left.cancel()
        await wait_all_tasks_blocked()
        tasks.start_soon(in_a_span, spans, cache, "k3", "stayed")
        await wait_all_tasks_blocked()
        source.open()

    assert is_below(spans.named("load")[-1], spans.one("stayed"))
    assert links_of(spans.named("load")[-1]) == set()


async def test_neither_who_opened_the_cache_nor_a_first_caller_leaks_into_loads():
    spans = Spans()
    with spans.span("startup"):
        cache = cache_of(spans)
        await cache.__aenter__()
    await in_a_span(spans, cache, "k1")
    for number in range(2, 40):  # through the worker that was made for the first, and by itself
        await cache.get(f"k{number}")
    async with create_task_group() as tasks:
        for number in range(40, 43):
            tasks.start_soon(cache.get, f"k{number}")
    await cache.__aexit__(None, None, None)

    assert is_below(spans.named("load")[0], spans.one("request"))
    assert all(load.parent is None and not load.links for load in spans.named("load")[1:])
    loads = {id_of(load) for load in spans.named("load")}
    assert {query.parent.span_id for query in spans.named("query")} == loads


async def test_nothing_is_current_for_a_caller_after_his_miss():
    spans = Spans()
    async with cache_of(spans) as cache:
        for number in range(40):
            with spans.span("request") as request:
                await cache.get(f"k{number}")
                with spans.span("after") as after:
                    pass
            assert is_below(after, request)


async def test_a_source_that_reads_another_cache_has_that_load_below_its_own():
    spans = Spans()
    async with cache_of(spans) as inner:

        async def load(key):
            return await inner.get(key)

        async with BackfillCache(each(load), tracing=spans.tracing, name="outer") as outer:
            await in_a_span(spans, outer, "k1")

    loads = {load.name: load for load in spans.named("load")}
    assert is_below(loads["load outer"], spans.one("request"))
    assert is_below(loads["load rows"], loads["load outer"])


async def test_a_refresh_in_the_background_is_linked_to_who_was_served_stale():
    spans, clock = Spans(), ManualClock()
    freshness = FreshnessPolicy(ttl=10.0, stale_for=100.0, stale_wait=0.0)
    async with cache_of(spans, freshness=freshness, clock=clock) as cache:
        await cache.get("k1")
        clock.advance(11.0)
        await in_a_span(spans, cache, "k1")
        await cache.settle()

    refresh = spans.named("load")[-1]
    assert facts_of(refresh)["cause"] == "refresh"
    assert refresh.parent is None
    assert links_of(refresh) == {id_of(spans.one("request"))}


@pytest.mark.parametrize("by", ["refresh", "a stale value that is waited for"])
async def test_a_refresh_that_is_waited_for_is_below_who_waits(by):
    spans, clock = Spans(), ManualClock()
    freshness = FreshnessPolicy(ttl=10.0, stale_for=100.0, stale_wait=None)
    async with cache_of(spans, freshness=freshness, clock=clock) as cache:
        await cache.get("k1")
        clock.advance(11.0)
        with spans.span("request"):
            await (cache.refresh("k1") if by == "refresh" else cache.get("k1"))

    assert is_below(spans.named("load")[-1], spans.one("request"))


@pytest.mark.parametrize("many", [False, True], ids=["get", "get_many"])
async def test_a_load_that_fails_ends_with_the_type_of_the_error_and_no_message(many):
    spans, source = Spans(), GatedSource(ROWS)
    async with cache_of(spans, source) as cache, create_task_group() as tasks:

        async def ask():
            with spans.span("request"), pytest.raises(LoadError):
                await (cache.get_many(["k1"]) if many else cache.get("k1"))

        tasks.start_soon(ask)
        await wait_all_tasks_blocked()
        source.release(ValueError("a secret of k1"))

    load = spans.one("load")
    assert load.status.status_code is StatusCode.ERROR
    assert load.attributes["error.type"] == "ValueError"
    assert "secret" not in load.to_json()
    assert "k1" not in load.to_json()


@pytest.mark.parametrize("how", ["timeout", "deaf to its timeout", "closing"])
async def test_the_span_of_a_load_that_is_ended_ends_with_an_error(how):
    spans = Spans()

    @each
    async def source(_):
        with anyio.CancelScope(shield=how == "deaf to its timeout"):
            await sleep(5.0)

    load = LoadPolicy(timeout=None if how == "closing" else 1.0)
    cache = BackfillCache(source, tracing=spans.tracing, load=load)
    async with create_task_group() as tasks:
        await cache.__aenter__()

        caller = start(tasks, cache.get, "k1")
        await wait_all_tasks_blocked()
        if how == "closing":
            await cache.__aexit__(None, None, None)
        await sleep(2.0)

        assert isinstance(caller.outcome, AsyncBackfillError)
        assert spans.open == 0
        assert spans.one("load").status.status_code is StatusCode.ERROR
        if how != "closing":
            await cache.__aexit__(None, None, None)


async def test_each_call_of_a_search_for_a_bad_key_is_a_span_below_the_load():
    spans = Spans()

    class Picky:
        async def load_many(self, keys, /):
            if "k3" in keys:
                raise ValueError(keys)
            return {key: ROWS[key] for key in keys}

    async with cache_of(spans, Picky(), load=LoadPolicy(split_failed=True)) as cache:
        with spans.span("request"), pytest.raises(LoadError):
            await cache.get_many([f"k{number}" for number in range(4)])

    load, calls = spans.one("load"), spans.named("source call")
    assert len(calls) == 2
    assert all(is_below(call, load) for call in calls)
    assert {facts_of(load)[name] for name in ("found", "failed")} == {3, 1}
    assert load.status.status_code is StatusCode.UNSET
    below = [sum(is_below(query, above) for query in spans.named("query")) for above in (load, *calls)]
    assert below == [1, 1, 1]


async def test_only_who_asks_for_it_sees_keys_and_messages_in_spans():
    spans, source = Spans(keys=True), GatedSource(ROWS)
    async with cache_of(spans, source) as cache, create_task_group() as tasks:

        async def ask():
            with pytest.raises(LoadError):
                await cache.get("k1")

        tasks.start_soon(ask)
        await wait_all_tasks_blocked()
        source.release(ValueError("no such table"))

    load = spans.one("load")
    assert facts_of(load)["key_list"] == ("'k1'",)
    assert load.status.description == "no such table"
    assert load.events[0].attributes["exception.message"] == "no such table"


async def test_more_than_128_callers_are_counted_and_not_linked():
    spans = Spans()
    async with cache_of(spans) as cache, create_task_group() as tasks:
        for _ in range(130):
            tasks.start_soon(in_a_span, spans, cache, "k1")

    load = spans.one("load")
    assert len(load.links) == 128
    assert facts_of(load)["callers_not_linked"] == 2


async def test_a_hit_makes_no_span():
    spans = Spans()
    async with cache_of(spans) as cache:
        await cache.get("k1")
        before = len(spans.ended)
        await cache.get("k1")
        await cache.get_many(["k1"])

        assert len(spans.ended) == before
