"""Batch requests: how they are made and read, and which keys fail alone."""

from __future__ import annotations

import json

import msgspec
import pytest

from async_backfill import ConfigurationError
from async_backfill.outcomes import Failed
from tests.real_asyncio import anyio_backend  # noqa: F401 - a fixture

pytest.importorskip("aiohttp")
pytest.importorskip("uvicorn")
from async_backfill.sources.http import (
    AnswerError,
    Batch,
    BatchRequest,
    HTTPSource,
    KeyTextError,
    RetryPolicy,
    StatusError,
    get_keys,
    post_keys,
)
from tests.servers.http import Reply, start_http

pytestmark = pytest.mark.anyio

QUICK = RetryPolicy(wait_initial=0.001, wait_max=0.002)


@pytest.fixture(scope="module")
def running():
    with start_http() as server:
        yield server


@pytest.fixture
def server(running):
    running.reset()
    return running


def source(server, request=None, *, read=None, max_keys=100, **settings):
    request = request or post_keys(f"{server.url}/batch")
    batch = Batch(request=request, read=read, max_keys=max_keys)
    return HTTPSource(f"{server.url}/items/{{key}}", batch=batch, retry=QUICK, **settings)


def found(**values):
    return Reply(body=json.dumps(values).encode())


async def test_keys_are_posted_as_json_and_those_missing_from_the_answer_are_absent(server):
    server.lay_out("/batch", found(a={"n": 1}, none=None))
    async with source(server, headers={"X-Token": "t"}) as opened:
        assert await opened.load_many(["a", "none", "gone"]) == {"a": {"n": 1}, "none": None}

    (seen,) = server.seen
    assert (seen.method, json.loads(seen.body)) == ("POST", {"keys": ["a", "none", "gone"]})
    assert (seen.headers["content-type"], seen.headers["x-token"]) == ("application/json", "t")


async def test_names_that_are_no_keys_are_ignored_where_no_key_is_missing(server):
    server.lay_out("/batch", found(a=1, b=2, other=5))
    async with source(server) as opened:
        assert await opened.load_many(["a", "b"]) == {"a": 1, "b": 2}


@pytest.mark.parametrize("read", [None, json.loads])
async def test_a_key_that_is_missing_while_another_name_is_there_has_failed(server, read):
    server.lay_out("/batch", found(a=1, B=2))
    batch = Batch(request=post_keys(f"{server.url}/batch"), read=read)
    async with HTTPSource(f"{server.url}/{{key}}", batch=batch) as opened:
        answers = await opened.load_many(["a", "b"])

    assert answers["a"] == 1
    assert type(answers["b"].error) is AnswerError
    assert str(answers["b"].error) == (
        f"{server.url}/batch answered for 'B' instead of 'b' (they differ in upper and lower case)"
    )


async def test_keys_can_be_asked_for_in_the_query(server):
    server.lay_out("/batch?all=1&id=a%26b&id=%C3%A9&id=2", found(**{"a&b": 1, "é": 2}))
    async with source(server, get_keys(f"{server.url}/batch?all=1", name="id")) as opened:
        assert await opened.load_many(["a&b", "é", "2"]) == {"a&b": 1, "é": 2}

    assert server.seen[0].method == "GET"


async def test_whole_numbers_are_posted_as_such_and_found_by_their_text(server):
    server.lay_out("/batch", Reply(body=b'{"1": "one", "2": "two"}'))
    async with source(server, post_keys(f"{server.url}/batch", name="ids")) as opened:
        assert await opened.load_many([1, 2, 3]) == {1: "one", 2: "two"}

    assert json.loads(server.seen[0].body) == {"ids": [1, 2, 3]}


async def test_one_key_is_asked_for_by_its_own_url(server):
    server.lay_out("/items/a", Reply(body=b"1"))
    async with source(server) as opened:
        assert await opened.load_many(["a"]) == {"a": 1}
        assert await opened.load_many(["b"]) == {}

    assert server.targets == ["/items/a", "/items/b"]


async def test_many_keys_are_several_requests_of_the_most_that_is_allowed(server):
    keys = [f"k{number}" for number in range(25)]
    server.lay_out("/batch", found(**{key: key for key in keys}))
    async with source(server, max_keys=10) as opened:
        assert await opened.load_many(keys) == {key: key for key in keys}

    asked = [json.loads(seen.body)["keys"] for seen in server.seen]
    assert sorted(map(len, asked)) == [5, 10, 10]
    assert sorted(key for part in asked for key in part) == sorted(keys)


