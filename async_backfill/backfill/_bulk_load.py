"""The load of one backfill: through the loader, with a receipt, and judged by its answers."""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Final, Generic, Protocol

from anyio import CancelScope

from async_backfill._common.attempt import attempt
from async_backfill.backfill._episode import cause_line, is_value, judged
from async_backfill.contracts import K
from async_backfill.errors import CacheClosedError
from async_backfill.records import Status

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from async_backfill._common.bulk_course import BulkCourse
    from async_backfill.backfill._pace import Pace
    from async_backfill.backfill._receipts.receipts import Receipts
    from async_backfill.contracts import Selection
    from async_backfill.records import BackfillCause

_CLOSED: Final = "the cache closed"


class BulkSource(Protocol[K]):
    """Loads keys in bulk; in a cache this is the loader."""

    async def load_many(self, keys: Sequence[K], course: BulkCourse, /) -> Mapping[K, object]:
        """Return the answers for ``keys`` as a source does; when ``course`` ends, those that have come."""
        ...


class BulkLoad(Generic[K]):
    """Loads the keys of a backfill; what went wrong is reported, never raised.

    They were chosen a while ago where it has waited, for a permit or for its pace. A key that is cached when
    its turn comes, because a caller has put or loaded it since, is left out.

    :param source: loads the keys.
    :param selection: forgets the keys that do not exist.
    :param receipts: records which of the keys are read; ``None`` without probation.
    :param lookups: the number of lookups that the cache has counted.
    :param pace: how fast it may ask.
    :param is_cached: returns whether a key is in the store, or known to be absent.
    """

    def __init__(
        self,
        source: BulkSource[K],
        selection: Selection[K],
        receipts: Receipts[K] | None,
        *,
        lookups: Callable[[], int],
        pace: Pace,
        is_cached: Callable[[K], bool],
    ) -> None:
        self._source = source
        self._selection = selection
        self._receipts = receipts
        self._lookups = lookups
        self._is_cached = is_cached
        self.pace = pace

    async def load(
        self,
        number: int,
        cause: BackfillCause,
        keys: Sequence[K],
        report: Callable[[Status, int, str | None], None],
        course: BulkCourse,
    ) -> None:
        """Load ``keys`` for backfill ``number``, which ``cause`` has started.

        :param report: called when it begins and when it has ended, with the status, the number of keys that
            were delivered, and what went wrong.
        """
        report(Status.STARTED, 0, None)
        if self._receipts is not None:
            self._receipts.begin(number, cause, keys)
        course.begin()
        answers: dict[K, object] = {}
        is_over, failure = False, None
        try:
            failure = await self._load(number, keys, answers, course)
            is_over = not isinstance(failure, CacheClosedError)
        finally:
            status, loaded, error = judged(answers)
            if failure is not None and is_over:
                status, error = Status.FAILED, cause_line(failure)
            elif course.is_ended or not is_over:
                status, error = Status.CANCELLED, None if course.is_ended else _CLOSED
            report(status, loaded, error)
            if self._receipts is not None:
                self._receipts.landed(number, self._lookups(), course.calls)

    async def _load(
        self, number: int, keys: Sequence[K], answers: dict[K, object], course: BulkCourse
    ) -> BaseException | None:
        """Load ``keys`` in portions, and put what comes into ``answers``; return why that failed."""
        left = deque(keys)
        while left:
            size = 0
            with course.waiting():
                size = await self.pace.turn(len(left))
            if course.is_ended:
                break
            load = partial(self._load_some, number, left, size, answers, course)
            call = await attempt(load, CancelScope())
            if call.error is not None:
                return call.error
        return None

    async def _load_some(
        self, number: int, left: deque[K], size: int, answers: dict[K, object], course: BulkCourse
    ) -> None:
        """Load the next ``size`` keys that are ``left`` and not cached."""
        portion: list[K] = []
        while left and len(portion) < size:
            key = left.popleft()
            if not self._is_cached(key):
                portion.append(key)
        if not portion:
            return
        # Until the load has the locks of its keys nothing is awaited, so none is cached meanwhile.
        if self._receipts is not None:
            self._receipts.asks(number, portion)
        found = await self._source.load_many(portion, course)
        answers.update(found)
        delivered = {key for key, answer in found.items() if is_value(answer)}
        if self._receipts is not None:
            self._receipts.came(number, delivered)
        course.portion_ended(course.loaded + len(delivered))
        self._selection.drop([key for key in portion if key not in found])
