"""A dry run: read and pack rows, and look what the store has of them; nothing is written."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from anyio import current_time

from async_backfill._common.error_text import error_line
from async_backfill._jobs._packing import unpack
from async_backfill._jobs._planning.measuring import SECONDS
from async_backfill._jobs._planning.places import ranges
from async_backfill._jobs._planning.sampling import sample
from async_backfill._jobs._same import are_same

if TYPE_CHECKING:
    from collections.abc import Mapping

    from async_backfill._jobs._ends import JobEnds
    from async_backfill._jobs._plan import Plan

_MOST_SHOWN: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class DryRun:
    """What a dry run found.

    ``rows``, ``seconds``
        rows that were read, and for how long.
    ``rows_per_second``
        of reading, packing and asking the store, one page after the other; 0.0 when that took no time.
    ``bytes``
        of the rows when packed.
    ``present``, ``same``
        rows of which the store has a copy, and those whose copy is the row as it is now.
    ``rejected``, ``dead``
        rows that the store cannot keep, and rows that could not be made.
    ``bad``
        why, by their keys, for the first hundred.
    ``eta_seconds``
        for all rows of the plan, at this speed or its rate, whichever is slower; ``None`` when unknown.
    """

    rows: int
    seconds: float
    rows_per_second: float
    bytes: int
    present: int
    same: int
    rejected: int
    dead: int
    bad: Mapping[Any, str] = field(default_factory=dict)
    eta_seconds: float | None


async def dry_run(
    plan: Plan, ends: JobEnds[Any, Any], *, most: int = 10_000, seconds: float = SECONDS
) -> DryRun:
    """Do with up to ``most`` rows, spread over the source, all that the job would do but for writing them.

    :raises JobError: when an end cannot be reached or read.
    """
    began, read = current_time(), 0
    size = present = same = rejected = dead = 0
    bad: dict[Any, str] = {}
    places = ranges([unpack(cut) for cut in plan.cuts])
    async for some in sample(ends, places, most, seconds):
        page, refused = some.page, some.packed.refused
        read += some.looked
        size += some.packed.bytes
        rejected += len(refused)
        dead += len(page.failed)
        present += len(some.copies)
        same += sum(are_same(page[key], copy.value) for key, copy in some.copies.items())
        why = {key: error_line(failed.error) for key, failed in page.failed.items()}
        why |= dict.fromkeys(refused, "the store cannot keep it: too large, or not to be encoded")
        for key, reason in why.items():
            if len(bad) < _MOST_SHOWN:
                bad[key] = reason
    took = current_time() - began
    rate = plan.spec.settings.rate
    fastest = min((each for each in (rate, read / took if took else None) if each), default=None)
    return DryRun(
        rows=read,
        seconds=took,
        rows_per_second=read / took if took else 0.0,
        bytes=size,
        present=present,
        same=same,
        rejected=rejected,
        dead=dead,
        bad=bad,
        eta_seconds=None if fastest is None else plan.rows / fastest,
    )
