"""What several processes share: a far tier (L2), leases, invalidations and permits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol

from async_backfill.contracts._types import K, V, V_co, V_contra

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
    from contextlib import AbstractContextManager


@dataclass(frozen=True, slots=True)
class FarCopy(Generic[V_co]):
    """A value that a far store held, and its age: seconds since it left the source, 0.0 or more."""

    value: V_co
    age: float


class FarStore(Protocol[K, V]):
    """Where copies are that several processes share: behind the memory of each, before the source.

    It may be slow or gone, and what it holds may be damaged or not ours: an entry that cannot be used is
    a miss. What it raises is not the caller's concern.
    """

    async def get_many(self, keys: Sequence[K], /) -> Mapping[K, FarCopy[V]]:
        """Return copies of those of ``keys``, distinct and at least one, that are there."""
        ...

    async def set_many(self, items: Mapping[K, V], /, *, ttl: float | None = None) -> None:
        """Keep ``items``, at least one, for ``ttl`` seconds; ``None`` for as long as there is room.

        It wins over every lease of these keys.
        """
        ...

    async def delete_many(self, keys: Sequence[K], /) -> None:
        """Remove ``keys`` and their leases; those that are not there are ignored."""
        ...

    async def clear(self) -> None:
        """Remove every key of this store that is there when the call begins, and every lease."""
        ...


class Leases(Protocol[K, V_contra]):
    """The ability of some far stores to let a fleet of processes make one load of a key.

    A lease says who loads a key. It ends by itself after a while, so that a process that dies stops
    nobody, and its token is a fence: what is loaded under a lease that has ended, or was overruled by a
    put or an invalidation, is not kept.
    """

    async def acquire_many(self, keys: Sequence[K], /) -> Mapping[K, bytes]:
        """Return the tokens of new leases for those of ``keys`` that have neither a value nor a lease."""
        ...

    async def set_many(
        self, items: Mapping[K, V_contra], tokens: Mapping[K, bytes], /, *, ttl: float | None = None
    ) -> Collection[K]:
        """Keep those of ``items`` whose leases still stand, and end these; return the keys that were kept."""
        ...

    async def release_many(self, tokens: Mapping[K, bytes], /) -> None:
        """End leases without a value, as far as they still stand."""
        ...

    def watch(self, keys: Collection[K], /) -> AbstractContextManager[Callable[[], Awaitable[None]]]:
        """Watch ``keys``: what this gives returns once a lease of one of them has ended since.

        It also returns when that may have been missed; the caller looks anew. Each return starts anew.
        """
        ...


class Invalidations(Protocol[K]):
    """How the caches of a fleet tell each other what is no longer true."""

    async def publish(self, keys: Sequence[K] | None, /) -> None:
        """Tell all other caches to forget ``keys``; ``None`` means every key."""
        ...

    async def listen(self, forget: Callable[[Sequence[K] | None], None], /) -> None:
        """Call ``forget`` with what others publish, until cancelled.

        With ``None`` when something may have been missed, as after a lost connection. It raises nothing
        because of the network; it connects again.
        """
        ...


class Permits(Protocol):
    """The permits for backfills that a fleet of processes shares; they survive all of them."""

    async def acquire(self) -> tuple[bool, int]:
        """Spend one permit if there is one; return whether it was spent, and how many are left."""
        ...

    async def approve(self, permits: int, /) -> int:
        """Add ``permits``, 1 or more; return how many are left."""
        ...

    async def left(self) -> int:
        """Return how many are left."""
        ...
