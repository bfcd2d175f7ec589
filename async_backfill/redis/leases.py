"""Leases in Redis: only the process that holds the lease of a key loads it and may write its value.

A lease is a short marker under the key of the value itself (decision 38 in notes.md). So each put or removal
overrules it, it expires by the server's clock, and one read tells a value, a lease and nothing apart. This is
the lease of Nishtala et al., "Scaling Memcache at Facebook", NSDI 2013, section 3.2.1. The marker must still
be there when the value is written: that is the fencing token of Kleppmann, "How to do distributed locking",
2016.
"""

from __future__ import annotations

import secrets
from collections import Counter
from contextlib import contextmanager
from hashlib import blake2b
from time import monotonic
from typing import TYPE_CHECKING, Final, Generic

from async_backfill._common.validation import positive_seconds
from async_backfill.contracts import K, V
from async_backfill.redis._envelope import LEASE
from async_backfill.redis._wakeups import Wakeups
from async_backfill.redis._wire import milliseconds
from async_backfill.redis.errors import RedisReplyError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence

    from async_backfill.redis._envelope import Sealed
    from async_backfill.redis._wire import Argument, Reply
    from async_backfill.redis.store import RedisStore

__all__ = ["RedisLeases"]

_TOKEN: Final = 16
_DIGEST: Final = 8
_LONGEST_WAIT: Final = 1.0
_LATE: Final = 0.002  # seconds by which the server's clock may lag behind

_ACQUIRE: Final = """
local answers = {}
for i = 1, #KEYS do
    local kind = redis.call('TYPE', KEYS[i])['ok']
    local value = kind == 'string' and redis.call('GETRANGE', KEYS[i], 0, ARGV[#ARGV])
    local left = -1
    if value and string.sub(value, 1, 1) == 'L' then
        left = redis.call('PTTL', KEYS[i])
    end
    if left >= 0 then
        answers[i] = -left
    elseif value and value ~= '' and value ~= ARGV[2 + i] and string.sub(value, 1, 1) ~= 'L' then
        answers[i] = value
    else
        redis.call('SET', KEYS[i], ARGV[1], 'PX', ARGV[2])
        answers[i] = 1
    end
end
return answers
"""
"""A Lua script that leases each key without a value and a lease, or with a value known to be unusable.

It returns for each key 1 (leased), minus the milliseconds left of another's lease, or the value. A key of
another Redis type, or with a lease that never expires, counts as free.
"""

_END: Final = """
local kept = {}
for i = 1, #KEYS do
    local value = redis.pcall('GET', KEYS[i])
    kept[i] = 0
    if type(value) == 'string' and value == ARGV[2 + 2 * i] then
        kept[i] = 1
        if ARGV[3 + 2 * i] == '' then
            redis.call('DEL', KEYS[i])
        elseif ARGV[1] == '' then
            redis.call('SET', KEYS[i], ARGV[3 + 2 * i])
        else
            redis.call('SET', KEYS[i], ARGV[3 + 2 * i], 'PX', ARGV[1])
        end
    end
end
redis.call('PUBLISH', ARGV[2], ARGV[3])
return kept
"""
"""A Lua script that ends leases that are still held, each with a value or without, and wakes the watchers."""


