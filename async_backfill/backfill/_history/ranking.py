"""Rank many keys without holding up the event loop."""

from __future__ import annotations

import heapq
from bisect import bisect
from collections import deque
from itertools import islice
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from anyio.lowlevel import checkpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from async_backfill.contracts import K

    _Heats: TypeAlias = list[tuple[Any, K]]

STEP: Final = 2000
"""Keys looked at, or sorted, in one step: two to four milliseconds."""
_A_SHARE: Final = STEP // 2


async def ranked(keys: Iterable[K], heat: Callable[[K], Any]) -> list[K]:
    """Return ``keys``, hottest first; other tasks run between two steps.

    The keys are dealt out into shares by their heat, at bounds drawn from all of them, and each is sorted.
    What is no longer needed is let go of in steps as well: a million pairs at once would take long.

    :param keys: iterated over in steps, so what it yields must not depend on what happens meanwhile.
    :param heat: returns the heat of a key at the moment at which it is looked at, or whatever it ranks by.
    """
    rest = iter(keys)
    runs: deque[_Heats[K]] = deque()
    while run := [(heat(key), key) for key in islice(rest, STEP)]:
        runs.append(run)
        await checkpoint()
    bounds = sorted(run[place][0] for run in runs for place in range(0, len(run), _A_SHARE))
    shares: list[_Heats[K]] = [[] for _ in range(len(bounds) + 1)]
    while runs:
        for pair in runs.popleft():
            shares[bisect(bounds, pair[0])].append(pair)
        await checkpoint()
    ranking: list[K] = []
    while shares:
        share = shares.pop()
        sorted_runs: list[_Heats[K]] = []
        for start in range(0, len(share), STEP):
            sorted_runs.append(sorted(share[start : start + STEP], key=itemgetter(0), reverse=True))
            await checkpoint()
        # One run as a rule; more where many keys are equally hot.
        in_order = heapq.merge(*sorted_runs, key=itemgetter(0), reverse=True)
        while step := [key for _, key in islice(in_order, STEP)]:
            ranking.extend(step)
            await checkpoint()
    return ranking
