"""The first page: all that there is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.routing import Route

from async_backfill.admin._live import Shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request
    from starlette.responses import Response

    from async_backfill.admin._access import Visitor
    from async_backfill.admin._cache_view import CachesView
    from async_backfill.admin._desk import Desk
    from async_backfill.admin._job_view import JobsView


class Overview:
    """Shows all caches and all jobs."""

    def __init__(self, caches: CachesView | None, jobs: JobsView | None, desk: Desk) -> None:
        self._desk = desk
        self._caches = caches
        self._jobs = jobs

    def routes(self) -> Sequence[Route]:
        """Return the addresses, each with who may use it."""
        page = self._desk.gate.page
        return [
            Route("/", page(self.overview), methods=["GET"]),
            Route("/events", page(self.events), methods=["GET"]),
        ]

    async def overview(self, request: Request, visitor: Visitor) -> Response:
        """Show what there is."""
        shown = await self._look(request)
        has = {"has_caches": self._caches is not None, "has_jobs": self._jobs is not None}
        return self._desk.show(request, visitor, "overview", parts=shown.parts, **has, **shown.facts)

    async def events(self, request: Request, visitor: Visitor) -> Response:
        """Follow what there is."""
        del visitor
        return self._desk.stream(lambda: self._look(request, is_followed=True), lambda _: {})

    async def _look(self, request: Request, *, is_followed: bool = False) -> Shown:
        base = request.scope.get("root_path", "")
        return await self._desk.looks.look(
            ("overview", base), lambda: self._look_anew(base), is_followed=is_followed
        )

    async def _look_anew(self, base: str) -> Shown:
        parts: dict[str, str] = {}
        facts: dict[str, Any] = {}
        if self._caches is not None:
            more, told = self._caches.rows(base)
            parts.update(more)
            facts.update(told)
        if self._jobs is not None:
            parts["jobs"] = await self._jobs.table(base)
        return Shown(parts=parts, facts=facts, acts_on=())
