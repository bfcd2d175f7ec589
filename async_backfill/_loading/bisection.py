"""A failed call for several keys, taken apart until the bad key stands alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from async_backfill.outcomes import Failed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from async_backfill.contracts import K, V


async def isolate(
    keys: Sequence[K],
    error: BaseException,
    call: Callable[[Sequence[K]], Awaitable[Mapping[K, V | Failed] | BaseException | None]],
) -> dict[K, V | Failed]:
    """Return what ``keys`` come to, whose one call has failed with ``error``.

    Bisection: one half of the suspects is asked for; the other half is suspect when it succeeds, and
    is put aside when it fails. What was put aside is asked for in one last call. So with one bad key
    among n all others succeed, for at most log2(n) + 1 calls, rounded up; with several, those that
    fail together in the last call fail together.

    :param call: asks for some of the keys and returns what was found, or the error; ``None`` when
        nobody wants to know any more.
    """
    found: dict[K, V | Failed] = {}
    suspects = list(keys)
    aside: list[K] = []
    while len(suspects) > 1:
        middle = len(suspects) // 2
        half, rest = suspects[:middle], suspects[middle:]
        answer = await call(half)
        if answer is None:
            return found
        if isinstance(answer, BaseException):
            error, suspects = answer, half
            aside.extend(rest)
        else:
            found.update(answer)
            suspects = rest
    found[suspects[0]] = Failed(error)
    answer = await call(aside) if aside else {}
    if isinstance(answer, BaseException):
        return {**found, **dict.fromkeys(aside, Failed(answer))}
    return {**found, **(answer or {})}
