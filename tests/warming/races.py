"""``python -m tests.warming.races``: many schedules of a copy beside writers, in virtual time.

Whoever changes a row commits first, and tells the store some time later. Pages are held between their read
and their write, for longer than the store takes them too; calls are slow, fail, or lose their answers. At the
end no key may have a value that is not the row's, and no row that was deleted may be back.
"""

from __future__ import annotations

import argparse
import logging
import random
import sys
import time
from collections import Counter
from typing import Any, Final

import anyio
import looptime
from anyio import create_task_group, sleep

from async_backfill.outcomes import ABSENT
from async_backfill.testing import MemoryFarStore
from async_backfill.warming import CopyError, copy_rows

KEYS: Final = tuple("abcdefgh")
KINDS: Final = ("put", "put", "short put", "invalidate", "invalidate", "delete", "clear", "load", "load")
PAUSES: Final = (0.0, 0.0, 0.1, 0.3, 1.0, 3.0)


class Race:
    """One schedule, drawn from its ``seed``: a table, a copy of it under ``guard``, and writers beside it."""

    def __init__(self, seed: int, guard: str) -> None:
        self.draws = random.Random(seed)
        self.guard = guard
        # What was rechecked and failed must be removed in five seconds, or it may stay (see the manual).
        self.pauses = PAUSES[:5] if guard == "recheck" else PAUSES
        self.table = {key: 0 for key in KEYS if self.draws.random() < 0.9}
        self.store: MemoryFarStore[str, int] = MemoryFarStore(
            lease=self.draws.choice([0.5, 2.0, 20.0]), version_of=int if guard == "version" else None
        )
        self.version = 0
        self.writes = 0
        self.happened: Counter[str] = Counter()

    async def pause(self) -> None:
        await sleep(self.draws.choice(PAUSES))

    def _commit(self, key: str, *, delete: bool = False) -> None:
        self.version += 1
        self.writes += 1
        if delete:
            self.table.pop(key, None)
        else:
            self.table[key] = self.version

    async def pages(self) -> Any:
        for first in range(0, len(KEYS), 3):
            await self.pause()
            page = {key: self.table[key] for key in KEYS[first : first + 3] if key in self.table}
            await sleep(self.draws.choice([*PAUSES, 9.5, 12.0]))
            yield page

    async def load_many(self, keys: Any) -> dict[str, int]:
        await self.pause()
        found = {key: self.table[key] for key in keys if key in self.table}
        await self.pause()
        return found

    async def copy(self) -> None:
        store = self.store.peer()
        store.link.latency = self.draws.choice(self.pauses)
        store.link.answer_latency = self.draws.choice(self.pauses)
        async with create_task_group() as tasks:
            if self.draws.random() < 0.3:
                tasks.start_soon(self._fail, store)
            try:
                copied = await copy_rows(
                    self.pages(),
                    store,
                    guard=self.guard,  # type: ignore[arg-type]
                    source=self if self.draws.random() < 0.5 or self.guard == "recheck" else None,
                    writers=self.draws.randint(1, 3),
                    write_timeout=self.draws.choice([1.0, 3.0, 30.0]),
                    attempts=20,
                    max_dead=100,
                    max_lost=1.0,
                )
            except CopyError as error:
                copied = error.copied
                self.happened["stopped"] += 1
            tasks.cancel_scope.cancel()
        counts = {name: getattr(copied, name) for name in ("kept", "newer", "leased", "rejected", "dead")}
        assert copied.read == sum(counts.values()), copied
        self.happened.update(counts)

    async def _fail(self, store: MemoryFarStore[str, int]) -> None:
        await self.pause()
        store.link.fail()
        await sleep(self.draws.choice(self.pauses))
        store.link.recover()

    async def write(self, keys: str) -> None:
        """Change rows of ``keys``, which nobody else changes, so that the store hears of it in order."""
        store = self.store.peer()
        store.link.latency = self.draws.choice(PAUSES[:4])
        for _ in range(self.draws.randint(1, 6)):
            await self.pause()
            kind, key = self.draws.choice(KINDS), self.draws.choice(keys)
            self.happened[kind] += 1
            if kind == "load":
                await self._load(store, key)
                continue
            self._commit(key, delete=kind == "delete")
            changed = self.table.get(key)
            if self.draws.random() < 0.5:
                await self.pause()
            if kind == "clear":
                await store.clear()
            elif kind == "put" and changed is not None:
                await store.set_many({key: changed})
            elif kind == "short put" and changed is not None:
                await store.set_many({key: changed}, ttl=0.2)
            else:
                await store.delete_many([key])

    async def _load(self, store: MemoryFarStore[str, int], key: str) -> None:
        token = self.draws.randbytes(12) + bytes(4)
        if (await store.leases.acquire_many([key], token)).get(key) != token:
            return
        found = await self.load_many([key])
        if self.draws.random() < 0.2:
            return  # the process is killed
        if found:
            await store.leases.set_many(found, {key: token})
        else:
            await store.leases.release_many({key: token}, told={key: ABSENT})

    async def run(self) -> Counter[str]:
        """Run it; return what happened, with ``old`` values and rows that are ``back``."""
        async with create_task_group() as tasks:
            tasks.start_soon(self.copy)
            for number in range(self.draws.randint(1, 4)):
                tasks.start_soon(self.write, "".join(KEYS[number::4]))
            for _ in range(self.draws.randint(0, 2)):
                tasks.start_soon(self._load, self.store.peer(), self.draws.choice(KEYS))
        found = await self.store.get_many(KEYS)
        self.happened["back"] = sum(key not in self.table for key in found)
        self.happened["old"] = sum(
            copy.value != self.table.get(key, copy.value) for key, copy in found.items()
        )
        self.happened["writes"] = self.writes
        return self.happened


def race(seed: int, guard: str = "stamp") -> Counter[str]:
    """Return what happened in the schedule ``seed``."""
    loop = {"loop_factory": lambda: looptime.new_event_loop(start=0.0, end=None, noop_cycles=0)}
    return anyio.run(Race(seed, guard).run, backend_options=loop)


def main() -> int:
    """Run the command line and return its exit code."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--guard", default="stamp", choices=["stamp", "version", "recheck", "none"])
    options.add_argument("--schedules", type=int, default=10_000)
    options.add_argument("--seed", type=int, default=0, help="the number of the first schedule")
    chosen = options.parse_args()
    logging.disable()
    began, happened, wrong = time.perf_counter(), Counter[str](), []
    for seed in range(chosen.seed, chosen.seed + chosen.schedules):
        one = race(seed, chosen.guard)
        happened += one
        if one["old"] or one["back"]:
            wrong.append(seed)
    print(f"{chosen.schedules:,} schedules, {time.perf_counter() - began:.0f} s: {dict(happened)}")
    print(f"{happened['old']} old values, {happened['back']} rows that came back; seeds {wrong[:10]}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
