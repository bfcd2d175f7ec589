"""Cache headers and conditional requests of FastAPI and Starlette."""

from __future__ import annotations

import pytest

pytest.importorskip("starlette", reason="needs starlette")

from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Route

from async_backfill import ConfigurationError
from async_backfill.frameworks.starlette import Resource, conditional, lifespan
from tests.frameworks.asgi import asked

pytestmark = pytest.mark.anyio


def application(products, answer=JSONResponse, **settings):
    """An application that answers with the product of the path, made a response by ``answer``."""
    resource = Resource("products", products.open)

    async def read(request):
        cache, key = resource.of(request), request.path_params["key"]
        value = await cache.get(key)
        return conditional(request, answer(value), cache.freshness_of(key), **settings)

    route = Route("/{key}", read, methods=["GET", "HEAD", "POST"])
    return Starlette(routes=[route], lifespan=lifespan(resource))


async def test_an_answer_tells_for_how_long_its_value_is_fresh(products):
    async with asked(application(products)) as ask:
        await ask("/a")
        products.clock.advance(20.0)
        answer = await ask("/a")

        assert answer["cache-control"] == (
            "private, max-age=60, stale-while-revalidate=300, stale-if-error=300"
        )
        assert (answer.status, answer["age"], answer.json) == (200, "20", {"name": "Anvil"})


async def test_the_same_body_is_not_sent_twice(products):
    async with asked(application(products)) as ask:
        tag = (await ask("/a"))["etag"]
        unchanged = await ask("/a", headers=[("if-none-match", f'"x", W/{tag}')])
        other = await ask("/b", headers=[("if-none-match", tag)])
        any_tag = await ask("/b", headers=[("if-none-match", '"x"'), ("if-none-match", "*")])

        assert (unchanged.status, unchanged.body, unchanged["etag"]) == (304, b"", tag)
        assert unchanged["cache-control"].startswith("private, max-age=60")
        assert unchanged["age"] == "0"
        assert (other.status, any_tag.status) == (200, 304)


async def test_head_is_answered_as_get_is(products):
    async with asked(application(products)) as ask:
        get = await ask("/a")
        head = await ask("/a", "HEAD")
        unchanged = await ask("/a", "HEAD", headers=[("if-none-match", get["etag"])])

        assert (head.status, head.headers) == (200, get.headers)
        assert (unchanged.status, unchanged.body) == (304, b"")


async def test_an_unchanged_answer_keeps_what_is_not_about_the_body(products):
    def answer(value):
        headers = {
            "Vary": "Accept",
            "Content-Language": "en",
            "Content-Security-Policy": "default-src 'self'",
        }
        response = JSONResponse(value, headers=headers)
        response.set_cookie("first", "1")
        response.set_cookie("second", "2")
        return response

    async with asked(application(products, answer)) as ask:
        unchanged = await ask("/a", headers=[("if-none-match", "*")])
        names = [name for name, _ in unchanged.headers]

        assert sorted(names) == sorted(
            [*("age", "cache-control", "etag", "vary", "content-security-policy"), *["set-cookie"] * 2]
        )


async def test_what_the_answer_says_already_stays(products):
    def answer(value):
        return JSONResponse(value, headers={"Cache-Control": "max-age=1", "ETag": '"mine"'})

    async with asked(application(products, answer)) as ask:
        answer = await ask("/a")
        assert (answer["cache-control"], answer["etag"], answer["age"]) == ("max-age=1", '"mine"', None)
        assert (await ask("/a", headers=[("if-none-match", '"mine"')])).status == 304


async def test_a_tag_may_be_given_and_a_stream_needs_one(products):
    def stream(value):
        async def parts():
            yield str(value)

        return StreamingResponse(parts())

    async with asked(application(products, stream, etag='W/"v1"')) as ask:
        assert (await ask("/a"))["etag"] == 'W/"v1"'
        assert (await ask("/a", headers=[("if-none-match", '"v1"')])).status == 304
    async with asked(application(products, stream)) as ask:
        with pytest.raises(ConfigurationError, match="etag: is needed, as the body is a stream"):
            await ask("/a")
    async with asked(application(products, etag="v1")) as ask:
        with pytest.raises(ConfigurationError, match="is no entity tag"):
            await ask("/a")


@pytest.mark.parametrize("status", [400, 404, 503])
async def test_an_error_is_kept_by_nobody(products, status):
    async with asked(application(products, lambda _: PlainTextResponse("no", status))) as ask:
        answer = await ask("/none", headers=[("if-none-match", "*")])
        assert (answer.status, answer["cache-control"], answer["etag"]) == (status, "no-store", None)


@pytest.mark.parametrize(("method", "status"), [("GET", 201), ("GET", 302), ("POST", 200)])
async def test_any_other_answer_stays_as_it_is(products, method, status):
    async with asked(application(products, lambda _: PlainTextResponse("yes", status))) as ask:
        answer = await ask("/a", method, headers=[("if-none-match", "*")])
        assert (answer.status, answer["cache-control"], answer["etag"]) == (status, None, None)


async def test_a_value_that_never_expires_is_asked_for_each_time(products):
    products.settings.clear()
    async with asked(application(products, is_public=True)) as ask:
        assert (await ask("/a"))["cache-control"] == "public, no-cache"
