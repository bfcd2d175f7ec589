"""The read that a hit makes where values expire."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from async_backfill.contracts import Clock, K, V
    from async_backfill.outcomes import Absent

    Read: TypeAlias = Callable[[K, Absent], V | Absent]


def make_read(
    fresh_until: Mapping[K, float],
    read: Read[K, V],
    clock: Clock,
    *,
    early: float,
    costs: Mapping[K, float],
    draw: Callable[[], float],
) -> Read[K, V]:
    """Return the function that a hit calls; it does not find a value that is due for an early refresh.

    :param read: finds a value, fresh or not.
    :param early, costs: see `FreshnessPolicy.early`, and how long the load of each key took.
    :param draw: returns a random number from 0.0 to 1.0.
    """

    def read_fresh(key: K, default: Absent) -> V | Absent:
        if clock() < fresh_until.get(key, -math.inf):
            return read(key, default)
        return default

    def read_early(key: K, default: Absent) -> V | Absent:
        # XFetch: now - cost * beta * log(random()) >= expiry. The draw must not be 0.
        ahead = -costs.get(key, 0.0) * early * math.log(1.0 - draw())
        if clock() + ahead < fresh_until.get(key, -math.inf):
            return read(key, default)
        return default

    return read_early if early else read_fresh
