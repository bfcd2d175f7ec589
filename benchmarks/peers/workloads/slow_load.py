"""One slow load: 50 tasks ask for a key whose load takes 3 seconds."""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import TYPE_CHECKING

from benchmarks.peers.adapters.floors import SharedFutures
from benchmarks.peers.results import Result, Sample
from benchmarks.peers.sources import SleepingSource, value_of
from benchmarks.peers.workloads.contest import check, rows_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.peers.peer import Peer
    from benchmarks.peers.sizes import Sizes


def measure(peers: Sequence[type[Peer]], sizes: Sizes) -> Result:
    """Ask for one key from many tasks; all contenders run at once, as the timing need not be fine."""
    samples, failed = asyncio.run(_all([SharedFutures, *peers], sizes))
    rows = rows_of(samples, peers, floors=[SharedFutures.title])
    summary = f"{sizes.slow_callers} tasks, one cold key, {sizes.slow_seconds:g} s a source call"
    return Result("slow-load", summary, "seconds", SharedFutures.title, rows, failed)


async def _all(
    contenders: Sequence[type[Peer]], sizes: Sizes
) -> tuple[dict[str, list[Sample]], dict[str, str]]:
    trials = [_trial(peer, sizes) for peer in contenders]
    samples: dict[str, list[Sample]] = {}
    failed: dict[str, str] = {}
    for peer, found in zip(contenders, await asyncio.gather(*trials, return_exceptions=True), strict=True):
        if isinstance(found, BaseException):
            failed[peer.title] = f"failed: {found}"
        else:
            samples[peer.title] = [found]
    return samples, failed


async def _trial(kind: type[Peer], sizes: Sizes) -> Sample:
    source = SleepingSource(sizes.slow_seconds)
    async with kind(source, 100) as peer:
        began = perf_counter()
        answers = await asyncio.gather(*(_ask(peer) for _ in range(sizes.slow_callers)))
        took = perf_counter() - began
    check(answers, [value_of(7)] * sizes.slow_callers)
    return Sample(took, {"source calls": source.calls})


async def _ask(peer: Peer) -> int:
    return await peer.get(7)
