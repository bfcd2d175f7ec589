"""Call user code for a bounded time, also when it does not yield to cancellation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from anyio import CancelScope, Event, move_on_after
from anyio.lowlevel import checkpoint

from async_backfill._common.attempt import Attempt, attempt
from async_backfill._common.error_text import error_line
from async_backfill.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from async_backfill.contracts import Spawn

T = TypeVar("T")

_TURNS: Final = 5


async def bounded(
    call: Callable[[], Awaitable[T]], seconds: float, spawn: Spawn, *, shield: bool = False
) -> Attempt[T]:
    """Await ``call()`` in a task of its own, and return its result or error after ``seconds`` at the latest.

    A call that takes longer is cancelled. One that goes on nevertheless is left behind, and what comes of it
    is dropped; the returned attempt is then ``stopped``. When the waiting task is cancelled the call is, too.

    :param spawn: starts the task.
    :param shield: whether wait and call go on when the waiting task, or all tasks, are cancelled.
    """
    scope, ended = CancelScope(shield=shield), Event()
    made: list[Attempt[T]] = []

    async def run() -> None:
        try:
            made.append(await attempt(call, scope))
        finally:
            ended.set()

    spawn(run)
    try:
        with move_on_after(seconds, shield=shield):
            await ended.wait()
    finally:
        scope.cancel()
    for _ in range(_TURNS):
        if ended.is_set():
            break
        await checkpoint()
    return made[0] if made else Attempt(None, None, stopped=True, must_stop=False)


def result_of(ended: Attempt[T], what: str, late: str) -> T:
    """Return what a call of something shared has brought.

    :param what: what is not available when it failed.
    :param late: what is said when it took too long.
    :raises StoreError: in both cases.
    """
    if ended.error is None and not ended.stopped:
        return ended.result  # type: ignore[return-value] # without an error there is a result
    if isinstance(ended.error, (KeyboardInterrupt, SystemExit)):
        raise ended.error
    problem = late if ended.error is None or ended.stopped else error_line(ended.error)
    raise StoreError(f"{what}: {problem}") from ended.error
