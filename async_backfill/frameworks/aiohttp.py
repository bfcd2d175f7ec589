"""Caches in aiohttp: open, hand out, probe, and answer HTTP; needs the extra ``http``."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from contextlib import AsyncExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from async_backfill._common.extras import needed_by
from async_backfill._common.validation import whole
from async_backfill.errors import ConfigurationError
from async_backfill.frameworks._cache_headers import NOT_KEPT
from async_backfill.frameworks._conditional import client_has
from async_backfill.frameworks._entity_tags import OF_THE_BODY
from async_backfill.frameworks._health import readiness_of
from async_backfill.frameworks._opening import T, enter, shown_of

with needed_by("async_backfill.frameworks.aiohttp", "http", "aiohttp", "multidict"):
    from aiohttp import web

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from async_backfill.admin import Access
    from async_backfill.stats import EntryFreshness

__all__ = ["conditional", "health_routes", "opened", "operator_page"]


def opened(
    key: web.AppKey[T], opening: Callable[[], AbstractAsyncContextManager[T]]
) -> Callable[[web.Application], AsyncIterator[None]]:
    """Return what opens a cache, `Jobs` or the like with the application, for ``app.cleanup_ctx``.

    ``app.cleanup_ctx.append(opened(PRODUCTS, open_products))``; then ``request.app[PRODUCTS]`` is what was
    opened, typed by the key: ``PRODUCTS = web.AppKey("products", BackfillCache[str, Product])``. What cannot
    be opened fails the start: one line in the log names it, and what was opened before is closed.

    :param opening: returns an asynchronous context manager: a function with ``@asynccontextmanager``, or one
        that returns a cache.
    """

    async def context(app: web.Application) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            app[key] = await enter(stack, _name(key), opening)
            yield

    return context


def health_routes(
    *keys: web.AppKey[Any], live: str = "/livez", ready: str = "/readyz", retry_after: int = 2
) -> list[web.RouteDef]:
    """Return the routes of a liveness and of a readiness probe, for ``app.add_routes``.

    ``live`` answers 200 as long as the process answers at all. ``ready`` answers 200 when what ``keys`` name
    is open and no cache of it is warming (see `BackfillCache.is_ready`), else 503 with ``Retry-After``; a
    JSON object says which. Neither of them waits for a source or a far tier.

    :param keys: two of one name are told apart by the names of their modules.
    :param retry_after: seconds after which a probe should ask again, 1 or more.
    :raises ConfigurationError: when two keys of one module have one name.
    """
    named = _named(keys)
    later = str(whole("retry_after", retry_after, least=1))

    async def is_live(_: web.Request) -> web.Response:
        return web.Response(text="ok", headers={"Cache-Control": NOT_KEPT})

    async def is_ready(request: web.Request) -> web.Response:
        ready, told = readiness_of({name: request.config_dict.get(key) for name, key in named.items()})
        headers = {"Cache-Control": NOT_KEPT} if ready else {"Cache-Control": NOT_KEPT, "Retry-After": later}
        return web.json_response(told, status=200 if ready else 503, headers=headers)

    return [web.get(live, is_live), web.get(ready, is_ready)]


def operator_page(
    *keys: web.AppKey[Any],
    host: str = "127.0.0.1",
    port: int = 8765,
    access: Access | None = None,
    state: str | None = None,
    job_folder: str | os.PathLike[str] | None = None,
) -> Callable[[web.Application], AsyncIterator[None]]:
    """Return what serves the operator's page beside the application, for ``app.cleanup_ctx``.

    The page is an ASGI application, which aiohttp cannot mount: uvicorn serves it in the same event loop, on
    a ``port`` of its own. Append it after what opens ``keys``, whose caches and `Jobs` it shows.

    :param access, state, job_folder: as of `async_backfill.admin.Application`. Without ``access`` it answers
        this machine only.
    :raises ConfigurationError: when two keys of one module have one name.
    :raises MissingExtraError: without the extra ``admin``.
    """
    named = _named(keys)
    from async_backfill.admin import Application  # noqa: PLC0415 - needs an extra of its own

    with needed_by("operator_page", "admin", "uvicorn"):
        from async_backfill.admin._server import PageServer  # noqa: PLC0415 - as above

    class Beside(PageServer):
        @contextmanager
        def capture_signals(self) -> Iterator[None]:
            """Leave the signals to the server of the application."""
            yield

    async def context(app: web.Application) -> AsyncIterator[None]:
        shown = shown_of({name: app[key] for name, key in named.items()})
        page = Application(**shown, access=access, state=state, job_folder=job_folder)
        with socket.create_server((host, port)) as listener:
            server = Beside(page)
            serving = asyncio.create_task(server.serve([listener]))
            try:
                yield
            finally:
                server.should_exit = True
                await serving

    return context


def conditional(
    request: web.Request,
    response: web.Response,
    freshness: EntryFreshness | None,
    *,
    etag: str | None = None,
    is_public: bool = False,
) -> web.Response:
    """Return ``response`` with ``Cache-Control``, ``Age`` and ``ETag``, or 304 when the client has it.

    Of an answer to GET or HEAD with status 200; one of 400 or more gets ``no-store``, and every other one
    stays as it is. What it says already stays, too. ``Vary`` is yours: name the header fields that the body
    depends on. See RFC 9110, sections 8.8.3, 13.1.2 and 15.4.5, and RFC 9111, section 5.2.2.

    :param freshness: `BackfillCache.freshness_of` the key, asked right after the value was read.
    :param etag: the entity tag, in quotes, such as ``'"v7"'``; without it a hash of the body. With
        ``enable_compression``, or where something after this compresses the body, give a weak one:
        ``'W/"v7"'``.
    :param is_public: whether caches that several people share may keep it.
    :raises ConfigurationError: when ``etag`` is no entity tag, or the body is a stream and there is none.
    """
    headers = response.headers
    if not client_has(
        headers,
        method=request.method,
        status=response.status,
        body=response.body,
        asked=request.headers.getall("If-None-Match", ()),
        freshness=freshness,
        etag=etag,
        is_public=is_public,
    ):
        return response
    kept = [(name, value) for name, value in headers.items() if name.lower() not in OF_THE_BODY]
    unchanged = web.Response(status=304)
    unchanged.headers.extend(kept)
    unchanged.cookies.update(response.cookies)
    return unchanged


def _full_name(key: web.AppKey[Any]) -> str:
    """Return the name that ``key`` was made with, with that of its module, which aiohttp puts before it."""
    return repr(key).partition("(")[2].partition(", type=")[0]


def _name(key: web.AppKey[Any]) -> str:
    return _full_name(key).rpartition(".")[2]


def _named(keys: Sequence[web.AppKey[Any]]) -> Mapping[str, web.AppKey[Any]]:
    """Return ``keys`` by their names, with their modules where two have one name."""
    count = Counter(_name(key) for key in dict.fromkeys(keys))
    named: dict[str, web.AppKey[Any]] = {}
    for key in keys:
        name = _name(key) if count[_name(key)] == 1 else _full_name(key)
        if named.setdefault(name, key) is not key:
            raise ConfigurationError("keys", f"two of them have the name {name!r}; give each its own")
    return named
