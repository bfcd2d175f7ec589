"""Say of a key what is known of it, without touching anything."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from async_backfill._common.bounded_call import bounded
from async_backfill._common.error_text import error_line
from async_backfill._session.control.values import Explanation
from async_backfill.outcomes import ABSENT, MissCause

if TYPE_CHECKING:
    from async_backfill._session.engine import Engine
    from async_backfill._session.parts import Parts
    from async_backfill.contracts import FarCopy, K, Spawn, V
    from async_backfill.far_tier import FarTier

_PLACES: Final = (("nowhere", "far tier"), ("memory", "memory and far tier"))


async def explain(key: K, parts: Parts[K, V], engine: Engine[K, V]) -> Explanation[K]:
    """Return what is known of ``key``."""
    copy, far_failed = None, None
    if parts.settings.far is not None:
        copy, far_failed = await _far_copy(key, parts.settings.far, engine.spawn)
    near, fresh = parts.near, parts.near.fresh
    store = near.store if fresh is None else fresh.inner
    is_here = store.peek(key, ABSENT) is not ABSENT
    expires_in, is_fresh = None, None
    if is_here:
        is_fresh = fresh is None or fresh.is_fresh(key)
        if fresh is not None and math.isfinite(left := fresh.expires_in(key)):
            expires_in = left
    elif copy is not None and engine.far is not None:
        is_fresh = engine.far.ttl is None or copy.age < engine.far.ttl
    hot = parts.hot
    return Explanation(
        key=key,
        where=_PLACES[is_here][copy is not None],
        is_fresh=is_fresh,
        is_absent=near.absent is not None and key in near.absent,
        is_loading=key in engine.loader.locks,
        expires_in=expires_in,
        **(_arrival(key, parts) if is_here else _departure(key, parts)),
        heat=None if hot is None else hot.heat_now(key),
        far_age=None if copy is None else copy.age,
        far_failed=far_failed,
    )


def _arrival(key: K, parts: Parts[K, V]) -> dict[str, Any]:
    recent = parts.reports.recent
    arrival = None if recent is None else recent.arrival(key)
    if recent is None or arrival is None:
        return {"loaded_by": "backfill" if parts.near.is_unread(key) else None}
    is_copy = arrival.what in {"far tier", "snapshot"}  # whose age is not that of its arrival
    return {"loaded_by": arrival.what, "age": None if is_copy else recent.seconds_since(arrival)}


def _departure(key: K, parts: Parts[K, V]) -> dict[str, Any]:
    recent = parts.reports.recent
    departure = None if recent is None else recent.departure(key)
    if recent is not None and departure is not None:
        return {"left_because": departure.what, "left_ago": recent.seconds_since(departure)}
    cause = MissCause.COLD if parts.usefulness is None else parts.usefulness.departures.cause(key)
    return {"left_because": None if cause is MissCause.COLD else cause.value}


async def _far_copy(key: K, far: FarTier[K, V], spawn: Spawn) -> tuple[FarCopy[V] | None, str | None]:
    """Return the copy in the far tier, and why it did not answer."""
    ended = await bounded(lambda: far.store.get_many((key,)), far.timeout, spawn)
    if isinstance(ended.error, (KeyboardInterrupt, SystemExit)):
        raise ended.error
    if ended.stopped:
        return None, f"no answer within {far.timeout} s"
    if ended.error is not None:
        return None, error_line(ended.error)
    return (ended.result or {}).get(key), None
