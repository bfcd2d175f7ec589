"""What the lanes of one worker share: the ends, the latest orders, and why the worker ends."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from anyio import Event, current_time

from async_backfill._common.error_text import error_line
from async_backfill._jobs._events import JobPageDone, JobThrottled
from async_backfill._jobs._mark import LOST
from async_backfill._jobs._records import JobCounts, JobStatus, ShardStatus, Wanted
from async_backfill._jobs._running.guarding import PolicyGuard
from async_backfill._jobs._running.page_size import aim_of
from async_backfill.warming._calls import in_time
from async_backfill.warming._settings import checked

if TYPE_CHECKING:
    from async_backfill._jobs._ends import JobEnds
    from async_backfill._jobs._mark import Mark
    from async_backfill._jobs._records import JobRecord, ShardRecord, Throttled
    from async_backfill._jobs._reports import JobReports
    from async_backfill._jobs._running.desk import Desk, Look, Told
    from async_backfill._jobs._running.meter import Meter
    from async_backfill._jobs._state.shards import PageDone

WRITE_TIMEOUT: Final = 3.0
READ_TIMEOUT: Final = 60.0
_NO_APPROVAL: Final = "needs approval: that of before was used up, has expired or was taken back"
_NOTHING: Final = JobCounts()
_NEVER_TOO_LONG: Final = frozenset({"hours", "live loads", "rate", "pages", "operator"})


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """Why a worker ends, and what becomes of the job.

    ``status``
        ``None``: nothing by this worker.
    ``is_read``
        whether all shards are read, so that the job is verified.
    ``only_alone``
        whether the job goes on while other workers work on it.
    ``has_lost``
        whether rows that were written are gone, so that nothing is kept any more.
    """

    status: JobStatus | None = None
    reason: str | None = None
    is_read: bool = False
    only_alone: bool = False
    has_lost: bool = False


class Course:
    """The course of one worker.

    :param job: as it was when the worker began.
    :param dead: how many rows of it were dead then.
    :param reports: is told of pages and throttles.
    """

    def __init__(
        self,
        job: JobRecord,
        ends: JobEnds[Any, Any],
        desk: Desk,
        meter: Meter,
        mark: Mark,
        dead: int,
        reports: JobReports,
    ) -> None:
        spec = job.plan.spec
        self.reports = reports
        self.spec = spec
        self.ends = ends
        self.desk = desk
        self.meter = meter
        self.mark = mark
        self.guard: PolicyGuard[Any, Any] = PolicyGuard(ends, spec)
        self.aim = aim_of(self.guard.deadline)
        self.limits = spec.throttle
        if self.guard.deadline is not None and self.limits.max_lag is not None:
            # The page of a replica that lags as long as the deadline is refused before it is written.
            self.limits = replace(self.limits, max_lag=min(self.limits.max_lag, self.guard.deadline / 2))
        self.settings = job.settings
        self.copy_settings = checked(
            ttl=spec.ttl,
            ttl_jitter=spec.ttl_jitter,
            writers=1,
            ahead=1,
            write_timeout=WRITE_TIMEOUT,
            read_timeout=READ_TIMEOUT,
            attempts=1,
            max_dead=spec.max_dead,
            max_lost=1.0,
        )
        self.live = 1
        self.rows_left = 0
        self.in_flight = 0
        self.progress_at = current_time()
        self.end: End | None = None
        self.error: BaseException | None = None
        self.ended = Event()
        self._dead = dead

    @property
    def rate(self) -> float | None:
        """The rows a second of one lane: those of the job, shared by all shards that are worked on."""
        return None if self.settings.rate is None else self.settings.rate / max(1, self.live)

    @property
    def dead_left(self) -> int:
        """How many more rows may be dead."""
        return max(0, self.spec.max_dead - self._dead)

    @property
    def has_lost_memory(self) -> bool:
        """Whether rows that were written are gone."""
        return self.end is not None and self.end.has_lost

    def line(self, error: BaseException) -> str:
        """Return ``error`` as one line, without the secrets of the ends."""
        return self.ends.hidden(error_line(error))

    def finish(self, end: End) -> None:
        """Let all lanes end after their page; the first reason counts."""
        if self.end is None:
            self.end = end if end.reason is None else replace(end, reason=self.ends.hidden(end.reason))
            self.ended.set()

    def fail(self, reason: str) -> None:
        """Let the job fail."""
        self.finish(End(status=JobStatus.FAILED, reason=reason))

    def pause(self, reason: str) -> None:
        """Let the job pause by itself."""
        self.finish(End(status=JobStatus.PAUSED, reason=reason))

    def stop(self, reason: str) -> None:
        """Let this worker end; the job pauses unless others work on it."""
        self.finish(End(status=JobStatus.PAUSED, reason=reason, only_alone=True))

    def kept(self, shard: ShardRecord, done: PageDone) -> None:
        """Tell of a page, if anybody asks."""
        if (notify := self.reports.notify) is not None and done.counts != _NOTHING:
            notify(
                JobPageDone(
                    job=shard.job,
                    name=self.spec.name,
                    shard=shard.number,
                    counts=done.counts,
                    pages=done.pages,
                    repeated=done.repeated,
                    seconds=done.seconds,
                )
            )

    def waits(self, lane: int, throttled: Throttled | None, before: Throttled | None, seconds: float) -> None:
        """Tell that a lane waits, or goes on."""
        self.reports.tell(
            JobThrottled(
                job=self.desk.job_id,
                name=self.spec.name,
                lane=lane,
                throttled=throttled,
                before=before,
                seconds=seconds,
            )
        )

    def obey(self, told: Told) -> None:
        """Take note of the orders that came with a checkpoint."""
        orders = told.orders
        self.settings, self.live, self._dead = orders.settings, told.live, orders.dead
        allowed = orders.allowance
        self.rows_left = 0 if allowed is None else allowed.rows_left
        self._obey(orders.status, orders.wanted, is_allowed=allowed is not None and allowed.holds)
        if orders.dead > self.spec.max_dead:
            self.fail(f"{orders.dead:,} rows could not be copied (max_dead is {self.spec.max_dead:,})")

    def see(self, look: Look) -> None:
        """Take note of the whole job, when there is no shard to be worked on."""
        self.settings, self.live = look.job.settings, look.live
        if look.job.status is JobStatus.RUNNING and look.is_read:
            self._see_the_end(look)
            return
        self._obey(look.job.status, look.job.wanted, is_allowed=look.is_allowed)
        waiting = [part for part in look.parts if part.status is ShardStatus.READY and part.error]
        patience = self.limits.patience
        if waiting and not look.live and current_time() - self.progress_at >= patience:
            self.pause(f"no page in {patience:g} s: shard {waiting[0].number}: {waiting[0].error}")

    def throttled(self, throttled: Throttled, since: float) -> None:
        """Pause the job when the same reason has held for too long.

        :param since: the time of the event loop since which it holds.
        """
        patience = self.limits.patience
        if throttled.reason not in _NEVER_TOO_LONG and current_time() - since >= patience:
            self.pause(f"{throttled.reason}: {throttled.value} (limit: {throttled.limit}) for {patience:g} s")

    async def look_at_store(self) -> BaseException | None:
        """Look how the store fares, and whether it still has the mark; return why it did not say."""
        facts = self.ends.store_facts
        if facts is None:
            return None
        is_there, error = await in_time(self.mark.is_there, WRITE_TIMEOUT, "a look at the store")
        if error is not None:
            return error
        if not is_there:
            self.lose_memory()
            return None
        state, error = await in_time(facts.state, WRITE_TIMEOUT, "a look at the store")
        if state is None:
            return error
        self.meter.store(state)
        if self.meter.evicted:
            self.pause(
                f"the store is full: it has evicted {self.meter.evicted:,} entries; give it more memory, or "
                "copy less"
            )
        return None

    def lose_memory(self) -> None:
        """Let the job fail because rows that were written are gone."""
        self.finish(End(status=JobStatus.FAILED, reason=LOST, has_lost=True))

    def break_off(self, error: BaseException) -> None:
        """End because of an error that no job can do anything about."""
        self.error = self.error or error
        self.finish(End(reason=self.line(error)))

    def _obey(self, status: JobStatus, wanted: Wanted, *, is_allowed: bool) -> None:
        if status is not JobStatus.RUNNING:
            self.finish(End())
        elif wanted is Wanted.CANCEL:
            self.finish(End(status=JobStatus.CANCELLED, reason=None))
        elif wanted is Wanted.PAUSE:
            self.finish(End(status=JobStatus.PAUSED, reason=None))
        elif not is_allowed:
            self.pause(_NO_APPROVAL)

    def _see_the_end(self, look: Look) -> None:
        if not look.failed:
            self.finish(End(is_read=True))
            return
        first = look.failed[0]
        self.fail(
            f"{len(look.failed)} of {len(look.parts)} shards failed, such as {first.number}: {first.error}; "
            "the others are read"
        )
