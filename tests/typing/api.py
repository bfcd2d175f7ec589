"""What a type checker must work out of the public API by itself; ``mypy --strict`` reads this file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import assert_type

from async_backfill import (
    Answers,
    AuditRecord,
    BackfillCache,
    BackfillPolicy,
    BudgetState,
    CacheRegistry,
    Failed,
    FarTier,
    FreshnessPolicy,
    KeyNotFoundError,
    LoadError,
    LoadPolicy,
    MappingSource,
    MemoryStore,
    SimulatedSource,
    Stats,
    Status,
    cached,
    each,
)
from async_backfill.backfill.audit_file import AuditFile
from async_backfill.backfill.trigger import MissRateTrigger
from async_backfill.contracts import (
    AuditSink,
    BoundedStore,
    ControlChannel,
    FarStore,
    Invalidations,
    Leases,
    Page,
    Permits,
    Scan,
    Source,
    Trigger,
)
from async_backfill.events import BackfillAudited, Event, KeysEvicted, LoadFinished
from async_backfill.stats import FarStats
from async_backfill.testing import (
    FarStoreContract,
    GatedSource,
    ManualClock,
    MemoryControl,
    MemoryFarStore,
    MemoryPermits,
    ScanContract,
    SourceContract,
    StoreContract,
)


class Row:
    """A value of the user's own type."""


async def one_row(key: int) -> Row:
    """Load one row."""
    if key < 0:
        raise KeyNotFoundError("no such row", key=key)
    return Row()


class Table:
    """A source and a scan as a user would write them, without importing a base class."""

    async def load_many(self, keys: Sequence[int], /) -> Mapping[int, Row | Failed]:
        """Load the rows of ``keys``."""
        return {key: Failed(OSError()) if key < 0 else Row() for key in keys}

    async def scan(self, cursor: object | None, limit: int, /) -> Page[int]:
        """List up to ``limit`` keys."""
        start = cursor if isinstance(cursor, int) else 0
        return Page(range(start, start + limit), start + limit)


async def types_come_from_the_source() -> None:
    """The types of keys and values are inferred, never written."""
    source = MappingSource({"a": 1})
    async with BackfillCache(source, scan=source, capacity=10) as cache:
        assert_type(cache, BackfillCache[str, int])
        assert_type(await cache.get("a"), int | None)
        assert_type(await cache.get("a", None), int | None)
        assert_type(await cache.get("a", 0), int)
        assert_type(await cache.get("a", "none"), int | str)
        assert_type(await cache.fetch("a"), int)
        assert_type(await cache.get_many(["a"]), dict[str, int])
        answers = await cache.try_many(["a"])
        assert_type(await cache.refresh("a"), int | None)
        assert_type(await cache.refresh("a", "none"), int | str)
        await cache.put("a", 1, ttl=5.0)
        await cache.invalidate_many({"a"})
        assert_type("a" in cache, bool)
        assert_type(answers, Answers[str, int])
        assert_type(answers.failed, Mapping[str, LoadError])
        assert_type(await cache.get_many(key for key in ("a", "b")), dict[str, int])
        assert_type(cache.peek("a"), int | None)
        assert_type(cache.peek("a", "none"), int | str)
        assert_type(cache.evict_oldest(), str)
        await cache.put("a", 2)
        await cache.put_many({"a": 2})
        await cache.invalidate("a")
        await cache.clear()
        await cache.settle()


async def mistakes_are_found() -> None:
    """A key or a value of the wrong type does not pass."""
    async with BackfillCache(MappingSource({"a": 1})) as cache:
        await cache.get(1)  # type: ignore[call-overload]
        await cache.fetch(1)  # type: ignore[arg-type]
        await cache.put("a", "1")  # type: ignore[arg-type]
        await cache.put_many({1: 1})  # type: ignore[dict-item]
        await cache.get_many([1])  # type: ignore[list-item]
        cache.peek(1)  # type: ignore[call-overload]
        await cache.approve_backfills(1)  # type: ignore[call-arg]
    BackfillCache(MappingSource({"a": 1}), scan=MappingSource({1: 1}))  # type: ignore[misc]
    BackfillCache({"a": 1})  # type: ignore[arg-type]
    MappingSource({[]: 1})  # type: ignore[type-var]


