"""The instrumentations of asyncpg, SQLAlchemy and aiohttp below a source see the span of their load."""

from __future__ import annotations

import anyio
import asyncpg
import pytest
from aiohttp import ClientSession, web
from opentelemetry.instrumentation.aiohttp_client import AioHttpClientInstrumentor
from opentelemetry.instrumentation.asyncpg import AsyncPGInstrumentor
from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from async_backfill import BackfillCache, each
from async_backfill.sources.sql import SQLSource
from tests.one_loop import anyio_backend  # noqa: F401 - a fixture
from tests.traces.spans import Spans, is_below, links_of

pytestmark = pytest.mark.anyio

REQUESTS = 10


async def ten_requests(spans, cache):
    """Ask for a key in each of ten requests at the same time."""

    async def request(key):
        with spans.span("request"):
            await cache.get(key)

    async with cache, anyio.create_task_group() as tasks:
        for key in range(1, REQUESTS + 1):
            tasks.start_soon(request, key)


def each_request_has_a_trace_of_its_own(spans, queries):
    """Check that there is a load below each request, and its query below it."""
    loads = spans.named("load")
    assert len(loads) == len(queries) == REQUESTS
    assert all(any(is_below(load, request) for request in spans.named("request")) for load in loads)
    assert all(any(is_below(query, load) for load in loads) for query in queries)
    assert len({load.context.trace_id for load in loads}) == REQUESTS


def queries(spans):
    """The queries of the tests: a pool makes some of its own."""
    return [span for span in spans.ended if "square" in span.attributes.get("db.statement", "")]


@pytest.fixture
def asyncpg_url(postgres_url):
    return postgres_url.replace("postgresql+asyncpg://", "postgresql://")


@pytest.fixture(scope="module")
def asyncpg_spans():
    """The spans of asyncpg: older releases of its instrumentation cannot be taken back and put in again."""
    spans, instrumentor = Spans(), AsyncPGInstrumentor()
    instrumentor.instrument(tracer_provider=spans.provider)
    yield spans
    instrumentor.uninstrument()


@pytest.fixture
def spans(asyncpg_spans):
    asyncpg_spans.clear()
    return asyncpg_spans


async def test_a_query_of_asyncpg_is_below_its_load_in_the_trace_of_its_request(asyncpg_url, spans):
    async with asyncpg.create_pool(asyncpg_url, min_size=1, max_size=4) as pool:

        @each
        async def square(key):
            return await pool.fetchval("SELECT $1::int * $1::int AS square", key)

        await ten_requests(spans, BackfillCache(square, tracing=spans.tracing, name="squares"))

    each_request_has_a_trace_of_its_own(spans, queries(spans))


async def test_one_query_for_ten_requests_is_below_a_load_that_is_linked_to_all(asyncpg_url, spans):
    async with asyncpg.create_pool(asyncpg_url, min_size=1, max_size=4) as pool:

        class Squares:
            async def load_many(self, keys, /):
                query = "SELECT n, n * n AS square FROM unnest($1::int[]) AS n"
                return dict(map(tuple, await pool.fetch(query, list(keys))))

        await ten_requests(spans, BackfillCache(Squares(), tracing=spans.tracing))

    load, (query,) = spans.one("load"), queries(spans)
    assert is_below(query, load)
    assert len(links_of(load)) == REQUESTS


async def test_a_query_of_sqlalchemy_is_below_its_load(postgres_url):
    spans, instrumentor = Spans(), SQLAlchemyInstrumentor()
    engine = create_async_engine(postgres_url)
    # It has not heard of the newest release of SQLAlchemy, and works with it.
    instrumentor.instrument(engine=engine.sync_engine, tracer_provider=spans.provider, skip_dep_check=True)
    try:
        async with engine.begin() as connection:
            await connection.execute(
                text("CREATE TABLE IF NOT EXISTS traced (id int PRIMARY KEY, name text)")
            )
            await connection.execute(text("INSERT INTO traced VALUES (1, 'one')"))
        source = SQLSource(engine, "traced", key="id", value="name")
        async with BackfillCache(source, tracing=spans.tracing) as cache:
            with spans.span("request"):
                assert await cache.get(1) == "one"
    finally:
        instrumentor.uninstrument()
        async with engine.begin() as connection:
            await connection.execute(text("DROP TABLE traced"))
        await engine.dispose()

    load = spans.one("load")
    assert is_below(load, spans.one("request"))
    assert any(is_below(query, load) for query in spans.named("SELECT"))


async def test_a_request_of_aiohttp_is_below_its_load_and_carries_its_trace():
    spans, instrumentor = Spans(), AioHttpClientInstrumentor()
    heard = []

    async def answer(request):
        heard.append(request.headers["traceparent"].split("-")[1])
        return web.json_response({"key": request.match_info["key"]})

    app = web.Application()
    app.router.add_get("/{key}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    instrumentor.instrument(tracer_provider=spans.provider)
    try:
        async with ClientSession() as session:

            @each
            async def fetch(key):
                async with session.get(f"http://127.0.0.1:{port}/{key}") as response:
                    return await response.json()

            await ten_requests(spans, BackfillCache(fetch, tracing=spans.tracing))
    finally:
        instrumentor.uninstrument()
        await runner.cleanup()

    each_request_has_a_trace_of_its_own(spans, spans.named("GET"))
    requests = {f"{request.context.trace_id:032x}" for request in spans.named("request")}
    assert set(heard) == requests
