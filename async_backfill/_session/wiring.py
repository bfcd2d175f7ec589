"""Make what runs while a cache is open: loader, misses and the open far tier (L2)."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Final

from async_backfill._common.log_lines import CacheLog
from async_backfill._far.call_tasks import CallTasks
from async_backfill._far.open_tier import OpenTier
from async_backfill._loading.load_traces import LoadTraces
from async_backfill._loading.loader import Loader
from async_backfill._loading.signals import signals
from async_backfill._loading.traced_loader import TracedLoader
from async_backfill._lookup.lone_value import make_keep_one
from async_backfill._lookup.miss import Misses
from async_backfill._lookup.miss_watch import MissWatch
from async_backfill._lookup.misses import ManyMisses
from async_backfill._lookup.revalidation import Revalidation
from async_backfill._lookup.slow_paths import SlowPaths
from async_backfill._lookup.timed_misses import TimedMisses, timed_answer
from async_backfill.outcomes import LoadCause

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from async_backfill._loading.batch import Batch
    from async_backfill._loading.timed_call import Ended
    from async_backfill._lookup.timed_misses import AnswerMany
    from async_backfill._session.opened_in import OpenedIn
    from async_backfill._session.parts import Parts
    from async_backfill.backfill._backfiller import Backfiller
    from async_backfill.contracts import K, Spawn, Trigger, V

_LOGGER: Final = logging.getLogger("async_backfill.far")


def open_far(parts: Parts[K, V], spawn: Spawn) -> OpenTier[K, V] | None:
    """Return the open far tier (L2); ``None`` without one."""
    settings, fresh = parts.settings, parts.near.fresh
    if settings.far is None or parts.far_calls is None:
        return None
    parts.far_calls.run_in(CallTasks(spawn, signals()))
    return OpenTier(
        settings.far,
        parts.far_calls,
        ttl=settings.freshness.ttl,
        stale_for=settings.freshness.stale_for,
        seconds_left=None if fresh is None else lambda key: max(0.0, fresh.expires_in(key)),
        patience=settings.load.timeout,
        spawn=spawn,
        cache=settings.name,
    )


def make_loader(parts: Parts[K, V], far: OpenTier[K, V] | None, spawn: Spawn) -> Loader[K, V]:
    """Return the loader; it reads through ``far``, and what it lands goes to the near tier and there."""
    # Its tasks must not hold `parts`, or a cache that is dropped while it is open would never be let go.
    near, counters, reports = parts.near, parts.counters, parts.reports
    log = CacheLog(_LOGGER, parts.settings.name)

    def landed(batch: Batch[K, V], keys: list[K]) -> None:
        near.keep(batch, keys)
        if batch.copies and reports.recent is not None:
            reports.recent.arrived("far tier", tuple(batch.copies))
        if far is not None:
            try:
                far.landed(batch, () if near.is_off else keys)
            except Exception:  # the code of a key raised: it costs a copy, never the cache
                log.exception("what a load of %s keys brought is not written to the far tier", len(keys))

    def report(call: Ended[K, V]) -> None:
        delivered, batch = call.delivered, call.batch
        counters.source_calls += 1
        if batch.cause is not LoadCause.MISS:
            counters.other_calls[batch.cause] += 1
            batch.calls += 1
        counters.failed_calls[batch.cause] += call.failed
        counters.keys[batch.cause] += len(delivered)
        if batch.along:
            guessed = sum(key in batch.along for key in delivered)
            counters.keys[batch.cause] -= guessed
            counters.keys[LoadCause.BACKFILL] += guessed
        if batch.cause is LoadCause.REFRESH and call.failures:  # no caller is told of them
            reports.log(call.event_of_failures())
        if reports.notify is not None:
            reports.notify(call.event())

    return _kind_of_loader(parts)(
        parts.settings.source,
        policy=parts.settings.load,
        landed=near.keep if far is None else landed,
        report=report,
        spawn=spawn,
        clock=parts.settings.clock,
        before=None if far is None else far.before,
        keep_one=make_keep_one(near, counters) if reports.notify is None else None,
        circuit_changed=reports.source_circuit,
        cache=parts.settings.name,
    )


def _kind_of_loader(parts: Parts[K, V]) -> Callable[..., Loader[K, V]]:
    tracer = parts.settings.tracing
    if tracer is None:
        return Loader
    return partial(TracedLoader, traces=LoadTraces(tracer, parts.settings.name))


def make_misses(
    parts: Parts[K, V],
    loader: Loader[K, V],
    backfiller: Backfiller[K] | None,
    trigger: Trigger,
    opened_in: OpenedIn,
) -> tuple[Misses[K, V] | TimedMisses[K, V], AnswerMany[K, V]]:
    """Return what answers a miss of one key, and the misses of several keys; both timed where asked for."""
    settings, near, standing = parts.settings, parts.near, parts.standing
    known = None
    if near.fresh is not None or near.absent is not None:
        known = Revalidation(
            near,
            loader,
            trigger=trigger,
            counters=parts.counters,
            heat=parts.heat,
            stale_wait=settings.freshness.stale_wait,
        )
    watch = MissWatch(
        trigger,
        backfiller,
        counters=parts.counters,
        inline=settings.backfill.inline,
        usefulness=parts.usefulness,
        every_miss=parts.every_miss,
    )
    paths = SlowPaths(near, loader, known, counters=parts.counters, heat=parts.heat)

    def companions(key: K) -> Sequence[K]:
        if parts.successors is None or parts.usefulness is None:
            return ()
        keys = parts.successors.missed(key)
        if not keys or standing.why_no_backfill() is not None:
            return ()
        return keys if parts.usefulness.gate.lets_through() else ()

    along = None if parts.successors is None else companions
    one: Misses[K, V] = Misses(
        paths,
        loader,
        miss_watch=watch,
        counters=parts.counters,
        heat=parts.heat,
        companions=along,
        opened_in=opened_in,
    )
    many = ManyMisses(paths, loader, miss_watch=watch, counters=parts.counters, companions=along)
    if (waited := parts.reports.waited) is None:
        return one, many.answer
    return TimedMisses(one, settings.clock, waited), timed_answer(many.answer, settings.clock, waited)
