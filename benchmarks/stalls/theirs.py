"""The same, as far as they have it, in cachebox and theine; both are called by nobody but this thread."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any, Final

from anyio.lowlevel import checkpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from benchmarks.stalls.measuring import Watch

    Work = Callable[[Watch, int], Coroutine[Any, Any, None]]

_TTL: Final = 0.05
_NEW: Final = 100


def _cachebox() -> Mapping[str, Work]:
    import cachebox  # noqa: PLC0415 - need not be installed

    async def expiry(watch: Watch, size: int) -> None:
        cache: Any = cachebox.VTTLCache(2 * size)
        for key in range(size):
            cache.insert(key, key, _TTL)
        while len(cache) and cache.get(size - 1) is not None:  # in wall time: it has no clock to set
            await checkpoint()
        with watch.on():
            for key in range(size, size + _NEW):
                cache.insert(key, key, _TTL)
                await checkpoint()

    async def eviction(watch: Watch, size: int) -> None:
        cache: Any = cachebox.LRUCache(size)
        cache.update({key: key for key in range(size)})
        for key in range(size):
            cache.get(key)
        with watch.on():
            for key in range(size, size + _NEW):
                cache[key] = key
                await checkpoint()

    async def clear(watch: Watch, size: int) -> None:
        cache: Any = cachebox.FIFOCache(size)
        cache.update({key: key for key in range(size)})
        with watch.on():
            cache.clear()

    async def put_many(watch: Watch, size: int) -> None:
        cache: Any = cachebox.FIFOCache(size)
        cache.update({key: key for key in range(size)})
        items = {key: key for key in range(size, 2 * size)}
        with watch.on():
            cache.update(items)

    return {
        "all expire at once, then misses": expiry,
        "misses that evict, all hit: lru": eviction,
        "clear: fifo": clear,
        "put_many of all into a full cache: fifo": put_many,
    }


def _theine() -> Mapping[str, Work]:
    import theine  # noqa: PLC0415 - need not be installed

    async def eviction(watch: Watch, size: int) -> None:
        cache: Any = theine.Cache(size, nolock=True)
        try:
            for key in range(size):
                cache.set(key, key)
            for key in range(size):
                cache.get(key)
            with watch.on():
                for key in range(size, size + _NEW):
                    cache.set(key, key)
                    await checkpoint()
        finally:
            cache.close()

    async def clear(watch: Watch, size: int) -> None:
        cache: Any = theine.Cache(size, nolock=True)
        try:
            for key in range(size):
                cache.set(key, key)
            with watch.on():
                cache.clear()
        finally:
            cache.close()

    return {"misses that evict, all hit: lru": eviction, "clear: fifo": clear}


_PEERS: Final[Mapping[str, Callable[[], Mapping[str, Work]]]] = {"cachebox": _cachebox, "theine": _theine}


def theirs() -> Mapping[str, Mapping[str, Work]]:
    """Return the works of each peer that is installed, by their names in `OURS`."""
    return {name: make() for name, make in _PEERS.items() if importlib.util.find_spec(name) is not None}
