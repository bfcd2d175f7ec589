"""A selection with a time limit, also when it does not end when it is cancelled."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, Generic

from anyio import CancelScope, current_time, sleep
from anyio.lowlevel import checkpoint

from async_backfill._common.attempt import Attempt, attempt
from async_backfill.contracts import K

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from async_backfill.contracts import Spawn

_TURNS: Final = 5


class BoundedSelection(Generic[K]):
    """Awaits a selection in the task that wants it, and watches it from another one.

    Not the other way around: a backfill that selects in a turn of its own would choose keys that another one
    is about to load.

    :param timeout: seconds after which it is cancelled; ``None`` for no limit.
    :param spawn: starts a task that the cache owns; ``None`` when the selection needs no watch.
    """

    def __init__(self, timeout: float | None, spawn: Spawn | None) -> None:
        self._timeout = timeout
        self._spawn = spawn

    async def run(
        self,
        select: Callable[[], Awaitable[Sequence[K]]],
        give_up: Callable[[TimeoutError], Awaitable[None]],
    ) -> Attempt[Sequence[K]] | None:
        """Return what came of ``select``; ``None`` when it was given up, and nobody waits for it any more.

        :param give_up: is called once, from another task, when the selection goes on after its timeout.
        """
        if self._timeout is None:
            return await attempt(select, CancelScope())
        too_long = TimeoutError(f"the selection took longer than {self._timeout} s")
        scope, watch = CancelScope(deadline=current_time() + self._timeout), CancelScope()
        given_up = False

        async def watching() -> None:
            nonlocal given_up
            with watch:
                await sleep(self._timeout or 0.0)
                for _ in range(_TURNS):  # what yields to cancellation ends within a few turns
                    await checkpoint()
                given_up = True
            if given_up:
                await give_up(too_long)

        if self._spawn is not None:
            self._spawn(watching)
        try:
            ended = await attempt(select, scope)
        finally:
            watch.cancel()
        if given_up:
            return None
        return replace(ended, error=too_long) if ended.stopped else ended
