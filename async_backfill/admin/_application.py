"""The operator's page as an ASGI application: what is shown where, and to whom."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from starlette.responses import Response
from starlette.routing import Mount, Route, Router

from async_backfill._common.line_a_second import LineASecond
from async_backfill._jobs._state.naming import shown
from async_backfill.admin._access import Access
from async_backfill.admin._api import CacheApi, JobApi, no_caches
from async_backfill.admin._api_gate import ApiGate
from async_backfill.admin._background import Background
from async_backfill.admin._cache_course import Courses
from async_backfill.admin._cache_pages import CachePages
from async_backfill.admin._cache_view import CachesView
from async_backfill.admin._desk import Desk
from async_backfill.admin._gate import Gate
from async_backfill.admin._job_folder import JobFolder
from async_backfill.admin._job_pages import JobPages
from async_backfill.admin._job_verbs import job_verbs
from async_backfill.admin._job_view import JobsView
from async_backfill.admin._overview import Overview
from async_backfill.admin._pages import TYPES, Pages
from async_backfill.admin._refusals import RefusedError, logger
from async_backfill.admin._seals import Seals
from async_backfill.admin._shell import Shell
from async_backfill.admin._verifications import Verifications

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncIterator, Mapping, Sequence

    from starlette.requests import Request
    from starlette.routing import BaseRoute
    from starlette.types import Receive, Scope, Send

    from async_backfill._cache import BackfillCache
    from async_backfill.admin._api_gate import Exposition
    from async_backfill.jobs import Jobs


class Application:
    """The operator's page of caches and jobs; an ASGI application, served alone or mounted.

    It opens nothing: what it shows must be open while it is served.

    :param caches: the caches of this process, by the names under which they are shown; a mapping that changes
        is looked at anew each time.
    :param jobs: an open `Jobs`; ``None`` when there are none to show.
    :param access: who may look, and who may change something; by default this machine alone.
    :param state: the file of the state of ``jobs``, or its URL, for the commands that are shown, without a
        password; left out where it is the usual one.
    :param job_folder: a folder whose job files may be planned; without it a plan is made elsewhere. With
        ``state`` as well, jobs are verified by processes of this machine: see `running`.
    :param metrics: what ``GET /metrics`` answers those who may look, as Prometheus reads it, such as
        ``prometheus_client.generate_latest``, or an async function; ``None`` for no such address.
    """

    def __init__(
        self,
        *,
        caches: Mapping[str, BackfillCache[Any, Any]] | None = None,
        jobs: Jobs | None = None,
        access: Access | None = None,
        state: str | None = None,
        job_folder: str | os.PathLike[str] | None = None,
        metrics: Exposition | None = None,
    ) -> None:
        access = Access() if access is None else access
        pages, lines = Pages(None if state is None else shown(state)), LineASecond(logger(), time.monotonic)
        gate = Gate(access, Seals(access), pages, lines)
        self._background = Background()
        self._courses = Courses(LineASecond(logger(), time.monotonic))
        self._caches = {} if caches is None else caches
        self._pages = pages
        self._desk = Desk(gate, pages, has_login=access.has_tokens)
        shown_caches = None if caches is None else CachesView(caches, pages, self._courses)
        shown_jobs = None if jobs is None else JobsView(jobs, pages)
        routes: list[BaseRoute] = [
            Route("/static/{file}", self._file, methods=["GET"]),
            *Overview(shown_caches, shown_jobs, self._desk).routes(),
        ]
        if shown_caches is not None:
            routes += CacheApi(shown_caches, self._desk).routes()
            routes += CachePages(shown_caches, self._desk).routes()
        else:
            routes.append(no_caches(gate))
        if jobs is not None:
            folder = None if job_folder is None else JobFolder(job_folder)
            # Who may plan reaches the ends of jobs, and has what is secret of them.
            verifications = Verifications(jobs, None if folder is None else state, self._background)
            verbs = job_verbs(jobs, verifications)
            routes += JobApi(jobs, self._desk, verifications, verbs).routes()
            routes += JobPages(jobs, self._desk, folder, verifications, verbs).routes()
        if metrics is not None:
            routes.append(Route("/metrics", ApiGate(gate).metrics(metrics), methods=["GET"]))
        if access.has_tokens:
            routes += [
                Route("/login", gate.to_login, methods=["GET"]),
                Route("/login", gate.log_in, methods=["POST"]),
                Route("/logout", gate.log_out, methods=["POST"]),
            ]
        self.addresses = tuple(routes)
        self._shell = Shell(Router(routes, redirect_slashes=False), access, pages, self.running)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._shell(scope, receive, send)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Do inside ``async with`` what goes on while nobody looks: note hit rates, and verify jobs.

        A server that tells it of its lifespan does that; an application that it is mounted in does not, and
        does it itself. Else hit rates are noted while somebody looks, and no job is verified from a page.
        """
        async with self._background.running(partial(self._courses.note_all, self._caches.values)):
            yield

    def end_streams(self) -> None:
        """End what is followed live, before the server ends: else it waits for pages that stay open."""
        self._desk.streams.end()

    async def _file(self, request: Request) -> Response:
        name = request.path_params["file"]
        if name not in TYPES:
            raise RefusedError(404, "There is no such file.")
        headers = {"cache-control": "public, max-age=300"}
        return Response(self._pages.files[name], media_type=TYPES[name], headers=headers)


def routes(
    *,
    caches: Mapping[str, BackfillCache[Any, Any]] | None = None,
    jobs: Jobs | None = None,
    access: Access | None = None,
    state: str | None = None,
    job_folder: str | os.PathLike[str] | None = None,
    metrics: Exposition | None = None,
) -> Sequence[BaseRoute]:
    """Return the routes of an `Application` with these settings, to mount in Starlette or FastAPI.

    ``Mount("/operator", routes=routes(caches={"prices": cache}, jobs=jobs, access=access))``
    """
    page = Application(
        caches=caches, jobs=jobs, access=access, state=state, job_folder=job_folder, metrics=metrics
    )
    return [Mount("", app=page)]
