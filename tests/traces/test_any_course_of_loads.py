"""Whatever callers, loads and cancellations do: each span ends, and each load is of who asked for it."""

from __future__ import annotations

import anyio
import pytest
from anyio import CancelScope, create_task_group, sleep
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from async_backfill import AsyncBackfillError, BackfillCache, FarTier, FreshnessPolicy, LoadPolicy
from tests.far.shared import Leases, Shared
from tests.traces.spans import Spans, id_of

pytestmark = pytest.mark.anyio

times = st.integers(0, 8).map(lambda tenths: tenths / 10)
calls = st.lists(
    st.tuples(
        st.sampled_from(["get", "get", "get_many", "refresh", "put", "invalidate"]),
        st.sampled_from("abcd"),
        times,
        st.none() | times,
    ),
    min_size=1,
    max_size=8,
)


class Source:
    """A source whose calls take a while, and fail for one key."""

    def __init__(self, spans, seconds):
        self._spans = spans
        self._seconds = seconds

    async def load_many(self, keys, /):
        with self._spans.span("query"):
            await sleep(self._seconds)
            if "d" in keys:
                raise ValueError
            return {key: key for key in keys if key != "c"}


async def course(calls, *, far, seconds, split, closes_after):
    spans, shared = Spans(), Shared()
    cache = BackfillCache(
        Source(spans, seconds),
        tracing=spans.tracing,
        load=LoadPolicy(split_failed=split, timeout=0.5, concurrency=2),
        freshness=FreshnessPolicy(ttl=0.3, stale_for=0.3, stale_wait=0.0),
        far=FarTier(store=shared, leases=Leases(shared)) if far else None,
        clock=anyio.current_time,
    )

    async def call(what, key, begin, end):
        await sleep(begin)
        with spans.span("request"), CancelScope(deadline=anyio.current_time() + (end or 100.0)):
            try:
                if what == "put":
                    await cache.put(key, "put")
                elif what == "get_many":
                    await cache.get_many([key, "a"])
                else:
                    await getattr(cache, what)(key)
            except AsyncBackfillError:
                pass

    async with create_task_group() as tasks, cache:
        for one in calls:
            tasks.start_soon(call, *one)
        await sleep(closes_after)
    return spans


@pytest.mark.parametrize("far", [False, True], ids=["source alone", "far tier"])
@settings(max_examples=25, suppress_health_check=list(HealthCheck))
@given(
    calls=calls,
    seconds=st.sampled_from([0.0, 0.1, 0.7]),
    split=st.booleans(),
    closes_after=st.sampled_from([0.2, 5.0]),
)
async def test_each_span_ends_and_each_load_belongs_to_who_asked(far, calls, **how):
    spans = await course(calls, far=far, **how)
    requests = {id_of(span) for span in spans.named("request")}
    ours = {id_of(span): span for span in spans.ended}

    assert spans.open == 0
    for load in spans.named("load"):
        above = set() if load.parent is None else {load.parent.span_id}
        assert above | {link.context.span_id for link in load.links} <= requests
        assert above or load.links or load.parent is None
    for query in spans.named("query"):
        assert ours[query.parent.span_id].name in {"load", "source call"}
        assert ours[query.parent.span_id].context.trace_id == query.context.trace_id
