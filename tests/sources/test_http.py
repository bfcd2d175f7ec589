"""`HTTPSource` against a real server: the result of each kind of answer, key by key."""

from __future__ import annotations

import gzip
import json
import logging
import math
from dataclasses import dataclass

import pytest
from anyio import create_task_group, fail_after, move_on_after

from async_backfill import BackfillCache, ConfigurationError, KeyNotFoundError, LoadError
from async_backfill.outcomes import Failed
from tests.real_asyncio import anyio_backend  # noqa: F401 - a fixture

pytest.importorskip("aiohttp")
pytest.importorskip("uvicorn")
from async_backfill.sources.http import (
    AnswerError,
    HTTPSource,
    HTTPSourceError,
    KeyTextError,
    NoAnswerError,
    RetryPolicy,
    StatusError,
)
from tests.servers.http import Reply, start_http, until

pytestmark = pytest.mark.anyio

PACKED = {"Content-Encoding": "gzip"}
PACKED_TWICE = {"Content-Encoding": "gzip, gzip"}

QUICK = RetryPolicy(wait_initial=0.001, wait_max=0.002)


@pytest.fixture(scope="module")
def running():
    with start_http() as server:
        yield server


@pytest.fixture
def server(running):
    running.reset()
    return running


def source(server, path="/items/{key}", **settings):
    return HTTPSource(f"{server.url}{path}", **({"retry": QUICK} | settings))


def value(content, **headers):
    return Reply(200, json.dumps(content).encode(), headers)


async def failure(opened, key="a"):
    answer = await opened.load_many([key])
    assert set(answer) == {key}
    assert isinstance(answer[key], Failed)
    return answer[key].error


@dataclass
class Item:
    name: str
    price: int


async def test_it_answers_with_the_json_at_the_url_of_each_key(server):
    server.lay_out("/items/a", value({"name": "Widget", "price": 5}))
    server.lay_out("/items/none", value(None))
    server.lay_out("/items/gone", Reply(410))
    async with source(server) as opened:
        answer = await opened.load_many(["gone", "none", "missing", "a"])

    assert answer == {"none": None, "a": {"name": "Widget", "price": 5}}
    assert sorted(server.targets) == ["/items/a", "/items/gone", "/items/missing", "/items/none"]


async def test_values_have_the_type_that_was_asked_for(server):
    server.lay_out("/items/1", value({"name": "Widget", "price": 5}))
    server.lay_out("/items/2", value({"name": "Widget", "price": "five"}))
    async with source(server, value_type=Item) as opened:
        answer = await opened.load_many([1, 2])

    assert answer[1] == Item("Widget", 5)
    assert isinstance(answer[2].error, AnswerError)
    assert "Expected `int`, got `str` - at `$.price`" in str(answer[2].error)


@pytest.mark.parametrize("key", ["a/b", "a?b#c", "100%", "é", "a\n\x00b", "//x", "{key}", "%2e%2e", "a b"])
async def test_any_key_is_asked_for_as_one_segment_and_answered_as_itself(server, key):
    segment = "".join(
        chr(byte) if chr(byte).isalnum() and byte < 128 else f"%{byte:02X}" for byte in key.encode()
    )
    server.lay_out(f"/items/{segment}", value(key))
    async with source(server) as opened:
        assert await opened.load_many([key]) == {key: key}


async def test_a_template_is_sent_as_it_is(server):
    server.lay_out("/%C3%BC/a%2Fb/x;y=1/k?q=%C3%A9+|a/b", value(1))
    async with source(server, "/ü/a%2Fb/x;y=1/{key}?q=é+|a/b") as opened:
        assert await opened.load_many(["k"]) == {"k": 1}


async def test_a_key_that_cannot_be_sent_fails_alone_and_is_not_sent(server):
    server.lay_out("/items/a", value(1))
    keys = ["", "..", "a/../b", "\ud800", 1.5, True, None, b"a", ("a",)]
    async with source(server) as opened:
        answer = await opened.load_many([*keys, "a"])

    assert answer.pop("a") == 1
    assert list(answer) == keys
    assert {type(failed.error) for failed in answer.values()} == {KeyTextError}
    assert server.targets == ["/items/a"]


