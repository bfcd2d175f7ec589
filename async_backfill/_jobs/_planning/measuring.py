"""Measure the ends of a job, and plan it; nothing is written."""

from __future__ import annotations

import importlib.metadata
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from async_backfill._jobs._calls import answer
from async_backfill._jobs._ends import StoreState
from async_backfill._jobs._packing import pack
from async_backfill._jobs._plan import Plan
from async_backfill._jobs._planning.packed import packed
from async_backfill._jobs._planning.places import cuts_of, ranges, spread

if TYPE_CHECKING:
    from async_backfill._jobs._ends import JobEnds
    from async_backfill._jobs._spec import JobSpec

_SAMPLE: Final = 1000
_MOST_PLACES: Final = 20
SECONDS: Final = 60.0
"""How long one call of an end may take while a job is planned."""


async def measure(spec: JobSpec, ends: JobEnds[Any, Any], *, seconds: float = SECONDS) -> Plan:
    """Return the plan of ``spec`` for ``ends``, measured from a sample of 1,000 rows at the most.

    :param seconds: how long one call may take. Where the source is not cut into so many shards in that time,
        there are fewer.
    :raises JobError: when an end cannot be reached or read.
    """
    facts = ends.source_facts
    schema = None
    if facts is not None:
        schema = await answer(facts.schema, seconds, "the source's columns could not be read")
    cuts = await cuts_of(ends.rows, spec.shards, seconds)
    looked = size = fit = present = 0
    step = -(-(len(cuts) + 1) // _MOST_PLACES)
    places = ranges(cuts[step - 1 :: step])
    async with aclosing(spread(ends.rows, places, _SAMPLE, seconds)) as pages:
        async for page in pages:
            looked += len(page) + len(page.failed)
            row_sizes = packed(ends.store, page)
            size, fit = size + row_sizes.bytes, fit + row_sizes.rows
            if page:
                found = await answer(
                    partial(ends.store.get_many, tuple(page)), seconds, "the store could not be read"
                )
                present += len(found)
    rows, rows_by = looked, "at least, by a sample"
    if facts is not None:
        rows, rows_by = await answer(facts.count, seconds, "the source's rows could not be counted")
    state = StoreState()
    if ends.store_facts is not None:
        state = await answer(ends.store_facts.state, seconds, "the store's memory could not be read")
    return Plan(
        spec=spec,
        rows=rows,
        rows_by=rows_by,
        row_bytes=size / fit if fit else 0.0,
        store_bytes=state.used,
        store_limit=state.limit,
        present=present / looked if looked else 0.0,
        schema=schema,
        cuts=tuple(map(pack, cuts)),
        release=release(),
    )


def release() -> str:
    """Return the release of this package."""
    return importlib.metadata.version("async-backfill")
