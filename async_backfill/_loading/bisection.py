"""Bisection of a failed call: find the bad key among several."""

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
    """Find the bad key among ``keys``, whose call failed with ``error``; return the outcome of each key.

    Bisection: load one half of the suspects. If that succeeds, the other half is suspect; if it fails,
    the other half is set aside. All that was set aside is loaded in one last call. So with one bad key
    among n, all others succeed after at most log2(n) + 1 calls, rounded up. With several bad keys,
    those in the last call fail together. See decision 15 in notes.md.

    :param call: loads some of the keys and returns what was found, or the error; ``None`` when no
        caller waits for the answer any more.
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