async def test_the_text_of_a_key_is_what_the_user_makes_of_it(server):
    server.lay_out("/items/a-1", value("found"))
    server.lay_out("/items/a-2", value("found"))
    async with source(server, key_text=lambda pair: f"{pair[0]}-{pair[1]:d}") as opened:
        answer = await opened.load_many([("a", 1), ("b", "x"), ("a", 2)])

    assert answer[("a", 1)] == answer[("a", 2)] == "found"
    assert isinstance(answer[("b", "x")].error, ValueError)


@pytest.mark.parametrize("status", [400, 401, 403, 405, 409, 422, 451, 202, 204, 206, 304, 302])
async def test_any_other_answer_fails_its_key_alone_and_is_not_asked_for_again(server, status):
    server.lay_out("/items/a", Reply(status, b""))
    server.lay_out("/items/b", value(2))
    async with source(server) as opened:
        answer = await opened.load_many(["a", "b"])

    assert answer["b"] == 2
    assert isinstance(answer["a"].error, StatusError)
    assert answer["a"].error.status == status
    assert server.targets.count("/items/a") == 1


@pytest.mark.parametrize("status", [500, 502, 503, 504, 599, 429])
async def test_what_may_pass_is_asked_for_again_a_few_times(server, status):
    server.lay_out("/items/a", Reply(status), Reply(status), value("at last"))
    server.lay_out("/items/b", Reply(status))
    async with source(server) as opened:
        answer = await opened.load_many(["a", "b"])

    assert answer["a"] == "at last"
    assert answer["b"].error.status == status
    assert (server.targets.count("/items/a"), server.targets.count("/items/b")) == (3, 3)


@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after_is_obeyed_however_often_it_is_said(server, status):
    busy = Reply(status, b"busy", {"Retry-After": "0.01"})
    server.lay_out("/items/a", *[busy] * 5, value(1))
    async with source(server) as opened:
        assert await opened.load_many(["a"]) == {"a": 1}

    assert len(server.seen) == 6


@pytest.mark.parametrize("later", ["3600", "Fri, 31 Dec 9999 23:59:59 GMT"])
async def test_a_pause_beyond_the_time_left_fails_at_once(server, later):
    server.lay_out("/items/a", Reply(429, b"", {"Retry-After": later}))
    async with source(server) as opened:
        with fail_after(20):
            error = await failure(opened)

    assert error.retry_after >= 3600
    assert "asks for a pause of" in str(error)
    assert len(server.seen) == 1


async def test_a_key_without_an_answer_in_time_fails_alone(server):
    server.lay_out("/items/a", Reply(hold=True))
    server.lay_out("/items/b", value(2))
    async with source(server, timeout=1.0) as opened:
        answer = await opened.load_many(["a", "b", "c"])

    assert answer["b"] == 2
    assert "c" not in answer
    assert isinstance(answer["a"].error, NoAnswerError)
    assert str(answer["a"].error) == f"no answer from {server.url}/items/{{key}} within timeout=1.0 s"


async def test_no_more_requests_than_allowed_are_under_way_over_connections_that_are_kept(server):
    keys = [str(number) for number in range(60)]
    for key in keys:
        server.lay_out(f"/items/{key}", value(key))
    async with source(server, concurrency=4) as opened, create_task_group() as tasks:
        for start in range(0, 60, 20):
            tasks.start_soon(opened.load_many, keys[start : start + 20])

    assert sorted(server.targets) == sorted(f"/items/{key}" for key in keys)
    assert server.busiest <= 4
    assert len({request.client for request in server.seen}) <= 4


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        pytest.param(Reply(body=b""), "not the JSON", id="nothing"),
        pytest.param(Reply(body=b"<html>"), "not the JSON", id="HTML"),
        pytest.param(Reply(body=b'{"a": 1'), "not the JSON", id="cut off"),
        pytest.param(Reply(body=b'"\xff"'), "not the JSON", id="no UTF-8"),
        pytest.param(Reply(body=b"[" * 100_000), "not the JSON", id="deep"),
        pytest.param(Reply(body=b"1", headers={"Content-Encoding": "br"}), "expected gzip", id="br"),
        pytest.param(
            Reply(body=b"1", headers={"Content-Encoding": "gzip, gzip"}), "expected gzip", id="twice"
        ),
        pytest.param(Reply(body=b"no gzip", headers={"Content-Encoding": "gzip"}), "damaged", id="damaged"),
    ],
)
async def test_what_is_no_json_fails_its_key_and_is_not_asked_for_again(server, reply, said):
    server.lay_out("/items/a", reply)
    async with source(server) as opened:
        error = await failure(opened)

    assert isinstance(error, AnswerError)
    assert said in str(error)
    assert len(server.seen) == 1


