"""How fresh what is kept of one key is."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from async_backfill.outcomes import ABSENT
from async_backfill.stats import EntryFreshness

if TYPE_CHECKING:
    from async_backfill._lookup.near_tier import NearTier
    from async_backfill.contracts import K, V
    from async_backfill.policies import FreshnessPolicy


def freshness_of(near: NearTier[K, V], policy: FreshnessPolicy, key: K) -> EntryFreshness | None:
    """Return how fresh the value of ``key`` is; ``None`` when there is none that may be served."""
    fresh = near.fresh
    if fresh is None:
        if near.store.peek(key, ABSENT) is ABSENT:
            return None
        age, left = None, math.inf
    elif fresh.leftover(key) is ABSENT:
        return None
    else:
        age, left = fresh.ages.of(key), fresh.expires_in(key)
    return EntryFreshness(
        age=age,
        expires_in=None if left == math.inf else left,
        is_stale=left <= 0.0,
        stale_while_revalidate=0.0 if policy.stale_wait is None else policy.stale_for,
        stale_if_error=policy.stale_for,
    )
