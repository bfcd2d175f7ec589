"""Answer a miss from what is known: a remembered absence, or a stale value that is loaded again."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Generic

from anyio import move_on_after

from async_backfill._loading.batch import BatchState
from async_backfill.contracts import K, V
from async_backfill.outcomes import ABSENT, Absent, Failed, MissCause

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from async_backfill._loading.batch import Batch
    from async_backfill._loading.loader import Loader
    from async_backfill._lookup.counters import Counters
    from async_backfill._lookup.near_tier import NearTier
    from async_backfill.backfill._history.recorder import HeatRecorder
    from async_backfill.contracts import Trigger
    from async_backfill.stores._fresh import FreshStore


class Revalidation(Generic[K, V]):
    """Serves stale values while they are refreshed, and remembered absences, and counts both.

    :param heat: records which keys are looked up; ``None`` without history.
    :param stale_wait: seconds to wait for a refresh before the stale value is served; ``None`` waits until
        the refresh has failed.
    """

    def __init__(
        self,
        near: NearTier[K, V],
        loader: Loader[K, V],
        *,
        trigger: Trigger,
        counters: Counters,
        heat: HeatRecorder[K] | None,
        stale_wait: float | None,
    ) -> None:
        self._near = near
        self._loader = loader
        self._trigger = trigger
        self._counters = counters
        self._heat = heat
        self._stale_wait = stale_wait

    async def answer(self, keys: Sequence[K]) -> dict[K, V | Absent]:
        """Return the values of those of ``keys`` that may still be served, and the known absences.

        A stale value counts as a hit; a known absence, and a refresh that was waited for, as a miss.
        A known absence is not reported to the trigger, and makes no key hot: no backfill could cure it.
        """
        answers: dict[K, V | Absent] = {}
        if (absent := self._near.absent) is not None:
            answers = {key: ABSENT for key in keys if key in absent}
            self._counters.misses += len(answers)
            self._counters.absent += len(answers)
            for _ in answers:
                self._counters.count_cause(MissCause.ABSENT)
        if (fresh := self._near.fresh) is not None:
            left = {key: self._near.leftover(key) for key in keys if key not in answers}
            served = {key: value for key, value in left.items() if value is not ABSENT}
            if served:
                stale = {key for key in served if not fresh.is_fresh(key)}
                reloaded = await self._refresh(fresh, served, stale)
                self._counters.hits += len(served) - len(reloaded)
                self._counters.stale += len(stale) - len(reloaded)
                answers.update({**served, **reloaded})
        self._note(answers)
        return answers

    def _note(self, answers: Mapping[K, V | Absent]) -> None:
        """Note the heat of what was answered, and forget that of the keys that do not exist."""
        if self._heat is not None and answers:
            absent = [key for key, value in answers.items() if value is ABSENT]
            self._heat.drop(absent)
            if len(absent) < len(answers):
                self._heat.missed([key for key, value in answers.items() if value is not ABSENT])

    async def _refresh(
        self, fresh: FreshStore[K, V], served: Mapping[K, V], stale: set[K]
    ) -> dict[K, V | Absent]:
        """Load ``served`` again; return the outcomes of ``stale`` keys whose load ended in time."""
        joined: dict[K, Batch[K, V]] = {}
        awaited: dict[Batch[K, V], K] = {}
        for key in served:
            if fresh.may_refresh(key):
                batch = self._loader.batch_queue.join_refresh(key)
                if key in stale:
                    joined[key] = batch
                    awaited.setdefault(batch, key)
        if self._stale_wait == 0.0 or not awaited:
            return {}
        with move_on_after(math.inf if self._stale_wait is None else self._stale_wait):
            while awaited:
                await self._loader.wait(awaited)
                awaited = self._follow(fresh, joined)
        reloaded: dict[K, V | Absent] = {}
        for key, batch in joined.items():
            taken_over = key not in batch.keys
            outcome = fresh.peek(key, ABSENT) if taken_over else batch.outcome(key)
            in_time = batch.state is BatchState.LANDED and not (taken_over and outcome is ABSENT)
            if in_time and not isinstance(outcome, Failed):
                reloaded[key] = outcome
                self._counters.misses += 1
                self._counters.absent += outcome is ABSENT
                self._counters.count_cause(MissCause.ABSENT if outcome is ABSENT else MissCause.EXPIRED)
                self._trigger.observe_miss(self._counters.lookups)
        return reloaded

    def _follow(self, fresh: FreshStore[K, V], joined: dict[K, Batch[K, V]]) -> dict[Batch[K, V], K]:
        """Join the load of a live caller that took a key over while its refresh was queued."""
        awaited: dict[Batch[K, V], K] = {}
        for key, batch in joined.items():
            if key not in batch.keys and fresh.peek(key, ABSENT) is ABSENT:
                joined[key] = again = self._loader.batch_queue.join_refresh(key)
                awaited.setdefault(again, key)
        return awaited
