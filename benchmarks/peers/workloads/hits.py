"""Hits, one after another: 10,000 cached keys, uniform or skewed.

A trial is the fastest of some passes over the keys: the first one finds nothing in the processor's
caches, and others may be interrupted by other processes.
"""

from __future__ import annotations

import asyncio
import gc
import random
from contextlib import AsyncExitStack
from time import perf_counter
from typing import TYPE_CHECKING

from benchmarks.peers.adapters.floors import BareDict
from benchmarks.peers.results import Result, Sample
from benchmarks.peers.rounds import interleave
from benchmarks.peers.sources import Source, value_of
from benchmarks.peers.workloads.contest import check, rows_of
from benchmarks.peers.workloads.zipf import zipf_keys

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from benchmarks.peers.peer import Peer
    from benchmarks.peers.rounds import Trial
    from benchmarks.peers.sizes import Sizes


def uniform(peers: Sequence[type[Peer]], sizes: Sizes) -> Result:
    """Read all keys equally often."""
    keys = list(range(sizes.hit_keys))
    random.Random(5).shuffle(keys)
    return asyncio.run(_measure("hits", f"{len(keys):,} cached keys, each as often", keys, peers, sizes))


def skewed(peers: Sequence[type[Peer]], sizes: Sizes) -> Result:
    """Read a few keys often."""
    keys = zipf_keys(sizes.hit_keys, sizes.hit_keys)
    return asyncio.run(_measure("hits-zipf", f"{len(keys):,} cached keys, Zipf(0.99)", keys, peers, sizes))


async def _measure(
    workload: str, summary: str, keys: Sequence[int], peers: Sequence[type[Peer]], sizes: Sizes
) -> Result:
    trials: dict[str, Trial] = {}
    absent = {peer.title: "holds nothing" for peer in peers if not peer.holds}
    async with AsyncExitStack() as stack:
        contenders: list[type[Peer]] = [BareDict, *(peer for peer in peers if peer.holds)]
        for kind in contenders:
            source = Source()
            # Twice the room: no peer may lose a key that it has read.
            peer = await stack.enter_async_context(kind(source, 2 * sizes.hit_keys))
            try:
                await peer.fill(range(sizes.hit_keys))
                check([await peer.get(key) for key in keys], map(value_of, keys))
            except Exception as error:  # noqa: BLE001 - a peer that fails is a result
                absent[kind.title] = f"failed: {error}"
                continue
            loaded = source.keys
            lookups = await _affordable(peer.get, keys, sizes.hit_seconds)
            trials[kind.title] = _awaiting(peer.get, lookups, sizes.hit_passes, source, loaded)
            if kind.has_peek:
                trials[f"{kind.title}, peek"] = _calling(peer.peek, lookups, sizes.hit_passes)
            if kind.has_get_many:
                trials[f"{kind.title}, get_many"] = _at_once(peer.get_many, keys, sizes.hit_passes)
        # A hit leaves nothing to collect, and looking at all entries before each trial takes long.
        is_frozen = gc.get_freeze_count() > 0  # then others keep their objects out of the collector's way
        gc.freeze()
        try:
            samples, failed = await interleave(trials, sizes.short)
        finally:
            if not is_frozen:
                gc.unfreeze()
    rows = rows_of(samples, peers, floors=[BareDict.title])
    return Result(workload, summary, "seconds a lookup", BareDict.title, rows, absent | failed)


async def _affordable(
    get: Callable[[int], Awaitable[int]], lookups: Sequence[int], seconds: float
) -> Sequence[int]:
    """Return as many lookups as take about ``seconds``, at least 100."""
    probe = lookups[:500]
    began = perf_counter()
    for key in probe:
        await get(key)
    each = (perf_counter() - began) / len(probe)
    return lookups[: max(100, int(seconds / each))]


def _awaiting(
    get: Callable[[int], Awaitable[int]], lookups: Sequence[int], passes: int, source: Source, loaded: int
) -> Trial:
    async def trial() -> Sample:
        seconds = []
        for _ in range(passes):
            began = perf_counter()
            for key in lookups:
                await get(key)
            seconds.append(perf_counter() - began)
        return Sample(min(seconds) / len(lookups), {"misses": source.keys - loaded})

    return trial


def _calling(peek: Callable[[int], int | None], lookups: Sequence[int], passes: int) -> Trial:
    async def trial() -> Sample:
        seconds = []
        for _ in range(passes):
            began = perf_counter()
            for key in lookups:
                peek(key)
            seconds.append(perf_counter() - began)
        return Sample(min(seconds) / len(lookups), {"misses": 0})

    return trial


def _at_once(
    get_many: Callable[[Sequence[int]], Awaitable[object]], keys: Sequence[int], passes: int
) -> Trial:
    async def trial() -> Sample:
        seconds = []
        for _ in range(passes):
            began = perf_counter()
            await get_many(keys)
            seconds.append(perf_counter() - began)
        return Sample(min(seconds) / len(keys), {"misses": 0})

    return trial
