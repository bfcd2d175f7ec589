"""The pages and forms of jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from anyio import fail_after
from starlette.responses import RedirectResponse
from starlette.routing import Route

from async_backfill.admin._forms import job_id_of
from async_backfill.admin._job_view import JobView
from async_backfill.admin._refusals import RefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from starlette.requests import Request
    from starlette.responses import Response

    from async_backfill.admin._access import Visitor
    from async_backfill.admin._desk import Desk
    from async_backfill.admin._forms import Form
    from async_backfill.admin._job_folder import JobFolder
    from async_backfill.admin._job_verbs import Verb
    from async_backfill.admin._live import Shown
    from async_backfill.admin._verifications import Verifications
    from async_backfill.jobs import Jobs

_PLANNING: Final = 120.0
_SLOW: Final = (
    "The plan took longer than {:.0f} s: is the source so large, or an end of the job away? "
    "`async-backfill jobs plan FILE` has no such limit."
)


class JobPages:
    """Shows jobs, and takes what is asked of them."""

    def __init__(
        self,
        jobs: Jobs,
        desk: Desk,
        folder: JobFolder | None,
        verifications: Verifications,
        verbs: Mapping[str, Verb],
    ) -> None:
        self._jobs = jobs
        self._desk = desk
        self._folder = folder
        self._verbs = verbs
        self._view = JobView(jobs, desk.pages, verifications)
        self._plans = False

    def routes(self) -> Sequence[Route]:
        """Return the addresses, each with who may use it."""
        page, change = self._desk.gate.page, self._desk.gate.change
        return [
            Route("/plan", page(self.plan_form), methods=["GET"]),
            Route("/plan", change(self.plan), methods=["POST"]),
            Route("/panic", change(self.panic), methods=["POST"]),
            Route("/jobs/{job}", page(self.job), methods=["GET"]),
            Route("/jobs/{job}/review", page(self.review), methods=["GET"]),
            Route("/jobs/{job}/log", page(self.log), methods=["GET"]),
            Route("/jobs/{job}/events", page(self.events), methods=["GET"]),
            Route("/jobs/{job}/{verb}", change(self.ask), methods=["POST"]),
        ]

    async def job(self, request: Request, visitor: Visitor) -> Response:
        """Show one job."""
        shown = await self._look(request)
        return self._desk.show(
            request,
            visitor,
            "job",
            **shown.facts,
            parts={**shown.parts, **self._forms(request, visitor, shown)},
        )

    async def events(self, request: Request, visitor: Visitor) -> Response:
        """Follow one job."""
        await self._look(request)  # a job that is not there has no stream
        return self._desk.stream(
            lambda: self._look(request, is_followed=True), lambda shown: self._forms(request, visitor, shown)
        )

    async def review(self, request: Request, visitor: Visitor) -> Response:
        """Show a plan before it is approved."""
        return self._desk.show(request, visitor, "review", **await self._view.review(job_id_of(request)))

    async def log(self, request: Request, visitor: Visitor) -> Response:
        """Show the whole log of a job."""
        return self._desk.show(request, visitor, "log", **await self._view.log(job_id_of(request)))

    async def ask(self, request: Request, visitor: Visitor, form: Form) -> Response:
        """Do what the form of a job asks."""
        job_id, verb = job_id_of(request), request.path_params["verb"]
        if verb not in self._verbs:
            raise RefusedError(404, "There is no such form.")
        await self._verbs[verb](job_id, form, visitor.name)
        return self._done(request, f"/jobs/{job_id}", verb)

    async def panic(self, request: Request, visitor: Visitor, form: Form) -> Response:
        """Ask all jobs to pause."""
        await self._jobs.panic(by=visitor.name, reason=form.text("reason"))
        return self._done(request, "/", "panic")

    async def plan_form(self, request: Request, visitor: Visitor) -> Response:
        """Show the job files that may be planned."""
        names = None if self._folder is None else await self._folder.names()
        return self._desk.show(request, visitor, "plan", names=names)

    async def plan(self, request: Request, visitor: Visitor, form: Form) -> Response:
        """Measure what a job file describes, and keep its plan."""
        if self._folder is None:
            raise RefusedError(403, "No folder of job files was given to this page.")
        file = await self._folder.file(form.required("file"))
        if self._plans:
            raise RefusedError(409, "Another plan is being measured: wait for it.")
        self._plans = True
        try:
            with fail_after(_PLANNING):
                job = await self._jobs.plan(file, by=visitor.name)
        except TimeoutError:
            raise RefusedError(504, _SLOW.format(_PLANNING)) from None
        finally:
            self._plans = False
        return self._done(request, f"/jobs/{job.id}/review", "plan")

    def _done(self, request: Request, path: str, verb: str) -> Response:
        self._desk.looks.forget()
        base = request.scope.get("root_path", "")
        return RedirectResponse(f"{base}{path}?done={verb}", status_code=303)

    async def _look(self, request: Request, *, is_followed: bool = False) -> Shown:
        job_id, base = job_id_of(request), request.scope.get("root_path", "")
        return await self._desk.looks.look(
            ("job", job_id, base), lambda: self._view.look(job_id, base), is_followed=is_followed
        )

    def _forms(self, request: Request, visitor: Visitor, shown: Shown) -> dict[str, Any]:
        facts = {name: shown.facts[name] for name in ("job", "verification", "can_verify")}
        return {"job_forms": self._desk.render(request, visitor, "job_forms", **facts)}
