"""Run backfills: offer, permit, select, load, audit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Generic

from async_backfill.backfill._audit.decisions import Decisions
from async_backfill.backfill._backoff import Backoff
from async_backfill.backfill._bounded_selection import BoundedSelection
from async_backfill.backfill._episode import Episode, cause_line
from async_backfill.backfill._running import Running
from async_backfill.contracts import K
from async_backfill.errors import CacheClosedError
from async_backfill.records import AuditRecord, BackfillCause, Status

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from async_backfill.backfill._audit.log import AuditLog
    from async_backfill.backfill._bulk_load import BulkLoad
    from async_backfill.backfill._fleet_budget import FleetBudget
    from async_backfill.backfill._history.recovery import Recovery
    from async_backfill.backfill._receipts.receipts import Receipts
    from async_backfill.backfill.budget import BackfillBudget
    from async_backfill.contracts import Selection, Spawn

_SCAN_FAILED: Final = "the scan failed, and it is tried again after a pause"
_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 60.0
_AT_REST: Final = "at rest: hardly a key of the last two backfills was read"


class Backfiller(Generic[K]):
    """Takes up offers of a backfill, at most ``concurrent`` at once, and audits what becomes of them.

    A backfill never raises: its failure is a record. Without a permit nothing is selected, because that may
    scan the source; and after a scan that failed there is a growing pause: 1 s, then up to 60 s.

    :param bulk: loads the keys that were selected.
    :param limit: returns how many keys a backfill may load right now.
    :param timeout: seconds that a selection may take; ``None`` for no limit.
    :param lookups: returns how many lookups the cache has counted.
    :param reading: returns the misses and lookups that the trigger saw.
    :param recovery: says how far backfills from history go after the cache was emptied.
    :param scans_freely: whether a selection costs nothing, and needs no permit.
    :param receipts: records which backfilled keys are read; ``None`` without probation.
    :param halted: returns why no backfill may start now, by a person if so told; ``None`` when one may.
    :param spawn: starts a task that the cache owns.
    """

    def __init__(  # noqa: PLR0913 - each is a part of its own; the cache puts them together once
        self,
        *,
        selection: Selection[K],
        bulk: BulkLoad[K],
        budget: BackfillBudget | FleetBudget,
        audit: AuditLog,
        limit: Callable[[], int],
        concurrent: int,
        timeout: float | None,
        lookups: Callable[[], int],
        reading: Callable[[], tuple[int, int]],
        recovery: Recovery,
        spawn: Spawn,
        scans_freely: bool = False,
        receipts: Receipts[K] | None = None,
        halted: Callable[[bool], str | None] = lambda _: None,
    ) -> None:
        self._halted = halted
        self.pace = bulk.pace
        self._scans_freely = scans_freely
        self._backoff = Backoff(_FIRST_PAUSE, _LONGEST_PAUSE)
        self._bounded: BoundedSelection[K] = BoundedSelection(timeout, None if scans_freely else spawn)
        self._recovery = recovery
        self._receipts = receipts
        self._selection = selection
        self._bulk = bulk
        self._budget = budget
        self._audit = audit
        self._limit = limit
        self._concurrent = concurrent
        self._record = Decisions(audit, budget, lookups=lookups, reading=reading).record
        self._spawn = spawn
        self.running = Running()
        self._stopped = False

    def stop(self) -> None:
        """Cancel the backfills under way and start no more; see `Running.quiet`."""
        self._stopped = True
        self.running.stop()

    def offer(self, cause: BackfillCause = BackfillCause.THRESHOLD) -> Episode | None:
        """Start a backfill unless nothing is left to load or no permit is left; return the one under way.

        Synchronous, and in constant time where the selection knows its outlook.
        """
        if self._stopped:
            return None
        if len(self.running) >= self._concurrent:
            return next(iter(self.running))
        if cause is BackfillCause.THRESHOLD and self._recovery.is_on:
            cause = BackfillCause.RECOVERY
        if (reason := self.why_not(cause)) is not None:
            self.decline(reason)
            return None
        room = self._limit()
        outlook = self._selection.outlook() if room else False
        status, reason = None, None
        if outlook is False:
            status = Status.SKIPPED
        elif not (self._budget.is_worth_asking or (outlook is None and self._scans_freely)):
            status = Status.DENIED
        elif outlook is None and not self._backoff.is_over:
            status, reason = Status.SKIPPED, _SCAN_FAILED
        if status is None:
            return self._start(Episode(cause, None, None))
        self._record(status, cause, reason=reason)
        if room:
            self._recovery.over()
        else:
            self._recovery.hindered()
        return None

    def why_not(self, cause: BackfillCause) -> str | None:
        """Return why no backfill with ``cause`` may start, or would be read; ``None`` when none is known."""
        at_rest = _AT_REST if self._receipts is not None and self._receipts.at_rest else None
        return self._halted(False) or at_rest or self._recovery.why_not(cause)

    def decline(self, reason: str) -> None:
        """Audit that no backfill was started although one was due, and why."""
        if not self._stopped and len(self.running) < self._concurrent:
            self._record(Status.SKIPPED, BackfillCause.THRESHOLD, reason=reason)

    async def force(self, by: str | None, reason: str | None) -> AuditRecord:
        """Run a backfill that needs no permit, after those under way; return the record of its end.

        :raises CacheClosedError: when the cache closes first.
        """
        while len(self.running) >= self._concurrent:
            await self.running.next()
        record = None
        if not self._stopped:
            episode = self._start(Episode(BackfillCause.MANUAL, by, reason))
            await episode.done.wait()
            record = episode.record
        if record is None:
            raise CacheClosedError("the cache closed before the backfill started")
        return record

    def _start(self, episode: Episode) -> Episode:
        self.running.add(episode)

        async def run() -> None:
            try:
                with episode.scope:
                    await self._run(episode)
                    while self._is_followed(episode):
                        await self._run(episode)
            finally:
                self.running.over(episode)

        self._spawn(run)
        return episode

    def _is_followed(self, episode: Episode) -> bool:
        return (
            episode.may_be_followed
            and self._halted(False) is None
            and self._recovery.goes_on(episode.asked)
            and self._room(episode) > 0
            and self._selection.outlook() is not False
        )

    async def _run(self, episode: Episode) -> None:
        if self._budget.permits_left == 0:
            await self._budget.refresh()
            if not (self._budget.permits_left or self._scans_freely or episode.needs_no_permit):
                self._denied(episode)
                return
        selected = None
        with episode.course.waiting():
            selected = await self._bounded.run(
                lambda: self._select(episode), lambda error: self._give_up(episode, error)
            )
        if self._is_halted(episode) or selected is None:
            return
        if selected.error is not None:
            await self._failed(episode, selected.error)
            return
        self._backoff.succeeded()
        if not selected.result:
            episode.record = self._record(Status.SKIPPED, episode.cause, episode)
            self._recovery.over()
        elif await self._is_permitted(episode) and not self._is_halted(episode):
            await self._load_keys(episode, selected.result)

    def _is_halted(self, episode: Episode) -> bool:
        """Return whether ``episode``, which has not loaded yet, must not: that is audited."""
        reason = episode.why_ended or self._halted(episode.needs_no_permit)
        if reason is not None:
            episode.record = self._record(Status.SKIPPED, episode.cause, episode, reason=reason)
        return reason is not None

    async def _is_permitted(self, episode: Episode) -> bool:
        """Spend a permit, if ``episode`` needs one; audit that there was none."""
        if episode.needs_no_permit or await self._budget.acquire():
            return True
        self._denied(episode)
        return False

    def _denied(self, episode: Episode) -> None:
        episode.record = self._record(Status.DENIED, episode.cause, episode)
        self._recovery.over()

    async def _failed(self, episode: Episode, failure: BaseException) -> None:
        """Audit that the selection failed, which costs a permit as well."""
        self._backoff.failed()
        self._recovery.hindered()
        if await self._is_permitted(episode):
            number, error = self._audit.next_backfill(), cause_line(failure)
            episode.record = self._record(Status.FAILED, episode.cause, episode, backfill=number, error=error)
        if isinstance(failure, (KeyboardInterrupt, SystemExit)):
            raise failure

    async def _give_up(self, episode: Episode, failure: TimeoutError) -> None:
        """End ``episode``, whose selection did not end when it was cancelled; its task may go on."""
        try:
            await self._failed(episode, failure)
        finally:
            self.running.over(episode)

    def _room(self, episode: Episode) -> int:
        return min(self._limit(), self._recovery.allows(episode.cause))

    async def _select(self, episode: Episode) -> Sequence[K]:
        limit = self._room(episode)
        return await self._selection.select(limit) if limit else ()

    async def _load_keys(self, episode: Episode, keys: Sequence[K]) -> None:
        number = self._audit.next_backfill()
        episode.asked += len(keys)
        self._recovery.begins(keys)

        def record(status: Status, loaded: int, error: str | None) -> None:
            if status is Status.CANCELLED and error is None:
                error = f"cancelled by {episode.by}"
            facts = {"backfill": number, "keys": len(keys), "loaded": loaded, "error": error}
            episode.record = self._record(status, episode.cause, episode, **facts)

        await self._bulk.load(number, episode.cause, keys, record, episode.course)
        if episode.has_failed:
            self._recovery.hindered()
        else:
            self._recovery.landed()
