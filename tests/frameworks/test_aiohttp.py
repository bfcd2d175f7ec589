"""aiohttp: a cache that opens with the application, the probes, cache headers, and the operator's page."""

from __future__ import annotations

import logging
from contextlib import asynccontextmanager

import pytest

from tests.real_asyncio import anyio_backend  # noqa: F401 - a fixture

pytest.importorskip("aiohttp")

from aiohttp import ClientSession, web
from aiohttp.test_utils import TestClient, TestServer, make_mocked_request

from async_backfill import BackfillCache, BackfillPolicy, ConfigurationError, MappingSource
from async_backfill.frameworks.aiohttp import conditional, health_routes, opened, operator_page
from async_backfill.jobs import Jobs
from async_backfill.testing import GatedSource
from tests.frameworks.conftest import ROWS
from tests.frameworks.test_health import Remembered
from tests.servers.ports import free_port

pytestmark = pytest.mark.anyio

PRODUCTS = web.AppKey("products", BackfillCache[str, dict])
HOT = web.AppKey("hot", BackfillCache[str, dict])


def application(products, *, answer=web.json_response, **settings):
    async def read(request):
        cache, key = request.app[PRODUCTS], request.match_info["key"]
        value = await cache.get(key)
        return conditional(request, answer(value), cache.freshness_of(key), **settings)

    app = web.Application()
    app.cleanup_ctx.append(opened(PRODUCTS, products.open))
    app.add_routes([*health_routes(PRODUCTS), web.route("*", "/products/{key}", read)])
    app.router.add_get("/head/{key}", read)
    return app


@asynccontextmanager
async def asked(app):
    """Serve ``app`` on a free port, and yield what asks it."""
    async with TestClient(TestServer(app)) as client:
        yield client


async def start(app):
    """Start ``app`` as `web.run_app` does, and clean up."""
    runner = web.AppRunner(app)
    try:
        await runner.setup()
    finally:
        await runner.cleanup()


async def test_a_cache_opens_with_the_application_and_closes_with_it(products):
    async with asked(application(products)) as client:
        answer = await client.get("/products/a")
        assert await answer.json() == {"name": "Anvil"}

    assert products.happened == ["open products", "close products"]


