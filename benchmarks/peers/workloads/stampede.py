"""A stampede: 10,000 tasks ask for 100 cold keys."""

from __future__ import annotations

import asyncio
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Final

from benchmarks.peers.adapters.floors import SharedFutures
from benchmarks.peers.results import Result, Sample
from benchmarks.peers.rounds import interleave
from benchmarks.peers.sources import SleepingSource, value_of
from benchmarks.peers.workloads.contest import check, rows_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.peers.peer import Peer
    from benchmarks.peers.sizes import Sizes

_LATENCY: Final = 0.020


def measure(peers: Sequence[type[Peer]], sizes: Sizes) -> Result:
    """Ask for the same cold keys from many tasks at once."""
    contenders: list[type[Peer]] = [SharedFutures, *peers]
    trials = {peer.title: partial(_trial, peer, sizes) for peer in contenders}
    samples, failed = asyncio.run(interleave(trials, sizes.long))
    rows = rows_of(samples, peers, floors=[SharedFutures.title])
    summary = (
        f"{sizes.callers:,} tasks, {sizes.stampede_keys} cold keys, {_LATENCY * 1000:.0f} ms a source call"
    )
    return Result("stampede", summary, "seconds", SharedFutures.title, rows, failed)


async def _trial(kind: type[Peer], sizes: Sizes) -> Sample:
    source = SleepingSource(_LATENCY)
    keys = [number % sizes.stampede_keys for number in range(sizes.callers)]
    async with kind(source, 10 * sizes.stampede_keys) as peer:
        get = peer.get

        async def call(key: int) -> int:
            return await get(key)

        began = perf_counter()
        tasks = [asyncio.create_task(call(key)) for key in keys]
        answers = await asyncio.gather(*tasks)
        took = perf_counter() - began
    check(answers, map(value_of, keys))
    return Sample(took, {"keys read": source.keys, "source calls": source.calls})
