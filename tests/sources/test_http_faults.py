"""A service whose connections break: the result of a load, and the success of the next one."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager, closing, suppress

import pytest
from anyio import fail_after, move_on_after

from async_backfill.outcomes import Failed
from tests.real_asyncio import anyio_backend  # noqa: F401 - a fixture

pytest.importorskip("aiohttp")
pytest.importorskip("uvicorn")
from async_backfill.sources.http import (
    HTTPSource,
    HTTPSourceError,
    NoAnswerError,
    RetryPolicy,
)
from tests.servers.http import Reply, start_http, until
from tests.servers.tcp_proxy import TcpProxy

pytestmark = pytest.mark.anyio

QUICK = RetryPolicy(wait_initial=0.001, wait_max=0.002)
ITEM = {"name": "Widget", "price": 12345}


@pytest.fixture(scope="module")
def running():
    with start_http() as server:
        yield server


@pytest.fixture
def server(running):
    running.reset()
    running.lay_out("/items/a", Reply(body=json.dumps(ITEM).encode()))
    running.lay_out("/items/n", Reply(body=b"1234567890"))
    return running


@asynccontextmanager
async def behind_a_proxy(server, **settings):
    settings = {"retry": QUICK, "concurrency": 4} | settings
    async with (
        TcpProxy("127.0.0.1", server.port) as proxy,
        HTTPSource(f"http://127.0.0.1:{proxy.port}/items/{{key}}", **settings) as source,
    ):
        yield proxy, source


@asynccontextmanager
async def saying(answer):
    """Start a server that says ``answer`` to whatever comes, and ends; yield a source of it and its calls."""
    calls = []

    async def serve(reader, writer):
        with closing(writer):
            calls.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(answer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/{{key}}"
    try:
        async with HTTPSource(url, retry=QUICK) as source:
            yield source, calls
    finally:
        server.close()


async def answers(source, right):
    """Wait until ``source`` answers what is right: a slow machine may need longer than its short timeout."""
    with fail_after(20):
        while await source.load_many([*right, "gone"]) != right:
            pass


async def failure(source, key="a"):
    (failed,) = (await source.load_many([key])).values()
    assert isinstance(failed, Failed)
    return failed.error


async def test_a_refused_connection_is_tried_a_few_times_and_works_once_it_is_back(server):
    async with behind_a_proxy(server) as (proxy, source):
        proxy.refuse()
        error = await failure(source)
        assert isinstance(error, NoAnswerError)
        assert "onnection refused" in str(error) or "onnect call failed" in str(error)
        await proxy.heal()

        assert await source.load_many(["a"]) == {"a": ITEM}


async def test_connections_that_were_reset_while_nobody_used_them_are_not_noticed(server):
    async with behind_a_proxy(server) as (proxy, source):
        for _ in range(5):
            assert await source.load_many(["a", "n"]) == {"a": ITEM, "n": 1234567890}
            proxy.reset()


async def test_a_reset_under_way_is_tried_again(server):
    server.lay_out("/items/held", Reply(hold=True), Reply(body=b"1"))
    async with behind_a_proxy(server) as (proxy, source):

        async def break_off():
            await until(lambda: server.busy)
            proxy.reset()

        answer, _ = await asyncio.gather(source.load_many(["held"]), break_off())

    assert answer == {"held": 1}


async def test_an_answer_cut_off_anywhere_is_never_taken_for_a_whole_one(server):
    async with behind_a_proxy(server, retry=RetryPolicy(attempts=1)) as (proxy, source):
        failed = 0
        for after in range(0, 180, 3):
            proxy.cut(after)
            answer = await source.load_many(["a", "n"])
            for key, value in answer.items():
                assert isinstance(value, Failed) or value == {"a": ITEM, "n": 1234567890}[key]
                failed += isinstance(value, Failed)
            await proxy.heal()

        assert failed > 60
        assert await source.load_many(["a", "gone"]) == {"a": ITEM}


async def test_a_service_that_falls_silent_is_given_up_and_found_again(server):
    async with behind_a_proxy(server, retry=RetryPolicy(attempts=2, attempt_timeout=0.05)) as (proxy, source):
        await answers(source, {"a": ITEM})
        proxy.drop()
        error = await failure(source)
        assert isinstance(error, NoAnswerError)
        await proxy.heal()

    async with behind_a_proxy(server) as (proxy, source):
        proxy.drop()
        with move_on_after(0.03):
            await source.load_many(["a", "n"])
        await proxy.heal()
        with fail_after(20):
            assert await source.load_many(["a", "n"]) == {"a": ITEM, "n": 1234567890}


async def test_garbled_answers_are_answers_or_failures_of_their_keys(server):
    keys = ["a", "n", "gone", *(f"x{number}" for number in range(20))]
    async with behind_a_proxy(server, retry=RetryPolicy(attempts=1, attempt_timeout=0.05)) as (proxy, source):
        proxy.garble(0.01)
        kinds = set()
        for _ in range(5):
            with fail_after(20):
                answer = await source.load_many(keys)
            assert set(answer) <= set(keys)
            kinds |= {type(value.error) for value in answer.values() if isinstance(value, Failed)}
        await proxy.heal()
        proxy.reset()
        await answers(source, {"a": ITEM, "n": 1234567890})

    assert kinds
    assert all(issubclass(kind, HTTPSourceError) for kind in kinds)


async def test_loads_cancelled_at_any_moment_never_answer_another_key(server):
    for number in range(50):
        server.lay_out(f"/items/k{number}", Reply(body=b'"k%d"' % number))
    async with behind_a_proxy(server) as (proxy, source):
        proxy.delay(0.0, jitter=0.002)
        for step in range(60):
            keys = [f"k{(step + number) % 50}" for number in range(8)]
            with move_on_after(step * 0.0005):
                answer = await source.load_many(keys)
                assert answer == {key: key for key in keys}
        with fail_after(20):
            assert await source.load_many(["k1", "k2"]) == {"k1": "k1", "k2": "k2"}


HEAD = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("answer", "requests"),
    [
        # aiohttp sends a GET once more by itself when the connection ends without an answer
        pytest.param(b"", 6, id="nothing"),
        pytest.param(HEAD, 6, id="half a head"),
        pytest.param(b"nonsense\r\n\r\n", 3, id="no HTTP"),
        pytest.param(HEAD + b"content-length: 5\r\n\r\n123", 3, id="less than its length"),
        pytest.param(HEAD + b"transfer-encoding: chunked\r\n\r\n3\r\n123\r\n", 3, id="no last chunk"),
        pytest.param(HEAD + b"\r\n123", 3, id="a number without a length"),
        pytest.param(HEAD + b"content-length: -5\r\n\r\n", 3, id="a negative length"),
        pytest.param(HEAD + b"content-length: 1\r\ncontent-length: 2\r\n\r\n12", 3, id="two lengths"),
        pytest.param(HEAD + b"x: y\r\n" * 50_000, 3, id="a head without end"),
    ],
)
async def test_what_is_no_whole_answer_is_asked_for_again_and_then_a_failure(answer, requests):
    async with saying(answer) as (source, calls):
        error = await failure(source)

    assert isinstance(error, NoAnswerError)
    assert "\n" not in str(error)
    assert len(calls) == requests


async def test_an_answer_that_nobody_asked_for_is_never_the_next_keys():
    async def serve(reader, writer):
        with closing(writer), suppress(asyncio.IncompleteReadError):
            while True:
                target = (await reader.readuntil(b"\r\n\r\n")).split()[1]
                answer = HEAD + b'content-length: %d\r\n\r\n"%s"' % (len(target) + 2, target)
                writer.write(answer + HEAD + b'content-length: 6\r\n\r\n"evil"')

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/{{key}}"
    async with HTTPSource(url, retry=QUICK, concurrency=1) as source:
        for key in "abcdef":
            assert await source.load_many([key]) == {key: f"/{key}"}
    server.close()


async def test_anything_but_a_number_may_end_with_the_connection():
    async with saying(HEAD + b"\r\n" + json.dumps(ITEM).encode()) as (source, calls):
        assert await source.load_many(["a"]) == {"a": ITEM}

    assert len(calls) == 1


async def test_what_a_service_says_in_its_status_line_is_not_shown():
    async with saying(b"HTTP/1.1 418 EVIL\x1b[31m\r\ncontent-length: 0\r\n\r\n") as (source, _):
        error = await failure(source)

    assert str(error).startswith("HTTP 418 I'm a Teapot from http://127.0.0.1:")
