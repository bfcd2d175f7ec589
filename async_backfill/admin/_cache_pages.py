"""The pages and forms of the caches of this process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import RedirectResponse
from starlette.routing import Route

from async_backfill.admin._cache_verbs import VERBS, do
from async_backfill.admin._keys import TYPES
from async_backfill.admin._refusals import RefusedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request
    from starlette.responses import Response

    from async_backfill.admin._access import Visitor
    from async_backfill.admin._cache_view import CachesView
    from async_backfill.admin._desk import Desk
    from async_backfill.admin._forms import Form
    from async_backfill.admin._live import Shown


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
            Route("/caches/{cache}/explain", change(self.explain, changes=False), methods=["POST"]),
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

    async def explain(self, request: Request, visitor: Visitor, form: Form) -> Response:
        """Show what is known of a key: by a form, because an address is kept in histories and logs."""
        name, cache = self._view.find(request.path_params["cache"])
        facts = {"name": name, "address": request.path_params["cache"]}
        explanation = await do("explain", cache, form, visitor.name)
        return self._desk.show(request, visitor, "explanation", **facts, explanation=explanation)

    async def ask(self, request: Request, visitor: Visitor, form: Form) -> Response:
        """Do what the form of a cache asks."""
        address, verb = request.path_params["cache"], request.path_params["verb"]
        _, cache = self._view.find(address)
        if verb not in VERBS:
            raise RefusedError(404, "There is no such form.")
        await do(verb, cache, form, visitor.name)
        self._desk.looks.forget()
        base = request.scope.get("root_path", "")
        return RedirectResponse(f"{base}/caches/{address}?done=cache-{verb}", status_code=303)

    async def _look(self, request: Request, *, is_followed: bool = False) -> Shown:
        address = request.path_params["cache"]
        return await self._desk.looks.look(
            ("cache", address), lambda: self._view.look(address), is_followed=is_followed
        )

    def _forms(self, request: Request, visitor: Visitor, shown: Shown) -> dict[str, str]:
        facts = {name: shown.facts[name] for name in ("stats", "address", "control")}
        return {"cache_forms": self._desk.render(request, visitor, "cache_forms", **facts, types=TYPES)}
