"""The pages and forms of the caches of this process."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final, TypeAlias

from anyio import fail_after
from starlette.responses import RedirectResponse
from starlette.routing import Route

from async_backfill.admin._refusals import RefusedError, logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from typing import Any

    from starlette.requests import Request
    from starlette.responses import Response

    from async_backfill._cache import BackfillCache
    from async_backfill.admin._access import Visitor
    from async_backfill.admin._cache_view import CachesView
    from async_backfill.admin._desk import Desk
    from async_backfill.admin._forms import Form
    from async_backfill.admin._live import Shown

    Verb: TypeAlias = Callable[[BackfillCache[Any, Any], Form, str], Awaitable[object]]

_PATIENCE: Final = 30.0
_SLOW: Final = "It took longer than {:.0f} s, and may still be done: look at the audit log."


async def _approve(cache: BackfillCache[Any, Any], form: Form, by: str) -> None:
    n, reason = form.whole("n"), form.required("reason")
    await cache.approve_backfills(0 if n is None else n, by=by, reason=reason)


async def _save_snapshot(cache: BackfillCache[Any, Any], form: Form, by: str) -> None:
    del form
    await cache.save_snapshot()
    logger().info("%s had a snapshot saved", by)


async def _stop_restoring(cache: BackfillCache[Any, Any], form: Form, by: str) -> None:
    del form
    cache.stop_restoring()
    logger().info("%s had the restoring of a snapshot stopped", by)


VERBS: Final[Mapping[str, Verb]] = MappingProxyType(
    {"permits": _approve, "snapshot": _save_snapshot, "stop-restoring": _stop_restoring}
)
"""What may be asked of a cache, by the last word of the form's address."""


class CachePages:
    """Shows caches, and takes what is asked of them."""

    def __init__(self, view: CachesView, desk: Desk) -> None:
        self._view = view
        self._desk = desk

    def routes(self) -> Sequence[Route]:
        """Return the addresses, each with who may use it."""
        page, change = self._desk.gate.page, self._desk.gate.change
        return [
            Route("/caches/{cache}", page(self.cache), methods=["GET"]),
            Route("/caches/{cache}/events", page(self.events), methods=["GET"]),
            Route("/caches/{cache}/readiness", change(self.readiness), methods=["POST"]),
            Route("/caches/{cache}/{verb}", change(self.ask), methods=["POST"]),
        ]

    async def cache(self, request: Request, visitor: Visitor) -> Response:
        """Show one cache."""
        shown = await self._look(request)
        parts = {**shown.parts, **self._forms(request, visitor, shown)}
        return self._desk.show(request, visitor, "cache", **shown.facts, parts=parts)

    async def events(self, request: Request, visitor: Visitor) -> Response:
        """Follow one cache."""
        await self._look(request)
        return self._desk.stream(
            lambda: self._look(request, is_followed=True), lambda shown: self._forms(request, visitor, shown)
        )

    async def readiness(self, request: Request, visitor: Visitor, _: Form) -> Response:
        """Ask a cache whether it is ready: a form, because the first question begins to load what was hot."""
        name, cache = self._view.find(request.path_params["cache"])
        facts = {"name": name, "address": request.path_params["cache"], "readiness": cache.readiness}
        return self._desk.show(request, visitor, "readiness", **facts)

    async def ask(self, request: Request, visitor: Visitor, form: Form) -> Response:
        """Do what the form of a cache asks."""
        address, verb = request.path_params["cache"], request.path_params["verb"]
        _, cache = self._view.find(address)
        if verb not in VERBS:
            raise RefusedError(404, "There is no such form.")
        try:
            with fail_after(_PATIENCE):
                await VERBS[verb](cache, form, visitor.name)
        except TimeoutError:
            raise RefusedError(504, _SLOW.format(_PATIENCE)) from None
        self._desk.looks.forget()
        base = request.scope.get("root_path", "")
        return RedirectResponse(f"{base}/caches/{address}?done={verb}", status_code=303)

    async def _look(self, request: Request, *, is_followed: bool = False) -> Shown:
        address = request.path_params["cache"]
        return await self._desk.looks.look(
            ("cache", address), lambda: self._view.look(address), is_followed=is_followed
        )

    def _forms(self, request: Request, visitor: Visitor, shown: Shown) -> dict[str, str]:
        facts = {name: shown.facts[name] for name in ("stats", "address")}
        return {"cache_forms": self._desk.render(request, visitor, "cache_forms", **facts)}
