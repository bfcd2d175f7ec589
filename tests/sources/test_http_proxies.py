"""Proxies: one that is given, those of the environment, and what they are told."""

from __future__ import annotations

import base64
import logging
import traceback

import pytest

from async_backfill import ConfigurationError
from tests.real_asyncio import anyio_backend  # noqa: F401 - a fixture

pytest.importorskip("aiohttp")
pytest.importorskip("uvicorn")
from yarl import URL

from async_backfill.sources.http import HTTPSource, NoAnswerError, RetryPolicy, StatusError
from async_backfill.sources.http._exchange import _through
from async_backfill.sources.http._proxies import Proxies
from tests.servers.http import Reply, start_http

ONCE = RetryPolicy(attempts=1)
SERVICE = "http://service.invalid/items/{key}"
NAMES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture(scope="module")
def running():
    with start_http() as server:
        yield server


@pytest.fixture
def server(running):
    running.reset()
    return running


@pytest.mark.anyio
async def test_a_service_is_asked_through_the_proxy_that_is_given(server):
    server.lay_out("http://service.invalid/items/a", Reply(body=b"1"))
    async with HTTPSource(SERVICE, proxy=server.url, headers={"X-Token": "t"}) as source:
        assert await source.load_many(["a"]) == {"a": 1}

    (seen,) = server.seen
    assert (seen.target, seen.headers["host"], seen.headers["x-token"]) == (
        "http://service.invalid/items/a",
        "service.invalid",
        "t",
    )
    assert "proxy-authorization" not in seen.headers


@pytest.mark.anyio
async def test_the_user_and_password_of_a_proxy_go_to_the_proxy(server):
    server.lay_out("http://service.invalid/items/a", Reply(body=b"1"))
    async with HTTPSource(SERVICE, proxy=f"http://me:p%40ss€@127.0.0.1:{server.port}") as source:
        assert await source.load_many(["a"]) == {"a": 1}

    token = server.seen[0].headers["proxy-authorization"].removeprefix("Basic ")
    assert base64.b64decode(token).decode() == "me:p@ss€"
    assert "authorization" not in server.seen[0].headers


@pytest.mark.anyio
async def test_of_a_tunnel_the_proxy_gets_its_own_headers_and_the_service_the_others(server):
    proxy = f"http://me:pass@127.0.0.1:{server.port}"
    https = "https://service.invalid/items/{key}"
    async with HTTPSource(https, proxy=proxy, headers={"X-Token": "t"}, retry=ONCE) as source:
        await source.load_many(["a"])

    (seen,) = server.seen
    assert seen.method == "CONNECT"
    assert "proxy-authorization" in seen.headers
    assert "x-token" not in seen.headers
    inside = _through(Proxies(proxy, trust_env=False).of(URL(https)), URL(https), {"x-token": "t"})
    assert inside["headers"] == {"x-token": "t"}


@pytest.mark.anyio
async def test_the_proxy_of_the_environment_is_used_when_it_is_trusted(server, monkeypatch):
    monkeypatch.setenv("http_proxy", server.url)
    server.lay_out("http://service.invalid/items/a", Reply(body=b"1"))
    server.lay_out("/items/a", Reply(body=b"2"))
    async with HTTPSource(SERVICE, trust_env=True) as source:
        assert await source.load_many(["a"]) == {"a": 1}
    async with HTTPSource(f"{server.url}/items/{{key}}") as source:
        assert await source.load_many(["a"]) == {"a": 2}

    monkeypatch.setenv("no_proxy", "127.0.0.1,other.example")
    async with HTTPSource(f"{server.url}/items/{{key}}", trust_env=True) as source:
        assert await source.load_many(["a"]) == {"a": 2}


@pytest.mark.anyio
async def test_no_netrc_is_read(server, monkeypatch, tmp_path):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password SECRET\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    server.lay_out("/items/a", Reply(body=b"1"))
    async with HTTPSource(f"{server.url}/items/{{key}}", trust_env=True) as source:
        assert await source.load_many(["a"]) == {"a": 1}

    assert "authorization" not in server.seen[0].headers


