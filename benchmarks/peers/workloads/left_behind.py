"""Objects left behind by 200,000 keys that passed through a cache with room for 1,000."""

from __future__ import annotations

import asyncio
import gc
import sys
from typing import TYPE_CHECKING, Final

from benchmarks.peers.registry import import_peer
from benchmarks.peers.results import Result, Sample
from benchmarks.peers.sources import Source
from benchmarks.peers.workloads.contest import rows_of
from benchmarks.peers.workloads.processes import adapter_of, run_apart

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.peers.peer import Peer
    from benchmarks.peers.sizes import Sizes

_CAPACITY: Final = 1_000


def measure(peers: Sequence[type[Peer]], sizes: Sizes) -> Result:
    """Count objects and memory blocks, minus those of a cache that has seen only as many keys as it holds.

    Objects are those that the garbage collector knows, after it has run. Blocks are all that Python
    has allocated for small things, so numbers and strings too.
    """
    absent = {peer.title: "has no bound" for peer in peers if not peer.is_bounded}
    absent |= {peer.title: "holds nothing" for peer in peers if not peer.holds}
    jobs = {peer.title: (adapter_of(peer), sizes.passing_keys) for peer in peers if peer.title not in absent}
    found, failed = run_apart(left, jobs)
    samples = {title: [sample] for title, sample in found.items()}
    rows = rows_of(samples, peers, floors=[])
    summary = (
        f"{sizes.passing_keys:,} keys through room for {_CAPACITY:,}, against a cache that saw {_CAPACITY:,}"
    )
    return Result("left-behind", summary, "objects", None, rows, absent | failed)


def left(adapter: str, keys: int) -> Sample:
    """Return the objects and blocks left by ``keys`` that passed through the cache of ``adapter``."""
    return asyncio.run(_left(import_peer(adapter), keys))


async def _left(kind: type[Peer], keys: int) -> Sample:
    await _in_use(kind, _CAPACITY)  # what a package makes once is there from now on
    objects, blocks = await _in_use(kind, _CAPACITY)
    more_objects, more_blocks = await _in_use(kind, keys)
    return Sample(max(0, more_objects - objects), {"blocks": more_blocks - blocks})


async def _in_use(kind: type[Peer], keys: int) -> tuple[int, int]:
    objects, blocks = _count()
    async with kind(Source(), _CAPACITY) as peer:
        await peer.fill(range(_CAPACITY, _CAPACITY + keys))
        await asyncio.sleep(0)
        more_objects, more_blocks = _count()
    return more_objects - objects, more_blocks - blocks


def _count() -> tuple[int, int]:
    for _ in range(3):
        gc.collect()
    objects = gc.get_objects()
    # Timers that were cancelled, each with its context: asyncio keeps up to a hundred of them for a while.
    over = sum(isinstance(one, asyncio.TimerHandle) and one.cancelled() for one in objects)
    return len(objects) - 2 * over, sys.getallocatedblocks()
