"""The parts that several processes share: the far tier (L2), leases and invalidations."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol

from async_backfill.contracts._types import K, V, V_co, V_contra

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
    from contextlib import AbstractContextManager

    from async_backfill.outcomes import Absent, Failed

_NOTHING: Final = MappingProxyType[Any, Any]({})


@dataclass(frozen=True, slots=True)
class FarCopy(Generic[V_co]):
    """A value from the far tier (L2), and its age: the seconds since the source delivered it, 0.0 or more."""

    value: V_co
    age: float


class FarStore(Protocol[K, V]):
    """The store of the far tier (L2): shared by several processes, between their memory and the source.

    It may be slow or down, and an entry may be damaged or written by other software: an entry that
    cannot be used is a miss. An exception that it raises never reaches a caller of ``get``.
    """

    async def get_many(self, keys: Sequence[K], /) -> Mapping[K, FarCopy[V]]:
        """Return copies of those ``keys``, distinct and at least one, that the store holds."""
        ...

    async def set_many(self, items: Mapping[K, V], /, *, ttl: float | None = None) -> None:
        """Keep ``items``, at least one, for ``ttl`` seconds; ``None`` for as long as there is room.

        It overrules every lease of these keys.
        """
        ...

    async def delete_many(self, keys: Sequence[K], /) -> None:
        """Remove ``keys`` and their leases; keys that the store does not hold are ignored."""
        ...

    async def clear(self) -> None:
        """Remove every key that the store holds when the call begins, and every lease."""
        ...


class Sealing(Protocol[K, V_contra]):
    """The ability of some far stores to take a value as it is now, whatever happens to it later.

    A loaded value is written some time after callers have it, and they may change it. A store that inherits
    from this class is asked to seal values first; its ``set_many``, and that of its leases, must take what
    `seal` returned in place of the values.
    """

    def seal(self, items: Mapping[K, V_contra], /, *, read_at: float | None = None) -> Mapping[K, Any]:
        """Return ``items`` in the form that ``set_many`` keeps, without those that cannot be kept.

        It must not wait, and nothing that later happens to a value may change what it returned. Where that
        has a length, it is taken for bytes: many long values are sealed in several calls.

        :param read_at: of a `GuardedStore`, the time of its clock before their read began, from which their
            age counts; ``None`` is now. Its ``set_page`` takes what was sealed, too.
        """
        ...


class AccessCheck(Protocol):
    """The ability of some parts that processes share to find out what their server does not let them do.

    A part whose class inherits from this one is asked when a cache opens, beside everything else; what it
    says is logged.
    """

    async def missing_rights(self) -> Sequence[str]:
        """Return a line for whatever is missing and how to allow it; nothing if nothing is, or is known.

        It must change nothing.
        """
        ...


class ValueCodec(Protocol[V]):
    """Makes bytes of values and values of bytes, for a store outside of this process.

    A value must come back as it was, in type and content, or be refused. Name and version are kept with
    each value; one that was written by another codec is not decoded.
    """

    @property
    def name(self) -> str:
        """The name of the codec, of 1 to 100 printable characters, the same in all processes."""
        ...

    @property
    def version(self) -> int:
        """The version of what it writes, 0 or more; another version is not decoded."""
        ...

    def encode(self, value: V, /) -> bytes:
        """Return ``value`` as bytes; raise an exception for a value that would not come back as it was."""
        ...

    def decode(self, payload: bytes, /) -> V:
        """Return the value of which `encode` made ``payload``; raise an exception for other bytes."""
        ...


class Leases(Protocol[K, V_contra]):
    """The ability of some far tiers to make one load of a key for a whole fleet of processes.

    A lease says which process loads a key. It ends by itself after a while, so that a process that dies
    blocks no other. Its token is a fencing token: a value loaded under a lease that has ended, or that a
    put or an invalidation overruled, is not kept. Who has waited long enough for another may load the key
    as well, and end the lease with that one's token: as long as it is valid, nothing has changed.

    A token has 16 bytes: 12 random ones, and 4 that are zero. A lease with such a token is *taken over*,
    once, by acquiring its key under a token that differs from it in the last 4 bytes. Then it is the lease of
    that token, for the duration of a new one; but a value is kept under either of the two.
    """

    async def acquire_many(
        self, keys: Sequence[K], token: bytes, /, *, outdated: Collection[K] = ()
    ) -> Mapping[K, bytes]:
        """Lease ``keys`` that have neither a value nor a lease under ``token``, which may take one over.

        Returns the token of each key that is leased now: ``token``, or that of another lease. The value of
        an ``outdated`` key counts as none; it can still be read until the lease ends with a new one.

        The caller makes the token, so that it can release what a call that failed may have leased.
        """
        ...

    async def set_many(
        self, items: Mapping[K, V_contra], tokens: Mapping[K, bytes], /, *, ttl: float | None = None
    ) -> Collection[K]:
        """Keep those ``items`` whose leases are still valid, and end these leases; return the keys kept."""
        ...

    async def release_many(
        self,
        tokens: Mapping[K, bytes],
        /,
        *,
        told: Mapping[K, Absent | Failed] = _NOTHING,
        unkept: Collection[K] = (),
    ) -> None:
        """End those leases that are still valid, without a value.

        :param told: what those who watch these keys now get to know of them. A key that is absent also
            loses its outdated value.
        :param unkept: keys that lose it too, since their value is one that the store cannot keep.
        """
        ...

    def watch(
        self, keys: Collection[K], /
    ) -> AbstractContextManager[Callable[[], Awaitable[Mapping[K, Absent | Failed]]]]:
        """Watch ``keys`` inside ``with``; awaiting the function that it yields waits for a lease to end.

        The wait ends when a lease of one of ``keys`` has ended since the last wait (the first time: since
        the watch began), or when such an end may have been missed: then the caller must look again. It
        returns what was told of these keys in the meantime.
        """
        ...


class Invalidations(Protocol[K]):
    """Messages between the caches of a fleet about keys whose value has changed."""

    async def publish(self, keys: Sequence[K] | None, /) -> None:
        """Ask all other caches to forget ``keys``; ``None`` means every key."""
        ...

    async def listen(self, forget: Callable[[Sequence[K] | None], None], /) -> None:
        """Call ``forget`` with the keys that other caches publish, until cancelled.

        Calls it with ``None`` when a message may have been missed, as after a lost connection. A network
        failure raises nothing: it connects again.
        """
        ...


class SharedInvalidations(Protocol[K]):
    """An ability of some `Invalidations`: one object may be given to several caches, and to a copy of rows.

    A cache asks for its own if the class inherits from this one. Others need an object for each cache.
    """

    def of_one_cache(self) -> Invalidations[K]:
        """Return invalidations for one cache: they hear what all others publish, this object as well."""
        ...


class Compression(Protocol):
    """A compression method, such as `async_backfill.redis.Zstd`."""

    @property
    def above(self) -> int:
        """The size in bytes above which a payload is compressed."""
        ...

    def compress(self, payload: bytes, /) -> bytes:
        """Return ``payload`` compressed."""
        ...

    def decompress(self, payload: bytes, limit: int, /) -> bytes:
        """Return ``payload`` decompressed; raise `ValueError` when it is damaged or longer than ``limit``."""
        ...
