"""Arrival times of lookups, for a replay at a given rate."""

from __future__ import annotations

import math
import random
from itertools import accumulate
from typing import TYPE_CHECKING, Final

from async_backfill._common.validation import real, whole
from async_backfill.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

_DECIMALS: Final = 6
"""Times are whole microseconds, as those of the virtual clock."""


def arrival_times(lookups_per_second: float | None, *, seed: int) -> Iterator[float] | None:
    """Return endless arrival times in seconds from the start; ``None`` when there is no rate.

    The gaps between them are exponential, so they are a Poisson process, like the requests of many
    independent users.

    :raises ConfigurationError: for a rate that is not above 0 and finite, or a negative ``seed``.
    """
    whole("arrival_seed", seed, least=0)
    if lookups_per_second is None:
        return None
    rate = real("lookups_per_second", lookups_per_second, least=0.0, most=math.inf)
    if not rate:
        raise ConfigurationError("lookups_per_second", "0.0 is not above 0")
    draws = random.Random(f"arrivals {seed}")
    gaps = iter(lambda: draws.expovariate(rate), None)
    return (round(moment, _DECIMALS) for moment in accumulate(gaps))
