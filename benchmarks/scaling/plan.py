"""How much is measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Plan:
    """The sizes, and how often something is done at each.

    ``entries``
        in the cache.
    ``crowds``
        tasks that wait, keys of a call, keys that load.
    ``rounds``
        in each of which the cache and the floor do ``hits`` lookups, or ``misses``.
    ``single_misses``
        of which each is timed by itself.
    ``times_all_hit``
        evictions that find that every entry was hit.
    ``most_at_once``
        rounds times the size of the crowd, where fewer rounds do.
    """

    entries: tuple[int, ...]
    crowds: tuple[int, ...]
    rounds: int
    hits: int
    misses: int
    single_misses: int
    times_all_hit: int
    most_at_once: int

    def crowd_rounds(self, size: int) -> int:
        """Return the rounds for a crowd of ``size``: three at least, which make a median."""
        return max(3, min(self.rounds, self.most_at_once // size))


FULL_RUN: Final = Plan(
    entries=(1_000, 10_000, 100_000, 1_000_000, 10_000_000),
    crowds=(1, 10, 100, 1_000, 10_000, 100_000),
    rounds=21,
    hits=10_000,
    misses=1_000,
    single_misses=100_000,
    times_all_hit=3,
    most_at_once=100_000,
)
QUICK_RUN: Final = Plan(
    entries=(1_000, 10_000),
    crowds=(1, 100, 1_000),
    rounds=3,
    hits=1_000,
    misses=100,
    single_misses=1_000,
    times_all_hit=3,
    most_at_once=10_000,
)
