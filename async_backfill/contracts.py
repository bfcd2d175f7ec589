"""The seams of the package, as Protocols of at most five methods each.

An optional ability is a Protocol of its own and is passed explicitly; nothing is ever probed for.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Collection, Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from async_backfill.outcomes import Absent, Failed
    from async_backfill.records import AuditRecord

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
V_co = TypeVar("V_co", covariant=True)
V_contra = TypeVar("V_contra", contravariant=True)
K_co = TypeVar("K_co", bound=Hashable, covariant=True)

Clock: TypeAlias = Callable[[], float]
"""Returns seconds that never go back; only differences mean anything."""

Spawn: TypeAlias = Callable[[Callable[[], Coroutine[Any, Any, None]]], None]
"""Starts an async function without arguments as a task that somebody else owns."""


class Source(Protocol[K, V_co]):
    """Where the truth is."""

    async def load_many(self, keys: Sequence[K], /) -> Mapping[K, V_co | Failed]:
        """Return the values of ``keys``; a key missing from the answer does not exist.

        ``keys`` are distinct and at least one. ``None`` is a value. A key whose value is a
        `async_backfill.outcomes.Failed` failed alone; an exception fails all of them. Keys that
        were not asked for are ignored.
        """
        ...


@dataclass(frozen=True, slots=True)
class Page(Generic[K_co]):
    """Some keys of a source, and the cursor that the next page starts after; ``None`` ends the scan."""

    keys: Sequence[K_co]
    cursor: object | None


class Scan(Protocol[K_co]):
    """The ability of some sources to list their keys in a stable order."""

    async def scan(self, cursor: object | None, limit: int, /) -> Page[K_co]:
        """Return up to ``limit`` keys after ``cursor``; ``None`` starts at the first key.

        A cursor means something to the source that made it, and to nobody else.
        """
        ...


class Store(Protocol[K, V]):
    """Where copies are: in this process, synchronous, and never more than its capacity.

    It holds values, never loads in progress. Nothing in it waits, so what the cache does between
    two awaits is one indivisible step.
    """

    @property
    def read(self) -> Callable[[K, Absent], V | Absent]:
        """Return what a hit calls: the value of a key, else the default; the key counts as used."""
        ...

    def peek(self, key: K, default: Absent, /) -> V | Absent:
        """Return the value of ``key``, else ``default``; changes nothing."""
        ...

    def set_many(self, items: Mapping[K, V], /, *, evict: bool = True) -> Sequence[K]:
        """Add or replace ``items`` in their order; return the keys that were evicted for them.

        Without ``evict`` nobody is: a new key for which there is no room is left out.
        """
        ...

    def delete_many(self, keys: Iterable[K], /) -> None:
        """Remove ``keys``; those that are not there are ignored."""
        ...

    def clear(self) -> None:
        """Remove everything."""
        ...


class Room(Protocol[K_co]):
    """How full a store is, and who leaves next."""

    def __len__(self) -> int:
        """Return the number of entries."""
        ...

    def free_room(self) -> int | None:
        """Return how many keys can be added before one is evicted; ``None`` without a limit."""
        ...

    def evict_oldest(self) -> K_co:
        """Remove and return the key that the eviction order names next; `LookupError` when empty."""
        ...

    @property
    def capacity(self) -> int | None:
        """Entries held at the most; ``None`` without a limit."""
        ...

    @property
    def removals(self) -> int:
        """How many times something left, for whatever reason; it never goes back."""
        ...


class BoundedStore(Store[K, V], Room[K], Protocol[K, V]):
    """A store that knows how full it is: what the cache needs."""


@dataclass(frozen=True, slots=True)
class Copy(Generic[V_co]):
    """A value that a far store held, and its age: seconds since it left the source, 0.0 or more."""

    value: V_co
    age: float


class FarStore(Protocol[K, V]):
    """Where copies are that several processes share: behind the memory of each, before the source.

    It may be slow or gone, and what it holds may be damaged or not ours: an entry that cannot be used is
    a miss. What it raises is not the caller's concern.
    """

    async def get_many(self, keys: Sequence[K], /) -> Mapping[K, Copy[V]]:
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


class OrderState(Protocol[K]):
    """What of an eviction order the store and its hits use themselves, because a call would cost more."""

    @property
    def touch(self) -> Callable[[K], object] | None:
        """Return what takes note of a hit of a key in the store; ``None`` when hits do not matter."""
        ...

    @property
    def hit_counts(self) -> dict[K, int] | None:
        """Return where a hit may count itself, up to 3, instead of a call of ``touch``; else ``None``."""
        ...

    @property
    def entries(self) -> dict[K, Any] | None:
        """Return a dict that stands in this order, for the store to keep its values in, if there is one.

        What `add`, `evict` and `discard` do to a key, they do to its entry.
        """
        ...


class EvictionOrder(OrderState[K], Protocol[K]):
    """Who leaves a full store next: pure bookkeeping over keys, each method in constant time."""

    def add(self, key: K, /, *, proven: bool = False) -> None:
        """Take note of a key that was not in the store and now is.

        A ``proven`` one has been read already, while it was on probation.
        """
        ...

    def discard(self, key: K, /) -> None:
        """Take note that a key, which was in the store, was removed."""
        ...

    def evict(self) -> K:
        """Forget and return the key that must leave; `LookupError` when there is none."""
        ...

    def clear(self) -> None:
        """Forget all keys."""
        ...


class Trigger(Protocol):
    """Decides from the stream of lookups when a backfill should be offered."""

    def observe_miss(self, lookup: int, /) -> bool:
        """Take note that lookup number ``lookup`` missed; return whether to offer a backfill.

        Lookups are numbered from 1. Hits are not reported: they are the numbers in between.
        """
        ...

    def reading(self) -> tuple[int, int]:
        """Return the misses and the lookups that the last decision was taken from."""
        ...


class Selection(Protocol[K]):
    """Says which keys a backfill should load."""

    async def select(self, limit: int, /) -> Sequence[K]:
        """Return up to ``limit`` keys worth loading, best first; never cached or in flight ones."""
        ...

    def outlook(self) -> bool | None:
        """Return whether there is something left to select, or ``None`` where that needs a `select`."""
        ...

    def drop(self, keys: Collection[K], /) -> None:
        """Forget ``keys``: the source was asked and does not have them."""
        ...


@dataclass(frozen=True, slots=True)
class Heats(Generic[K]):
    """Which keys are hot: the heat of each, 1.0 for one lookup right now, and the usual share of hits."""

    keys: Mapping[K, float]
    hit_rate: float | None


class Journal(Protocol[K]):
    """Where the heat of keys is kept beyond this process."""

    async def load(self) -> Heats[K] | None:
        """Return what was saved last; ``None`` when nothing was.

        :raises JournalError: when it cannot be understood.
        """
        ...

    async def save(self, heats: Heats[K], /) -> None:
        """Keep ``heats`` in place of what was saved before, whole or not at all."""
        ...


class AuditSink(Protocol):
    """Where audit records are kept beyond this process."""

    async def write(self, records: Sequence[AuditRecord], /) -> None:
        """Keep ``records``. One with the number of an earlier one replaces it: it repeats more often."""
        ...
