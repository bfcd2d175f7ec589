"""Calls at the same time, and calls that are given up at every moment, for the contract suites."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from anyio import create_task_group, current_time, fail_after, sleep
from anyio.lowlevel import checkpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

T = TypeVar("T")

PATIENCE: Final = 60.0
"""Seconds after which a call that does not end fails its test."""

_STEPS: Final = 10
_SHARES: Final = (0.1, 0.25, 0.5, 0.75, 0.9, 1.0)


async def together(*calls: Callable[[], Coroutine[Any, Any, T]]) -> Sequence[T]:
    """Make all ``calls`` at the same time; return what they return, in their order."""
    results: dict[int, T] = {}

    async def run(number: int, call: Callable[[], Coroutine[Any, Any, T]]) -> None:
        results[number] = await call()

    with fail_after(PATIENCE):
        async with create_task_group() as tasks:
            for number, call in enumerate(calls):
                tasks.start_soon(run, number, call)
    return [results[number] for number in range(len(calls))]


async def moments(
    call: Callable[[], Coroutine[Any, Any, object]],
) -> Sequence[Callable[[], Coroutine[Any, Any, object]]]:
    """Make ``call`` once to see how long it takes; return waits that end at moments of such a call."""
    begin = current_time()
    await call()
    duration = current_time() - begin
    steps = [partial(_steps, number) for number in range(_STEPS)]
    return [*steps, *(partial(sleep, share * duration) for share in _SHARES)]


async def give_up(
    call: Callable[[], Coroutine[Any, Any, object]], moment: Callable[[], Coroutine[Any, Any, object]]
) -> None:
    """Make ``call`` and cancel it at a ``moment``; what it raises besides is raised."""
    with fail_after(PATIENCE):
        async with create_task_group() as tasks:
            tasks.start_soon(call)
            await moment()
            tasks.cancel_scope.cancel()


async def _steps(number: int) -> None:
    for _ in range(number):
        await checkpoint()
