"""Without a provider that collects spans nothing is made; with one that fails no load fails."""

from __future__ import annotations

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import NoOpTracerProvider, get_current_span

from async_backfill import BackfillCache, ConfigurationError, MappingSource
from async_backfill.otel import Tracing
from async_backfill.testing import ManualClock
from tests.one_loop import anyio_backend  # noqa: F401 - a fixture
from tests.traces.spans import Spans, is_below

ROWS = {number: number for number in range(50)}


@pytest.mark.anyio
@pytest.mark.parametrize("provider", [None, NoOpTracerProvider()], ids=["none", "of the API alone"])
async def test_without_a_provider_there_are_no_callers_and_no_spans(provider):
    tracing = Tracing(provider)
    with Spans().span("request"):
        assert tracing.caller() is None
        assert tracing.begin("load", {"cache": "rows"}) is None
    async with BackfillCache(MappingSource(ROWS), tracing=tracing) as cache:
        assert [await cache.get(number) for number in ROWS] == list(ROWS)


@pytest.mark.anyio
async def test_what_is_not_sampled_is_current_nevertheless_so_that_nothing_below_it_is():
    provider, spans = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False), Spans()
    seen = []

    class Source:
        async def load_many(self, keys, /):
            seen.append(get_current_span().get_span_context())
            return dict.fromkeys(keys, 1)

    async with BackfillCache(Source(), tracing=Tracing(provider)) as cache:
        with provider.get_tracer("test").start_as_current_span("request") as request:
            await cache.get(1)

    assert spans.ended == ()
    assert seen[0].is_valid
    assert not seen[0].trace_flags.sampled
    assert seen[0].trace_id == request.get_span_context().trace_id


@pytest.mark.anyio
@pytest.mark.parametrize("when", ["on_start", "on_end"])
async def test_a_processor_that_fails_costs_spans_and_no_load(when, caplog):
    spans = Spans()

    def fails(*_, **__):
        raise OSError("no collector")

    setattr(spans.begun, when, fails)
    async with BackfillCache(MappingSource(ROWS), tracing=spans.tracing) as cache:
        assert [await cache.get(number) for number in ROWS] == list(ROWS)

    assert "OSError: no collector" in caplog.text
    assert len(caplog.records) == 1


@pytest.mark.anyio
async def test_one_tracing_serves_several_caches():
    spans = Spans()
    async with (
        BackfillCache(MappingSource(ROWS), tracing=spans.tracing, name="a") as first,
        BackfillCache(MappingSource(ROWS), tracing=spans.tracing, name="b") as second,
    ):
        with spans.span("request"):
            await first.get(1)
            await second.get(1)

    assert {load.name for load in spans.named("load")} == {"load a", "load b"}
    assert all(is_below(load, spans.one("request")) for load in spans.named("load"))


@pytest.mark.anyio
async def test_a_provider_that_is_set_after_the_cache_was_opened_is_found(monkeypatch):
    spans, tracing, clock = Spans(), Tracing(), ManualClock()
    tracing._clock = clock.__call__
    async with BackfillCache(MappingSource(ROWS), tracing=tracing) as cache:
        await cache.get(1)
        monkeypatch.setattr(trace, "get_tracer_provider", lambda: spans.provider)
        await cache.get(2)
        clock.advance(1.0)
        await cache.get(3)

    assert len(spans.named("load")) == 1


def test_what_is_no_tracer_or_no_provider_is_refused_at_once():
    provider = Spans().provider
    with pytest.raises(ConfigurationError, match=r"tracing: must be a Tracer such as .*otel\.Tracing"):
        BackfillCache(MappingSource(ROWS), tracing=provider)
    with pytest.raises(ConfigurationError, match="tracer_provider: must be a TracerProvider"):
        Tracing(provider.get_tracer("test"))


@pytest.mark.anyio
async def test_a_provider_that_makes_no_tracer_costs_no_load(caplog):
    class Broken(TracerProvider):
        def get_tracer(self, *_, **__):
            raise OSError("no configuration")

    tracing = Tracing(Broken(shutdown_on_exit=False))
    async with BackfillCache(MappingSource(ROWS), tracing=tracing) as cache:
        assert await cache.get(1) == 1

    assert "no configuration" in caplog.text
