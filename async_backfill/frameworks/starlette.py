"""Caches in FastAPI and Starlette: open, hand out, probe, and answer HTTP; needs the extra ``starlette``."""

# FastAPI looks at the annotations of `Resource.__call__` when the application is made, so they are not texts.

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, Generic

from async_backfill._common.extras import needed_by
from async_backfill._common.validation import whole
from async_backfill.errors import ConfigurationError
from async_backfill.frameworks._cache_headers import NOT_KEPT
from async_backfill.frameworks._conditional import client_has
from async_backfill.frameworks._entity_tags import OF_THE_BODY
from async_backfill.frameworks._health import readiness_of
from async_backfill.frameworks._opening import T, enter, shown_of
from async_backfill.stats import EntryFreshness

with needed_by("async_backfill.frameworks.starlette", "starlette", "starlette"):
    from starlette.requests import HTTPConnection, Request
    from starlette.responses import JSONResponse, PlainTextResponse, Response
    from starlette.routing import BaseRoute, Mount, Route

if TYPE_CHECKING:
    import os

    from starlette.types import Receive, Scope, Send

    from async_backfill.admin import Access, Application

__all__ = ["Resource", "conditional", "health_routes", "lifespan", "operator_page"]


class Resource(Generic[T]):
    """What a lifespan opens and requests use: a cache, `Jobs`, or whatever is opened with ``async with``.

    ``products = Resource("products", open_products)``; then ``Depends(products)`` is the dependency of
    FastAPI, and ``products.of(request)`` returns the same elsewhere, with the type that is opened.

    :param name: its name in the state of requests, in the answers of probes, and on the operator's page.
    :param opening: returns an asynchronous context manager: a function with ``@asynccontextmanager``, or one
        that returns a cache.
    :raises ConfigurationError: when ``name`` is no identifier.
    """

    __slots__ = ("name", "opening")

    def __init__(self, name: str, opening: Callable[[], AbstractAsyncContextManager[T]]) -> None:
        if not name.isidentifier():
            raise ConfigurationError("name", f"{name!r} is no identifier, such as 'products'")
        self.name = name
        self.opening = opening

    async def __call__(self, connection: HTTPConnection) -> T:
        """Return what `of` returns: what ``Depends`` calls, not in a thread, as it would a plain function."""
        return self.of(connection)

    def of(self, where: HTTPConnection | Mapping[str, Any]) -> T:
        """Return what was opened, for a request, for a websocket, or from what a `lifespan` yields.

        :raises ConfigurationError: when no lifespan has opened it.
        """
        state = where.scope.get("state", {}) if isinstance(where, HTTPConnection) else where
        try:
            opened: T = state[self.name]
        except KeyError:
            problem = f"{self.name!r} was not opened; pass it to lifespan(...), and run the lifespan"
            raise ConfigurationError("lifespan", problem) from None
        return opened


def lifespan(
    *resources: Resource[Any],
    inner: Callable[[Any], AbstractAsyncContextManager[Mapping[str, Any] | None]] | None = None,
) -> Callable[[Any], AbstractAsyncContextManager[dict[str, Any]]]:
    """Return a lifespan that opens ``resources`` in their order, and closes them in the opposite one.

    It yields them by their names, as the state of requests. What cannot be opened fails the start: one line
    in the log names it, and what was opened before is closed.

    :param inner: a lifespan that you have already; it runs inside. To use what was opened there, write it
        around this one instead: ``async with lifespan(products)(app) as state: ...``.
    :raises ConfigurationError: when two of them have the same name.
    """
    names = [resource.name for resource in resources]
    for name in names:
        _require_once(name, names.count(name) > 1)

    @asynccontextmanager
    async def opened(app: Any) -> AsyncIterator[dict[str, Any]]:
        async with AsyncExitStack() as stack:
            state = {one.name: await enter(stack, one.name, one.opening) for one in resources}
            for page in _pages_in(app.routes):
                await stack.enter_async_context(page.running(state))
            if inner is not None:
                own = await stack.enter_async_context(inner(app)) or {}
                for name in own:
                    _require_once(name, name in state)
                state.update(own)
            yield state

    return opened


