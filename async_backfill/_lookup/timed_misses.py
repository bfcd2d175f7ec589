"""Misses whose waits are measured: only where somebody asks for that, as it costs a coroutine each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic

from async_backfill._loading.batch import Batch
from async_backfill._lookup.answering import Later
from async_backfill.contracts import K, V

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from typing import TypeAlias

    from async_backfill._lookup.miss import Misses
    from async_backfill.contracts import Clock
    from async_backfill.outcomes import Absent

    AnswerMany: TypeAlias = Callable[[Sequence[K]], Awaitable[tuple[dict[K, V], dict[K, Exception]]]]


class TimedMisses(Generic[K, V]):
    """Answers as ``misses`` does, and tells for how long each caller waited, also one that failed or left.

    :param waited: called with the seconds.
    """

    def __init__(self, misses: Misses[K, V], clock: Clock, waited: Callable[[float], object]) -> None:
        self._misses = misses
        self._clock = clock
        self._waited = waited

    def begin(self, key: K, /) -> V | Absent | Later[V]:
        """Return the value of ``key``, or its absence, or what is to be awaited."""
        since = self._clock()
        answer: Any = None
        try:
            answer = self._misses.begin(key)
        finally:
            if type(answer) is not Batch and type(answer) is not Later:
                self._waited(self._clock() - since)
        if type(answer) is Batch:
            return Later(self._landed(key, answer, since))
        if type(answer) is Later:
            return Later(self._answered(answer, since))
        value: V | Absent = answer
        return value

    def leave(self, batch: Batch[K, V], /) -> None:
        """Take note that a caller who waited for ``batch`` does so no longer."""
        self._misses.leave(batch)

    def ended(self, key: K, batch: Batch[K, V], /) -> V | Absent | Later[V]:
        """Return the value of ``key``, or its absence, now that ``batch`` has landed, or `Later`."""
        return self._misses.ended(key, batch)

    def turn(self, *, off: bool) -> None:
        """Answer while the cache is ``off``."""
        self._misses.turn(off=off)

    async def _landed(self, key: K, batch: Batch[K, V], since: float) -> V | Absent:
        try:
            try:
                await batch.wait()
            except BaseException:
                self._misses.leave(batch)
                raise
            value: Any = self._misses.ended(key, batch)
            if type(value) is Later:
                value = await value.rest
            found: V | Absent = value
            return found
        finally:
            self._waited(self._clock() - since)

    async def _answered(self, later: Later[V], since: float) -> V | Absent:
        try:
            return await later.rest
        finally:
            self._waited(self._clock() - since)


def timed_answer(
    answer: AnswerMany[K, V], clock: Clock, waited: Callable[[float], object]
) -> AnswerMany[K, V]:
    """Return what answers misses of several keys as ``answer`` does, and tells how long that took."""

    async def timed(keys: Sequence[K]) -> tuple[dict[K, V], dict[K, Exception]]:
        since = clock()
        try:
            return await answer(keys)
        finally:
            waited(clock() - since)

    return timed
