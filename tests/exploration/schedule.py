"""One schedule of a race: a cache, its callers, and what must be true while they run and at the end."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from anyio import CancelScope

from async_backfill import BackfillCache, CacheClosedError, KeyNotFoundError, LoadError, MappingSource
from async_backfill.testing import ManualClock
from tests.exploration.plans import Plan, Step, draw
from tests.exploration.shuffled_loop import ShuffledLoop, run, turns
from tests.exploration.versioned_source import VersionedSource

GRACE: Final = 6


class BrokenPromiseError(AssertionError):
    """A schedule in which the cache did not keep its promises."""


def explore(race: str, seed: int) -> Counter[str]:
    """Run the schedule ``seed`` of ``race``; return what happened in it, in numbers.

    :raises BrokenPromiseError: with the command that runs this schedule again.
    """
    plan = draw(race, seed)
    loop = ShuffledLoop(f"{race}/{seed}/order", holds=plan.holds)
    schedule = Schedule(plan, loop, random.Random(f"{race}/{seed}/source"))
    loop.set_exception_handler(schedule.unhandled)
    try:
        run(loop, schedule.main())
        broken = schedule.broken
    except AssertionError as error:
        broken = [str(error), *schedule.broken]
    if broken:
        again = f"python -m tests.exploration --race {race} --seed {seed}"
        raise BrokenPromiseError("\n  ".join([again, *dict.fromkeys(broken)]))
    return schedule.figures()


class Schedule:
    """The callers of ``plan``, the cache that they share, and the checks.

    ``floor`` is the version of each key that a read which begins now must reach: that of the last
    write which has ended.
    """

    def __init__(self, plan: Plan, loop: ShuffledLoop, draws: random.Random) -> None:
        self.plan = plan
        self.loop = loop
        self.broken: list[str] = []
        self.closing = False
        self.writes: Counter[str] = Counter()
        self.cancelled: dict[int, bool] = {}
        self.reading = 0
        self.left_at = 0
        self.begun = 0
        self.ended = 0
        self.failed = 0
        self.clock = ManualClock()
        rows = {key: 1 for key in plan.keys if key not in plan.absent}
        self.floor = {key: rows.get(key, 0) for key in plan.keys}
        self.source = VersionedSource(rows, draws, plan.failing, self)
        self.cache: BackfillCache[str, int] = BackfillCache(
            self.source,
            scan=MappingSource(rows) if plan.has_scan else None,
            clock=self.clock,
            **plan.settings,
        )
        self.scopes: list[CancelScope] = []
        self.tasks: list[asyncio.Task[None]] = []
        self.outer: asyncio.Task[Any] | None = None
        self.writing = {key: asyncio.Lock() for key in plan.keys}
        loop.after_turn = self.check

    def promise(self, kept: bool, what: str) -> None:
        """Note ``what`` unless it was kept: an error in a source or a callback would not get through."""
        if not kept:
            self.broken.append(f"turn {self.loop.turns}: {what}")

    def overlap_allowed(self, key: str) -> int:
        """A written key is loaded anew beside the old load, and so is one that its callers gave up.

        A caller who met two failed backfills of the key no longer waits for the third.
        """
        return self.writes[key] + len(self.cancelled) + (self.plan.has_scan and self.source.failures[key] > 1)

    def check_wanted(self) -> None:
        """Check, while a load runs, that it was not left by all callers a while ago.

        Not where a load may belong to the cache itself, nor where a cancellation may be held back.
        """
        plan = self.plan
        backfills = plan.has_scan or plan.settings["backfill"].selection == "history"
        owned = backfills or plan.settings["freshness"].ttl is not None
        if not self.reading and not plan.holds and not owned:
            late = self.loop.turns - self.left_at
            self.promise(late <= GRACE, f"a load goes on {late} turns after its last caller left")

    @contextmanager
    def read(self, lookups: int) -> Iterator[None]:
        self.begun += lookups
        self.reading += 1
        try:
            yield
        finally:
            self.reading -= 1
            self.left_at = self.loop.turns

    def unhandled(self, _: object, context: dict[str, Any]) -> None:
        self.promise(False, f"{context['message']}: {context.get('exception')!r}")

    async def main(self) -> None:
        self.outer = asyncio.current_task()
        owner = asyncio.create_task(self.own(), name="owner")
        if self.plan.cancel_owner_at is not None:
            self.loop.at_turn(self.plan.cancel_owner_at, lambda: self.cancel_owner(owner))
        await asyncio.wait([owner])
        self.check_task(owner, cancelled=self.plan.cancel_owner_at is not None)
        if self.tasks:
            await asyncio.wait(self.tasks)
        for number, task in enumerate(self.tasks):
            self.check_task(task, cancelled=number in self.cancelled)
            if self.cancelled.get(number):
                self.promise(task.cancelled(), f"{task.get_name()} was cancelled and went on")
        if self.plan.close_at is not None:
            async with self.cache:
                await self.check_at_rest()

    async def own(self) -> None:
        """Open the cache, start the callers, close it: in a task of its own, which can be cancelled."""
        try:
            async with self.cache:
                self.scopes = [CancelScope() for _ in self.plan.callers]
                self.tasks = [asyncio.create_task(self.call(number)) for number in range(len(self.scopes))]
                for number, task in enumerate(self.tasks):
                    task.set_name(f"caller {number}")
                for each in self.plan.cancellations:
                    self.loop.at_turn(each.turn, lambda each=each: self.cancel(each.caller, each.native))
                if self.plan.close_at is None:
                    await asyncio.wait(self.tasks)
                    await self.check_at_rest()
                else:
                    await turns(self.plan.close_at)
                self.closing = True
        finally:
            mine = {*self.tasks, asyncio.current_task(), self.outer}
            left = [task for task in asyncio.all_tasks() if task not in mine]
            self.promise(not left, f"left after close: {left}")
            self.promise(not self.source.running, "a load goes on after close")
            self.promise(self.cache.stats.in_flight == 0, "a key is in flight after close")

    def cancel_owner(self, owner: asyncio.Task[None]) -> None:
        self.closing = True
        owner.cancel()

    def cancel(self, number: int, native: bool) -> None:
        if self.tasks[number].done():
            return
        self.cancelled[number] = native or self.cancelled.get(number, False)
        if native:
            self.tasks[number].cancel()
        else:
            self.scopes[number].cancel()

    async def call(self, number: int) -> None:
        with self.scopes[number]:
            for step in self.plan.callers[number]:
                await turns(step.pause)
                try:
                    await getattr(self, step.what)(step)
                except LoadError as error:
                    self.failed += 1
                    self.promise(bool(self.source.failures), f"{error!r}, but the source did not fail")
                except CacheClosedError:
                    self.promise(self.closing, "refused as closed, but nobody closes it")

    def check_task(self, task: asyncio.Task[None], *, cancelled: bool) -> None:
        if task.cancelled():
            self.promise(cancelled, f"{task.get_name()} was not cancelled but ended so")
        elif task.exception() is not None:
            self.promise(False, f"{task.get_name()} ended with {task.exception()!r}")

    def check(self) -> None:
        """Check what holds after each turn."""
        capacity = self.plan.settings["capacity"]
        size = len(self.cache._near.store)
        self.promise(capacity is None or size <= capacity, f"{size} keys in {capacity} places")

    async def check_at_rest(self) -> None:
        """Check what holds when nobody calls; then a source that is mended answers for every key."""
        await self.cache.settle()
        stats, source = self.cache.stats, self.source
        for name, kept in {
            "in_flight": stats.in_flight == 0 == source.running,
            "lookups": stats.lookups == stats.hits + stats.misses,
            "begun and ended": self.ended <= stats.lookups <= self.begun,
            "misses": stats.misses == stats.led + stats.joined and stats.led >= 0 <= stats.joined,
            "outcomes": stats.absent + stats.failed <= stats.misses,
            "stale": stats.stale <= stats.hits,
            "calls": stats.source_calls <= source.calls,
            "keys": stats.source_keys == stats.miss_keys + stats.refresh_keys + stats.backfill_keys,
            "delivered": stats.source_keys <= source.delivered,
        }.items():
            self.promise(kept, f"{name}: {stats}, {source.calls} calls, {source.delivered} delivered")
        for key, floor in self.floor.items():
            cached = self.cache.peek(key, floor)
            self.promise(cached >= floor, f"{key!r} is cached with version {cached}, {floor} was written")
        source.failing = 0.0
        for key in self.plan.keys:
            await self.get(Step("get", (key,), 0, 0))

    def check_read(self, key: str, floor: int, value: int) -> None:
        self.ended += 1
        now = self.source.rows.get(key, 0)
        kept = floor <= value <= now
        self.promise(kept, f"read version {value} of {key!r}, after {floor} was written; now it is {now}")

    async def get(self, step: Step) -> None:
        key = step.keys[0]
        floor = self.floor[key]
        with self.read(1):
            value = await self.cache.get(key, 0)
        self.check_read(key, floor, value)

    async def get_many(self, step: Step) -> None:
        floors = {key: self.floor[key] for key in step.keys}
        with self.read(len(floors)):
            found = await self.cache.get_many(step.keys)
        for key, floor in floors.items():
            self.check_read(key, floor, found.get(key, 0))

    async def put(self, step: Step) -> None:
        await self.write(step, self.cache.put)

    async def invalidate(self, step: Step) -> None:
        await self.write(step, lambda key, _: self.cache.invalidate(key))

    async def write(self, step: Step, tell: Any) -> None:
        """Write to the source, then tell the cache: one writer of a key at a time."""
        key = step.keys[0]
        async with self.writing[key]:
            version = self.source.write(key)
            await turns(step.gap)
            self.writes[key] += 1
            await tell(key, version)
            self.floor[key] = version

    async def clear(self, _: Step) -> None:
        for key in self.plan.keys:
            self.writes[key] += 1
        versions = dict(self.source.rows)
        await self.cache.clear()
        self.floor.update(versions)

    async def evict_oldest(self, _: Step) -> None:
        try:
            self.cache.evict_oldest()
        except KeyNotFoundError:
            self.promise(not len(self.cache._near.store), "nothing to evict, but it is not empty")

    async def force_backfill(self, _: Step) -> None:
        if self.plan.has_scan and not self.cache.control.status.is_off:
            await self.cache.force_backfill()

    async def off_and_on(self, step: Step) -> None:
        """Turn the cache off, and on again later."""
        for key in self.plan.keys:  # no load from before is joined any more, as after a write
            self.writes[key] += 1
        await self.cache.control.off(by="ada", reason="a race")
        await turns(step.gap)
        await self.cache.control.on(by="ada", reason="a race")

    async def cancel_backfill(self, step: Step) -> None:
        """Force a backfill, and cancel it a few turns later."""
        if self.plan.has_scan:
            forced = asyncio.ensure_future(self.cache.force_backfill())
            await turns(step.gap)
            await self.cache.control.cancel(by="ada", reason="a race")
            await asyncio.wait([forced])

    async def expire(self, step: Step) -> None:
        """Let values become stale, or older than that, and read one."""
        self.clock.advance(60.0 if len(step.keys) == 1 else 10.0)
        await self.get(step)

    def figures(self) -> Counter[str]:
        stats = self.cache.stats
        return Counter(
            turns=self.loop.turns,
            reads=self.ended,
            writes=sum(self.writes.values()),
            joined=stats.joined,
            stale=stats.stale,
            loads=self.source.calls,
            refreshed=stats.refresh_keys,
            backfills=stats.backfills,
            cancelled=len(self.cancelled),
            failed=self.failed,
        )
