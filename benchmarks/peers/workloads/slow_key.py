"""One slow key among quick ones: 100 cold keys at once, one of which takes a second to load."""

from __future__ import annotations

import asyncio
import statistics
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Final

from benchmarks.peers.adapters.floors import SharedFutures
from benchmarks.peers.results import Result, Sample
from benchmarks.peers.rounds import interleave
from benchmarks.peers.sources import Source, value_of
from benchmarks.peers.workloads.contest import check, rows_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.peers.peer import Peer
    from benchmarks.peers.rounds import Trial
    from benchmarks.peers.sizes import Sizes

_QUICK: Final = 0.01


class OneSlowKey(Source):
    """A source whose key 0 takes ``seconds``, and others 10 ms; a call for many waits for the slowest."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds

    async def load(self, key: int) -> int:
        """Return the value of one key, later."""
        self.calls += 1
        await asyncio.sleep(_QUICK if key else self._seconds)
        return key + 1

    async def load_many(self, keys: Sequence[int]) -> dict[int, int]:
        """Return the value of each key, when the slowest of them is there."""
        return dict(zip(keys, await asyncio.gather(*map(self.load, keys)), strict=True))


def measure(peers: Sequence[type[Peer]], sizes: Sizes) -> Result:
    """Take the median of what the callers wait for."""
    contenders: list[type[Peer]] = [SharedFutures, *peers]
    trials: dict[str, Trial] = {peer.title: partial(_trial, peer, sizes) for peer in contenders}
    samples, failed = asyncio.run(interleave(trials, sizes.long))
    rows = rows_of(samples, peers, floors=[SharedFutures.title])
    slow, quick = f"one takes {sizes.slow_key_seconds:g} s", f"the others {_QUICK * 1000:.0f} ms"
    summary = f"{sizes.slow_key_callers} tasks, as many cold keys, {slow}, {quick}: the median wait"
    return Result("slow-key", summary, "seconds", SharedFutures.title, rows, failed)


async def _trial(kind: type[Peer], sizes: Sizes) -> Sample:
    keys = range(sizes.slow_key_callers)
    async with kind(OneSlowKey(sizes.slow_key_seconds), 2 * len(keys)) as peer:
        get = peer.get

        async def timed(key: int) -> tuple[int, float]:
            began = perf_counter()
            value = await get(key)
            return value, perf_counter() - began

        answers = await asyncio.gather(*map(timed, keys))
    check((value for value, _ in answers), map(value_of, keys))
    waits = [seconds for _, seconds in answers]
    return Sample(statistics.median(waits), {"slowest ms": max(waits) * 1000})
