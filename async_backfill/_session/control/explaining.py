"""Say of a key what is known of it, without touching anything."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from async_backfill._session.control.values import Explanation
from async_backfill.outcomes import ABSENT, MissCause

if TYPE_CHECKING:
    from async_backfill._session.engine import Engine
    from async_backfill._session.parts import Parts
    from async_backfill.contracts import K, V


async def explain(key: K, parts: Parts[K, V], engine: Engine[K, V]) -> Explanation[K]:
    """Return what is known of ``key``."""
    near, fresh = parts.near, parts.near.fresh
    store = near.store if fresh is None else fresh.inner
    is_here = store.peek(key, ABSENT) is not ABSENT
    expires_in = None
    if is_here and fresh is not None and math.isfinite(left := fresh.expires_in(key)):
        expires_in = left
    cause = None
    if not is_here and parts.usefulness is not None:
        cause = parts.usefulness.departures.cause(key)
    hot = parts.hot
    return Explanation(
        key=key,
        where="memory" if is_here else "nowhere",
        is_fresh=(fresh is None or fresh.is_fresh(key)) if is_here else None,
        is_absent=near.absent is not None and key in near.absent,
        is_loading=key in engine.loader.locks,
        expires_in=expires_in,
        left_because=None if cause in {None, MissCause.COLD} else str(cause),
        heat=None if hot is None else hot.heat_now(key),
    )
