"""A batch that the service finds too long is cut, and later ones are shorter."""

from __future__ import annotations

import json
import logging
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from async_backfill import ConfigurationError
from tests.real_asyncio import anyio_backend  # noqa: F401 - a fixture

pytest.importorskip("aiohttp")
pytest.importorskip("uvicorn")
from async_backfill.sources.http import Batch, HTTPSource, RetryPolicy, StatusError, get_keys, post_keys
from async_backfill.sources.http._answers import StatusError as Refusal
from async_backfill.sources.http._batch_size import BatchSize
from tests.servers.http import Reply, start_http

QUICK = RetryPolicy(attempts=2, wait_initial=0.001, wait_max=0.002)


@pytest.fixture(scope="module")
def running():
    with start_http() as server:
        yield server


@pytest.fixture
def server(running):
    running.reset()
    return running


def taking(server, most, status):
    """Let the service answer for at most ``most`` keys at once, and for each alone."""

    def answer(seen):
        keys = json.loads(seen.body)["keys"]
        return (
            Reply(body=json.dumps({key: key for key in keys}).encode())
            if len(keys) <= most
            else Reply(status)
        )

    server.lay_out("/batch", answer)
    for number in range(200):
        server.lay_out(f"/items/{number}", Reply(body=f'"{number}"'.encode()))


def source(server, **settings):
    batch = Batch(request=post_keys(f"{server.url}/batch"), **settings)
    return HTTPSource(f"{server.url}/items/{{key}}", batch=batch, retry=QUICK, concurrency=4)


def asked(server):
    return [len(json.loads(seen.body)["keys"]) if seen.body else 1 for seen in server.seen]


KEYS = [f"{number}" for number in range(100)]
ALL = {key: key for key in KEYS}


@pytest.mark.anyio
@pytest.mark.parametrize("status", [413, 414, 431])
@pytest.mark.parametrize("most", [1, 7, 99])
async def test_a_batch_that_is_too_long_is_asked_for_in_pieces(server, status, most):
    taking(server, most, status)
    async with source(server) as opened:
        assert await opened.load_many(KEYS) == ALL
        refused = sum(keys > max(most, 1) for keys in asked(server))
        assert refused <= math.log2(100) + 1
        server.seen.clear()
        assert await opened.load_many(KEYS) == ALL

    assert max(asked(server)) <= most


@pytest.mark.anyio
async def test_the_user_says_with_which_status_a_service_finds_a_batch_too_long(server):
    taking(server, 10, 400)
    async with source(server) as opened:
        refused = await opened.load_many(KEYS)
    assert {failed.error.status for failed in refused.values()} == {400}
    assert len(server.seen) == 1

    async with source(server, too_long={400}) as opened:
        assert await opened.load_many(KEYS) == ALL


@pytest.mark.anyio
async def test_a_status_that_may_pass_is_tried_again_before_the_batch_is_cut(server):
    taking(server, 50, 500)
    async with source(server, too_long={500}) as opened:
        assert await opened.load_many(KEYS) == ALL

    assert asked(server) == [100, 100, 50, 50]


@pytest.mark.anyio
async def test_a_single_key_that_is_too_long_fails_alone(server):
    taking(server, 0, 413)
    server.lay_out("/items/1", Reply(414))
    async with source(server) as opened:
        answer = await opened.load_many(["0", "1", "2"])

    failed = answer.pop("1")
    assert answer == {"0": "0", "2": "2"}
    assert isinstance(failed.error, StatusError)


@pytest.mark.anyio
async def test_a_url_that_cannot_be_sent_is_cut_too(server):
    keys = [f"{number}{'x' * 20_000}" for number in range(4)]

    def answer(seen):
        wanted = [part.removeprefix("keys=") for part in seen.target.partition("?")[2].split("&")]
        return Reply(body=json.dumps(dict.fromkeys(wanted, 1)).encode())

    for pair in (keys[:2], keys[2:]):
        server.lay_out(f"/batch?keys={pair[0]}&keys={pair[1]}", answer)
    batch = Batch(request=get_keys(f"{server.url}/batch"))
    async with HTTPSource(f"{server.url}/items/{{key}}", batch=batch, retry=QUICK) as opened:
        assert await opened.load_many(keys) == dict.fromkeys(keys, 1)


@pytest.mark.anyio
async def test_a_cut_is_logged_once(server, caplog):
    caplog.set_level(logging.WARNING)
    taking(server, 60, 413)
    async with source(server) as opened:
        await opened.load_many(KEYS)

    (line,) = [record.message for record in caplog.records]
    assert line == f"127.0.0.1:{server.port}: a request for 100 keys was too long (HTTP 413), at most 50 now"


@given(most=st.integers(2, 500), takes=st.lists(st.integers(1, 500), min_size=1, max_size=300))
def test_the_size_finds_what_the_service_takes_and_few_requests_are_refused(most, takes):
    size = BatchSize(most, {413}, host="host")
    refused = changes = 0
    for before, now in zip([takes[0], *takes], takes, strict=False):
        changes += before != now
        while size.now > now:
            assert size.cuts(Refusal("", status=413), size.now)
            refused += 1
        size.was_taken(size.now)
        assert 1 <= size.now <= most
    # halved from the most when what it takes changes, and once each 32 requests
    assert refused <= (changes + 1) * math.log2(most) + len(takes) / 32 + 1


@pytest.mark.parametrize("too_long", [{413, 200}, [600], ["413"], {True}])
def test_what_is_no_error_status_is_refused(too_long):
    with pytest.raises(ConfigurationError, match=r"^too_long: "):
        Batch(request=post_keys("https://host/"), too_long=too_long)
