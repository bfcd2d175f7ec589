"""Loads that ask the cache for more keys, and whether one of them waits for itself."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

from async_backfill._loading.batch import Batch, BatchState
from async_backfill.errors import LoadCycleError

if TYPE_CHECKING:
    from collections.abc import Hashable

running_batch: Final[ContextVar[Batch[Any, Any] | None]] = ContextVar(
    "async_backfill_running_batch", default=None
)
"""The batch whose ``load_many`` the current task runs in.

It is one variable for all caches of a process, because a circle can run through several of them.
"""


def outer_batch() -> Batch[Any, Any] | None:
    """Return the batch whose load the caller runs in, or ``None`` outside of any load.

    A task that a load started and left behind is no longer part of that load.
    """
    outer = running_batch.get()
    return None if outer is None or outer.state is BatchState.LANDED else outer


def refuse_cycle(key: Hashable, awaited: Batch[Any, Any], outer: Batch[Any, Any]) -> None:
    """Raise `LoadCycleError` when ``awaited``, which holds the lock of ``key``, waits for ``outer``."""
    path = _path(awaited, outer)
    if path is None:
        return
    circle = (key, *path, key)
    shown = " -> ".join(repr(step) for step in circle)
    raise LoadCycleError(
        f"the load of {key!r} waits for itself: {shown}; break the circle in the source",
        key=key,
        circle=circle,
    )


def _path(start: Batch[Any, Any], goal: Batch[Any, Any]) -> tuple[Hashable, ...] | None:
    """Return the keys awaited on the way from ``start`` to ``goal``, or ``None`` if there is no way."""
    if start is goal:
        return ()
    seen = {id(start)}
    ways: list[tuple[Batch[Any, Any], tuple[Hashable, ...]]] = [(start, ())]
    while ways:
        batch, keys = ways.pop()
        for key, needed in batch.needs.values():
            if needed is goal:
                return (*keys, key)
            if id(needed) not in seen:
                seen.add(id(needed))
                ways.append((needed, (*keys, key)))
    return None
