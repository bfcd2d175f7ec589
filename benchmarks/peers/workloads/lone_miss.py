"""Single misses one after another, from a source that answers at once, each with an eviction.

A trial is the fastest of some passes, each over keys of its own.
"""

from __future__ import annotations

import asyncio
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING

from benchmarks.peers.adapters.floors import NaiveDict, SharedFutures
from benchmarks.peers.results import Result, Sample
from benchmarks.peers.rounds import interleave
from benchmarks.peers.sources import Source, value_of
from benchmarks.peers.workloads.contest import WrongAnswerError, rows_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.peers.peer import Peer
    from benchmarks.peers.sizes import Sizes


def measure(peers: Sequence[type[Peer]], sizes: Sizes) -> Result:
    """Ask a full cache for new keys."""
    absent = {peer.title: "has no bound" for peer in peers if not peer.is_bounded}
    contenders: list[type[Peer]] = [NaiveDict, SharedFutures, *(peer for peer in peers if peer.is_bounded)]
    trials = {peer.title: partial(_trial, peer, sizes) for peer in contenders}
    samples, failed = asyncio.run(interleave(trials, sizes.short))
    rows = rows_of(samples, peers, floors=[NaiveDict.title, SharedFutures.title])
    summary = f"{sizes.misses:,} misses one after another, room for {sizes.miss_capacity:,}, full"
    return Result("lone-miss", summary, "seconds a lookup", NaiveDict.title, rows, absent | failed)


async def _trial(kind: type[Peer], sizes: Sizes) -> Sample:
    source = Source()
    async with kind(source, sizes.miss_capacity) as peer:
        # The naive dict, which has no bound, starts empty as often.
        filled = sizes.miss_capacity if kind.holds else 0
        await peer.fill(range(filled))
        get = peer.get
        seconds: list[float] = []
        asked = 0
        first = sizes.miss_capacity
        while asked < sizes.miss_passes * sizes.misses and sum(seconds) < sizes.miss_seconds:
            keys = range(first + asked, first + asked + sizes.misses)
            asked += sizes.misses
            value = 0
            began = perf_counter()
            for key in keys:
                value = await get(key)
            seconds.append(perf_counter() - began)
            if value != value_of(keys[-1]):
                raise WrongAnswerError(f"{value!r} for {keys[-1]}")
    return Sample(min(seconds) / sizes.misses, {"keys read a miss": (source.keys - filled) / asked})
