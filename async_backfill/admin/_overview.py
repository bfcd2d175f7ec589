"""The first page: all that there is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.routing import Route

from async_backfill.admin._job_view import JobsView
from async_backfill.admin._live import Shown

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from starlette.requests import Request
    from starlette.responses import Response

    from async_backfill.admin._access import Visitor
    from async_backfill.admin._desk import Desk
    from async_backfill.jobs import Jobs


class Overview:
    """Shows all jobs."""

    def __init__(self, jobs: Jobs | None, desk: Desk) -> None:
        self._desk = desk
        self._jobs = None if jobs is None else JobsView(jobs, desk.pages)

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
        return self._desk.show(
            request, visitor, "overview", parts=shown.parts, has_jobs=self._jobs is not None, **shown.facts
        )

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
        acts_on: list[Hashable] = []
        if self._jobs is not None:
            more, told, acts = await self._jobs.look(base)
            parts.update(more)
            facts.update(told)
            acts_on.append(acts)
        return Shown(parts=parts, facts=facts, acts_on=tuple(acts_on))
