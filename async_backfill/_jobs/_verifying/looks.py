"""Compare rows with their copies: a difference counts that is the same at a second look, a while later."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Final, Generic

from anyio import current_time, sleep

from async_backfill._common.error_text import error_line
from async_backfill._jobs._calls import copies_of, rows_again
from async_backfill._jobs._same import are_same
from async_backfill.contracts import K, V

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from async_backfill._jobs._ends import JobEnds
    from async_backfill.contracts import FarCopy

_AT_ONCE: Final = 1000
_MOST_SUSPECTS: Final = 5000
_MOST_LOOKS: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference(Generic[K, V]):
    """A row whose copy is another, or not there.

    ``is_new``
        whether it lies behind what the job has read.
    """

    key: K
    row: V
    copy: FarCopy[V] | None
    is_new: bool
    seen: float
    looks: int = 1

    def is_still(self, row: V, copy: FarCopy[V] | None) -> bool:
        """Return whether neither the row nor its copy has changed."""
        if not are_same(self.row, row) or (self.copy is None) is not (copy is None):
            return False
        return self.copy is None or copy is None or are_same(self.copy.value, copy.value)


class Looks(Generic[K, V]):
    """The looks at the rows of one verification.

    Rows change while they are compared. So a difference is looked at again: the row is read anew, and the
    copy too. Only when neither has changed since is it one; if something has, it is looked at once more.

    :param apart: seconds between two looks.
    :param seconds: how long one call of an end may take.
    """

    def __init__(self, ends: JobEnds[K, V], *, apart: float, seconds: float, attempts: int = 3) -> None:
        self._ends = ends
        self._apart = apart
        self._seconds = seconds
        self._attempts = attempts
        self._suspects: dict[K, Difference[K, V]] = {}
        self.changing = 0
        """Rows that were other ones at each look, or were removed meanwhile: nobody can compare them."""
        self.unread: dict[K, str] = {}
        """Why some rows could not be read again."""

    def __len__(self) -> int:
        """Return the number of differences that wait for a second look."""
        return len(self._suspects)

    async def first(self, rows: Mapping[K, V], *, is_new: bool) -> None:
        """Look at ``rows`` for the first time.

        :raises JobError: when the store does not answer.
        """
        keys = tuple(rows)
        for begin in range(0, len(keys), _AT_ONCE):
            part = keys[begin : begin + _AT_ONCE]
            found = await self._found(part)
            now = current_time()
            for key in part:
                copy = found.get(key)
                if copy is None or not are_same(rows[key], copy.value):
                    self._suspects[key] = Difference(
                        key=key, row=rows[key], copy=copy, is_new=is_new, seen=now
                    )

    async def confirmed(self, *, to_the_end: bool = False) -> Sequence[Difference[K, V]]:
        """Look again at what is due, and return the differences that have stayed the same.

        It waits when too many wait for a second look, or when nothing follows ``to_the_end``.

        :raises JobError: when an end does not answer.
        """
        sure: list[Difference[K, V]] = []
        while self._suspects:
            oldest = next(iter(self._suspects.values())).seen
            wait = oldest + self._apart - current_time()
            if wait > 0.0:
                if not to_the_end and len(self._suspects) < _MOST_SUSPECTS:
                    break
                await sleep(wait)
            until = current_time() - self._apart
            first = list(islice(self._suspects.values(), _AT_ONCE))
            # The first of them in any case: a clock may have waited a trifle too little.
            sure += await self._look_again(first[:1] + [one for one in first[1:] if one.seen <= until])
            if len(sure) >= _AT_ONCE:
                break
        return sure

    async def _look_again(self, some: Sequence[Difference[K, V]]) -> list[Difference[K, V]]:
        keys = [one.key for one in some]
        again = await rows_again(self._ends.source, keys, self._seconds, attempts=self._attempts)
        found = await self._found(keys)
        now = current_time()
        sure: list[Difference[K, V]] = []
        for one in some:
            key, copy = one.key, found.get(one.key)
            del self._suspects[key]
            if key in again.failed:
                self.unread[key] = error_line(again.failed[key])
            elif key not in again.rows:
                self.changing += 1
            elif copy is None or not are_same(again.rows[key], copy.value):
                row = again.rows[key]
                if one.is_still(row, copy):
                    sure.append(one)
                elif one.looks < _MOST_LOOKS:
                    later = replace(one, row=row, copy=copy, seen=now, looks=one.looks + 1)
                    self._suspects[key] = later
                else:
                    self.changing += 1
        return sure

    async def _found(self, keys: Sequence[K]) -> Mapping[K, FarCopy[V]]:
        return await copies_of(self._ends.store, keys, self._seconds, attempts=self._attempts)