def health_routes(
    *resources: Resource[Any], live: str = "/livez", ready: str = "/readyz", retry_after: int = 2
) -> list[Route]:
    """Return the routes of a liveness and of a readiness probe, for ``routes=`` of FastAPI or Starlette.

    ``live`` answers 200 as long as the process answers at all. ``ready`` answers 200 when all ``resources``
    are open and no cache of them is warming (see `BackfillCache.is_ready`), else 503 with ``Retry-After``; a
    JSON object says which. Neither of them waits for a source or a far tier.

    :param retry_after: seconds after which a probe should ask again, 1 or more.
    """
    later = str(whole("retry_after", retry_after, least=1))

    async def is_live(_: Request) -> Response:
        return PlainTextResponse("ok", headers={"Cache-Control": NOT_KEPT})

    async def is_ready(request: Request) -> Response:
        state = request.scope.get("state", {})
        ready, told = readiness_of({one.name: state.get(one.name) for one in resources})
        headers = {"Cache-Control": NOT_KEPT} if ready else {"Cache-Control": NOT_KEPT, "Retry-After": later}
        return JSONResponse(told, 200 if ready else 503, headers)

    return [Route(live, is_live), Route(ready, is_ready)]


def operator_page(
    path: str,
    *resources: Resource[Any],
    access: "Access | None" = None,
    state: str | None = None,
    job_folder: "str | os.PathLike[str] | None" = None,
) -> Mount:
    """Return the operator's page of those ``resources`` that are caches or `Jobs`, mounted at ``path``.

    :param access, state, job_folder: as of `async_backfill.admin.Application`. Without ``access`` it answers
        this machine only.
    :raises MissingExtraError: without the extra ``admin``.
    """
    settings = {"access": access, "state": state, "job_folder": job_folder}
    return Mount(path, app=_OperatorPage(resources, settings))


class _OperatorPage:
    """The page of what a lifespan has opened, made when that runs or when it is asked for first."""

    def __init__(self, resources: tuple[Resource[Any], ...], settings: dict[str, Any]) -> None:
        from async_backfill.admin import Application  # noqa: PLC0415 - needs an extra of its own

        self._make = Application
        self._resources = resources
        self._settings = settings
        self._shown: tuple[object, ...] = ()
        self._page: Application | None = None

    @asynccontextmanager
    async def running(self, state: Mapping[str, Any]) -> AsyncIterator[None]:
        """Do inside ``async with`` what the page of ``state`` does while nobody looks."""
        if any(one.name not in state for one in self._resources):  # of another lifespan
            yield
            return
        async with self._page_of(state).running():
            yield

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        await self._page_of(scope.get("state", {}))(scope, receive, send)

    def _page_of(self, state: Mapping[str, Any]) -> "Application":
        opened = {one.name: one.of(state) for one in self._resources}
        shown = tuple(map(id, opened.values()))
        if self._page is None or shown != self._shown:  # the lifespan may run again
            self._shown = shown
            self._page = self._make(**shown_of(opened), **self._settings)
        return self._page


def _pages_in(routes: Iterable[BaseRoute]) -> Iterator[_OperatorPage]:
    """Return the operator's pages that are mounted, at whatever depth."""
    for route in routes:
        if isinstance(route, Mount):
            if isinstance(route.app, _OperatorPage):
                yield route.app
            yield from _pages_in(route.routes)


def conditional(
    request: Request,
    response: Response,
    freshness: EntryFreshness | None,
    *,
    etag: str | None = None,
    is_public: bool = False,
) -> Response:
    """Return ``response`` with ``Cache-Control``, ``Age`` and ``ETag``, or 304 when the client has it.

    Of an answer to GET or HEAD with status 200; one of 400 or more gets ``no-store``, and every other one
    stays as it is. What it says already stays, too. ``Vary`` is yours: name the header fields that the body
    depends on. See RFC 9110, sections 8.8.3, 13.1.2 and 15.4.5, and RFC 9111, section 5.2.2.

    :param freshness: `BackfillCache.freshness_of` the key, asked right after the value was read.
    :param etag: the entity tag, in quotes, such as ``'"v7"'``; without it a hash of the body. Where something
        after this compresses the body, give a weak one: ``'W/"v7"'``.
    :param is_public: whether caches that several people share may keep it.
    :raises ConfigurationError: when ``etag`` is no entity tag, or the body is a stream and there is none.
    """
    if not client_has(
        response.headers,
        method=request.method,
        status=response.status_code,
        body=getattr(response, "body", None),
        asked=request.headers.getlist("if-none-match"),
        freshness=freshness,
        etag=etag,
        is_public=is_public,
    ):
        return response
    unchanged = Response(status_code=304, background=response.background)
    unchanged.raw_headers = [
        (name, value) for name, value in response.raw_headers if name.decode("latin-1") not in OF_THE_BODY
    ]
    return unchanged


def _require_once(name: str, is_twice: object) -> None:
    if is_twice:
        raise ConfigurationError("name", f"{name!r} stands twice in the state of the lifespan")
