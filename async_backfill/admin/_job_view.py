"""What the pages of jobs show, from what `Jobs` says."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from async_backfill._common.error_text import key_text
from async_backfill.admin._live import Shown
from async_backfill.jobs import ShardStatus, estimate

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    from async_backfill.admin._pages import Pages
    from async_backfill.admin._verifications import Verification, Verifications
    from async_backfill.jobs import JobReport, Jobs, LogLine

_MOST_SHARDS: Final = 100
_MOST_KEYS: Final = 100
_MOST_LINES: Final = 30
_PARTS: Final = (
    "job_status",
    "job_figures",
    "job_workers",
    "job_shards",
    "job_dead",
    "job_verification",
    "job_found",
    "job_log",
)


class JobView:
    """Looks at one job for its page."""

    def __init__(self, jobs: Jobs, pages: Pages, verifications: Verifications) -> None:
        self._jobs = jobs
        self._pages = pages
        self._verifications = verifications

    async def look(self, job_id: int, base: str) -> Shown:
        """Return what the page of a job shows now."""
        job = await self._jobs.status(job_id)
        lines = await self._jobs.log(job_id)
        dead = await self._jobs.dead(job_id) if job.counts.dead else {}
        found = await self._jobs.findings(job_id)
        facts: dict[str, Any] = {
            "base": base,
            "job": job,
            "verification": (verification := self._verifications.of(job_id)),
            "can_verify": self._verifications.is_possible,
            "shards": _shards_to_show(job),
            "shards_done": sum(shard.status is ShardStatus.DONE for shard in job.shards),
            "dead": _first(dead),
            "dead_count": len(dead),
            "found": _first(found),
            "found_count": len(found),
            "lines": lines[: -_MOST_LINES - 1 : -1],
            "line_count": len(lines),
            "bad_line": await self._jobs.check_log(job_id),
        }
        parts = {name: self._pages.render(name, **facts) for name in _PARTS}
        return Shown(parts=parts, facts=facts, acts_on=_acts_on(job, verification))

    async def review(self, job_id: int) -> Mapping[str, Any]:
        """Return what is to be seen of a plan before it is approved."""
        job = await self._jobs.status(job_id)
        return {"job": job, "estimate": estimate(job.plan)}

    async def log(self, job_id: int) -> Mapping[str, Any]:
        """Return the whole log of a job."""
        job = await self._jobs.status(job_id)
        lines: Sequence[LogLine] = await self._jobs.log(job_id)
        return {
            "job": job,
            "lines": lines,
            "line_count": len(lines),
            "bad_line": await self._jobs.check_log(job_id),
        }


class JobsView:
    """Looks at all jobs for the first page."""

    def __init__(self, jobs: Jobs, pages: Pages) -> None:
        self._jobs = jobs
        self._pages = pages

    async def table(self, base: str) -> str:
        """Return the table of all jobs, the last one planned first."""
        found = sorted(await self._jobs.list(), key=lambda job: -job.id)
        return self._pages.render("jobs", base=base, jobs=found)


def _acts_on(job: JobReport, verification: Verification | None) -> Hashable:
    approval = job.approval
    given = None if approval is None else (approval.id, approval.revoked)
    goes_on = verification is not None and verification.code is None
    return (job.status, job.wanted, job.settings, job.plan_hash, given, goes_on)


def _shards_to_show(job: JobReport) -> list[int]:
    """Return the places of the shards that are shown, first those that failed."""
    order = (ShardStatus.FAILED, ShardStatus.RUNNING, ShardStatus.READY, ShardStatus.DONE)
    places = sorted(range(len(job.shards)), key=lambda place: order.index(job.shards[place].status))
    return places[:_MOST_SHARDS]


def _first(by_key: Mapping[Any, str]) -> list[tuple[str, str]]:
    return [(key_text(key), said) for key, said in islice(by_key.items(), _MOST_KEYS)]
