"""A far tier (L2) for the caches of one test, with every ability there is, on a network that can fail."""

from __future__ import annotations

import math
from contextlib import contextmanager
from types import MappingProxyType

import anyio

from async_backfill.contracts import FarCopy
from async_backfill.outcomes import ABSENT


class Shared:
    """The store itself: values with the time they were written and end, leases, and who listens."""

    def __init__(self) -> None:
        self.entries = {}  # key -> (value, written, end)
        self.leases = {}  # key -> (token, end)
        self.calls = []
        self.delay = 0.0
        self.delays = {}
        self.answer_delays = {}
        self.error = None
        self.errors = {}
        self.refused = []
        self.lease_seconds = 10.0
        self._watches = []
        self._ears = {}

    async def _call(self, name, keys):
        self.calls.append((name, tuple(keys)))
        if delay := self.delays.get(name, self.delay):
            await anyio.sleep(delay)
        else:
            await anyio.lowlevel.checkpoint()
        if (error := self.errors.get(name, self.error)) is not None:
            raise error

    async def _back(self, name):
        if delay := self.answer_delays.get(name):
            await anyio.sleep(delay)

    def calls_of(self, name):
        return [keys for called, keys in self.calls if called == name]

    def value(self, key):
        entry = self.entries.get(key)
        return None if entry is None or entry[2] <= anyio.current_time() else entry[0]

    def has(self, key):
        return key in self.entries and self.entries[key][2] > anyio.current_time()

    def lease(self, key):
        token, end = self.leases.get(key, (None, -math.inf))
        return token if end > anyio.current_time() else None

    async def get_many(self, keys, /):
        await self._call("get", keys)
        now = anyio.current_time()
        return {
            key: FarCopy(self.entries[key][0], now - self.entries[key][1]) for key in keys if self.has(key)
        }

    async def set_many(self, items, /, *, ttl=None):
        await self._call("set", items)
        self._set(items, ttl)

    async def delete_many(self, keys, /):
        await self._call("delete", keys)
        for key in keys:
            self.entries.pop(key, None)
            self._end_lease(key)

    async def clear(self):
        await self._call("clear", ())
        self.entries.clear()
        for key in tuple(self.leases):
            self._end_lease(key)

    def _set(self, items, ttl):
        now = anyio.current_time()
        for key, value in items.items():
            self.entries[key] = (value, now, math.inf if ttl is None else now + ttl)
            self._end_lease(key)

    def _end_lease(self, key, told=MappingProxyType({})):
        self.leases.pop(key, None)
        for watch in self._watches:
            if key in watch[0]:
                if key in told:
                    watch[2][key] = told[key]
                watch[1].set()

    def ears(self, name):
        return Ears(self, name)


class Leases:
    """The leases of a `Shared` store."""

    def __init__(self, shared) -> None:
        self._shared = shared

    async def acquire_many(self, keys, token, /, *, outdated=()):
        shared = self._shared
        await shared._call("lease", keys)
        for key in keys:
            held = shared.lease(key)
            is_free = held is None and (key in outdated or not shared.has(key))
            if is_free or (held is not None and held != token and held == token[:12] + bytes(4)):
                shared.leases[key] = (token, anyio.current_time() + shared.lease_seconds)
        await shared._back("lease")
        return {key: shared.lease(key) for key in keys if shared.lease(key) is not None}

    async def set_many(self, items, tokens, /, *, ttl=None):
        shared = self._shared
        await shared._call("set leased", items)
        kept = {
            key: value
            for key, value in items.items()
            if (held := shared.lease(key)) is not None and held[:12] == tokens[key][:12]
        }
        shared.refused.extend(key for key in items if key not in kept)
        shared._set(kept, ttl)
        return list(kept)

    async def release_many(self, tokens, /, *, told=MappingProxyType({}), unkept=()):
        shared = self._shared
        await shared._call("release", tokens)
        for key, token in tokens.items():
            if shared.lease(key) == token:
                if told.get(key) is ABSENT or key in unkept:
                    shared.entries.pop(key, None)
                shared._end_lease(key, told)

    @contextmanager
    def watch(self, keys, /):
        shared, watch = self._shared, [frozenset(keys), anyio.Event(), {}]
        shared._watches.append(watch)

        async def changed():
            with anyio.move_on_after(shared.lease_seconds):
                await watch[1].wait()
            watch[1] = anyio.Event()
            told, watch[2] = watch[2], {}
            return told

        try:
            yield changed
        finally:
            shared._watches.remove(watch)


class Ears:
    """The invalidations of one cache in front of a `Shared` store."""

    def __init__(self, shared, name) -> None:
        self._shared = shared
        self._name = name

    async def publish(self, keys, /):
        await self._shared._call("publish", keys or ())
        for name, forget in self._shared._ears.items():
            if name != self._name:
                forget(keys)

    async def listen(self, forget, /):
        self._shared._ears[self._name] = forget
        try:
            await anyio.sleep_forever()
        finally:
            del self._shared._ears[self._name]
