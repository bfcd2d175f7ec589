"""Read rows again by their keys, and write them under the guard: for repairs, and for dead rows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, Generic

from async_backfill._common.error_text import error_line
from async_backfill._jobs._calls import answer
from async_backfill._jobs._errors import JobError
from async_backfill.contracts import K, V
from async_backfill.warming._calls import StoppedError
from async_backfill.warming._guards import guard_of
from async_backfill.warming._page import Page, Sample
from async_backfill.warming._page_writer import PageWriter
from async_backfill.warming._progress import Tally
from async_backfill.warming._reading_again import read_again
from async_backfill.warming._settings import checked

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from async_backfill._jobs._ends import JobEnds
    from async_backfill._jobs._spec import JobSpec

MOST: Final = 100
"""Rows of one call: so many bad rows a copy names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewritten(Generic[K, V]):
    """What became of some rows that were read and written again.

    ``rows``
        as they were read again.
    ``gone``
        those that the source does not have any more.
    ``bad``
        why others could not be read or written, or are not kept by the store.
    """

    rows: Mapping[K, V]
    kept: int
    newer: int
    leased: int
    gone: Sequence[K]
    bad: Mapping[K, str]


class Rewriting(Generic[K, V]):
    """Writes rows of a job again, as its guard allows.

    :param seconds: how long one call of an end may take.
    """

    def __init__(self, ends: JobEnds[K, V], spec: JobSpec, *, seconds: float) -> None:
        self._ends = ends
        self._seconds = seconds
        self._guard = guard_of(ends.store, spec.guard, ends.source, ends.invalidations)
        self._settings = checked(
            ttl=spec.ttl,
            ttl_jitter=spec.ttl_jitter,
            writers=1,
            ahead=1,
            write_timeout=seconds,
            read_timeout=seconds,
            attempts=3,
            max_dead=MOST,
            max_lost=1.0,
        )

    async def rewrite(self, keys: Sequence[K]) -> Rewritten[K, V]:
        """Read the rows of ``keys``, `MOST` or fewer, and write them; other caches forget what was written.

        :raises JobError: when an end does not answer.
        """
        read_at = self._guard.now()
        again = await answer(
            partial(read_again, self._ends.source, keys), self._seconds, "rows could not be read again"
        )
        tally: Tally[K] = Tally()
        sample: Sample[K, V] = Sample()
        writer = PageWriter(self._guard, self._settings, tally, sample, self._ends.source, lambda: False)
        page = Page(rows=again.rows, read_at=read_at, ttl=self._settings.drawn_ttl(), end=None, failed={})
        try:
            await writer.write(page)
        except StoppedError as error:
            raise JobError(f"rows could not be written: {error_line(error.cause)}") from error.cause
        done = tally.progress()
        bad = {key: error_line(error) for key, error in again.failed.items()} | dict(done.bad)
        if done.kept and self._ends.invalidations is not None:
            written = [key for key in again.rows if key not in bad]
            await answer(
                partial(self._ends.invalidations.publish, written),
                self._seconds,
                "other caches could not be told of rows that were written",
            )
        return Rewritten(
            rows=again.rows,
            kept=done.kept,
            newer=done.newer,
            leased=done.leased,
            gone=tuple(again.gone),
            bad=bad,
        )
