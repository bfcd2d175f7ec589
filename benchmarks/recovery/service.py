"""A service that restarts under traffic: how long its requests take in the seconds after, in virtual time."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

from async_backfill import BackfillCache, MappingSource
from benchmarks.peers.peer import Peer
from benchmarks.peers.registry import find_peers
from benchmarks.peers.sources import LimitedSource
from benchmarks.peers.workloads.zipf import zipf_keys
from benchmarks.recovery.kinds import KINDS, virtual_clocks
from benchmarks.recovery.virtual_time import run_virtually

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

PEERS: Final = (
    "asynclru:Alru",
    "cache_box:CachedLru",
    "theine_memoize:Memoized",
    "aio_cache:Cached",
    "cashews_memory:Simple",
    "aio_dataloader:Loader",
)
OURS: Final = "async_backfill, "
READY_FIRST: Final = ", ready first"
COVERAGE: Final = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """Requests at random moments, ``rate`` a second, of skewed popularity over ``keys`` keys.

    ``before``, ``after``
        seconds of it before and after the restart.
    ``call``
        seconds that a source call takes, and 0.02 ms more for each of its keys; ten run at once.
    """

    rate: int = 6_000
    keys: int = 50_000
    capacity: int = 10_000
    before: int = 10
    after: int = 6
    call: float = 0.003

    def requests(self) -> tuple[Sequence[int], Sequence[int]]:
        """Return the keys that are asked for before and after the restart."""
        drawn = zipf_keys(self.keys, self.rate * (self.before + self.after))
        return drawn[: self.rate * self.before], drawn[self.rate * self.before :]

    def source(self) -> LimitedSource:
        """Return a new source."""
        return LimitedSource(self.call, at_once=10, at_most=500, a_key=0.00002)


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """The requests after the restart of one contender; times are in seconds.

    ``call``
        what a source call takes.
    ``p99``
        the 99th percentile of the requests that came in each second.
    ``calls``, ``keys``
        source calls, and keys read, from the start of the new process to the end of the first second.
    ``waited``
        seconds between that start and the first request.
    """

    name: str
    call: float
    p99: Sequence[float]
    largest: float
    calls: int
    keys: int
    waited: float


class _NoCache(Peer):
    """Each request asks the source."""

    title = "no cache"
    package = "async-backfill"

    def __init__(self, source: LimitedSource, capacity: int) -> None:  # noqa: ARG002 - it keeps nothing
        self.get = source.load


def contenders() -> list[str]:
    """Return the names of all that can take part."""
    peers, _ = find_peers(PEERS)
    ours = [
        OURS + name + suffix
        for name, kind in KINDS.items()
        for suffix in ("", READY_FIRST)[: 1 + kind.can_wait]
    ]
    return [_NoCache.title, *(peer.title for peer in peers), *ours]


def serve(name: str, traffic: Traffic) -> Served:
    """Return how the contender ``name`` served ``traffic`` after a restart."""
    return run_virtually(_ours if name.startswith(OURS) else _theirs, name, traffic)


async def _theirs(name: str, traffic: Traffic) -> Served:
    peers, _ = find_peers(PEERS)
    contenders: list[type[Peer]] = [_NoCache, *peers]
    kind = next(peer for peer in contenders if peer.title == name)
    source = traffic.source()
    async with kind(source, traffic.capacity) as peer:
        return await _served(name, peer.get, source, traffic, began=0.0)


async def _ours(name: str, traffic: Traffic) -> Served:
    title = name.removeprefix(OURS)
    kind = KINDS[title.removesuffix(READY_FIRST)]
    time = asyncio.get_running_loop().time
    scan = MappingSource(dict.fromkeys(random.Random(1).sample(range(traffic.keys), traffic.keys), True))

    def make(source: LimitedSource) -> BackfillCache[int, int]:
        settings = {**virtual_clocks(), **kind.settings(scan, Path(folder))}
        return BackfillCache(source, capacity=traffic.capacity, **settings)

    with TemporaryDirectory() as folder:
        if kind.saves is not None:
            async with make(traffic.source()) as cache:
                await _ask(cache.get, traffic.requests()[0], traffic.rate)
        began, source = time(), traffic.source()
        async with make(source) as cache:
            if title.endswith(READY_FIRST):
                await cache.ready(COVERAGE)
            return await _served(name, cache.get, source, traffic, began)


async def _served(
    name: str, get: Callable[[int], Awaitable[Any]], source: LimitedSource, traffic: Traffic, began: float
) -> Served:
    """Ask for the keys of ``traffic`` after the restart, and return what that took."""
    waited = asyncio.get_running_loop().time() - began
    reads: list[tuple[int, int]] = []
    asyncio.get_running_loop().call_later(1.0, lambda: reads.append((source.calls, source.keys)))
    taken = await _ask(get, traffic.requests()[1], traffic.rate)
    by_second: list[list[float]] = [[] for _ in range(traffic.after)]
    for at, seconds in taken:
        by_second[min(int(at), traffic.after - 1)].append(seconds)
    calls, keys = reads[0]
    return Served(
        name=name,
        call=traffic.call,
        p99=[p99(each) for each in by_second],
        largest=max(seconds for _, seconds in taken),
        calls=calls,
        keys=keys,
        waited=waited,
    )


async def _ask(
    get: Callable[[int], Awaitable[Any]], keys: Iterable[int], rate: int
) -> list[tuple[float, float]]:
    """Ask for ``keys`` at random moments; return when each request came, and how long it took."""
    time, draws = asyncio.get_running_loop().time, random.Random(2)
    begin = at = time()
    taken: list[tuple[float, float]] = []

    async def request(key: int) -> None:
        came = time()
        await get(key)
        taken.append((came - begin, time() - came))

    async with asyncio.TaskGroup() as requests:
        for key in keys:
            at += draws.expovariate(rate)
            await asyncio.sleep(at - time())
            requests.create_task(request(key))
    return taken


def p99(seconds: Sequence[float]) -> float:
    """Return the 99th percentile of ``seconds``; 0.0 of none."""
    return sorted(seconds)[int(0.99 * len(seconds))] if seconds else 0.0