class RedisLeases(Generic[K, V]):
    """Leases for the keys of ``store``; implements `Leases`.

    A process that is killed, stopped or cut off keeps others from loading its leased keys until the lease
    expires by the server's clock; a later write of it is refused. Leases save work, but they are not mutual
    exclusion: a load that takes longer than its lease is also made by another process, and a load may be made
    twice when the server lost its memory or failed over to a lagging replica. Only one result is kept.

    :param store: the store whose keys are leased.
    :param seconds: the duration of a lease, above 0; longer than a load usually takes.
    :raises ConfigurationError: when ``seconds`` is not above 0.
    """

    def __init__(self, store: RedisStore[K, V], *, seconds: float = 10.0) -> None:
        self._store = store
        self._milliseconds = max(1, int(positive_seconds("seconds", seconds) * 1000))
        self._channel = store.keyspace.name("leases")
        self._wakeups = Wakeups(store.connection, self._channel, digest=_DIGEST)
        self._watched: Counter[bytes] = Counter()
        self._ends: dict[bytes, float] = {}

    async def acquire_many(self, keys: Sequence[K], /) -> Mapping[K, bytes]:
        """Return the tokens of new leases for those of ``keys`` that have neither a value nor a lease.

        A value that this store cannot use counts as none. A key that it cannot tell apart from others is
        leased without the server: each process loads it for itself.
        """
        # An unusable value is replaced by a lease, or its key could never be loaded: decision 38 in notes.md.
        told, names = self._store.keyspace.names(keys)
        token = secrets.token_bytes(_TOKEN)
        alone = {key: token for key in keys if key not in told} if len(told) < len(keys) else {}
        if not names:
            return alone
        answers = await self._acquire(names, token, {})
        useless = self._useless(names, answers)
        if useless:
            again = await self._acquire([names[place] for place in useless], token, useless)
            for place, answer in zip(useless, again, strict=True):
                answers[place] = answer
        now = monotonic()
        for name, answer in zip(names, answers, strict=True):
            if isinstance(answer, int) and answer <= 0 and name in self._watched:
                self._ends[name] = now - answer / 1000.0 + _LATE
        return alone | {key: token for key, answer in zip(told, answers, strict=True) if answer == 1}

    async def set_many(
        self, items: Mapping[K, V | Sealed], tokens: Mapping[K, bytes], /, *, ttl: float | None = None
    ) -> Collection[K]:
        """Store those of ``items`` whose leases are still held, and end these leases; return the stored keys.

        A value that is too large, or cannot be encoded, ends its lease and is not stored.
        """
        keys, names = self._store.keyspace.names(items)
        sealed = self._store.envelopes.seal_many(names, [items[key] for key in keys])
        values = [b"" if envelope is None else envelope for envelope in sealed]
        ended = await self._end(names, [tokens[key] for key in keys], values, milliseconds(ttl))
        return [key for key, was_kept, value in zip(keys, ended, values, strict=True) if was_kept and value]

    async def release_many(self, tokens: Mapping[K, bytes], /) -> None:
        """End those of the leases that are still held, without a value."""
        keys, names = self._store.keyspace.names(tokens)
        await self._end(names, [tokens[key] for key in keys], [b""] * len(names), None)

    @contextmanager
    def watch(self, keys: Collection[K], /) -> Iterator[Callable[[], Awaitable[None]]]:
        """Watch ``keys`` for the time of ``with``; gives a function that waits for the end of a lease.

        It also returns when an end may have been missed, when a lease that blocked `acquire_many` expires,
        and after a second at the latest: the caller must look again.
        """
        _, names = self._store.keyspace.names(keys)
        self._watched.update(names)
        try:
            with self._wakeups.watch([_digest_of(name) for name in names]) as woken:
                yield lambda: woken(self._time_to_wait(names))
        finally:
            self._watched.subtract(names)
            for name in names:
                if not self._watched[name]:
                    del self._watched[name]
                    self._ends.pop(name, None)

    def _time_to_wait(self, names: Sequence[bytes]) -> float:
        first = min((self._ends[name] for name in names if name in self._ends), default=None)
        return _LONGEST_WAIT if first is None else min(_LONGEST_WAIT, max(0.0, first - monotonic()))

    def _useless(self, names: Sequence[bytes], answers: Sequence[Reply]) -> dict[int, bytes]:
        """Return the unusable values among ``answers``, by position."""
        there = {place: answer for place, answer in enumerate(answers) if isinstance(answer, bytes)}
        copies = self._store.envelopes.open_many([names[place] for place in there], there.values())
        return {place: there[place] for place, copy in zip(there, copies, strict=True) if copy is None}

    async def _acquire(
        self, names: Sequence[bytes], token: bytes, useless: Mapping[int, bytes]
    ) -> list[Reply]:
        known = list(useless.values()) or [b""] * len(names)
        answers: list[Reply] = [None] * len(names)
        for group in await self._store.connection.groups(names):
            args: list[Argument] = [LEASE + token, self._milliseconds, *(known[place] for place in group)]
            args.append(self._store.envelopes.max_bytes)  # one byte more is read, and is too long
            got = await self._store.connection.script(_ACQUIRE, [names[place] for place in group], args)
            for place, answer in zip(group, got, strict=True):
                answers[place] = answer
        return answers

    async def _end(
        self,
        names: Sequence[bytes],
        tokens: Sequence[bytes],
        values: Sequence[bytes],
        ttl: int | None,
    ) -> list[bool]:
        ended = [False] * len(names)
        if not names:
            return ended
        refusal: RedisReplyError | None = None
        for group in await self._store.connection.groups(names):
            digests = b"".join(_digest_of(names[place]) for place in group)
            args: list[Argument] = ["" if ttl is None else ttl, self._channel, digests]
            for place in group:
                args += [LEASE + tokens[place], values[place]]
            try:
                got = await self._store.connection.script(_END, [names[place] for place in group], args)
            except RedisReplyError as error:
                refusal = error
                continue
            for place, answer in zip(group, got, strict=True):
                ended[place] = answer == 1
        if refusal is not None:
            raise refusal
        return ended


def _digest_of(name: bytes) -> bytes:
    """Return the digest of a Redis key for a message; a collision only wakes a watcher once too often."""
    return blake2b(name, digest_size=_DIGEST).digest()
