"""Restart a cache at several places of a trace, in each kind, and count what it asks of its source."""

from __future__ import annotations

import random
import shutil
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

import anyio

from async_backfill import BackfillCache, MappingSource
from benchmarks.recovery.kinds import AGES, KINDS, NEVER, name_of, virtual_clocks
from benchmarks.recovery.virtual_time import run_virtually

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from async_backfill.stores._eviction.orders import Eviction
    from benchmarks.hit_ratios.replay import Trace
    from benchmarks.recovery.kinds import Kind

ROOMS: Final = (0.01, 0.1, 0.3)
CUTS: Final = (0.3, 0.5, 0.7, 0.9)
AFTER: Final = 5_000
HELPS: Final = 0.9
"""A case counts where a cache that was never emptied makes at most this share of a cold one's calls."""
GOAL: Final = 1.05
FEW: Final = 10
"""Calls more than those of a cache never emptied that are allowed in any case."""
A_SECOND: Final = 2_500
"""Lookups a second of virtual time: so many that no other save comes within the oldest age."""
_STEP: Final = 5
"""Lookups after which other tasks run and time passes, in the first lookups of a process."""
_LATER_STEP: Final = 250
_LONGEST: Final = 3_600


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """The source calls, the keys read, and the hits in the first 5,000 lookups."""

    calls: int
    keys: int
    hits: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A restart of one cache at one place of a trace, with a run for each row of the table."""

    trace: str
    room: float
    capacity: int
    eviction: Eviction
    cut: float
    runs: Mapping[str, Run]

    @property
    def counts(self) -> bool:
        """Whether a warm cache makes clearly fewer calls than a cold one."""
        return self.runs[NEVER].calls <= HELPS * self.runs["cold"].calls

    def meets(self, name: str) -> bool:
        """Return whether the run ``name`` reaches the goal."""
        never = self.runs[NEVER].calls
        return self.runs[name].calls <= max(GOAL * never, never + FEW)

    def times(self, name: str) -> float:
        """Return the calls of the run ``name`` in those of a cache never emptied."""
        return self.runs[name].calls / max(1, self.runs[NEVER].calls)

    def keys_read(self, name: str) -> float:
        """Return the keys read by the run ``name`` in those of a cold cache."""
        return self.runs[name].keys / max(1, self.runs["cold"].keys)


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class _Death:
    """The end of a process at lookup ``cut``, which was saved last at lookup ``saved``."""

    saved: int
    cut: int

    def seen_until(self, kind: Kind) -> int:
        """Return the place up to which what a process leaves depends on its lookups."""
        return self.cut if kind.logs else self.saved


class _Bench:
    """One trace, one room, one order: makes the caches, and measures."""

    def __init__(self, trace: Trace, room: float, eviction: Eviction) -> None:
        self.capacity = max(1, int(trace.unique * room))
        self.requests = trace.requests
        self._eviction = eviction
        table = sorted(set(trace.requests))
        random.Random(1).shuffle(table)  # an order of the source that knows nothing of the requests
        self._source = MappingSource(dict.fromkeys(table, True))

    def cache(self, kind: Kind, folder: Path) -> BackfillCache[str, bool]:
        """Return a new cache of ``kind``."""
        settings = {**virtual_clocks(), **kind.settings(self._source, folder)}
        return BackfillCache(self._source, capacity=self.capacity, eviction=self._eviction, **settings)

    async def never_emptied(self, cuts: Sequence[int]) -> dict[int, Run]:
        """Return the run after each of ``cuts`` of a cache that goes on."""
        places = sorted({0, *cuts, *(cut + AFTER for cut in cuts)})
        reached = {}
        with TemporaryDirectory() as folder:
            async with self.cache(KINDS["cold"], Path(folder)) as cache:
                for begin, end in pairwise(places):
                    await look_up(cache, self.requests[begin:end])
                    reached[end] = _so_far(cache)
        return {cut: _since(reached[cut], reached[cut + AFTER]) for cut in cuts}

    async def killed(self, kind: Kind, deaths: Sequence[_Death]) -> dict[_Death, Run]:
        """Return the first run of each successor of a process that dies of each of ``deaths``.

        In truth it lives on: its successor gets a copy of what it has left by then.
        """
        runs: dict[_Death, Run] = {}
        place = saved = 0
        with TemporaryDirectory() as name:
            folder = Path(name)
            async with self.cache(kind, folder) as cache:
                for death in deaths:
                    await look_up(cache, self.requests[place : death.saved])
                    if death.saved > saved:
                        await _saved(folder / str(kind.saves))
                        saved = death.saved
                    place = death.seen_until(kind)
                    await look_up(cache, self.requests[death.saved : place])
                    # The rest of its life changes nothing that it leaves, but takes its time.
                    await anyio.sleep((death.cut - place) / A_SECOND)
                    runs[death] = await self.first(kind, death.cut, folder)
        return runs

    async def first(self, kind: Kind, cut: int, left: Path | None = None) -> Run:
        """Return the run after ``cut`` of a new process that finds a copy of ``left``."""
        with TemporaryDirectory() as name:
            folder = Path(name) / "left"
            if left is None:
                folder.mkdir()
            else:
                shutil.copytree(left, folder)
            async with self.cache(kind, folder) as cache:
                await look_up(cache, self.requests[cut : cut + AFTER], _STEP)
                return _so_far(cache)


def restarts(trace: Trace, room: float, eviction: Eviction) -> list[Case]:
    """Return a case for each cut of ``trace``; the same arguments give the same result.

    A cut with fewer than 5,000 lookups behind it is left out.
    """
    bench = _Bench(trace, room, eviction)
    cuts = {int(share * len(trace.requests)): share for share in CUTS}
    cuts = {cut: share for cut, share in cuts.items() if cut + AFTER <= len(trace.requests)}
    runs = run_virtually(_measure, bench, tuple(cuts))
    return [
        Case(
            trace=trace.name,
            room=room,
            capacity=bench.capacity,
            eviction=eviction,
            cut=share,
            runs={name: found[cut] for name, found in runs.items() if cut in found},
        )
        for cut, share in cuts.items()
    ]


async def _measure(bench: _Bench, cuts: Sequence[int]) -> dict[str, dict[int, Run]]:
    runs = {NEVER: await bench.never_emptied(cuts)}
    for name, kind in KINDS.items():
        if kind.saves is None:
            runs[name] = {cut: await bench.first(kind, cut) for cut in cuts}
            continue
        deaths = [_Death(saved=cut - age, cut=cut) for cut in cuts for age in AGES if cut > age]
        for life in _lives(kind, deaths):
            for death, run in (await bench.killed(kind, life)).items():
                runs.setdefault(name_of(name, death.cut - death.saved), {})[death.cut] = run
    return runs


def _lives(kind: Kind, deaths: Sequence[_Death]) -> list[list[_Death]]:
    """Return ``deaths`` shared out among as few processes as can die of them one after another."""
    lives: list[list[_Death]] = []
    for death in sorted(deaths):
        free = next((life for life in lives if life[-1].seen_until(kind) <= death.saved), None)
        if free is None:
            lives.append([death])
        else:
            free.append(death)
    return lives


async def look_up(cache: BackfillCache[str, bool], keys: Sequence[str], step: int = _LATER_STEP) -> None:
    """Look up ``keys`` one after another; virtual time passes by the lookups."""
    get = cache.get
    for start in range(0, len(keys), step):
        for key in keys[start : start + step]:
            await get(key)
        await anyio.sleep(step / A_SECOND)


async def _saved(file: Path) -> None:
    """Let time pass, without lookups, until the process has replaced ``file``."""
    before = _identity(file)
    for _ in range(_LONGEST):
        await anyio.sleep(1.0)
        if _identity(file) != before:
            return
    raise TimeoutError(f"{file} was not written within {_LONGEST} s of virtual time")


def _identity(file: Path) -> tuple[int, int] | None:
    if not file.exists():
        return None
    found = file.stat()
    return found.st_ino, found.st_mtime_ns


def _so_far(cache: BackfillCache[str, bool]) -> Run:
    stats = cache.stats
    return Run(calls=stats.source_calls, keys=stats.source_keys, hits=stats.hits)


def _since(begin: Run, end: Run) -> Run:
    return Run(calls=end.calls - begin.calls, keys=end.keys - begin.keys, hits=end.hits - begin.hits)