async def test_what_cannot_be_opened_fails_the_start_in_one_line_and_closes_the_rest(products, caplog):
    @asynccontextmanager
    async def broken():
        raise ConnectionError("no answer\nfrom the database")
        yield

    app = application(products)
    app.cleanup_ctx.append(opened(HOT, broken))
    with pytest.raises(ConnectionError) as raised:
        await start(app)

    assert products.happened == ["open products", "close products"]
    assert raised.value.__notes__ == ["while 'hot' was opened for the application"]
    (record,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert record.getMessage() == (
        "the application does not start, because hot was not opened: "
        "ConnectionError: no answer from the database"
    )


async def test_the_probe_says_503_until_each_cache_is_warm(products):
    source = GatedSource(ROWS)
    app = application(products)
    policy = BackfillPolicy(selection="history")
    settings = {"scan": MappingSource(ROWS), "capacity": 10, "journal": Remembered(), "backfill": policy}
    app.cleanup_ctx.append(opened(HOT, lambda: BackfillCache(source, **settings)))
    inner = web.Application()
    inner.add_routes(health_routes(PRODUCTS, HOT, live="/l", ready="/r", retry_after=7))
    app.add_subapp("/inner", inner)
    async with asked(app) as client:
        before = await client.get("/inner/r")
        told = await before.json()
        alive = await client.get("/inner/l")
        source.open()
        await app[HOT].ready()
        after = await client.get("/inner/r")

        assert (before.status, before.headers["Retry-After"], before.headers["Cache-Control"]) == (
            *(503, "7", "no-store"),
        )
        assert told == {
            "ready": False,
            "resources": {"products": {"state": "open"}, "hot": {"state": "warming", "coverage": 0.0}},
        }
        assert (alive.status, await alive.text()) == (200, "ok")
        assert (after.status, (await after.json())["ready"]) == (200, True)
        assert (await client.get("/readyz")).status == 200


def key_of(module, name="cache"):
    """Return a key that is made in a module of this name."""
    made = {"__name__": module, "web": web}
    exec(f"KEY = web.AppKey({name!r})", made)  # noqa: S102 - aiohttp looks for the module that makes it
    return made["KEY"]


async def test_keys_of_one_name_are_told_apart_by_their_modules(products):
    one, other = key_of("shop.products"), key_of("shop.prices")
    app = web.Application()
    app.cleanup_ctx.append(opened(one, products.open))
    app.add_routes(health_routes(one, one, PRODUCTS, other))
    async with asked(app) as client:
        answer = await client.get("/readyz")
        assert (answer.status, await answer.json()) == (
            503,
            {
                "ready": False,
                "resources": {
                    "shop.products.cache": {"state": "open"},
                    "products": {"state": "closed"},
                    "shop.prices.cache": {"state": "closed"},
                },
            },
        )


async def test_the_operators_page_shows_all_keys_of_one_name():
    pytest.importorskip("jinja2", reason="the page needs it")
    one, other = key_of("shop.products"), key_of("shop.prices")
    app, port = web.Application(), free_port()
    for key in (one, other):
        app.cleanup_ctx.append(opened(key, lambda: BackfillCache(MappingSource({}))))
    app.cleanup_ctx.append(operator_page(one, other, port=port))
    async with asked(app), ClientSession() as session:
        answer = await session.get(f"http://127.0.0.1:{port}/")
        assert "None of 2 needs a person." in await answer.text()


def test_keys_of_one_module_with_one_name_are_refused():
    for made in (health_routes, operator_page):
        with pytest.raises(ConfigurationError, match=r"^keys: two of them have the name 'shop\.cache'; give"):
            made(key_of("shop"), key_of("shop"))


async def test_an_answer_has_cache_headers_and_is_not_sent_twice(products):
    async with asked(application(products)) as client:
        await client.get("/products/a")
        products.clock.advance(20.0)
        answer = await client.get("/products/a")
        tag = answer.headers["ETag"]
        unchanged = await client.get("/products/a", headers={"If-None-Match": f'"x", W/{tag}'})

        expected = {
            "Cache-Control": "private, max-age=60, stale-while-revalidate=300, stale-if-error=300",
            "Age": "20",
            "ETag": tag,
        }
        assert {name: answer.headers[name] for name in expected} == expected
        assert {name: unchanged.headers[name] for name in expected} == expected
        assert (unchanged.status, await unchanged.read()) == (304, b"")
        assert "Content-Type" not in unchanged.headers
        assert (await client.get("/products/b", headers={"If-None-Match": tag})).status == 200


async def test_head_is_answered_as_get_is(products):
    async with asked(application(products)) as client:
        tag = (await client.get("/head/a")).headers["ETag"]
        assert (await client.head("/head/a")).headers["ETag"] == tag
        assert (await client.head("/head/a", headers={"If-None-Match": tag})).status == 304


async def test_an_unchanged_answer_keeps_its_cookies_and_what_it_says_already_stays(products):
    def answer(value):
        headers = {"Cache-Control": "max-age=1", "ETag": '"mine"', "Vary": "Accept"}
        response = web.json_response(value, headers=headers)
        response.set_cookie("first", "1")
        return response

    async with asked(application(products, answer=answer)) as client:
        unchanged = await client.get("/products/a", headers={"If-None-Match": "*"})
        kept = {name: unchanged.headers[name] for name in ("Cache-Control", "ETag", "Vary")}

        assert (unchanged.status, unchanged.cookies["first"].value) == (304, "1")
        assert kept == {"Cache-Control": "max-age=1", "ETag": '"mine"', "Vary": "Accept"}
        assert "Age" not in unchanged.headers


async def test_an_error_is_kept_by_nobody_and_other_answers_stay_as_they_are(products):
    def answer(_):
        return web.Response(status=404)

    async with asked(application(products, answer=answer)) as client:
        answer = await client.get("/products/none", headers={"If-None-Match": "*"})
        assert (answer.status, answer.headers["Cache-Control"]) == (404, "no-store")
    async with asked(application(products)) as client:
        answer = await client.post("/products/a", headers={"If-None-Match": "*"})
        assert (answer.status, "ETag" in answer.headers) == (200, False)


async def test_a_body_that_is_a_stream_needs_a_tag():
    request = make_mocked_request("GET", "/")
    with pytest.raises(ConfigurationError, match="etag: is needed, as the body is a stream"):
        conditional(request, web.Response(), None)
    with pytest.raises(ConfigurationError, match="is no entity tag"):
        conditional(request, web.Response(), None, etag="v1")


async def test_the_operators_page_is_served_beside_the_application(products):
    pytest.importorskip("jinja2", reason="the page needs it")
    app, port = application(products), free_port()
    app.cleanup_ctx.append(operator_page(PRODUCTS, port=port))
    async with asked(app), ClientSession() as session:
        async with session.get(f"http://127.0.0.1:{port}/") as page:
            assert "None of 1 needs a person." in await page.text()
        async with session.get(f"http://127.0.0.1:{port}/events") as followed:  # does not hold the end up
            await followed.content.readany()

    assert products.happened == ["open products", "close products"]


async def test_the_operators_page_beside_the_application_can_verify_jobs(tmp_path):
    pytest.importorskip("jinja2", reason="the page needs it")
    app, port, jobs = web.Application(), free_port(), web.AppKey("jobs", Jobs)
    app.cleanup_ctx.append(opened(jobs, lambda: Jobs(tmp_path / "jobs.sqlite")))
    state = str(tmp_path / "jobs.sqlite")
    app.cleanup_ctx.append(operator_page(jobs, port=port, state=state, job_folder=tmp_path))
    async with asked(app), ClientSession() as session:
        answer = await session.post(f"http://127.0.0.1:{port}/api/jobs/1/verify", json={})
        assert (answer.status, "there is no job 1" in await answer.text()) == (409, True)


async def test_a_port_that_is_taken_fails_the_start_and_closes_the_rest(products):
    app, port = application(products), free_port()
    app.cleanup_ctx.extend([operator_page(PRODUCTS, port=port), operator_page(PRODUCTS, port=port)])
    with pytest.raises(OSError, match="in use"):
        await start(app)

    assert products.happened == ["open products", "close products"]
