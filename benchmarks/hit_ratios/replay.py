"""Replay a trace through a `MemoryStore` under each eviction order, at several capacities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from async_backfill.errors import ScenarioError
from async_backfill.outcomes import ABSENT
from async_backfill.stores._eviction.orders import EVICTIONS, Eviction
from async_backfill.stores.memory import MemoryStore
from benchmarks.key_files import read_keys

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

FRACTIONS: Final = (0.001, 0.01, 0.1)
"""Capacities, as shares of a trace's distinct keys."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """The keys of a trace, in the order of the requests."""

    name: str
    requests: Sequence[str]
    unique: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """The hits of a trace in a cache of ``capacity`` keys, which is ``fraction`` of all its keys."""

    trace: str
    requests: int
    unique: int
    fraction: float
    capacity: int
    eviction: Eviction
    hits: int

    @property
    def hit_ratio(self) -> float:
        """Hits, as a share of the requests."""
        return self.hits / self.requests


async def read_trace(path: Path) -> Trace:
    """Return the trace in a file with one key a line, plain or gzip.

    :raises ScenarioError: when the file cannot be read, or holds no key.
    """
    requests = await read_keys(path)
    if not requests:
        raise ScenarioError(f"{path}: empty, expected one key a line")
    return trace_of(path.name.partition(".")[0], requests)


def trace_of(name: str, requests: Sequence[str]) -> Trace:
    """Return ``requests`` as a trace."""
    return Trace(name=name, requests=requests, unique=len(set(requests)))


def replays(trace: Trace) -> Iterator[Replay]:
    """Yield one replay of ``trace`` for each capacity and each eviction order."""
    for fraction in FRACTIONS:
        capacity = max(1, round(trace.unique * fraction))
        for eviction in EVICTIONS:
            yield Replay(
                trace=trace.name,
                requests=len(trace.requests),
                unique=trace.unique,
                fraction=fraction,
                capacity=capacity,
                eviction=eviction,
                hits=count_hits(trace.requests, capacity, eviction),
            )


def count_hits(requests: Iterable[str], capacity: int, eviction: Eviction) -> int:
    """Return the number of hits of ``requests``; each miss adds its key."""
    store: MemoryStore[str, bool] = MemoryStore(capacity, eviction=eviction)
    read, set_many = store.read, store.set_many
    hits = 0
    for key in requests:
        if read(key, ABSENT) is ABSENT:
            set_many({key: True})
        else:
            hits += 1
    return hits
