"""Leases in Redis: only the process that holds the lease of a key loads it and may write its value.

A lease is a marker under the key of the value itself (decision 38 in notes.md): the letter L, the token, the
time of its end by the server's clock, and the outdated value, if there is one. So each put or removal
overrules it, and one read tells a value, a lease and nothing apart. This is the lease of Nishtala et al.,
"Scaling Memcache at Facebook", NSDI 2013, section 3.2.1. The marker must still be there when the value is
written: that is the fencing token of Kleppmann, "How to do distributed locking", 2016.
"""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from time import monotonic
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Generic

from async_backfill._common.validation import positive_seconds
from async_backfill._envelopes.envelope import LEASE
from async_backfill.contracts import AccessCheck, K, NeedsAsyncio, V
from async_backfill.outcomes import ABSENT
from async_backfill.redis._lease_news import LeaseNews
from async_backfill.redis._lease_scripts import ACQUIRE, END
from async_backfill.redis._rights import MissingRights
from async_backfill.redis._wire import LONGEST_LEASE, milliseconds
from async_backfill.redis.errors import RedisReplyError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence

    from async_backfill._envelopes.envelope import Sealed
    from async_backfill.contracts import Seconds
    from async_backfill.outcomes import Absent, Failed
    from async_backfill.redis._wire import Argument, Reply
    from async_backfill.redis.store import RedisStore

__all__ = ["RedisLeases"]

_TOKEN: Final = 16
_NOTHING: Final = MappingProxyType[Any, Any]({})
_ANY: Final = b"*"
_REMOVE: Final = b"-"
_LONGEST_WAIT: Final = 1.0
_LATE: Final = 0.002  # seconds by which the server's clock may lag behind


