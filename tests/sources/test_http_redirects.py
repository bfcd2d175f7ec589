"""Redirects: how many, where to, and with which headers."""

from __future__ import annotations

import pytest

from async_backfill import ConfigurationError
from async_backfill.outcomes import Failed
from tests.real_asyncio import anyio_backend  # noqa: F401 - a fixture

pytest.importorskip("aiohttp")
pytest.importorskip("uvicorn")
from yarl import URL

from async_backfill.sources.http import (
    AnswerError,
    Batch,
    BatchRequest,
    HTTPSource,
    RetryPolicy,
    post_keys,
)
from async_backfill.sources.http._redirects import keeps_origin, redirect_target
from tests.servers.http import Reply, start_http

pytestmark = pytest.mark.anyio

SECRETS = {"Authorization": "Bearer SECRET", "X-API-Key": "SECRET", "Cookie": "SECRET"}


@pytest.fixture(scope="module")
def running():
    with start_http() as server, start_http() as other:
        yield server, other


@pytest.fixture
def servers(running):
    for server in running:
        server.reset()
    return running


@pytest.fixture
def server(servers):
    return servers[0]


def to(location, status=302):
    return Reply(status, b"", {"Location": location})


def source(server, **settings):
    settings = {"headers": SECRETS, "retry": RetryPolicy(attempts=1)} | settings
    return HTTPSource(f"{server.url}/items/{{key}}", **settings)


async def answer(opened, key="a"):
    return (await opened.load_many([key]))[key]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("location", ["/new/a", "../new/a", "{url}/new/a", "/new/a#part"])
async def test_a_redirect_is_followed_with_all_headers_on_the_same_server(server, status, location):
    server.lay_out("/items/a", to(location.replace("{url}", server.url), status))
    server.lay_out("/new/a", Reply(body=b"1"))
    async with source(server) as opened:
        assert await answer(opened) == 1

    assert server.seen[1].headers == server.seen[0].headers
    assert server.seen[1].headers["x-api-key"] == "SECRET"


@pytest.mark.parametrize("allowed", [0, 1, 3])
async def test_no_more_redirects_are_followed_than_allowed(server, allowed):
    server.lay_out("/items/0", Reply(body=b"1"))
    for number in range(1, 6):
        server.lay_out(f"/items/{number}", to(f"/items/{number - 1}"))
    async with source(server, max_redirects=allowed) as opened:
        assert await answer(opened, str(allowed)) == 1
        server.seen.clear()
        refused = await answer(opened, str(allowed + 1))

    assert isinstance(refused.error, AnswerError)
    assert str(refused.error).endswith(f" redirects more than max_redirects={allowed} times")
    assert len(server.seen) == allowed + 1


async def test_a_redirect_cycle_ends(server):
    server.lay_out("/items/a", to("/items/a"))
    async with source(server) as opened:
        assert isinstance(await answer(opened), Failed)

    assert len(server.seen) == 4


async def test_no_secret_goes_to_another_server(servers):
    server, other = servers
    server.lay_out("/items/a", to(f"{other.url}/a"))
    other.lay_out("/a", Reply(body=b"1"))
    async with source(server, redirects="any") as opened:
        assert await answer(opened) == 1

    assert set(other.seen[0].headers) == {"host", "accept", "accept-encoding", "user-agent"}
    assert "SECRET" not in repr(other.seen)


async def test_no_secret_goes_to_another_name_of_the_server(server):
    server.lay_out("/items/a", to(f"http://localhost:{server.port}/new"))
    server.lay_out("/new", Reply(body=b"1"))
    async with source(server, redirects="any") as opened:
        assert await answer(opened) == 1

    assert "SECRET" in repr(server.seen[0])
    assert "SECRET" not in repr(server.seen[1])


async def test_once_gone_the_secrets_do_not_come_back(servers):
    server, other = servers
    server.lay_out("/items/a", to(f"{other.url}/a"))
    other.lay_out("/a", to(f"{server.url}/chosen/by/the/other"))
    server.lay_out("/chosen/by/the/other", Reply(body=b"1"))
    async with source(server, redirects="any") as opened:
        assert await answer(opened) == 1

    assert server.targets == ["/items/a", "/chosen/by/the/other"]
    assert "SECRET" not in repr(server.seen[1])


async def test_a_user_in_a_redirect_is_not_sent(server):
    server.lay_out("/items/a", to(f"http://me:pass@127.0.0.1:{server.port}/new"))
    server.lay_out("/new", Reply(body=b"1"))
    async with source(server, headers={}) as opened:
        assert await answer(opened) == 1

    assert "authorization" not in server.seen[1].headers