BOMB = gzip.compress(bytes(50_000_000))


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(Reply(body=b'"' + b"x" * 1000 + b'"'), id="with a length"),
        pytest.param(Reply(pieces=[b'"', *[b"x" * 100] * 10, b'"']), id="in pieces"),
        pytest.param(Reply(body=gzip.compress(b'"' + b"x" * 1000 + b'"'), headers=PACKED), id="packed"),
        pytest.param(Reply(pieces=[BOMB[:10_000], BOMB[10_000:]], headers=PACKED), id="bomb"),
    ],
)
async def test_a_long_answer_fails_its_key(server, reply):
    server.lay_out("/items/a", reply)
    server.lay_out("/items/b", value("x" * 998))
    async with source(server, max_body=1000) as opened:
        error = await failure(opened)
        assert await opened.load_many(["b"]) == {"b": "x" * 998}

    assert isinstance(error, AnswerError)
    assert str(error) == f"{server.url}/items/{{key}} answers with more than max_body=1000 bytes"


async def test_a_packed_answer_is_unpacked(server):
    content = {"name": "Widget " * 100}
    server.lay_out("/items/a", Reply(body=gzip.compress(json.dumps(content).encode()), headers=PACKED))
    async with source(server) as opened:
        assert await opened.load_many(["a"]) == {"a": content}

    assert server.seen[0].headers["accept-encoding"] == "gzip"


async def test_headers_are_sent_and_so_is_the_user_of_the_url(server):
    url = f"{server.url}/items/{{key}}".replace("http://", "http://me:pass@")
    async with HTTPSource(url, headers={"X-Token": "t", "Accept": "application/vnd.x+json"}) as opened:
        await opened.load_many(["a"])

    headers = server.seen[0].headers
    assert headers["authorization"] == "Basic bWU6cGFzcw=="
    assert (headers["x-token"], headers["accept"]) == ("t", "application/vnd.x+json")
    assert headers["host"] == server.url.removeprefix("http://")


async def test_secrets_are_in_no_repr_no_error_and_no_log(server, caplog):
    caplog.set_level(logging.DEBUG)
    server.lay_out("/items/a?token=SECRET3", Reply(500))
    server.lay_out("/items/b?token=SECRET3", Reply(307, b"", {"Location": "ftp://x/"}))
    url = f"{server.url}/items/{{key}}?token=SECRET3".replace("http://", "http://me:SECRET1@")
    async with HTTPSource(url, headers={"X-Token": "SECRET2"}, retry=QUICK) as opened:
        errors = [await failure(opened, key) for key in ("a", "b")]
        assert repr(opened) == f"HTTPSource('{server.url}/items/{{key}}?...')"
    said = [repr(opened)]
    said += [record.getMessage() for record in caplog.records if not record.name.startswith("uvicorn")]
    for error in errors:
        link = error
        while link is not None:
            said += [str(link), repr(link), repr(vars(link))]
            link = link.__cause__ or link.__context__

    assert "SECRET" not in "".join(said)


async def test_cookies_do_not_go_from_one_key_to_another(server):
    server.lay_out("/items/a", value(1, **{"Set-Cookie": "session=1; Path=/"}))
    async with source(server) as opened:
        await opened.load_many(["a"])
        await opened.load_many(["b"])

    assert "cookie" not in server.seen[1].headers