class RedisLeases(NeedsAsyncio, AccessCheck, Generic[K, V]):
    """Leases for the keys of ``store``; implements `Leases`.

    A process that is killed, stopped or cut off keeps others from loading its leased keys until the lease
    expires by the server's clock; a later write of it is refused. Leases save work, but they are not mutual
    exclusion: a load that takes longer than its lease is also made by another process, and a load may be made
    twice when the server lost its memory or failed over to a lagging replica. Only one result is kept.

    :param store: the store whose keys are leased.
    :param seconds: the duration of a lease, above 0; longer than a load usually takes, and the same in all
        processes: a lease that is longer than these counts as none.
    :raises ConfigurationError: when ``seconds`` is not above 0.
    """

    def __init__(self, store: RedisStore[K, V], *, seconds: Seconds = 10.0) -> None:
        self._store = store
        self._milliseconds = max(1, int(min(positive_seconds("seconds", seconds), LONGEST_LEASE) * 1000))
        self._channel = store.keyspace.name("leases")
        self._news = LeaseNews(store.connection, self._channel, store.envelopes.signature_of)
        self._watched: Counter[bytes] = Counter()
        self._ends: dict[bytes, float] = {}

    async def acquire_many(
        self, keys: Sequence[K], token: bytes, /, *, outdated: Collection[K] = ()
    ) -> Mapping[K, bytes]:
        """Lease ``keys`` that are free under ``token``; return the tokens of all that are leased now.

        A value that this store cannot use counts as none. A key that it cannot tell apart from others is
        leased without the server: each process loads it for itself.

        :raises ValueError: when ``token`` has not 16 bytes.
        """
        if len(token) != _TOKEN:
            raise ValueError(f"token: must have {_TOKEN} bytes, not {len(token)}")
        # An unusable value is replaced by a lease, or its key could never be loaded: decision 38 in notes.md.
        held, names = self._store.keyspace.names(keys)
        alone = {key: token for key in keys if key not in held} if len(held) < len(keys) else {}
        if not names:
            return alone
        known = [_ANY if key in outdated else b"" for key in held]
        answers = await self._acquire(names, token, known)
        useless = self._useless(names, answers)
        if useless:
            again = await self._acquire([names[place] for place in useless], token, list(useless.values()))
            for place, answer in zip(useless, again, strict=True):
                answers[place] = answer
        now = monotonic()
        for name, answer in zip(names, answers, strict=True):
            if isinstance(answer, list) and name in self._watched:
                self._ends[name] = now + answer[0] / 1000.0 + _LATE
        return alone | {
            key: token if answer == 1 else answer[1]
            for key, answer in zip(held, answers, strict=True)
            if answer == 1 or isinstance(answer, list)
        }

    async def set_many(
        self, items: Mapping[K, V | Sealed], tokens: Mapping[K, bytes], /, *, ttl: float | None = None
    ) -> Collection[K]:
        """Store those of ``items`` whose leases are still held, and end these leases; return the stored keys.

        A value that is too large, or cannot be encoded, ends its lease and is not stored; nor is one whose
        version is lower than that of the outdated value, which stays.
        """
        keys, names, values = self._store.keyspace.named(items)
        sealed = self._store.envelopes.seal_many(names, values)
        written = [_REMOVE if envelope is None else envelope for envelope in sealed]
        news = [self._news.of(name) for name in names]
        ended = await self._end(names, [tokens[key] for key in keys], written, news, milliseconds(ttl))
        return [
            key
            for key, was_kept, value in zip(keys, ended, written, strict=True)
            if was_kept and value != _REMOVE
        ]

    async def release_many(
        self,
        tokens: Mapping[K, bytes],
        /,
        *,
        told: Mapping[K, Absent | Failed] = _NOTHING,
        unkept: Collection[K] = (),
    ) -> None:
        """End those of the leases that are still held, without a value.

        Those who watch these keys get what is ``told``; of a failure only the type of the error. The keys
        that are ``unkept`` lose their outdated value, as absent ones do.
        """
        keys, names = self._store.keyspace.names(tokens)
        values = [_REMOVE if told.get(key) is ABSENT or key in unkept else b"" for key in keys]
        news = [self._news.of(name, told.get(key)) for name, key in zip(names, keys, strict=True)]
        await self._end(names, [tokens[key] for key in keys], values, news, None)

    @contextmanager
    def watch(self, keys: Collection[K], /) -> Iterator[Callable[[], Awaitable[Mapping[K, Absent | Failed]]]]:
        """Watch ``keys`` for the time of ``with``; gives a function that waits for the end of a lease.

        It also returns when an end may have been missed, when a lease that blocked `acquire_many` expires,
        and after a second at the latest: the caller must look again. It returns what was told of ``keys``.
        """
        watched, names = self._store.keyspace.names(keys)
        self._watched.update(names)
        try:
            with self._news.watch(dict(zip(names, watched, strict=True))) as woken:
                yield lambda: woken(self._time_to_wait(names))
        finally:
            self._watched.subtract(names)
            for name in names:
                if not self._watched[name]:
                    del self._watched[name]
                    self._ends.pop(name, None)

    async def missing_rights(self) -> Sequence[str]:
        """Return what the server's ACL does not let these leases do, on one line with the rule to set.

        :raises RedisError: when no server answered.
        """
        keyspace = self._store.keyspace
        rights = MissingRights(self._store.connection, keyspace.namespace)
        name = keyspace.probes[0]
        await rights.of([("EVALSHA", "0" * 40, 1, name)], name)
        shown = name.decode()
        calls: list[list[object]] = [
            ["TIME"],
            ["TYPE", shown],
            ["GETRANGE", shown, 0, 0],
            ["GET", shown],
            ["PTTL", shown],
        ]
        calls += [["SET", shown, "", "XX", "NX"], ["DEL", shown], ["PUBLISH", self._channel.decode(), ""]]
        await rights.of_script(calls, name)
        await rights.of_channel(self._channel)
        return rights.lines("the leases")

    def _time_to_wait(self, names: Sequence[bytes]) -> float:
        first = min((self._ends[name] for name in names if name in self._ends), default=None)
        return _LONGEST_WAIT if first is None else min(_LONGEST_WAIT, max(0.0, first - monotonic()))

    def _useless(self, names: Sequence[bytes], answers: Sequence[Reply]) -> dict[int, bytes]:
        """Return the unusable values among ``answers``, by position."""
        there = {place: answer for place, answer in enumerate(answers) if isinstance(answer, bytes)}
        copies = self._store.envelopes.open_many([names[place] for place in there], there.values())
        return {place: there[place] for place, copy in zip(there, copies, strict=True) if copy is None}

    async def _acquire(self, names: Sequence[bytes], token: bytes, known: Sequence[bytes]) -> list[Reply]:
        answers: list[Reply] = [None] * len(names)
        for group in await self._store.connection.groups(names):
            args: list[Argument] = [token, self._milliseconds, *(known[place] for place in group)]
            args.append(self._store.envelopes.max_bytes)  # one byte more is read, and is too long
            got = await self._store.connection.script(ACQUIRE, [names[place] for place in group], args)
            for place, answer in zip(group, got, strict=True):
                answers[place] = answer
        return answers

    async def _end(
        self,
        names: Sequence[bytes],
        tokens: Sequence[bytes],
        values: Sequence[bytes],
        news: Sequence[bytes],
        ttl: int | None,
    ) -> list[bool]:
        ended = [False] * len(names)
        if not names:
            return ended
        refusal: RedisReplyError | None = None
        for group in await self._store.connection.groups(names):
            args: list[Argument] = ["" if ttl is None else ttl, self._channel]
            for place in group:
                args += [LEASE + tokens[place], values[place], news[place]]
            try:
                got = await self._store.connection.script(END, [names[place] for place in group], args)
            except RedisReplyError as error:
                refusal = error
                continue
            for place, answer in zip(group, got, strict=True):
                ended[place] = answer == 1
        if refusal is not None:
            raise refusal
        return ended
