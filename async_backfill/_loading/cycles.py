"""Detection of load cycles: a load that waits, directly or through other loads, for its own key."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

from async_backfill._loading.batch import Batch, BatchState
from async_backfill.errors import LoadCycleError

if TYPE_CHECKING:
    from collections.abc import Hashable
    from weakref import ReferenceType

running_batch: Final[ContextVar[ReferenceType[Batch[Any, Any]] | None]] = ContextVar(
    "async_backfill_running_batch", default=None
)
"""The batch whose ``load_many`` the current task runs in.

A weak reference, because each task and timer that a load starts keeps its context, and with it would keep the
values of the load. One variable for all caches of a process, because a cycle can pass through several.
"""


def outer_batch() -> Batch[Any, Any] | None:
    """Return the batch whose load the caller runs in, or ``None`` outside of any load.

    A task that a load started no longer belongs to that load once the load has ended.
    """
    running = running_batch.get()
    outer = None if running is None else running()
    return None if outer is None or outer.state is BatchState.LANDED else outer


def refuse_cycle(key: Hashable, awaited: Batch[Any, Any], outer: Batch[Any, Any]) -> None:
    """Raise `LoadCycleError` when ``awaited``, which holds the lock of ``key``, waits for ``outer``."""
    path = _path(awaited, outer)
    if path is None:
        return
    cycle = (key, *path, key)
    shown = " -> ".join(repr(step) for step in cycle)
    raise LoadCycleError(
        f"the load of {key!r} waits for itself: {shown}; break the cycle in the source",
        key=key,
        cycle=cycle,
    )


def _path(start: Batch[Any, Any], goal: Batch[Any, Any]) -> tuple[Hashable, ...] | None:
    """Return the keys on the path from ``start`` to ``goal``, or ``None`` if there is no path."""
    if start is goal:
        return ()
    seen = {id(start)}
    paths: list[tuple[Batch[Any, Any], tuple[Hashable, ...]]] = [(start, ())]
    while paths:
        batch, keys = paths.pop()
        for key, needed in batch.needs.values():
            if needed is goal:
                return (*keys, key)
            if id(needed) not in seen:
                seen.add(id(needed))
                paths.append((needed, (*keys, key)))
    return None
