"""Headers that a function makes for each request."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Mapping
from types import MappingProxyType

import pytest
from anyio import sleep_forever
from anyio.lowlevel import checkpoint

from async_backfill import BackfillCache, ConfigurationError, LoadError
from tests.real_asyncio import anyio_backend  # noqa: F401 - a fixture

pytest.importorskip("aiohttp")
pytest.importorskip("uvicorn")
from async_backfill.sources.http import (
    Batch,
    BatchRequest,
    HTTPSource,
    HTTPSourceError,
    NoAnswerError,
    RetryPolicy,
    post_keys,
)
from tests.servers.http import Reply, start_http

QUICK = RetryPolicy(wait_initial=0.001, wait_max=0.002)


@pytest.fixture(scope="module")
def running():
    with start_http() as server:
        yield server


@pytest.fixture
def server(running):
    running.reset()
    return running


def source(server, headers, **settings):
    return HTTPSource(f"{server.url}/items/{{key}}", headers=headers, **({"retry": QUICK} | settings))


async def failure(opened):
    return (await opened.load_many(["a"]))["a"].error


def tokens():
    """A function that makes a new token at each call."""
    made = []

    def headers():
        made.append(f"token {len(made) + 1}")
        return {"Authorization": made[-1]}

    return headers


@pytest.mark.anyio
@pytest.mark.parametrize("waits", [False, True])
async def test_each_request_has_headers_made_for_it_also_one_that_is_sent_again(server, waits):
    make = tokens()

    async def later():
        await checkpoint()
        return MappingProxyType(make())

    server.lay_out("/items/a", Reply(500), Reply(body=b"1"))
    server.lay_out("/batch", Reply(body=b'{"a": 1, "b": 2}'))
    batch = Batch(request=post_keys(f"{server.url}/batch"))
    async with source(server, later if waits else make, batch=batch) as opened:
        assert await opened.load_many(["a"]) == {"a": 1}
        assert await opened.load_many(["a", "b"]) == {"a": 1, "b": 2}

    assert [seen.headers["authorization"] for seen in server.seen] == ["token 1", "token 2", "token 3"]


@pytest.mark.anyio
async def test_no_headers_are_made_for_another_server(server):
    asked = []

    def make():
        asked.append(1)
        return {}

    with start_http() as other:
        other.lay_out("/batch", Reply(body=b'{"a": 1, "b": 2}'))
        batch = Batch(request=lambda _keys: BatchRequest("GET", f"{other.url}/batch"))
        async with source(server, make, batch=batch) as opened:
            assert await opened.load_many(["a", "b"]) == {"a": 1, "b": 2}

    assert not asked


@pytest.mark.anyio
@pytest.mark.parametrize(
    "error", [ValueError("SECRET"), OSError("SECRET"), ConfigurationError("x", "SECRET")]
)
async def test_a_function_that_fails_is_a_load_error_that_shows_no_secret(server, caplog, error):
    caplog.set_level(logging.DEBUG)

    async def headers():
        raise error

    async with source(server, headers) as opened, BackfillCache(opened) as cache:
        with pytest.raises(LoadError) as failed:
            await cache.get("a")

    cause = failed.value.__cause__
    assert type(cause) is HTTPSourceError
    told = f"the function given as headers raised {type(error).__name__}"
    assert str(cause) == f"no request to {server.url}/items/{{key}} could be made: {told}"
    assert "SECRET" not in "".join([*traceback.format_exception(failed.value), caplog.text])
    assert server.seen == []


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("made", "problem"),
    [
        ({"X-Token": "SECRET\n"}, "headers: the value of X-Token must be printable ASCII text"),
        ({"Host": "SECRET"}, "headers: must not have Host, which the source sets itself"),
        (None, "headers: must be a mapping, not a NoneType"),
        ([("X-Token", "SECRET")], "headers: must be a mapping, not a list"),
    ],
)
async def test_headers_that_cannot_be_sent_are_not_shown(server, made, problem):
    async with source(server, lambda: made) as opened:
        refused = await failure(opened)

    assert type(refused) is HTTPSourceError
    assert str(refused) == f"no request to {server.url}/items/{{key}} could be made: {problem}"
    assert server.seen == []


@pytest.mark.anyio
async def test_a_user_in_the_url_beside_authorization_from_a_function_is_refused(server):
    url = f"http://me:SECRET@127.0.0.1:{server.port}/items/{{key}}"
    server.lay_out("/items/a", Reply(body=b"1"))
    async with HTTPSource(url, headers=lambda: {"Authorization": "x"}) as opened:
        assert "only one of them" in str(await failure(opened))
    async with HTTPSource(url, headers=lambda: {"X-More": "x"}) as opened:
        assert await opened.load_many(["a"]) == {"a": 1}

    assert server.seen[0].headers["authorization"].startswith("Basic ")
    assert server.seen[0].headers["x-more"] == "x"


@pytest.mark.anyio
async def test_a_function_that_never_ends_counts_as_an_attempt_that_took_too_long(server):
    async def headers() -> Mapping[str, str]:
        await sleep_forever()
        return {}

    slow = RetryPolicy(attempts=1, attempt_timeout=0.05)
    async with source(server, headers, retry=slow) as opened:
        refused = await failure(opened)

    assert isinstance(refused, NoAnswerError)
    assert "attempt_timeout" in str(refused)


@pytest.mark.parametrize("headers", ["X: y", 5, [("X", "y")]])
def test_what_is_neither_headers_nor_a_function_is_refused(headers):
    with pytest.raises(ConfigurationError, match=r"^headers: must be a mapping, or a function"):
        HTTPSource("https://host/{key}", headers=headers)
