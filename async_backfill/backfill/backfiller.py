"""One backfill: offered, permitted, selected, loaded, audited."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Generic

from anyio import CancelScope, Event, current_time

from async_backfill.attempt import attempt
from async_backfill.contracts import K
from async_backfill.errors import CacheClosedError
from async_backfill.outcomes import ELSEWHERE, Failed
from async_backfill.records import AuditRecord, BackfillCause, Status

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from async_backfill.backfill.audit import AuditLog
    from async_backfill.backfill.budget import BackfillBudget
    from async_backfill.contracts import Selection, Source, Spawn


class Episode:
    """One offer of a backfill that was taken up; ``done`` is set when it has ended, however it ended."""

    __slots__ = ("by", "cause", "done", "reason", "record", "scope")

    def __init__(self, cause: BackfillCause, by: str | None, reason: str | None) -> None:
        self.cause = cause
        self.by = by
        self.reason = reason
        self.done = Event()
        self.scope = CancelScope()
        self.record: AuditRecord | None = None


class Backfiller(Generic[K]):
    """Takes up offers of a backfill, at most ``concurrent`` at once, and audits what becomes of them.

    A backfill never raises: its failure is a record. It loads through ``load``, which in a cache is
    the loader, so it never repeats live traffic.

    :param limit: how many keys a backfill may load right now.
    :param timeout: seconds that a selection may take; ``None`` for no limit.
    :param lookups: how many lookups the cache has counted.
    :param reading: the misses and lookups that the trigger saw.
    :param spawn: starts a task that the cache owns.
    """

    def __init__(  # noqa: PLR0913 - each is a part of its own; the cache puts them together once
        self,
        *,
        selection: Selection[K],
        load: Source[K, object],
        budget: BackfillBudget,
        audit: AuditLog,
        limit: Callable[[], int],
        concurrent: int,
        timeout: float | None,
        lookups: Callable[[], int],
        reading: Callable[[], tuple[int, int]],
        spawn: Spawn,
    ) -> None:
        self._selection = selection
        self._load = load
        self._budget = budget
        self._audit = audit
        self._limit = limit
        self._concurrent = concurrent
        self._timeout = timeout
        self._lookups = lookups
        self._reading = reading
        self._spawn = spawn
        self._running: dict[Episode, None] = {}
        self._stopped = False

    @property
    def busy(self) -> bool:
        """Whether a backfill is under way."""
        return bool(self._running)

    async def quiet(self) -> None:
        """Wait until no backfill is under way."""
        while self._running:
            await next(iter(self._running)).done.wait()

    def stop(self) -> None:
        """Cancel the backfills under way and start no more; `quiet` waits until they have ended."""
        self._stopped = True
        for episode in self._running:
            episode.scope.cancel()

    def offer(self) -> Episode | None:
        """Start a backfill unless nothing is left to load or no permit is left; return the one under way.

        Synchronous, and in constant time where the selection knows its outlook.
        """
        if self._stopped:
            return None
        if len(self._running) >= self._concurrent:
            return next(iter(self._running))
        outlook = self._selection.outlook() if self._limit() else False
        if outlook is False:
            self._record(Status.SKIPPED, BackfillCause.THRESHOLD)
            return None
        if outlook is True and self._budget.permits_left == 0:
            self._record(Status.DENIED, BackfillCause.THRESHOLD)
            return None
        return self._start(Episode(BackfillCause.THRESHOLD, None, None))

    async def force(self, by: str | None, reason: str | None) -> AuditRecord:
        """Run a backfill that needs no permit, after those under way; return the record of its end.

        :raises CacheClosedError: when the cache closes first.
        """
        while len(self._running) >= self._concurrent:
            await next(iter(self._running)).done.wait()
        record = None
        if not self._stopped:
            episode = self._start(Episode(BackfillCause.MANUAL, by, reason))
            await episode.done.wait()
            record = episode.record
        if record is None:
            raise CacheClosedError("the cache closed before the backfill started")
        return record

    def _start(self, episode: Episode) -> Episode:
        self._running[episode] = None

        async def run() -> None:
            try:
                with episode.scope:
                    await self._run(episode)
            finally:
                del self._running[episode]
                episode.done.set()

        self._spawn(run)
        return episode

    async def _run(self, episode: Episode) -> None:
        selected = await attempt(lambda: self._select(), self._scope())  # noqa: PLW0108
        keys = selected.result or ()
        failure = selected.error
        if selected.stopped:
            failure = TimeoutError(f"the selection took longer than {self._timeout} s")
        if not keys and failure is None:
            episode.record = self._record(Status.SKIPPED, episode.cause, episode)
        elif episode.cause is BackfillCause.THRESHOLD and not self._budget.acquire_nowait():
            episode.record = self._record(Status.DENIED, episode.cause, episode)
        elif failure is not None:
            number = self._audit.next_backfill()
            episode.record = self._record(
                Status.FAILED, episode.cause, episode, backfill=number, error=_line(failure)
            )
        else:
            await self._load_keys(episode, keys)
        if isinstance(failure, (KeyboardInterrupt, SystemExit)):
            raise failure

    async def _select(self) -> Sequence[K]:
        limit = self._limit()
        return await self._selection.select(limit) if limit else ()

    def _scope(self) -> CancelScope:
        return CancelScope(deadline=math.inf if self._timeout is None else current_time() + self._timeout)

    async def _load_keys(self, episode: Episode, keys: Sequence[K]) -> None:
        number = self._audit.next_backfill()
        episode.record = self._record(Status.STARTED, episode.cause, episode, backfill=number, keys=len(keys))
        status, loaded = Status.CANCELLED, 0
        error: str | None = "the cache closed"
        try:
            call = await attempt(lambda: self._load.load_many(keys), CancelScope())
            if call.error is None:
                answers = call.result or {}
                self._selection.drop([key for key in keys if key not in answers])
                status, loaded, error = _judged(answers)
            elif not isinstance(call.error, CacheClosedError):
                status, error = Status.FAILED, _line(call.error)
        finally:
            episode.record = self._record(
                status, episode.cause, episode, backfill=number, keys=len(keys), loaded=loaded, error=error
            )

    def _record(
        self, status: Status, cause: BackfillCause, episode: Episode | None = None, **facts: object
    ) -> AuditRecord:
        misses, lookups = self._reading()
        return self._audit.add(
            status,
            lookup=self._lookups(),
            cause=cause,
            window_misses=misses,
            window_lookups=lookups,
            permits_left=self._budget.permits_left,
            by=episode.by if episode else None,
            reason=episode.reason if episode else None,
            **facts,
        )


def _judged(answers: Mapping[K, object]) -> tuple[Status, int, str | None]:
    """Return the status of a load, how many keys it delivered, and what was wrong with the others."""
    own = [answer for answer in answers.values() if answer is not ELSEWHERE]
    failures = [answer for answer in own if isinstance(answer, Failed)]
    if not failures:
        return Status.COMPLETED, len(own), None
    status = Status.FAILED if len(failures) == len(own) else Status.COMPLETED
    error = f"{len(failures)} of {len(own)} keys failed: {_line(failures[0].error)}"
    return status, len(own) - len(failures), error


def _line(error: BaseException) -> str:
    """Return ``error`` and its cause as one line."""
    cause = error.__cause__ or error
    return " ".join(f"{type(cause).__name__}: {cause}".split())
