"""One call of a state on a server: in a task of its own, which ends in order when its caller is cancelled."""

from __future__ import annotations

import asyncio
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, TypeAlias, TypeVar

from async_backfill._common.own_task import result_of_task

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

T = TypeVar("T")

Phase: TypeAlias = Literal["waits", "connects", "asks", "works"]

# Seconds that a cancelled call has: asyncpg is not cut off while it connects (decision 42 in notes.md), and
# a transaction that holds the state is nearly done. One that waits for its turn changes nothing.
_GRACE: Final = MappingProxyType[Phase, float]({"connects": 1.0, "works": 2.0})
_LEAVING: Final = 5.0


class Turn(Generic[T]):
    """How far one call has got.

    ``unanswered``
        the number of the transaction whose commit was sent, and not answered; ``result`` is what it is to
        return.
    """

    def __init__(self, work: Callable[[Any], T]) -> None:
        self.work = work
        self.result: T | None = None
        self.unanswered: int | None = None
        self._phase: Phase = "waits"
        self._is_left = False

    def enter(self, phase: Phase) -> None:
        """Begin a phase, unless nobody waits for the result any more.

        :raises CancelledError: then.
        """
        if self._is_left:
            raise asyncio.CancelledError
        self._phase = phase

    async def run(self, call: Callable[[Turn[T]], Coroutine[Any, Any, T]]) -> T:
        """Return the result of ``call``."""
        return await result_of_task(asyncio.create_task(call(self)), self._leave)

    async def _leave(self, task: asyncio.Task[T]) -> None:
        self._is_left = True
        if (grace := _GRACE.get(self._phase, 0.0)) > 0:
            await asyncio.wait([task], timeout=grace)
        if not task.done():
            task.cancel()
            await asyncio.wait([task], timeout=_LEAVING)