async def every_source_is_inferred(table: Table) -> None:
    """So it is with a source of one's own, with a function, and with those that are shipped."""
    async with BackfillCache(table, scan=table) as cache:
        assert_type(cache, BackfillCache[int, Row])
        assert_type(await cache.get(1), Row | None)

    assert_type(each(one_row), Source[int, Row])
    async with BackfillCache(each(one_row, concurrency=5)) as by_function:
        assert_type(by_function, BackfillCache[int, Row])
        assert_type(await by_function.fetch(1), Row)

    assert_type(BackfillCache(SimulatedSource({"a": b""}, seed=1)), BackfillCache[str, bytes])
    assert_type(BackfillCache(GatedSource({("a", 1): 1.5})), BackfillCache[tuple[str, int], float])


async def none_is_a_value_like_any_other(source: Source[str, int | None]) -> None:
    """A source that delivers ``None`` is told apart from an absent key only by a default."""
    async with BackfillCache(source) as cache:
        assert_type(await cache.get("a"), int | None)
        assert_type(await cache.get("a", "absent"), int | str | None)
        assert_type(await cache.fetch("a"), int | None)


def observe(event: Event) -> None:
    """Every kind of event is handled, or this function would not end in a complaint."""
    match event:
        case LoadFinished():
            assert_type(event.seconds, float)
            assert_type(event.error, BaseException | None)
        case KeysEvicted():
            assert_type(len(event.keys), int)
        case BackfillAudited():
            assert_type(event.record, AuditRecord)
            assert_type(event.cache, str | None)


async def settings_and_facts(table: Table) -> None:
    """Every part can be handed in, and every fact has its type."""
    clock = ManualClock()
    cache = BackfillCache(
        table,
        scan=table,
        store=MemoryStore(10),
        miss_threshold=0.4,
        backfill_batch=100,
        max_backfills=3,
        load=LoadPolicy(max_batch=10, concurrency=2, timeout=None, linger=0.1),
        backfill=BackfillPolicy(window=10, min_lookups=1, evicts=True, inline=True, concurrent=2),
        trigger=MissRateTrigger(0.5, window=10),
        audit_sink=AuditFile("audit.jsonl"),
        audit_keep=10,
        observers=[observe],
        clock=clock,
        wall_clock=clock,
    )
    assert_type(cache, BackfillCache[int, Row])
    async with cache as opened:
        assert_type(opened, BackfillCache[int, Row])
        record = await cache.force_backfill(by="ada", reason="why")
        assert_type(record, AuditRecord)
        assert_type(await cache.approve_backfills(1, by="ada", reason="why"), AuditRecord)
        assert_type(record.status, Status)
        assert_type(record.as_dict(), dict[str, object])
        assert_type(cache.audit_log, tuple[AuditRecord, ...])
        assert_type(cache.stats, Stats)
        assert_type(cache.stats.permits_left, int | None)
        assert_type(cache.stats.budget, BudgetState)
        assert_type(cache.stats.hit_rate, float)


def contracts_are_met(table: Table) -> tuple[object, ...]:
    """What is shipped, and what a user writes, fits the contracts without inheriting from them."""
    source: Source[int, Row] = table
    scan: Scan[int] = table
    scans: list[Scan[str]] = [MappingSource({"a": 1}), SimulatedSource({"a": 1})]
    sources: list[Source[str, int]] = [
        MappingSource({"a": 1}),
        SimulatedSource({"a": 1}),
        GatedSource({"a": 1}),
    ]
    store: BoundedStore[str, int] = MemoryStore(1)
    trigger: Trigger = MissRateTrigger(0.5)
    sink: AuditSink = AuditFile("audit.jsonl")
    return source, scan, scans, sources, store, trigger, sink


def a_fleet_is_met(far: MemoryFarStore[str, int]) -> tuple[object, ...]:
    """The parts for tests of a fleet fit the contracts, with the types of the far store."""
    store: FarStore[str, int] = far
    leases: Leases[str, int] = far.peer().leases
    invalidations: Invalidations[str] = far.invalidations
    permits: Permits = MemoryPermits(3)
    channel: ControlChannel = MemoryControl()
    return store, leases, invalidations, permits, channel


class TestTable(SourceContract[int, Row], ScanContract[int]):
    """The contract suites in a test class of a user's."""

    known = {1: Row(), 2: Row()}  # noqa: RUF012 - as a user would write it
    missing = (0, -1)
    keys = (1, 2)


class TestFarTable(FarStoreContract[str, int | None]):
    """Items and keys of the types that are said."""

    items = {"a": 1, "b": None}  # noqa: RUF012 - as a user would write it
    odd_keys = ["", "a b"]  # noqa: RUF012 - as a user would write it


