"""Run calls at the same time, or cancel them at many moments, for the contract suites."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from anyio import create_task_group, current_time, fail_after, sleep
from anyio.lowlevel import checkpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

T = TypeVar("T")

PATIENCE: Final = 60.0
"""The seconds after which a call that does not end fails its test."""

_STEPS: Final = 10
_SHARES: Final = (0.1, 0.25, 0.5, 0.75, 0.9, 1.0)


async def together(*calls: Callable[[], Coroutine[Any, Any, T]]) -> Sequence[T]:
    """Make all ``calls`` at the same time; return their results, in their order."""
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
    """Make ``call`` once to measure it; return functions that wait until different moments of such a call."""
    begin = current_time()
    await call()
    duration = current_time() - begin
    steps = [partial(_steps, number) for number in range(_STEPS)]
    return [*steps, *(partial(sleep, share * duration) for share in _SHARES)]


async def give_up(
    call: Callable[[], Coroutine[Any, Any, object]], moment: Callable[[], Coroutine[Any, Any, object]]
) -> None:
    """Make ``call`` and cancel it after ``moment`` has returned; an error of the call is raised."""
    with fail_after(PATIENCE):
        async with create_task_group() as tasks:
            tasks.start_soon(call)
            await moment()
            tasks.cancel_scope.cancel()


async def _steps(number: int) -> None:
    for _ in range(number):
        await checkpoint()
