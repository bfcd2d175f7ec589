"""Zipf-distributed lookups."""

from __future__ import annotations

import random
from itertools import accumulate


def zipf_keys(keys: int, count: int, *, exponent: float = 0.99, seed: int = 5) -> list[int]:
    """Return ``count`` draws of the numbers below ``keys``; a rank's weight is ``rank ** -exponent``."""
    draws = random.Random(seed)
    by_rank = list(range(keys))
    draws.shuffle(by_rank)
    weights = list(accumulate(rank**-exponent for rank in range(1, keys + 1)))
    return draws.choices(by_rank, cum_weights=weights, k=count)
