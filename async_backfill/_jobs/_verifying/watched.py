"""Something long that obeys an operator: at its next step, or soon when it hangs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from anyio import CancelScope, create_task_group, move_on_after, sleep

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from anyio import Event

T = TypeVar("T")

_LOOK: Final = 0.5
_A_STEP: Final = 0.5


async def until_stopped(
    run: Callable[[Callable[[], Awaitable[str | None]]], Awaitable[T]],
    asked: Callable[[], Awaitable[str | None]],
    stop: Event | None,
) -> T | str:
    """Return the result of ``run``, or why it was ended.

    :param run: is given a function that it calls after each step: why it is to end, ``None`` to go on.
    :param asked: returns why it is to end; asked each half second.
    :param stop: when it is set, it is paused.
    """
    why: list[str] = []
    done: list[T] = []

    async def look(scope: CancelScope) -> None:
        while not why:
            if stop is None:
                await sleep(_LOOK)
            else:
                with move_on_after(_LOOK):
                    await stop.wait()
            if stop is not None and stop.is_set():
                why.append("paused")
            else:
                said = await asked()
                why.extend(() if said is None else (said,))
        await sleep(_A_STEP)
        scope.cancel()

    async def stopped() -> str | None:
        return why[0] if why else None

    try:
        async with create_task_group() as tasks:
            tasks.start_soon(look, tasks.cancel_scope)
            done.append(await run(stopped))
            tasks.cancel_scope.cancel()
    except ExceptionGroup as group:
        raise group.exceptions[0] from None
    return done[0] if done else why[0]
