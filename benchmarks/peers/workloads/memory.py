"""Memory per entry: a million int to int, filled and in use, each contender in a process of its own."""

from __future__ import annotations

import asyncio
import gc
import mmap
import os
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Final

from benchmarks.peers.registry import import_peer
from benchmarks.peers.results import Result, Sample
from benchmarks.peers.sources import Source, value_of
from benchmarks.peers.workloads.contest import rows_of
from benchmarks.peers.workloads.processes import adapter_of, run_apart

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.peers.peer import Peer
    from benchmarks.peers.sizes import Sizes

FLOOR: Final = "dict"
_STATM: Final = Path("/proc/self/statm")  # Linux only; elsewhere the workload has no rows
_PROBE: Final = 1_000
_CHURNS: Final = 3
_A_BATCH: Final = 500
_GLIBC: Final = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}


def measure(peers: Sequence[type[Peer]], sizes: Sizes) -> Result:
    """Fill each cache by ``get``, and those with ``put_many`` also by that; those that evict are also used.

    In use means: all entries were read once more, and then came three times as many new keys.

    A cache that is too slow is filled with an eighth: tables that double are then as full as with all.
    """
    ways = [(peer, "get", peer.title) for peer in peers if peer.holds]
    ways += [(peer, "put_many", f"{peer.title}, put_many") for peer in peers if peer.has_put_many]
    ways += [(peer, "in use", f"{peer.title}, in use") for peer in peers if peer.holds and peer.is_bounded]
    jobs: dict[str, tuple[str | None, int, str, float]] = {
        title: (adapter_of(peer), sizes.entries, way, sizes.fill_seconds) for peer, way, title in ways
    }
    jobs[FLOOR] = (None, sizes.entries, "get", sizes.fill_seconds)
    with _returning_memory():
        found, failed = run_apart(grown, jobs)
    samples = {
        title: [Sample(grew / entries, {"entries": entries})] for title, (grew, entries) in found.items()
    }
    rows = rows_of(samples, peers, floors=[FLOOR])
    absent = failed | {peer.title: "holds nothing" for peer in peers if not peer.holds}
    summary = f"{sizes.entries:,} entries, int to int, with the keys and values themselves"
    return Result("memory", summary, "bytes an entry", FLOOR, rows, absent)


@contextmanager
def _returning_memory() -> Iterator[None]:
    """Make processes started here return freed memory to the system, so that it is not counted.

    By default glibc keeps a table that a growing dict has left.
    """
    before = {name: os.environ.get(name) for name in _GLIBC}
    os.environ.update(_GLIBC)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def grown(adapter: str | None, entries: int, way: str, seconds: float) -> tuple[int, int]:
    """Return the bytes by which this process grows when it fills the cache of ``adapter``, or a dict.

    And with how many entries. It is what the system has given to the process, since ``tracemalloc`` does
    not see what a cache written in Rust or C takes.
    """
    return asyncio.run(_grown(adapter, entries, way, seconds))


async def _grown(adapter: str | None, entries: int, way: str, seconds: float) -> tuple[int, int]:
    source = Source()
    keys = range(entries)  # each entry has two objects of its own, as in a program that reads rows
    if adapter is None:
        plain: dict[int, int] = {}
        before = _resident()
        for key in keys:
            plain[key] = await source.load(key)
        return _resident() - before, entries
    kind = import_peer(adapter)
    # What a package makes once is there from now on.
    async with kind(source, _PROBE) as peer:
        began = perf_counter()
        await peer.fill(range(_PROBE))
        each = (perf_counter() - began) / _PROBE
    if way == "put_many":
        before = _resident()
        async with kind(source, entries) as peer:
            items = {key: value_of(key) for key in keys}
            await peer.put_many(items)
            del items
            return _resident() - before, entries
    work = entries * (2 + _CHURNS) if way == "in use" else entries
    filled = keys[: entries // 8] if each * work > seconds else keys
    before = _resident()
    async with kind(source, len(filled)) as peer:
        await peer.fill(filled)
        if way == "in use":
            await peer.fill(filled)
            await _churn(peer, len(filled))
        return _resident() - before, len(filled)


async def _churn(peer: Peer, entries: int) -> None:
    """Ask for three times as many new keys as there are entries."""
    for first in range(entries, (1 + _CHURNS) * entries, _A_BATCH):
        batch = range(first, min(first + _A_BATCH, (1 + _CHURNS) * entries))
        if peer.has_get_many:
            await peer.get_many(batch)
        else:
            await peer.fill(batch)


def _resident() -> int:
    gc.collect()
    return int(_STATM.read_text(encoding="ascii").split()[1]) * mmap.PAGESIZE
