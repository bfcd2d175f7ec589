"""Give each reader a copy of his own: what wraps reads and writes when a cache has ``copy``.

What is kept is never handed out, so nothing that a reader does to his copy shows anywhere else. Without
``copy`` none of this is in the way of a read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from async_backfill.outcomes import ABSENT, Absent

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from async_backfill.contracts import K, V


def copying_get(
    get: Callable[..., Coroutine[Any, Any, object]], copy: Callable[[Any], object]
) -> Callable[..., Coroutine[Any, Any, object]]:
    """Return ``get`` with a copy of each value in place of the value; a default stays as it is."""

    async def get_copy(key: Any, default: object = None) -> object:
        """See `BackfillCache.get`."""
        value = await get(key, ABSENT)
        return default if value is ABSENT else copy(value)

    return get_copy


def copying_peek(
    peek: Callable[[K, Absent], V | Absent], copy: Callable[[Any], Any]
) -> Callable[[K, Absent], V | Absent]:
    """Return ``peek`` with a copy of each value in place of the value."""

    def peek_copy(key: K, default: Absent) -> Any:
        value = peek(key, default)
        return value if value is ABSENT else copy(value)

    return peek_copy


def copies(items: Mapping[K, V], copy: Callable[[V], V]) -> dict[K, V]:
    """Return ``items`` with a copy of each value."""
    return {key: copy(value) for key, value in items.items()}
