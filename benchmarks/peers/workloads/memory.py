"""What an entry costs in memory: 1 M int to int, each contender in a process of its own."""

from __future__ import annotations

import asyncio
import gc
import mmap
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Final

from benchmarks.peers.registry import import_peer
from benchmarks.peers.results import Result, Row, Sample
from benchmarks.peers.sources import ListedSource

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.peers.peer import Peer
    from benchmarks.peers.sizes import Sizes

FLOOR: Final = "dict"
_STATM: Final = Path("/proc/self/statm")  # Linux only; elsewhere the workload has no rows
_PROBE: Final = 1_000
_GLIBC: Final = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}


def measure(peers: Sequence[type[Peer]], sizes: Sizes) -> Result:
    """Fill each cache by ``get``, and those that have a ``put_many`` with that as well.

    A cache that is too slow is filled with an eighth: tables that double are then as full as with all.
    """
    jobs: dict[str, tuple[type[Peer] | None, str]] = {FLOOR: (None, "get")}
    jobs |= {peer.title: (peer, "get") for peer in peers if peer.holds}
    jobs |= {f"{peer.title}, put_many": (peer, "put_many") for peer in peers if peer.has_put_many}
    absent = {peer.title: "holds nothing" for peer in peers if not peer.holds}
    rows: list[Row] = []
    spawn = multiprocessing.get_context("spawn")
    with _returning_memory(), ProcessPoolExecutor(2, mp_context=spawn, max_tasks_per_child=1) as workers:
        pending = {
            title: workers.submit(grown, _adapter(peer), sizes.entries, way, sizes.fill_seconds)
            for title, (peer, way) in jobs.items()
        }
        for title, each in pending.items():
            peer = jobs[title][0]
            try:
                grew, entries = each.result()
            except Exception as error:  # noqa: BLE001 - a peer that fails is a result
                absent[title] = f"failed: {error}"
            else:
                sample = Sample(grew / entries, {"entries": entries})
                rows.append(Row(title, peer is not None and peer.is_ours, peer is None, [sample]))
    summary = f"{sizes.entries:,} entries, int to int, without the keys and values themselves"
    return Result("memory", summary, "bytes an entry", FLOOR, rows, absent)


@contextmanager
def _returning_memory() -> Iterator[None]:
    """Have processes started in here give what they free back to the system, so that it is not counted.

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


def _adapter(peer: type[Peer] | None) -> str | None:
    return None if peer is None else f"{peer.__module__.rpartition('.')[2]}:{peer.__name__}"


def grown(adapter: str | None, entries: int, way: str, seconds: float) -> tuple[int, int]:
    """Return by how many bytes this process grows when the cache of ``adapter``, else a dict, is filled.

    And with how many entries. It is what the system has given to the process, since ``tracemalloc`` does
    not see what a cache written in Rust or C takes.
    """
    return asyncio.run(_grown(adapter, entries, way, seconds))


async def _grown(adapter: str | None, entries: int, way: str, seconds: float) -> tuple[int, int]:
    keys = list(range(entries))
    source = ListedSource(list(range(entries, 2 * entries)))
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
        await peer.fill(keys[:_PROBE])
        each = (perf_counter() - began) / _PROBE
    if way == "put_many":
        items = await source.load_many(keys)
        before = _resident()
        async with kind(source, entries) as peer:
            await peer.put_many(items)
            return _resident() - before, entries
    if each * entries > seconds:
        del keys[entries // 8 :]
    before = _resident()
    async with kind(source, len(keys)) as peer:
        await peer.fill(keys)
        return _resident() - before, len(keys)


def _resident() -> int:
    gc.collect()
    return int(_STATM.read_text(encoding="ascii").split()[1]) * mmap.PAGESIZE