@pytest.mark.parametrize(
    "location",
    [
        *(
            "ftp://host/a",
            "file:///etc/passwd",
            "javascript:alert(1)",
            "data:,1",
            "mailto:a@b",
            "gopher://x/",
        ),
        *(
            "http://[",
            "http://host:0/",
            "http://%00/",
            "http://host:port/",
            "http://host:99999999/",
            "http://a b/",
        ),
        "http://" + "x" * 5000,
    ],
)
async def test_a_redirect_to_anything_else_is_refused_without_showing_it(server, location):
    server.lay_out("/items/a", to(location))
    async with source(server) as opened:
        refused = await answer(opened)

    assert isinstance(refused.error, AnswerError)
    assert len(str(refused.error)) < 150
    assert len(server.seen) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_another_server_gets_no_request_unless_that_is_allowed(servers, status):
    server, other = servers
    server.lay_out("/items/a", to(f"{other.url}/SECRET/a?token=SECRET", status))
    server.lay_out("/batch", to(f"{other.url}/SECRET", status))
    batch = Batch(request=post_keys(f"{server.url}/batch"))
    async with source(server, batch=batch) as opened:
        alone = await answer(opened)
        together = await opened.load_many(["a", "b"])

    told = (
        f"redirects to another origin, {other.url}: if that is right, use it in url, or set redirects='any'"
    )
    assert isinstance(alone.error, AnswerError)
    assert str(alone.error) == f"{server.url}/items/{{key}} {told}"
    assert [str(failed.error) for failed in together.values()] == [f"{server.url}/batch {told}"] * 2
    assert other.seen == []


@pytest.mark.parametrize(
    "location",
    [
        "http://localhost:{port}/b",
        "//127.0.0.2:{port}/b",
        "http://127.0.0.1:1/b",
        "https://127.0.0.1:{port}/b",
    ],
)
async def test_another_name_port_or_scheme_is_another_server(server, location):
    server.lay_out("/items/a", to("/items/b"))
    server.lay_out("/items/b", to(location.replace("{port}", str(server.port))))
    async with source(server) as opened:
        refused = await answer(opened)

    assert "redirects to another origin" in str(refused.error)
    assert server.targets == ["/items/a", "/items/b"]


@pytest.mark.parametrize("status", [307, 308])
async def test_a_batch_that_is_moved_on_its_server_keeps_its_keys_and_headers(server, status):
    server.lay_out("/batch", to("/moved", status))
    server.lay_out("/moved", Reply(body=b'{"a":1}'))
    async with source(server, batch=Batch(request=post_keys(f"{server.url}/batch"))) as opened:
        assert await opened.load_many(["a", "b"]) == {"a": 1}

    first, moved = server.seen
    assert (moved.method, moved.body, moved.headers) == ("POST", first.body, first.headers)


@pytest.mark.parametrize("redirects", ["same-origin", "any"])
def test_a_redirect_from_https_to_http_is_refused(redirects):
    url = URL("https://host/items/a")
    for target in ("http://host/items/a", "http://other/"):
        with pytest.raises(AnswerError, match=r"^https://host/items/{key} redirects from https to http$"):
            redirect_target(url, target, "https://host/items/{key}", redirects=redirects)


def test_https_on_the_same_host_is_the_same_server():
    plain = URL("http://host/items/a")
    for target, goes in {
        "https://host/b": True,
        "https://HOST:443/b": True,
        "https://host:8443/b": False,
        "https://other/b": False,
    }.items():
        assert keeps_origin(plain, URL(target)) is goes
    assert not keeps_origin(URL("http://host:8080/a"), URL("https://host/a"))
    assert str(redirect_target(plain, "https://host/b", "x", redirects="same-origin")) == "https://host/b"


def test_a_redirect_to_anywhere_is_followed_without_its_fragment():
    url = URL("https://host/items/a")

    assert str(redirect_target(url, "//other/b?c=d#e", "x", redirects="any")) == "https://other/b?c=d"


@pytest.mark.parametrize("redirects", ["all", "", None, True, 1])
def test_a_rule_for_redirects_that_there_is_not_is_refused(redirects):
    with pytest.raises(ConfigurationError, match=r"^redirects: must be 'same-origin' or 'any', not "):
        HTTPSource("https://host/{key}", redirects=redirects)


@pytest.mark.parametrize(
    ("status", "method", "body"),
    [
        (301, "GET", b""),
        (302, "GET", b""),
        (303, "GET", b""),
        (307, "POST", b'{"keys":["a","b"]}'),
        (308, "POST", b'{"keys":["a","b"]}'),
    ],
)
async def test_a_batch_is_redirected_as_http_says(servers, status, method, body):
    server, other = servers
    server.lay_out("/batch", to(f"{other.url}/moved", status))
    other.lay_out("/moved", Reply(body=b'{"a":1}'))
    batch = Batch(request=post_keys(f"{server.url}/batch"))
    async with source(server, batch=batch, redirects="any") as opened:
        assert await opened.load_many(["a", "b"]) == {"a": 1}

    moved = other.seen[0]
    assert (moved.method, moved.body) == (method, body)
    assert ("content-type" in moved.headers) == (method == "POST")
    assert "SECRET" not in repr(other.seen)


async def test_a_batch_at_another_server_has_only_its_own_headers(servers):
    server, other = servers
    other.lay_out("/batch", Reply(body=b'{"a":1}'))

    def request(keys):
        return BatchRequest("GET", f"{other.url}/batch", headers={"X-Own": f"{len(keys)}"})

    async with source(server, batch=Batch(request=request)) as opened:
        assert await opened.load_many(["a", "b"]) == {"a": 1}

    assert other.seen[0].headers["x-own"] == "2"
    assert "SECRET" not in repr(other.seen)