async def test_a_value_of_another_type_fails_alone(server):
    server.lay_out("/batch", found(a=1, b="two", c=3))
    async with source(server, value_type=int) as opened:
        answer = await opened.load_many(["a", "b", "c", "d"])

    assert (answer.pop("a"), answer.pop("c")) == (1, 3)
    assert list(answer) == ["b"]
    assert isinstance(answer["b"].error, AnswerError)


async def test_a_key_that_cannot_be_sent_fails_alone(server):
    server.lay_out("/batch", found(a=1, b=2))
    async with source(server) as opened:
        answer = await opened.load_many(["a", "\ud800", 1.5, "b"])

    assert (answer.pop("a"), answer.pop("b")) == (1, 2)
    assert {type(failed.error) for failed in answer.values()} == {KeyTextError}
    assert json.loads(server.seen[0].body)["keys"] == ["a", "b"]


@pytest.mark.parametrize("status", [400, 401, 404, 410, 422])
async def test_a_refused_batch_fails_its_keys_and_says_nothing_about_their_absence(server, status):
    server.lay_out("/batch", Reply(status), found(a=1, b=2))
    async with source(server) as opened:
        answer = await opened.load_many(["a", "b"])

    assert [failed.error.status for failed in answer.values()] == [status] * 2
    assert {type(failed.error) for failed in answer.values()} == {StatusError}


async def test_a_batch_is_sent_again_when_its_failure_may_pass(server):
    server.lay_out("/batch", Reply(503, b"", {"Retry-After": "0"}), Reply(500), found(a=1, b=2))
    async with source(server) as opened:
        assert await opened.load_many(["a", "b"]) == {"a": 1, "b": 2}

    assert [json.loads(seen.body) for seen in server.seen] == [{"keys": ["a", "b"]}] * 3


@pytest.mark.parametrize("body", [b"", b"[]", b"5", b'{"a": 1', b"null", b'{"a": nonsense, "b": 2}'])
async def test_an_answer_that_is_no_mapping_fails_all_keys(server, body):
    server.lay_out("/batch", Reply(body=body))
    async with source(server) as opened:
        answer = await opened.load_many(["a", "b"])

    assert {type(failed.error) for failed in answer.values()} == {AnswerError}
    assert set(answer) == {"a", "b"}


async def test_the_user_may_make_the_request_and_read_the_answer(server):
    server.lay_out(
        "/search?q=a|b|c", Reply(body=b'{"items": [{"id": "a", "n": 1}, {"id": "b", "error": "x"}]}')
    )

    def request(keys):
        return BatchRequest("GET", f"{server.url}/search?q={'|'.join(keys)}")

    def read(body):
        items = msgspec.json.decode(body)["items"]
        return {item["id"]: item.get("n", Failed(LookupError(item.get("error")))) for item in items}

    async with source(server, request, read=read) as opened:
        answer = await opened.load_many(["a", "b", "c"])

    assert answer["a"] == 1
    assert isinstance(answer["b"].error, LookupError)
    assert "c" not in answer


async def test_what_the_users_functions_raise_fails_the_keys_of_that_request_only(server):
    server.lay_out("/batch", found(a=1, b=2))
    post = post_keys(f"{server.url}/batch")

    def request(keys):
        if "x" in keys:
            raise ZeroDivisionError
        return post(keys)

    async with source(server, request, max_keys=2) as opened:
        answer = await opened.load_many(["a", "b", "x", "y"])

    assert (answer.pop("a"), answer.pop("b")) == (1, 2)
    assert {type(failed.error) for failed in answer.values()} == {ZeroDivisionError}


async def test_a_header_that_cannot_be_sent_is_not_shown(server):
    def request(_keys):
        return BatchRequest("GET", f"{server.url}/batch", headers={"X-Token": "SECRET\n"})

    async with source(server, request) as opened:
        answer = await opened.load_many(["a", "b"])

    refused = "headers: the value of X-Token must be printable ASCII text"
    assert str(answer["a"].error) == f"no request to {server.url}/batch could be made: {refused}"
    assert "SECRET" not in repr(request(()))
    assert server.seen == []


@pytest.mark.parametrize("url", ["ftp://host/", "/batch", "https://me:SECRET@host/batch", "", None])
@pytest.mark.parametrize("make", [post_keys, get_keys])
def test_a_url_that_is_none_is_refused(make, url):
    with pytest.raises(ConfigurationError) as refused:
        make(url)

    assert refused.value.setting == "url"
    assert "SECRET" not in str(refused.value)


@pytest.mark.parametrize("max_keys", [1, 0, -1, 2.0, True, "5", None])
def test_a_batch_of_less_than_two_keys_is_refused(max_keys):
    with pytest.raises(ConfigurationError) as refused:
        Batch(request=post_keys("https://host/"), max_keys=max_keys)

    assert refused.value.setting == "max_keys"
