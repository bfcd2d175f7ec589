"""What a worker writes into the state and reads from it; a state that cannot be written is waited for."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from anyio import current_time, sleep

from async_backfill._common.line_a_second import LineASecond
from async_backfill._jobs._errors import JobStateError
from async_backfill._jobs._records import JobStatus, ShardStatus, Wanted
from async_backfill._jobs._state import approvals, jobs, log, shards
from async_backfill._jobs._state.split import split

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from async_backfill._jobs._records import JobRecord, ShardRecord, Throttled
    from async_backfill._jobs._state.shards import Orders, PageDone
    from async_backfill.contracts import JobState, Transaction

T = TypeVar("T")

_LOGGER: Final = logging.getLogger("async_backfill.jobs")
_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 5.0
_LIVE: Final = "SELECT count(*) FROM shard WHERE job = ? AND status = 'running' AND leased_until > ?"


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """The answer to a checkpoint: the orders, and on how many shards anybody works."""

    orders: Orders
    live: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """A job and its shards as they are now.

    ``live``
        shards on which somebody works.
    ``is_allowed``
        whether an approval holds.
    """

    job: JobRecord
    parts: Sequence[ShardRecord]
    live: int
    is_allowed: bool
    now: float

    @property
    def failed(self) -> Sequence[ShardRecord]:
        """The shards that nobody tries again by himself."""
        return [part for part in self.parts if part.status is ShardStatus.FAILED]

    def waits(self, number: int) -> bool:
        """Return whether a shard is to be read, and nobody works on it."""
        return any(
            part.number == number
            and (
                part.status is ShardStatus.READY
                or (part.status is ShardStatus.RUNNING and part.leased_until <= self.now)
            )
            for part in self.parts
        )

    @property
    def is_read(self) -> bool:
        """Whether nothing is left to be read, but for shards that failed."""
        return all(part.status in {ShardStatus.DONE, ShardStatus.FAILED} for part in self.parts)


class Desk:
    """The calls of one worker.

    :param patience: seconds for which a state that cannot be written is tried again.
    :param has_stopped: whether the worker is ending: then it is not tried again.
    """

    def __init__(
        self,
        state: JobState,
        job_id: int,
        *,
        owner: str,
        lease: float,
        patience: float,
        has_stopped: Callable[[], bool],
    ) -> None:
        self.state = state
        self.job_id = job_id
        self.owner = owner
        self.lease = lease
        self.patience = patience
        self._has_stopped = has_stopped
        self._log = LineASecond(_LOGGER, current_time)

    async def look(self) -> Look:
        """Return how the job is now."""
        return await self._patiently(self._look)

    async def claim(self, lane: int, only: int | None = None) -> ShardRecord | None:
        """Take a shard for the lane of that number, any or ``only`` one; ``None`` when there is none now."""
        owner = f"{self.owner}/{lane}"
        return await self._patiently(
            partial(shards.claim, job_id=self.job_id, owner=owner, lease=self.lease, number=only)
        )

    async def checkpoint(self, shard: ShardRecord, done: PageDone) -> Told | None:
        """Keep what was done, and return what is to be done; ``None`` when the shard is another's."""
        return await self._patiently(
            partial(self._told, lambda tx: shards.checkpoint(tx, shard, done, lease=self.lease))
        )

    async def renew(self, shard: ShardRecord, throttled: Throttled | None) -> Told | None:
        """Keep the shard while no page is done; ``None`` when it is another's."""
        return await self._patiently(
            partial(self._told, lambda tx: shards.renew(tx, shard, lease=self.lease, throttled=throttled))
        )

    async def release(
        self, shard: ShardRecord, *, error: str | None = None, seconds: float = 0.0, failed: bool = False
    ) -> None:
        """Give a shard back, of which nobody takes care for ``seconds``."""

        def release(tx: Transaction) -> None:
            not_before = tx.now() + seconds if seconds else 0.0
            shards.release(tx, shard, error=error, not_before=not_before, failed=failed)

        await self._patiently(release)

    async def split(self, shard: ShardRecord, middle: bytes, *, error: str) -> bool:
        """End a shard at ``middle``, and leave what is behind to whoever claims it; return whether it was."""
        return await self._patiently(lambda tx: split(tx, shard, middle, error=error)) is not None

    async def settle(self, status: JobStatus, reason: str | None, *, alone: bool) -> bool:
        """Bring a job that runs to ``status``; return whether it is not running any more.

        :param alone: whether that waits until nobody works on it.
        """

        def settle(tx: Transaction) -> bool:
            look = self._look(tx)
            if look.job.status is not JobStatus.RUNNING:
                return True
            if alone and look.live:
                return False
            become, said, wanted = status, reason, look.job.wanted
            if (
                wanted is not Wanted.RUN and status is not JobStatus.FAILED
            ):  # the word of a person comes first
                become = JobStatus.CANCELLED if wanted is Wanted.CANCEL else JobStatus.PAUSED
                said = look.job.reason
            jobs.change_status(tx, self.job_id, become, by=self.owner, reason=said)
            return True

        return await self._patiently(settle)

    def _look(self, tx: Transaction) -> Look:
        allowed = approvals.allowance(tx, self.job_id)
        return Look(
            job=jobs.find_job(tx, self.job_id),
            parts=shards.shards(tx, self.job_id),
            live=self._live(tx),
            is_allowed=allowed is not None and allowed.holds,
            now=tx.now(),
        )

    def _told(self, work: Callable[[Transaction], Orders | None], tx: Transaction) -> Told | None:
        orders = work(tx)
        return None if orders is None else Told(orders=orders, live=self._live(tx))

    def _live(self, tx: Transaction) -> int:
        ((live,),) = tx.rows(_LIVE, self.job_id, tx.now())
        return int(live)

    async def _patiently(self, work: Callable[[Transaction], T]) -> T:
        """Run ``work``; while the state cannot be written, wait and try it again, and say so in the log."""
        begin, pause = current_time(), _FIRST_PAUSE
        facts: dict[str, object] | None = None

        def noted(tx: Transaction) -> T:
            if facts is not None:  # in the same transaction: a second one could find the state gone again
                log.append(tx, self.job_id, by=self.owner, what="state unusable", facts=facts)
            return work(tx)

        while True:
            try:
                return await self.state.transact(noted)
            except JobStateError as error:
                if self._has_stopped() or current_time() - begin >= self.patience:
                    raise
                self._log.warning(
                    "the worker waits: the state of jobs cannot be used: %s", error, job=self.job_id
                )
                said = str(error)
            await sleep(pause)
            pause = min(_LONGEST_PAUSE, 2 * pause)
            facts = {"seconds": round(current_time() - begin, 3), "error": said}
