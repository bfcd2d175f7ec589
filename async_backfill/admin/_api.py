"""The API: what the pages show, and the verbs that they have, for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from starlette.routing import Route

from async_backfill._jobs._data import data_of
from async_backfill.admin._api_gate import ApiGate
from async_backfill.admin._cache_verbs import LOOKS, VERBS, do
from async_backfill.admin._forms import job_id_of
from async_backfill.admin._refusals import RefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from starlette.requests import Request

    from async_backfill.admin._access import Visitor
    from async_backfill.admin._cache_view import CachesView
    from async_backfill.admin._desk import Desk
    from async_backfill.admin._forms import Form
    from async_backfill.admin._gate import Gate
    from async_backfill.admin._job_verbs import Verb
    from async_backfill.admin._verifications import Verifications
    from async_backfill.jobs import Jobs

    Answer = Mapping[str, Any]

_NO_VERB: Final = "There is no such verb."
_NO_CACHES: Final = "No caches are shown here: ask the page in the application that has them."


class CacheApi:
    """Answers programs about the caches of this process."""

    def __init__(self, view: CachesView, desk: Desk) -> None:
        self._view = view
        self._desk = desk

    def routes(self) -> Sequence[Route]:
        """Return the addresses, each with who may use it."""
        gate = ApiGate(self._desk.gate)
        looks = [
            Route(f"/api/caches/{{cache:path}}/{verb}", gate.ask(self.ask, changes=False), methods=["POST"])
            for verb in sorted(LOOKS)
        ]
        return [
            Route("/api/caches", gate.read(self.caches), methods=["GET"]),
            Route("/api/caches/{cache:path}", gate.read(self.cache), methods=["GET"]),
            *looks,
            Route("/api/caches/{cache:path}/{verb}", gate.ask(self.ask), methods=["POST"]),
        ]

    async def caches(self, _: Request) -> Answer:
        """Return all caches, with their figures."""
        return {"caches": self._view.data()}

    async def cache(self, request: Request) -> Answer:
        """Return all that is known of a cache."""
        return self._view.data_of(request.path_params["cache"])

    async def ask(self, request: Request, visitor: Visitor, form: Form) -> Answer:
        """Do what is asked of a cache, and return what it says, and all that is known of it then."""
        name, verb = request.path_params["cache"], request.scope["path"].rpartition("/")[2]
        _, cache = self._view.named(name)
        if verb not in VERBS:
            raise RefusedError(404, _NO_VERB)
        said = await do(verb, cache, form, visitor.name)
        if verb not in LOOKS:
            self._desk.looks.forget()
        return {**self._view.data_of(name), "answer": said}


def no_caches(gate: Gate) -> Route:
    """Return the address of caches where none are shown, which says so."""

    async def caches(_: Request) -> Answer:
        raise RefusedError(404, _NO_CACHES)

    return Route("/api/caches{rest:path}", ApiGate(gate).read(caches), methods=["GET", "POST"])


class JobApi:
    """Answers programs about jobs."""

    def __init__(
        self, jobs: Jobs, desk: Desk, verifications: Verifications, verbs: Mapping[str, Verb]
    ) -> None:
        self._jobs = jobs
        self._desk = desk
        self._verifications = verifications
        self._verbs = verbs

    def routes(self) -> Sequence[Route]:
        """Return the addresses, each with who may use it."""
        gate = ApiGate(self._desk.gate)
        return [
            Route("/api/jobs", gate.read(self.jobs), methods=["GET"]),
            Route("/api/jobs/panic", gate.ask(self.panic), methods=["POST"]),
            Route("/api/jobs/{job}", gate.read(self.job), methods=["GET"]),
            Route("/api/jobs/{job}/verification", gate.read(self.verification), methods=["GET"]),
            Route("/api/jobs/{job}/{verb}", gate.ask(self.ask), methods=["POST"]),
        ]

    async def jobs(self, _: Request) -> Answer:
        """Return all jobs, as ``jobs ls --json`` prints them."""
        return {"jobs": [data_of(job) for job in await self._jobs.list()]}

    async def job(self, request: Request) -> Answer:
        """Return a job, as ``jobs status --json`` prints it."""
        return data_of(await self._jobs.status(job_id_of(request)))

    async def verification(self, request: Request) -> Answer:
        """Return the verification of a job that was begun here last."""
        job = await self._jobs.status(job_id_of(request))
        one = self._verifications.of(job.id)
        return {"verification": None if one is None else one.as_dict()}

    async def ask(self, request: Request, visitor: Visitor, form: Form) -> Answer:
        """Do what is asked of a job, and return what is known of it then."""
        job_id, verb = job_id_of(request), request.path_params["verb"]
        if verb not in self._verbs:
            raise RefusedError(404, _NO_VERB)
        await self._verbs[verb](job_id, form, visitor.name)
        self._desk.looks.forget()
        return data_of(await self._jobs.status(job_id))

    async def panic(self, _: Request, visitor: Visitor, form: Form) -> Answer:
        """Ask all jobs to pause, and return which."""
        asked = await self._jobs.panic(by=visitor.name, reason=form.text("reason"))
        self._desk.looks.forget()
        return {"jobs": list(asked)}