@pytest.mark.parametrize(
    ("url", "proxy"),
    [
        ("http://host/a", "http://plain:1"),
        ("https://host/a", "http://safe:2"),
        ("https://host.inside/a", None),
        ("https://inside/a", None),
        ("https://outside/a", "http://safe:2"),
        ("http://port.example:81/a", None),
        ("http://port.example/a", "http://plain:1"),
    ],
)
def test_the_environment_says_which_proxy_and_for_whom_none(monkeypatch, url, proxy):
    monkeypatch.setenv("HTTP_PROXY", "http://plain:1")
    monkeypatch.setenv("HTTPS_PROXY", "safe:2")
    monkeypatch.setenv("ALL_PROXY", "http://never:3")
    monkeypatch.setenv("NO_PROXY", "inside, port.example:81")
    found = Proxies(None, trust_env=True).of(URL(url))

    assert (found and str(found.url)) == proxy


def test_all_proxy_is_for_what_has_no_other(monkeypatch):
    monkeypatch.setenv("ALL_PROXY", "http://all:3")

    assert str(Proxies(None, trust_env=True).of(URL("https://host/a")).url) == "http://all:3"
    assert Proxies(None, trust_env=False).of(URL("https://host/a")) is None
    assert str(Proxies("https://own:4", trust_env=True).of(URL("https://host/a")).url) == "https://own:4"


@pytest.mark.parametrize(
    "proxy", ["socks5://me:SECRET@host:1", "http://", "ftp://SECRET@host", "", 5, "http://a b"]
)
def test_a_proxy_that_cannot_be_used_is_refused_without_showing_it(monkeypatch, proxy):
    with pytest.raises(
        ConfigurationError, match=r"^proxy: is not the URL of an http or https proxy"
    ) as refused:
        HTTPSource(SERVICE, proxy=proxy)
    assert "SECRET" not in "".join(traceback.format_exception(refused.value))

    if isinstance(proxy, str) and proxy:
        monkeypatch.setenv("http_proxy", proxy)
        with pytest.raises(ConfigurationError, match=r"^HTTP_PROXY: is not the URL of") as refused:
            Proxies(None, trust_env=True).of(URL("http://host/"))
        assert "SECRET" not in str(refused.value)


@pytest.mark.anyio
async def test_the_password_of_a_proxy_shows_nowhere(server, caplog):
    caplog.set_level(logging.DEBUG)
    told = []
    server.lay_out("http://service.invalid/items/a", Reply(407, b"", {"Proxy-Authenticate": "Basic"}))
    async with HTTPSource(SERVICE, proxy=f"http://me:SECRET@127.0.0.1:{server.port}", retry=ONCE) as source:
        refused = (await source.load_many(["a"]))["a"].error
        told.append(repr(source))
    async with HTTPSource(
        "https://service.invalid/{key}", proxy=f"http://me:SECRET@127.0.0.1:{server.port}", retry=ONCE
    ) as source:
        no_tunnel = (await source.load_many(["a"]))["a"].error
    async with HTTPSource(SERVICE, proxy="http://me:SECRET@127.0.0.1:1", retry=ONCE) as source:
        down = (await source.load_many(["a"]))["a"].error

    assert isinstance(refused, StatusError)
    assert str(refused) == f"HTTP 407 Proxy Authentication Required from {SERVICE}"
    assert isinstance(no_tunnel, NoAnswerError)
    assert "the proxy says HTTP 404 Not Found" in str(no_tunnel)
    assert isinstance(down, NoAnswerError)
    assert "no connection to the proxy 127.0.0.1:1: " in str(down)
    told += ["".join(traceback.format_exception(error)) for error in (refused, no_tunnel, down)]
    assert "SECRET" not in "".join([*told, caplog.text])
