"""The lookups of a scenario, one after another or so many at a time, through an open cache."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from anyio import create_task_group
from anyio.lowlevel import checkpoint

from async_backfill.errors import LoadError
from async_backfill.outcomes import ABSENT

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from async_backfill.cache import BackfillCache

_STRIDE: Final = 2000
"""Lookups between two reports of progress, which are also the moments when Ctrl-C is noticed."""


@dataclass(frozen=True, slots=True)
class LookupFailure:
    """The outcome of a lookup whose source failed; ``error`` is one line."""

    error: str


async def replay(
    cache: BackfillCache[str, Any],
    lookups: Sequence[str],
    *,
    concurrency: int,
    keep: bool,
    flush_at: int | None = None,
    progress: Callable[[int, int], None],
) -> list[object]:
    """Look up ``lookups`` in order, ``concurrency`` of them in flight, and wait until all is quiet.

    Returns what came of each, in the same order: a value, `ABSENT` or a `LookupFailure`. The list
    is empty unless ``keep`` is set.

    :param flush_at: the number of a lookup, from 1, before which the cache is emptied.
    :param progress: is called now and then with the lookups begun and their number.
    """
    outcomes: list[object] = [None] * len(lookups) if keep else []
    numbered = enumerate(lookups)

    async def work() -> None:
        get = cache.get
        for number, key in numbered:
            if not number % _STRIDE:
                progress(number, len(lookups))
                await checkpoint()
            if number + 1 == flush_at:
                await cache.clear()
            try:
                outcome = await get(key, ABSENT)
            except LoadError as error:
                outcome = LookupFailure(str(error))
            if keep:
                outcomes[number] = outcome

    if concurrency == 1:
        await work()
    else:
        async with create_task_group() as workers:
            for _ in range(min(concurrency, len(lookups))):
                workers.start_soon(work)
    await cache.settle()
    progress(len(lookups), len(lookups))
    return outcomes
