"""The store of a far tier (L2) in Redis or Valkey."""

from __future__ import annotations

import time
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Generic

from async_backfill._common.loose_types import K, V
from async_backfill._common.validation import positive_seconds_or_none
from async_backfill._envelopes.envelope import Envelopes, Sealed
from async_backfill._envelopes.keyspace import Keyspace
from async_backfill.contracts import (
    AccessCheck,
    FarCopy,
    Kept,
    KeyListing,
    NeedsAsyncio,
    Page,
    Sealing,
    VersionedStore,
)
from async_backfill.redis._entries import GROUP, Entries, in_groups
from async_backfill.redis._job_facts import JobFacts
from async_backfill.redis._marks import MARGIN, MARK, Met
from async_backfill.redis._pages import Pages, begin_of
from async_backfill.redis._rights import of_entries
from async_backfill.redis._wire import milliseconds

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from async_backfill.contracts import Compression, Seconds, ValueCodec
    from async_backfill.redis.connection import RedisConnection

__all__ = ["RedisStore"]

_REFUSED: Final = "no other process could tell this key apart from others"
_UNKEPT: Final = "the value is too large, or cannot be encoded: see the counts in unkept"


class RedisStore(
    NeedsAsyncio, VersionedStore[K, V], Sealing[K, V], AccessCheck, KeyListing[K], JobFacts, Generic[K, V]
):
    """A store of copies in Redis for the far tier (L2); implements `FarStore`, `VersionedStore`, `Sealing`.

    Keys that are equal in Python, with the same hash, have one entry, and others never do. A key that it
    cannot tell apart from others is neither read nor written, counts in `refused`, and disturbs no other.

    Each copy has a header with its key, time and codec, and a checksum or signature. Data that cannot be used
    is a miss, counted by reason in `rejected`: it is never executed and raises nothing. A value comes back in
    the types that it had, or is refused when it is written: it is then counted by reason in `unkept`, and the
    logger ``async_backfill.far`` has a line for each type. Errors of the network and
    the server are raised: `RedisUnavailableError`, `RedisReplyError`. No call has a deadline of its own.

    :param connection: a connection made by `async_backfill.redis.connect`; the caller closes it.
    :param namespace: the prefix of this store's entries: 1 to 64 letters, digits, ``.``, ``_`` or ``-``.
    :param key_type: the classes of keys that are no standard types: a class, a type annotation such as
        ``tuple[str, Seat]``, a `KeyType`, or a tuple of these. A store itself needs it only for a `KeyType`.
    :param value_type: the type of the values, any type that msgspec supports, such as a dataclass; all stores
        of a namespace should have the same. ``Any`` takes None, bool, int, float, str, bytes, list, tuple,
        dict, set, frozenset, Decimal, date, time, datetime, timedelta and UUID, and no subclass of them.
    :param codec: makes bytes of values and values of bytes, in place of ``value_type``, such as
        `PydanticCodec` or `FunctionCodec`.
    :param max_value_bytes: the largest size of a value; a larger one is neither written nor used when read.
    :param signing_key: a secret of 16 bytes or more, the same in all processes; a copy without its signature
        is not used. Without a key, anybody who can write to the server can forge values.
    :param compression: the compression of large values, such as `async_backfill.redis.Zstd`.
    :param version_of: returns the version of a value, a whole number that only grows for a key, such as
        ``attrgetter("version")``; all stores of a namespace should have the same. Then `set_page` compares
        versions, and times only where there is none. A value without a version is not kept.
    :param deadline: seconds after the begin of its read, or its load, for which `set_page` takes a value:
        above 0, 45 at the most. What takes longer is not kept.
    :param wall_clock: a function that returns seconds since the epoch; those of all processes must be within
        2.5 s of the server's.
    :raises ConfigurationError: when a setting is not allowed.
    """

    def __init__(  # noqa: PLR0913 - the settings users name are flat
        self,
        connection: RedisConnection,
        *,
        namespace: str,
        key_type: type[K] | Any = Any,
        value_type: type[V] | Any = Any,
        codec: ValueCodec[V] | None = None,
        max_value_bytes: int = 1_000_000,
        signing_key: bytes | None = None,
        compression: Compression | None = None,
        version_of: Callable[[V], int] | None = None,
        deadline: Seconds = 10.0,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.connection = connection
        self.keyspace: Keyspace[K] = Keyspace(namespace, key_type)
        self.envelopes: Envelopes[V] = Envelopes(
            value_type,
            codec=codec,
            max_bytes=max_value_bytes,
            signing_key=signing_key,
            compression=compression,
            version_of=version_of,
            wall_clock=wall_clock,
        )
        self._entries = Entries(connection, self.keyspace, max_bytes=max_value_bytes)
        self._met = Met()
        self._pages = Pages(connection, self._entries, self._met, deadline=deadline, now=wall_clock)

    def __repr__(self) -> str:
        return f"RedisStore({self.connection!r}, namespace={self.keyspace.namespace!r})"

    @property
    def rejected(self) -> Mapping[str, int]:
        """The number of copies that could not be used, by reason; a live view."""
        return MappingProxyType(self.envelopes.rejected)

    @property
    def unkept(self) -> Mapping[str, int]:
        """The number of values not stored, because too large or not encodable, by reason; a live view."""
        return MappingProxyType(self.envelopes.unkept)

    @property
    def refused(self) -> Mapping[str, int]:
        """The number of keys that were neither read nor written because nobody else could tell them apart.

        By the name of their class; a live view. One log line a second says why.
        """
        return MappingProxyType(self.keyspace.refused)

    @property
    def deadline(self) -> float:
        """The seconds after the begin of its read for which `set_page` takes a page."""
        return self._pages.deadline

    @property
    def version_of(self) -> Callable[[V], int] | None:
        """What returns the version of a value; ``None`` if pages are compared by time."""
        return self.envelopes.version_of

    def now(self) -> float:
        """Return the time of ``wall_clock``; taken before a read begins, it is the page's ``read_at``."""
        return self.envelopes.now()

    def seal(self, items: Mapping[K, V], /, *, read_at: float | None = None) -> Mapping[K, V | Sealed]:
        """Return ``items`` encoded, for `set_many` and `set_page` here and `set_many` in `RedisLeases`.

        One that is too large, cannot be encoded, or whose key is refused, is left out. Their age counts from
        ``read_at``, a time of `now`; ``None`` is now.
        """
        keys, names, values = self.keyspace.named(items)
        envelopes = zip(keys, self.envelopes.seal_many(names, values, read_at), strict=True)
        return {key: Sealed(envelope, read_at) for key, envelope in envelopes if envelope is not None}

    async def get_many(self, keys: Sequence[K], /) -> Mapping[K, FarCopy[V]]:
        """Return copies of those ``keys`` that are stored, with a round trip for each 2,000 of them."""
        if len(keys) > GROUP:
            copies_of_all: dict[K, FarCopy[V]] = {}
            for some in in_groups(keys):
                copies_of_all.update(await self.get_many(some))
            return copies_of_all
        told, names = self.keyspace.names(keys)
        if not names:
            return {}
        found = await self._entries.read(names)
        copies = self.envelopes.open_many(names, found)
        young = self.version_of is None  # else it is the version that says what may be replaced
        met = [
            (name, data[:MARK])
            for name, data, copy in zip(names, found, copies, strict=True)
            if (data is not None if copy is None else young and copy.age <= MARGIN)
            and isinstance(data, bytes)
        ]
        if met:
            self._met.note(met, self.now())
        return {key: copy for key, copy in zip(told, copies, strict=True) if copy is not None}

    async def set_many(self, items: Mapping[K, V | Sealed], /, *, ttl: float | None = None) -> None:
        """Store ``items`` for ``ttl`` seconds, above 0.0; ``None`` is without a limit.

        It takes a round trip for each 2,000 of them; when one fails, some may be stored. An item that is too
        large, or cannot be encoded, is not stored, and its older copy is removed.
        """
        if len(items) > GROUP:
            for some in in_groups(items.items()):
                await self.set_many(dict(some), ttl=ttl)
            return
        _, names, values = self.keyspace.named(items)
        sealed = self.envelopes.seal_many(names, values)
        unkept = [name for name, envelope in zip(names, sealed, strict=True) if envelope is None]
        if unkept:
            await self._entries.bury(unkept, self.now())
            names = [name for name, envelope in zip(names, sealed, strict=True) if envelope is not None]
        if names:
            kept = [envelope for envelope in sealed if envelope is not None]
            await self._entries.set(kept, names, milliseconds(ttl))

    async def set_page(
        self, items: Mapping[K, V | Sealed], /, *, read_at: float, ttl: float | None = None
    ) -> Kept[K]:
        """Store those of ``items`` that nothing later contradicts; see `GuardedStore`.

        A value, a removal or a clear is later unless it is 5 s older than the read, or this store has met it
        before the read began. Of two values that have versions the higher one is later. Of a page that is
        sent as several commands, those of a cluster above all, some rows may be stored when it raises. It is
        sealed in one step, five milliseconds for 2,000 rows.

        :raises StalePageError: when the read began more than `deadline`, or ``ttl``, seconds ago.
        :raises ConfigurationError: when the server's clock is more than 2.5 s from ``wall_clock``.
        """
        lifetime = positive_seconds_or_none("ttl", ttl)
        keys, names, values = self.keyspace.named(items)
        rejected = {key: _REFUSED for key in items if key not in keys} if len(keys) < len(items) else {}
        envelopes = self.envelopes.seal_many(names, values, read_at)
        fit = [place for place, envelope in enumerate(envelopes) if envelope is not None]
        told, sealed = list(keys), [envelope for envelope in envelopes if envelope is not None]
        if len(fit) < len(told):
            rejected.update((key, _UNKEPT) for key, it in zip(told, envelopes, strict=True) if it is None)
            told, names = [told[place] for place in fit], [names[place] for place in fit]
        if not told:
            return Kept(kept=0, rejected=rejected)
        since = [read_at] * len(told)
        if isinstance(items[told[0]], Sealed):  # by a cache, which seals them all
            since = [begin_of(items[key], read_at) for key in told]
        newer, leased = await self._pages.write(names, sealed, since, lifetime)
        return Kept(
            kept=len(told) - len(newer) - len(leased),
            newer=[told[place] for place in newer],
            leased=[told[place] for place in leased],
            rejected=rejected,
        )

    async def delete_many(self, keys: Sequence[K], /) -> None:
        """Remove ``keys`` and their leases, with a round trip for each 2,000; unknown keys are ignored.

        For a minute each leaves a mark of 13 bytes, which keeps what was read before from coming back.
        """
        for some in in_groups(keys):
            _, names = self.keyspace.names(some)
            if names:
                await self._entries.bury(names, self.now())

    async def clear(self) -> None:
        """Remove every entry of this namespace that exists when the call begins, and every lease.

        Keys of other programs that begin with the namespace and a colon stay, unless they have the name that
        an entry would have. It takes one round trip for each 1,000 keys on the server, those of other
        namespaces included.
        """
        stamp = await self._entries.clear(self.now())
        self._met.note([(self._entries.cleared, stamp)], self.now())

    async def list_keys(self, cursor: object | None, limit: int, /) -> Page[K]:
        """Return some of the keys on the server, those that were removed lately too; see `KeyListing`."""
        names, following = await self._entries.scan(cursor, limit)
        return Page(self.keyspace.keys_of(names), following)

    async def missing_rights(self) -> Sequence[str]:
        """Return what the server's ACL does not let this store do, on one line with the rule to set."""
        return await of_entries(self.connection, self.keyspace)