async def test_behind_a_cache_a_value_is_asked_for_once_and_a_missing_key_is_absent(server):
    server.lay_out("/items/a", value({"n": 1}))
    server.lay_out("/items/bad", Reply(403))
    async with source(server) as opened, BackfillCache(opened) as cache:
        assert [await cache.get("a") for _ in range(3)] == [{"n": 1}] * 3
        with pytest.raises(KeyNotFoundError):
            await cache.fetch("missing")
        with pytest.raises(LoadError, match="HTTP 403 Forbidden") as failed:
            await cache.fetch("bad")

    assert isinstance(failed.value.__cause__, StatusError)
    assert server.targets.count("/items/a") == 1


async def test_a_cancelled_load_ends_its_requests_and_the_next_one_works(server):
    server.lay_out("/items/held", Reply(hold=True))
    server.lay_out("/items/held_too", Reply(hold=True))
    server.lay_out("/items/a", value(1))
    async with source(server, concurrency=2) as opened:
        for _ in range(5):
            with move_on_after(10) as scope:
                async with create_task_group() as tasks:
                    tasks.start_soon(opened.load_many, ["held", "held_too", "a"])
                    await until(lambda: server.busy == 2)
                    scope.cancel()
            await until(lambda: not server.busy)
        with fail_after(20):
            assert await opened.load_many(["a"]) == {"a": 1}

    assert server.gone == 10


async def test_a_load_that_is_under_way_when_the_source_closes_ends(server):
    server.lay_out("/items/held", Reply(hold=True))
    answers = []

    async def load(opened):
        answers.append(await opened.load_many(["held", "other"]))

    async with create_task_group() as tasks, source(server, concurrency=1) as opened:
        tasks.start_soon(load, opened)
        await until(lambda: server.busy)

    assert [type(failed.error) for failed in answers[0].values()] == [HTTPSourceError] * 2
    assert "the source was closed" in str(answers[0]["held"].error)
    assert server.targets == ["/items/held"]


async def test_it_is_opened_by_the_first_load_and_not_after_it_was_closed(server):
    server.lay_out("/items/a", value(1))
    lazy = source(server)
    await lazy.aclose()
    with pytest.raises(LoadError, match="the source is closed: use it inside 'async with'"):
        await lazy.load_many(["a"])
    lazy = source(server)
    assert await lazy.load_many(["a"]) == {"a": 1}
    await lazy.aclose()
    await lazy.aclose()
    with pytest.raises(LoadError):
        await lazy.load_many(["a"])
    async with lazy:
        assert await lazy.load_many(["a"]) == {"a": 1}


def counts(setting, least):
    return [(setting, bad) for bad in (least - 1, 1.5, True, "3", None)]


@pytest.mark.parametrize(
    ("setting", "bad"),
    [
        *counts("concurrency", 1),
        *counts("max_body", 1),
        *counts("max_redirects", 0),
        *(("timeout", bad) for bad in (0, -1.0, math.nan, math.inf, True, "1", None)),
        ("value_type", dict[Item, Item] | dict[str, int]),
        *(("headers", {name: "x"}) for name in ("", "a b", "a:", "a\n", "é", "Host", "content-length", 5)),
        *(("headers", {"X-A": bad}) for bad in ("SECRET\n", "SECRET\x00", "SECRETé", 5, None, b"x")),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused_by_name(setting, bad):
    with pytest.raises(ConfigurationError) as refused:
        HTTPSource("https://host/{key}", **{setting: bad})

    assert refused.value.setting == setting
    assert "SECRET" not in str(refused.value)


@pytest.mark.parametrize("host", ["a" * 300, "münchen.example", "a%20b", "host:65536"])
def test_a_host_that_is_none_is_refused(host):
    with pytest.raises(ConfigurationError, match=r"^url: is not a"):
        HTTPSource(f"https://{host}/{{key}}")


def test_a_user_in_the_url_and_in_a_header_is_refused():
    with pytest.raises(ConfigurationError, match="give only one") as refused:
        HTTPSource("https://me:SECRET@host/{key}", headers={"AUTHORIZATION": "SECRET"})

    assert "SECRET" not in str(refused.value)
