"""One process of the fleet: it reads, changes rows and invalidates them, and logs that until told to stop.

A log has one line of JSON for each write and each read. All times are of ``time.monotonic()``, which the
processes of one machine share.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from typing import IO, Any, Final

import sqlalchemy as sa
from anyio import create_task_group, move_on_after, sleep

from async_backfill import BackfillCache, FarTier, FreshnessPolicy, LoadError, LoadPolicy, StoreError
from async_backfill.redis.connection import connect
from async_backfill.redis.invalidations import RedisInvalidations
from async_backfill.redis.leases import RedisLeases
from async_backfill.redis.store import RedisStore
from async_backfill.sources.sql import SQLSource, open_database

KEYS: Final = 60
TTL: Final = 1.0
LOAD_TIMEOUT: Final = 2.0
HUNG: Final = 20.0
_READERS: Final = 8
_MOST_PATIENT: Final = 0.004  # seconds that a caller who hangs up has waited
_TABLE: Final = sa.table("chaos", sa.column("key"), sa.column("version"))


class Worker:
    """The tasks of one process, and its log."""

    def __init__(self, engine: Any, cache: BackfillCache[int, int], log: IO[str], seed: int) -> None:
        self._engine = engine
        self._cache = cache
        self._log = log
        self._random = random.Random(seed)
        self._stopped = asyncio.Event()

    async def run(self) -> None:
        """Read and write until standard input says stop."""
        async with create_task_group() as tasks:
            for _ in range(_READERS):
                tasks.start_soon(self._read)
            tasks.start_soon(self._hang_up)
            tasks.start_soon(self._write)
            print("running", flush=True)  # noqa: T201 - the parent reads it
            await asyncio.to_thread(sys.stdin.readline)
            self._stopped.set()

    async def _read(self) -> None:
        while not self._stopped.is_set():
            await sleep(self._random.random() * 0.02)
            keys = self._random.sample(range(KEYS), self._random.choice((1, 1, 1, 5)))
            began = time.monotonic()
            with move_on_after(HUNG) as scope:
                try:
                    found = await self._cache.get_many(keys) if len(keys) > 1 else await self._one(keys[0])
                except LoadError as error:
                    self._note("error", began, error=type(error).__name__)
                else:
                    self._note("read", began, found=list(found.items()))
            if scope.cancelled_caught:
                self._note("hung", began, keys=keys)

    async def _one(self, key: int) -> dict[int, int]:
        return {key: await self._cache.fetch(key)}

    async def _hang_up(self) -> None:
        """Be a crowd of callers who are cancelled almost at once."""
        while not self._stopped.is_set():
            await sleep(0.3)
            with move_on_after(self._random.random() * _MOST_PATIENT):
                try:
                    async with create_task_group() as tasks:
                        for key in self._random.sample(range(KEYS), 10):
                            tasks.start_soon(self._cache.get, key)
                except* LoadError:
                    pass

    async def _write(self) -> None:
        """Change rows, and invalidate them."""
        while not self._stopped.is_set():
            await sleep(self._random.random() * 0.1)
            key, began = self._random.randrange(KEYS), time.monotonic()
            change = sa.update(_TABLE).where(_TABLE.c.key == key).values(version=_TABLE.c.version + 1)
            with move_on_after(HUNG) as scope:
                try:
                    async with self._engine.begin() as connection:
                        version = (await connection.execute(change.returning(_TABLE.c.version))).scalar_one()
                except (sa.exc.DBAPIError, OSError, TimeoutError):
                    continue
                committed, is_confirmed = time.monotonic(), True
                try:
                    await self._cache.invalidate(key)
                except StoreError:
                    is_confirmed = False
                self._note(
                    "write", began, key=key, version=version, committed=committed, confirmed=is_confirmed
                )
            if scope.cancelled_caught:
                self._note("hung", began, keys=[key])

    def _note(self, what: str, began: float, **facts: Any) -> None:
        self._log.write(json.dumps({"what": what, "began": began, "ended": time.monotonic(), **facts}) + "\n")


async def main(postgres: str, redis: str, namespace: str, path: str, seed: int) -> None:
    """Run one process of the fleet."""
    with open(path, "w", buffering=1, encoding="utf-8") as log:  # noqa: ASYNC230, PTH123 - a line at a time
        async with (
            open_database(postgres, connect_args={"timeout": 1.0, "command_timeout": 2.0}) as engine,
            connect(redis) as connection,
        ):
            source: SQLSource[int, int] = SQLSource(
                engine, "chaos", key="key", value="version", timeout=LOAD_TIMEOUT
            )
            store: RedisStore[int, int] = RedisStore(connection, namespace=namespace, key_type=int)
            far = FarTier(
                store=store,
                leases=RedisLeases(store),
                invalidations=RedisInvalidations(connection, namespace=namespace, key_type=int),
            )
            async with BackfillCache(
                source,
                far=far,
                freshness=FreshnessPolicy(ttl=TTL, jitter=0.3),
                load=LoadPolicy(timeout=LOAD_TIMEOUT, max_batch=10),
            ) as cache:
                await Worker(engine, cache, log, seed).run()
            print(json.dumps({"far": cache.stats.far.hits if cache.stats.far else 0}))  # noqa: T201


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:5], int(sys.argv[5])))
