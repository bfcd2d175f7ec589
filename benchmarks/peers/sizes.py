"""The sizes of all workloads: for real figures, and for a quick test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from benchmarks.peers.rounds import Plan


@dataclass(frozen=True)
class Sizes:
    """The sizes of all workloads; the defaults are for real figures.

    ``short``
        rounds of trials that take milliseconds.
    ``long``
        rounds of trials that take a good part of a second.
    ``mixed``
        rounds of the mixed load, which takes seconds.
    ``hit_seconds``
        what a pass over the hits may take; a slower contender gets fewer.
    ``miss_seconds``
        what the passes over the misses may take; a slower contender gets no further one.
    ``fill_seconds``
        what it may take to fill a cache with all ``entries``; a slower one gets an eighth of them.
    """

    short: Plan
    long: Plan
    mixed: Plan
    hit_keys: int = 10_000
    hit_passes: int = 5
    hit_seconds: float = 0.005
    misses: int = 1_000
    miss_passes: int = 5
    miss_seconds: float = 0.5
    miss_capacity: int = 1_000
    callers: int = 10_000
    stampede_keys: int = 100
    slow_callers: int = 50
    slow_seconds: float = 3.0
    slow_key_callers: int = 100
    slow_key_seconds: float = 1.0
    cold_keys: int = 5_000
    entries: int = 1_000_000
    fill_seconds: float = 20.0
    passing_keys: int = 200_000
    requests: int = 500_000
    population: int = 100_000
    workers: int = 64


FULL: Final = Sizes(
    short=Plan(rounds=21, patience=2.5),
    long=Plan(rounds=9, patience=2.5),
    mixed=Plan(rounds=5, patience=8.0),
)
QUICK: Final = Sizes(
    short=Plan(rounds=3, patience=0.2),
    long=Plan(rounds=2, patience=0.2),
    mixed=Plan(rounds=2, patience=0.2),
    hit_keys=500,
    hit_passes=2,
    hit_seconds=0.002,
    misses=300,
    miss_passes=2,
    miss_seconds=0.1,
    miss_capacity=200,
    callers=500,
    stampede_keys=10,
    slow_callers=5,
    slow_seconds=2.2,
    slow_key_seconds=0.1,
    cold_keys=200,
    entries=8_000,
    fill_seconds=1.0,
    passing_keys=2_000,
    requests=5_000,
    population=1_000,
)
