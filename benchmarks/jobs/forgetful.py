"""A state of jobs that keeps no checkpoint, to show what they cost."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, TypeVar

from async_backfill._jobs._records import ShardStatus
from async_backfill._jobs._running.desk import Told

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from async_backfill.contracts import JobState, Transaction

T = TypeVar("T")


class Forgetful:
    """A state that keeps nothing of a page: it answers as it did to the first one. Implements `JobState`.

    The last checkpoint of a shard, and all else, is kept in the state behind it.
    """

    def __init__(self, state: JobState) -> None:
        self._state = state
        self._answers: dict[str, Sequence[tuple[Any, ...]]] = {}

    async def transact(self, work: Callable[[Transaction], T], /) -> T:
        """Run ``work`` with the answers of before, or else in one transaction of the state."""
        try:
            return work(_Recalled(self._answers))
        except KeyError:
            answers: dict[str, Sequence[tuple[Any, ...]]] = {}
            result = await self._state.transact(lambda tx: work(_Noted(tx, answers)))
            if isinstance(result, Told):
                self._answers = answers | self._answers
            return result


class _Recalled:
    def __init__(self, answers: dict[str, Sequence[tuple[Any, ...]]]) -> None:
        self._answers = answers

    def rows(self, statement: str, /, *values: Any) -> Sequence[tuple[Any, ...]]:
        if ShardStatus.DONE.value in values:
            raise KeyError(statement)
        return self._answers[statement]

    def now(self) -> float:
        return time.time()


class _Noted(_Recalled):
    def __init__(self, tx: Transaction, answers: dict[str, Sequence[tuple[Any, ...]]]) -> None:
        super().__init__(answers)
        self._tx = tx

    def rows(self, statement: str, /, *values: Any) -> Sequence[tuple[Any, ...]]:
        found = self._answers[statement] = self._tx.rows(statement, *values)
        return found
