"""Copies in the far tier (L2) that are too old to be fresh: they answer where the source cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic

from async_backfill._loading.batch_calls import Answer
from async_backfill.contracts import K, V
from async_backfill.outcomes import Failed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from async_backfill._loading.batch import Batch
    from async_backfill._loading.timed_call import Ended
    from async_backfill.contracts import FarCopy


class StaleCopies(Generic[K, V]):
    """The copies of one batch whose ttl is over, but not the time that they may be served after it.

    ``failures``
        the failures that were answered by a copy.
    """

    def __init__(self) -> None:
        self._copies: dict[K, tuple[V, float]] = {}
        self.failures: dict[K, Failed] = {}

    def __bool__(self) -> bool:
        return bool(self._copies)

    def keep(self, key: K, copy: FarCopy[V], left: float, stale_for: float) -> None:
        """Keep ``copy`` of ``key`` if it is stale: ``left`` seconds fresh, which is 0.0 or less."""
        if -stale_for < left <= 0.0:
            self._copies[key] = (copy.value, left)

    def add(self, others: StaleCopies[K, V]) -> None:
        """Keep the copies of ``others`` too."""
        self._copies.update(others._copies)

    def serve(self, found: dict[K, V | Failed], copies: Mapping[K, float]) -> Mapping[K, float]:
        """Put a copy in the place of each failure in ``found`` that has one.

        Returns ``copies``, the seconds for which each copy in ``found`` may be used, with those of these.
        """
        left: dict[K, float] = {}
        for key, (value, seconds) in self._copies.items():
            failure = found.get(key)
            if isinstance(failure, Failed):
                self.failures[key] = failure
                found[key] = value
                left[key] = seconds
        return {**copies, **left} if left else copies

    def of(self, keys: Iterable[K]) -> StaleCopies[K, V]:
        """Return the copies of ``keys`` alone."""
        some: StaleCopies[K, V] = StaleCopies()
        some._copies = {key: self._copies[key] for key in keys if key in self._copies}
        return some

    def in_place_of(
        self, answer: Answer[K, V] | Ended[K, V], batch: Batch[K, V]
    ) -> Answer[K, V] | Ended[K, V]:
        """Return ``answer`` of the source with a stale copy for each key of ``batch`` that failed."""
        error = answer.error
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            return answer
        found: dict[K, V | Failed] = {}
        found.update(answer.found if error is None else dict.fromkeys(batch.keys, Failed(error)))
        batch.copies = self.serve(found, batch.copies)
        if not self.failures:
            return answer
        return Answer(
            found,
            must_stop=answer.must_stop,
            stopped=answer.stopped,
            calls=answer.calls,
            seconds=answer.seconds,
        )
