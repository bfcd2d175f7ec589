"""Verify a job: compare what it has read with the store, and look for keys without a row."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any, Final

from anyio import current_time

from async_backfill._common.validation import real, whole
from async_backfill._jobs._rewriting import Rewriting
from async_backfill._jobs._verifying.comparison import Comparison
from async_backfill._jobs._verifying.extras import Extras
from async_backfill._jobs._verifying.walk import Walk
from async_backfill.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from collections.abc import Set as AbstractSet

    from async_backfill._jobs._ends import JobEnds
    from async_backfill._jobs._records import JobRecord, ShardRecord
    from async_backfill._jobs._verifying.result import Verified

SAMPLE: Final = 3000
"""Of so many rows one is seen with 95 % of those that are wrong if one in a thousand is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is to be verified, and how.

    ``sample``
        the number of rows, or their share, 0.0 to 1.0; ``None`` for all.
    ``extra``
        whether keys of the store without a row are looked for.
    ``repair``
        whether differences are mended: rows written again under the guard, keys without one removed.
    ``apart``
        seconds between the two looks at a difference.
    ``seconds``
        how long one call of an end may take.
    """

    sample: float | None = SAMPLE
    extra: bool = False
    repair: bool = False
    apart: float = 2.0
    seconds: float = 60.0

    def __post_init__(self) -> None:
        if isinstance(self.sample, float):
            if real("sample", self.sample, least=0.0, most=1.0) == 0.0:
                raise ConfigurationError("sample", "0.0 compares nothing: give a share above it, or a number")
        elif self.sample is not None:
            whole("sample", self.sample, least=1)


async def compare(
    ends: JobEnds[Any, Any],
    job: JobRecord,
    shards: Sequence[ShardRecord],
    request: Request,
    *,
    dead: AbstractSet[bytes],
    now: float,
    stopped: Callable[[], Awaitable[str | None]],
    progress: Callable[[int], object],
) -> tuple[Verified, Sequence[tuple[bytes, str]]]:
    """Return what a verification finds, and the packed keys of the differences that are left, with kinds.

    :param dead: the packed keys of the rows that the job left out.
    :param now: seconds since the epoch, by the clock of the state.
    :param stopped: is asked after each page, and returns why to end there; ``None`` to go on.
    :param progress: is told after each page how many rows were compared so far.
    :raises JobRefusedError: when keys without a row are to be found in a store that cannot list its keys.
    :raises JobError: when an end does not answer.
    """
    spec = job.plan.spec
    extras = Extras(ends, apart=request.apart, seconds=request.seconds) if request.extra else None
    comparison = Comparison(
        ends,
        dead=dead,
        expires_from=current_time() + _expires_in(job, now),
        rewriting=Rewriting(ends, spec, seconds=request.seconds) if request.repair else None,
        apart=request.apart,
        seconds=request.seconds,
    )
    walk = Walk(
        ends,
        shards,
        comparison,
        rate=job.settings.rate,
        seconds=request.seconds,
        stopped=stopped,
        progress=progress,
        were_split=len(shards) > len(job.plan.cuts) + 1,
    )
    if request.sample is None:
        why = await walk.over_all()
    else:
        read = sum(shard.counts.read for shard in shards)
        share = isinstance(request.sample, float)
        why = await walk.over_some(max(1, round(request.sample * read if share else request.sample)))
    extra: int | None = None
    if extras is not None and why is None:
        extra = 0
        async for keys in extras.pages():
            extra += len(keys)
            if keys and request.repair:
                await extras.remove(list(keys))
            comparison.add_extra(keys, repaired=request.repair)
            why = await stopped()
            if why is not None:
                break
    is_all = request.sample is None
    return comparison.result(is_all=is_all, extra=extra, stopped=why), comparison.findings()


def _expires_in(job: JobRecord, now: float) -> float:
    """Return the seconds after which the ttl of the first rows that were written may be over."""
    spec = job.plan.spec
    if spec.ttl is None or job.started is None:
        return inf
    return job.started + spec.ttl * (1.0 - spec.ttl_jitter) - now
