"""The copy of a shard whose pages are spans: each from its read to its checkpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from async_backfill._common.spans import current, ending
from async_backfill._jobs._running.shard_copy import ShardCopy

if TYPE_CHECKING:
    from async_backfill._jobs._records import ShardRecord
    from async_backfill._jobs._running.course import Course
    from async_backfill._jobs._running.waiting import Lane
    from async_backfill.contracts import OpenSpan, Tracer
    from async_backfill.warming._page import Page
    from async_backfill.warming._progress import Tally


class TracedShardCopy(ShardCopy):
    """Makes a span of each page, with ``tracer``; see `ShardCopy`.

    A job is long, so each page is a trace of its own, linked to the span of who runs the job.
    """

    def __init__(self, tracer: Tracer, course: Course, lane: Lane, shard: ShardRecord) -> None:
        super().__init__(course, lane, shard)
        self._tracer = tracer
        caller = tracer.caller()
        self._links = () if caller is None else (caller,)
        self._whose = {"job": course.spec.name, "job_id": shard.job, "shard": shard.number}
        self._span_ahead: OpenSpan | None = None
        self._facts: dict[str, Any] = {}

    async def _read(self, rows: int) -> None:
        span = self._tracer.begin("job page", self._whose, links=self._links)
        try:
            with current(span):
                await super()._read(rows)
        except BaseException as error:
            if span is not None:
                span.end({}, error)
            raise
        if span is None:
            return
        ahead = self._ahead
        if isinstance(ahead, tuple) and ahead[0] is not None:
            self._span_ahead = span
        elif isinstance(ahead, Exception):
            span.end({}, ahead.__cause__ or ahead)
        else:
            span.end({"rows": 0})

    async def _copy(self, page: Page[Any, Any], read_seconds: float) -> None:
        span, self._span_ahead = self._span_ahead, None
        facts: dict[str, Any] = {"rows": len(page.rows) + len(page.failed), "is_done": False}
        self._facts = facts
        with ending(span, facts):
            await super()._copy(page, read_seconds)

    async def _keep(
        self, page: Page[Any, Any], tally: Tally[Any], seconds: float, whole_seconds: float
    ) -> bool:
        is_kept = await super()._keep(page, tally, seconds, whole_seconds)
        bad = tally.dead + tally.rejected
        self._facts.update(is_done=is_kept, kept=tally.kept, newer=tally.newer, leased=tally.leased, dead=bad)
        return is_kept

    async def _bear(self, error: BaseException, pause: float) -> bool:
        self._facts["failures"] = self._facts.get("failures", 0) + 1
        return await super()._bear(error, pause)

    def _drop_ahead(self) -> None:
        super()._drop_ahead()
        span, self._span_ahead = self._span_ahead, None
        if span is not None:
            span.end({"is_done": False})
