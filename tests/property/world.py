"""A source that is slow and fails, a cache in front of it, and what must be true of the two.

The source is a table whose rows carry a version: every write makes a new version of a row and then
tells the cache, as a program with a database does. So a cached value must always be the latest
version, and a read must never return one that was old when the read began.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from anyio import move_on_after, sleep
from anyio.lowlevel import checkpoint

from async_backfill import (
    BackfillCache,
    Failed,
    KeyNotFoundError,
    LoadError,
    LoadPolicy,
    MappingSource,
    Status,
)
from async_backfill.events import KeysEvicted

KEYS = "abcdef"
AT_FIRST = "abcd"
NOTHING = object()


@dataclass
class Table:
    """The source: slow, failing as ``answers`` says, and strict about how it is called."""

    load: LoadPolicy
    answers: list[tuple[str, int]]
    rows: dict[str, int] = field(default_factory=lambda: dict.fromkeys(AT_FIRST, 0))
    versions: Counter[str] = field(default_factory=Counter)
    deletions: Counter[str] = field(default_factory=Counter)
    calls: int = 0
    running: int = 0
    loading: Counter[str] = field(default_factory=Counter)
    delivered: int = 0
    wrong: list[str] = field(default_factory=list)

    def promise(self, kept: bool, what: str) -> None:
        """Note ``what`` unless it was kept: an assertion would end in a `LoadError` or in a log."""
        if not kept:
            self.wrong.append(what)

    def write(self, key: str) -> int:
        self.rows[key] = -1
        self.touch(key)
        return self.rows[key]

    def touch(self, key: str) -> None:
        self.versions[key] += 1
        if key in self.rows:
            self.rows[key] = self.versions[key]

    def delete(self, key: str) -> None:
        self.rows.pop(key, None)
        self.touch(key)
        self.deletions[key] += 1

    async def load_many(self, asked: tuple[str, ...]) -> dict[str, Any]:
        rows = {key: self.rows[key] for key in asked if key in self.rows}
        how, latency = self.answers[self.calls % len(self.answers)]
        self.calls += 1
        self.promise(0 < len(asked) == len(set(asked)) <= self.load.max_batch, f"asked for {asked}")
        for _ in range(3):  # until then a call that everyone left may still be on its way out
            await checkpoint()
        self.loading.update(asked)
        self.running += 1
        self.promise(self.running <= self.load.concurrency, "too many calls at once")
        for key in asked:
            twice = self.loading[key] > 1 + self.versions[key]
            self.promise(not twice, f"two loads of {key}, and no write of it")
        try:
            await sleep(latency)
        finally:
            self.running -= 1
            self.loading.subtract(asked)
        if how == "bad":
            raise ConnectionError("the table is locked")
        if how == "bad key" and rows:
            rows[min(rows)] = Failed(ConnectionError("the row is locked"))
        self.delivered += sum(not isinstance(row, Failed) for row in rows.values())
        return rows


class World:
    """A cache, its table, and the checks."""

    def __init__(self, table: Table, **settings: Any) -> None:
        self.table = table
        self.capacity = settings["capacity"]
        self.permits = settings["max_backfills"]
        self.lookups = 0
        self.evicted = 0
        self.errors: list[BaseException] = []
        self.cache = BackfillCache(
            table, scan=MappingSource(table.rows), load=table.load, observers=[self.observe], **settings
        )

    def observe(self, event: object) -> None:
        if isinstance(event, KeysEvicted):
            self.evicted += len(event.keys)
        self.check()

    def check(self) -> None:
        stats, table, promise = self.cache.stats, self.table, self.table.promise
        promise(stats.lookups == stats.hits + stats.misses == self.lookups, f"lookups: {stats}")
        promise(stats.misses == stats.led + stats.joined, f"misses: {stats}")
        told_apart = not stats.miss_causes or sum(stats.miss_causes.values()) == stats.misses
        promise(told_apart and min(stats.miss_causes.values(), default=0) >= 0, f"causes: {stats}")
        promise(min(stats.led, stats.joined, stats.absent, stats.failed) >= 0, f"below zero: {stats}")
        promise(stats.absent + stats.failed <= stats.misses, f"more ends than misses: {stats}")
        promise(stats.source_keys == stats.miss_keys + stats.backfill_keys, f"keys without a cause: {stats}")
        promise(stats.source_keys <= table.delivered, f"keys counted twice: {stats}")
        rates = stats.hit_rate + stats.miss_rate
        promise(math.isclose(rates, 1.0 if stats.lookups else 0.0), f"rates: {stats}")
        promise(self.capacity is None or stats.size <= self.capacity, f"above capacity: {stats}")
        cached = {key: self.cache.peek(key, NOTHING) for key in KEYS}
        cached = {key: value for key, value in cached.items() if value is not NOTHING}
        promise(stats.size == len(cached), f"size: {stats}")
        old = {key: value for key, value in cached.items() if table.rows.get(key) != value}
        promise(not old, f"cached, but not the latest: {old}")

    def check_at_rest(self) -> None:
        self.check()
        assert self.table.wrong == []
        stats = self.cache.stats
        assert (stats.in_flight, self.table.running) == (0, 0)
        assert (stats.source_calls, stats.source_keys) == (self.table.calls, self.table.delivered)
        assert stats.evictions == self.evicted
        assert len({id(error) for error in self.errors}) == len(self.errors)
        started = [record for record in self.cache.audit_log if record.status is Status.STARTED]
        automatic = [record for record in started if record.cause.value == "threshold"]
        assert self.permits is None or len(automatic) <= self.permits

    async def perform(self, program: list[tuple[str, Any, int | None]]) -> None:
        for what, argument, patience in program:
            with move_on_after(float("inf") if patience is None else patience):
                try:
                    await getattr(self, what)(argument)
                except LoadError as error:
                    self.errors.append(error)
            self.check()

    async def get(self, key: str) -> None:
        await self.read([key], partial(self.get_one, key))

    async def get_one(self, key: str) -> dict[str, Any]:
        value = await self.cache.get(key, NOTHING)
        return {} if value is NOTHING else {key: value}

    async def fetch(self, key: str) -> None:
        await self.read([key], partial(self.fetch_one, key))

    async def fetch_one(self, key: str) -> dict[str, Any]:
        try:
            return {key: await self.cache.fetch(key)}
        except KeyNotFoundError:
            return {}

    async def get_many(self, several: tuple[str, ...]) -> None:
        await self.read(several, partial(self.cache.get_many, several))

    async def read(self, asked: Any, call: Any) -> None:
        table = self.table
        before = {key: (table.versions[key], table.deletions[key], key in table.rows) for key in asked}
        self.lookups += len(before)
        found = await call()
        for key, (version, deletions, existed) in before.items():
            if key in found:
                assert version <= found[key] <= table.versions[key], "a read of what was old when it began"
            else:
                assert not existed or table.deletions[key] > deletions, "absent, though it always existed"

    async def put(self, key: str) -> None:
        await self.cache.put(key, self.table.write(key))

    async def update(self, key: str) -> None:
        self.table.write(key)
        await self.cache.invalidate(key)

    async def delete(self, key: str) -> None:
        self.table.delete(key)
        await self.cache.invalidate(key)

    async def clear(self, _: None) -> None:
        for key in KEYS:
            self.table.touch(key)
        await self.cache.clear()

    async def evict(self, _: None) -> None:
        if self.cache.stats.size:
            self.cache.evict_oldest()

    async def backfill(self, _: None) -> None:
        await self.cache.force_backfill()

    async def turn(self, _: None) -> None:
        await checkpoint()

    async def sleep(self, seconds: int) -> None:
        await sleep(seconds)