class TestStore(StoreContract[str]):
    """A store is made by a method."""

    keys = [f"key {number}" for number in range(20)]  # noqa: RUF012 - as a user would write it

    def make_store(self, capacity: int | None, /) -> BoundedStore[str, object]:
        """Make a store."""
        return MemoryStore(capacity)


class TestWrongTable(SourceContract[int, Row]):
    """A key of the wrong type does not pass."""

    known = {"1": Row()}  # type: ignore[dict-item]  # noqa: RUF012 - as a user would write it
    missing = ("0",)  # type: ignore[assignment]


@cached(capacity=10)
async def row_of(number: int, *, exact: bool = False) -> Row:
    """Load one row."""
    return await one_row(number if exact else abs(number))


@cached
async def all_rows() -> list[Row]:
    """Load all rows; the decorator without parentheses."""
    return []


@cached(key=lambda number, **_: number, far=None, name="rows", typed=False)
async def row_of_session(number: int, session: object) -> Row:  # noqa: ARG001 - as a user has it
    """Load one row with something that is no part of the key."""
    return await one_row(number)


async def use_a_cached_function() -> None:
    async with CacheRegistry(all_rows, row_of_session, BackfillCache(MappingSource({"a": 1}))) as caches:
        assert_type(await all_rows(), list[Row])
        assert_type(await row_of_session(1, session=None), Row)
        assert_type(await caches.add(all_rows)(), list[Row])
        assert_type(all_rows.__name__, str)
        assert_type(Shop().price.__qualname__, str)
        await row_of_session(1)  # type: ignore[call-arg]
        CacheRegistry(7)  # type: ignore[arg-type]
        cached(ttl=60)  # type: ignore[call-overload]
    async with row_of.cache:
        assert_type(await row_of(1), Row)
        assert_type(await row_of(number=1, exact=True), Row)
        assert_type(await row_of.invalidate(1), None)
        await row_of("1")  # type: ignore[arg-type] # the signature is that of the function


async def share(
    source: Source[str, Row], store: FarStore[str, Row], leases: Leases[str, Row], permits: Permits
) -> None:
    tier = FarTier(store=store, leases=leases)
    assert_type(tier, FarTier[str, Row])
    async with BackfillCache(source, far=tier, permits=permits) as cache:
        assert_type(await cache.get("a"), Row | None)
        assert_type(cache.stats.far, FarStats | None)


async def share_something_else(source: Source[str, Row], store: FarStore[int, Row]) -> None:
    BackfillCache(source, far=FarTier(store=store))  # type: ignore[misc] # keys of another type


class Shop:
    """A method, alone and with arguments."""

    @cached(capacity=10)
    async def price(self, item: str, *, count: int = 1) -> float:
        """Return what it costs."""
        return len(item) * count

    @cached()
    async def total(self) -> int:
        """Return how much there is."""
        return 0

    @staticmethod
    @cached()
    async def double(number: int) -> int:
        """Work without an instance."""
        return 2 * number


class Kiosk(Shop):
    """A subclass inherits the method with its types."""

    async def cheapest(self, item: str) -> float:
        """Ask the base class."""
        return min(await super().price(item), await self.price(item))


async def use_a_cached_method(shop: Shop, kiosk: Kiosk) -> None:
    """The instance is given by Python, and the rest is the signature of the method."""
    async with shop.price.cache, Shop.total.cache, Shop.double.cache:
        assert_type(await shop.price("a"), float)
        assert_type(await kiosk.price(item="a", count=2), float)
        assert_type(await Shop.price(shop, "a"), float)
        assert_type(await shop.price.invalidate("a", count=2), None)
        assert_type(await Shop.price.invalidate(shop, "a"), None)
        assert_type(await shop.total(), int)
        assert_type(await shop.total.invalidate(), None)
        assert_type(await Shop.double(1), int)
        await shop.price(1)  # type: ignore[arg-type]
        await shop.price(shop, "a")  # type: ignore[call-arg, arg-type]
        await shop.price.invalidate(1)  # type: ignore[arg-type]
        await shop.total("a")  # type: ignore[call-arg]
        await Shop.price("a")  # type: ignore[call-arg, arg-type]


async def use_durations(cache: BackfillCache[str, int]) -> None:
    """Where seconds are taken a ``timedelta`` is taken too; what is kept are seconds."""
    assert_type(LoadPolicy(timeout=timedelta(seconds=1), linger=0.5).timeout, float | None)
    assert_type(FreshnessPolicy(ttl=timedelta(minutes=1)).stale_for, float)
    await cache.put("a", 1, ttl=timedelta(hours=1))
    LoadPolicy(timeout="1")  # type: ignore[arg-type]
