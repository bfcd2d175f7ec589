"""A backfill is a span: linked to the caller whose miss has started it, above the loads that it makes."""

from __future__ import annotations

import pytest
from anyio import sleep
from opentelemetry.trace import StatusCode

from async_backfill import BackfillCache, BackfillPolicy, LoadPolicy, MappingSource
from tests.traces.spans import Spans, facts_of, id_of, is_below, links_of

pytestmark = pytest.mark.anyio

ROWS = {key: key.upper() for key in "abcdef"}
AT_EVERY_MISS = {"miss_threshold": 0.01, "backfill": BackfillPolicy(min_lookups=1)}


class Source(MappingSource):
    """A source with instrumentation of its own, which may fail or hang when it lists its keys."""

    def __init__(self, spans):
        super().__init__(ROWS)
        self._spans = spans
        self.error = None
        self.pause = 0.0

    async def load_many(self, keys):
        with self._spans.span("query"):
            if self.error is not None:
                raise self.error
            return await super().load_many(keys)

    async def scan(self, cursor, limit):
        with self._spans.span("list"):
            await sleep(self.pause)
            return await super().scan(cursor, limit)


class Listed:
    """The scan alone, so that nothing knows that it is free."""

    def __init__(self, source):
        self.scan = source.scan


def cache_of(spans, source, **settings):
    return BackfillCache(source, scan=Listed(source), capacity=10, tracing=spans.tracing, **settings)


async def test_a_backfill_is_linked_to_its_caller_and_above_its_selection_and_load():
    spans = Spans()
    source = Source(spans)
    async with cache_of(spans, source, **AT_EVERY_MISS) as cache:
        with spans.span("request"):
            await cache.get("a")
        await cache.settle()

    backfill, request = spans.one("backfill"), spans.one("request")
    (load,) = [load for load in spans.named("load") if facts_of(load)["cause"] == "backfill"]
    assert backfill.parent is None
    assert links_of(backfill) == {id_of(request)}
    assert is_below(spans.named("list")[0], backfill)
    assert is_below(load, backfill)
    assert any(is_below(query, load) for query in spans.named("query"))
    assert facts_of(backfill)["status"] == "completed"
    assert facts_of(backfill)["cause"] == "threshold"
    assert spans.open == 0


async def test_a_backfill_by_hand_is_below_who_waits_for_it():
    spans = Spans()
    async with cache_of(spans, Source(spans)) as cache:
        with spans.span("request"):
            await cache.force_backfill(by="ada", reason="new prices")

    assert is_below(spans.one("backfill"), spans.one("request"))
    assert facts_of(spans.one("backfill"))["found"] == 6


async def test_a_backfill_that_fails_ends_with_an_error_and_no_message():
    spans = Spans()
    source = Source(spans)
    source.error = ValueError("a secret")
    async with cache_of(spans, source) as cache:
        await cache.force_backfill(by="ada", reason="new prices")

    backfill = spans.one("backfill")
    assert backfill.status.status_code is StatusCode.ERROR
    assert "secret" not in backfill.to_json()
    assert facts_of(backfill)["status"] == "failed"


async def test_a_selection_that_hangs_ends_its_span_when_it_is_given_up():
    spans = Spans()
    source = Source(spans)
    source.pause = 100.0
    async with cache_of(spans, source, load=LoadPolicy(timeout=1.0)) as cache:
        await cache.force_backfill(by="ada", reason="new prices")

        assert spans.one("backfill").status.status_code is StatusCode.ERROR
    assert spans.open == 0


async def test_a_backfill_that_closing_ends_has_a_span_that_ends():
    spans = Spans()
    source = Source(spans)
    source.pause = 100.0
    async with cache_of(spans, source, **AT_EVERY_MISS) as cache:
        await cache.get("a")
        await sleep(0.1)

    assert facts_of(spans.one("backfill"))["status"] == "cancelled"
    assert spans.open == 0
