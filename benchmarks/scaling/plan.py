"""The plan of a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Plan:
    """The sizes, and the repetitions at each.

    ``entries``
        in the cache.
    ``crowds``
        tasks that wait, keys of a call, keys that load.
    ``rounds``
        in each of which the cache and the floor do ``hits`` lookups, or ``misses``.
    ``single_misses``
        of which each is timed by itself.
    ``work``
        rounds times the size, above which fewer rounds do.
    """

    entries: tuple[int, ...]
    crowds: tuple[int, ...]
    rounds: int
    hits: int
    misses: int
    single_misses: int
    work: int

    def crowd_rounds(self, size: int) -> int:
        """Return the number of rounds for a crowd of ``size``: at least three, for a median."""
        return max(3, min(self.rounds, self.work // size))

    def times_all_hit(self, size: int) -> int:
        """Return the number of times to fill a cache of ``size`` entries and hit each, for one eviction."""
        return max(1, min(3, self.work // size))


FULL_RUN: Final = Plan(
    entries=(1_000, 10_000, 100_000, 1_000_000, 10_000_000),
    crowds=(1, 10, 100, 1_000, 10_000, 100_000),
    rounds=21,
    hits=10_000,
    misses=1_000,
    single_misses=100_000,
    work=200_000,
)
QUICK_RUN: Final = Plan(
    entries=(500,),
    crowds=(100,),
    rounds=3,
    hits=500,
    misses=50,
    single_misses=500,
    work=5_000,
)
