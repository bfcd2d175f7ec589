"""Tasks that calls of the far tier (L2) run in, so that nobody waits for one that does not end in time."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final, TypeVar

from anyio import CancelScope, move_on_after
from anyio.lowlevel import checkpoint

from async_backfill._common.attempt import Attempt, attempt
from async_backfill._loading.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from async_backfill._loading.signals import Signal
    from async_backfill.contracts import Spawn

T = TypeVar("T")

_MOST: Final = 64
_TURNS: Final = 5


class _Call:
    """A call, and what came of it."""

    __slots__ = ("call", "done", "ended", "scope")

    def __init__(self, call: Callable[[], Awaitable[Any]], done: Signal) -> None:
        self.call = call
        self.done = done
        self.scope = CancelScope(shield=True)  # it is cancelled when, and only when, nobody waits for it
        self.ended: Attempt[Any] | None = None


class CallTasks:
    """Runs calls in tasks that are reused, at most 64 at once.

    A call that does not end when it is cancelled keeps its task; what comes of it is dropped. When all tasks
    are kept so, calls end at their timeout without having begun.

    :param spawn: starts a task that the cache owns.
    :param signal: returns a new signal.
    """

    def __init__(self, spawn: Spawn, signal: Callable[[], Signal]) -> None:
        self._signal = signal
        self._waiting: deque[_Call] = deque()
        self._workers: Workers[_Call] = Workers(
            take=lambda: self._waiting.popleft() if self._waiting else None,
            run=self._run,
            limit=_MOST,
            spawn=spawn,
            signal=signal,
        )

    async def attempt(self, call: Callable[[], Awaitable[T]], seconds: float) -> Attempt[T]:
        """Return the result or the error of ``call()``, after ``seconds`` at the latest."""
        made = _Call(call, self._signal())
        self._waiting.append(made)
        self._workers.wake()
        try:
            with move_on_after(seconds):
                await made.done.wait()
        finally:
            if made.ended is None:
                made.scope.cancel()
        for _ in range(_TURNS):  # what yields to cancellation ends within a few turns
            if made.ended is not None:
                return made.ended
            await checkpoint()
        return made.ended or Attempt(None, None, stopped=True, must_stop=False)

    async def _run(self, made: _Call, _: CancelScope) -> bool:
        if made.scope.cancel_called:
            return True
        try:
            made.ended = await attempt(made.call, made.scope)
        finally:
            made.done.set()
        return True
