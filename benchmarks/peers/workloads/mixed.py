"""A mixed load: 64 workers, skewed lookups, room for a tenth of the keys."""

from __future__ import annotations

import asyncio
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING

from benchmarks.peers.adapters.floors import NaiveDict
from benchmarks.peers.results import Result, Sample
from benchmarks.peers.rounds import interleave
from benchmarks.peers.sources import SleepingSource, value_of
from benchmarks.peers.workloads.contest import WrongAnswerError, rows_of
from benchmarks.peers.workloads.zipf import zipf_keys

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.peers.peer import Peer
    from benchmarks.peers.sizes import Sizes


def measure(peers: Sequence[type[Peer]], sizes: Sizes) -> Result:
    """Let workers share a list of lookups, from a source that yields once a call."""
    requests = zipf_keys(sizes.population, sizes.requests)
    absent = {peer.title: "has no bound" for peer in peers if not peer.is_bounded}
    absent |= {peer.title: "holds nothing" for peer in peers if not peer.holds}
    contenders: list[type[Peer]] = [NaiveDict, *(peer for peer in peers if peer.title not in absent)]
    trials = {peer.title: partial(_trial, peer, requests, sizes) for peer in contenders}
    samples, failed = asyncio.run(interleave(trials, sizes.mixed))
    rows = rows_of(samples, peers, floors=[NaiveDict.title])
    summary = (
        f"{sizes.requests:,} lookups, Zipf(0.99) over {sizes.population:,} keys, room for "
        f"{sizes.population // 10:,}, {sizes.workers} workers"
    )
    return Result("mixed", summary, "seconds a lookup", NaiveDict.title, rows, absent | failed)


async def _trial(kind: type[Peer], requests: Sequence[int], sizes: Sizes) -> Sample:
    source = SleepingSource(0.0)
    async with kind(source, sizes.population // 10) as peer:
        get = peer.get
        pending = iter(requests)

        async def work() -> None:
            for key in pending:
                value = await get(key)
                if value != key + 1:
                    raise WrongAnswerError(f"{value!r} in place of {value_of(key)}")

        began = perf_counter()
        workers = [asyncio.create_task(work()) for _ in range(sizes.workers)]
        await asyncio.gather(*workers)
        took = perf_counter() - began
    hit_ratio = 1 - source.keys / len(requests)
    return Sample(took / len(requests), {"hit ratio": hit_ratio, "source calls": source.calls})
