"""A cache in a web application under the test client of Starlette and FastAPI."""

from __future__ import annotations

from contextlib import asynccontextmanager

import pytest

pytest.importorskip("httpx2", reason="Starlette's TestClient needs httpx2")
pytest.importorskip("fastapi", reason="needs fastapi")

from fastapi import FastAPI, HTTPException
from starlette.testclient import TestClient

from async_backfill import CacheClosedError, KeyNotFoundError
from tests.cache.uses import new_cache


def application(cache):
    @asynccontextmanager
    async def lifespan(_):
        async with cache:
            yield

    app = FastAPI(lifespan=lifespan)

    @app.get("/{key}")
    async def read(key: str):
        try:
            return await cache.fetch(key)
        except KeyNotFoundError:
            raise HTTPException(404) from None

    return app


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_cache_of_the_lifespan_answers_all_requests_and_closes_each_time(backend):
    cache = new_cache()
    app = application(cache)
    for _ in range(2):
        with TestClient(app, backend=backend) as client:
            assert (client.get("/a").json(), client.get("/a").json()) == (1, 1)
            assert client.get("/none").status_code == 404

    assert (cache.stats.hits, cache.stats.misses) == (3, 3)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_client_without_a_lifespan_is_told_that_the_cache_is_not_open(backend):
    with pytest.raises(CacheClosedError, match="use it inside 'async with cache:'"):
        TestClient(application(new_cache()), backend=backend).get("/a")
