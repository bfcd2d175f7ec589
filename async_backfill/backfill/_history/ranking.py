"""Rank many keys without holding up the event loop."""

from __future__ import annotations

import heapq
from itertools import islice
from operator import itemgetter
from typing import TYPE_CHECKING, Final

from anyio.lowlevel import checkpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from async_backfill.contracts import K

STEP: Final = 2000
"""Keys sorted, or merged, in one step: two to four milliseconds."""


async def ranked(keys: Iterable[K], heat: Callable[[K], float]) -> list[K]:
    """Return ``keys``, hottest first; other tasks run between two steps.

    :param heat: returns the heat of a key at the moment at which it is looked at.
    """
    rest = iter(tuple(keys))
    runs: list[list[tuple[float, K]]] = []
    while run := [(heat(key), key) for key in islice(rest, STEP)]:
        run.sort(key=itemgetter(0), reverse=True)
        runs.append(run)
        await checkpoint()
    merged = heapq.merge(*runs, key=itemgetter(0), reverse=True)
    ranking: list[K] = []
    while step := [key for _, key in islice(merged, STEP)]:
        ranking.extend(step)
        await checkpoint()
    return ranking
