"""Durations: where a setting takes seconds it takes a ``timedelta`` as well, and keeps seconds."""

from __future__ import annotations

import ast
import dataclasses
import math
from datetime import timedelta
from pathlib import Path

import pytest

import async_backfill
from async_backfill import (
    BackfillCache,
    CircuitPolicy,
    ConfigurationError,
    FarTier,
    FreshnessPolicy,
    HistoryPolicy,
    LoadPolicy,
    MappingSource,
    ReadinessPolicy,
    SimulatedSource,
)
from async_backfill.redis import RedisInvalidations, RedisLeases, RedisStore, connect
from async_backfill.sources.http import HTTPSource, RetryPolicy
from async_backfill.sources.retrying import RetryingSource
from async_backfill.testing import ManualClock, MemoryFarStore
from async_backfill.warming import copy_rows

PACKAGE = Path(async_backfill.__file__).parent
GROUPS = {
    CircuitPolicy: {"open_for"},
    FarTier: {"ttl", "timeout", "lease_wait"},
    FreshnessPolicy: {"ttl", "stale_for", "stale_wait", "retry_after", "absent_ttl"},
    HistoryPolicy: {"save_every"},
    LoadPolicy: {"timeout", "linger"},
    ReadinessPolicy: {"within"},
    RetryPolicy: {"attempt_timeout", "wait_initial", "wait_max", "max_pause"},
}
SETTINGS = [(group, name) for group, names in GROUPS.items() for name in sorted(names)]
NEEDED = {FarTier: {"store": MemoryFarStore()}, FreshnessPolicy: {"ttl": 60.0}}


def a(group, **settings):
    return group(**{**NEEDED.get(group, {}), **settings})


@pytest.mark.parametrize(("group", "name"), SETTINGS)
def test_a_timedelta_is_taken_for_seconds_and_kept_as_a_float(group, name):
    kept = getattr(a(group, **{name: timedelta(minutes=1, milliseconds=500)}), name)

    assert (type(kept), kept) == (float, 60.5)
    assert a(group, **{name: timedelta(seconds=3)}) == a(group, **{name: 3.0})


@pytest.mark.parametrize(("group", "name"), SETTINGS)
def test_a_timedelta_is_refused_where_its_seconds_would_be(group, name):
    with pytest.raises(ConfigurationError) as refused:
        a(group, **{name: timedelta(seconds=-1)})
    with pytest.raises(ConfigurationError) as number:
        a(group, **{name: -1.0})

    assert str(refused.value) == str(number.value)


@pytest.mark.parametrize("group", GROUPS)
def test_each_field_that_is_said_to_be_seconds_takes_a_timedelta(group):
    """A new field with seconds must be converted too, and no other."""
    declared = {
        name
        for name, text in _declared(group).items()
        if "Seconds" in text and not text.startswith("Callable")
    }

    assert declared == GROUPS[group]


@pytest.mark.parametrize("group", GROUPS)
def test_what_type_checkers_know_of_a_group_are_its_fields(group):
    assert list(_declared(group)) == [field.name for field in dataclasses.fields(group)]


def _declared(group):
    """Return the parameters of ``group`` for type checkers, with the text of their types."""
    path = PACKAGE.parent.joinpath(*group.__module__.split(".")).with_suffix(".py")
    classes = {
        node.name: node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if type(node) is ast.ClassDef
    }
    (method,) = [
        node
        for node in ast.walk(classes[group.__name__])
        if isinstance(node, ast.FunctionDef) and node.name == "__init__"
    ]
    return {arg.arg: ast.unparse(arg.annotation) for arg in method.args.kwonlyargs}


@pytest.mark.anyio
async def test_a_value_is_put_for_a_timedelta():
    clock = ManualClock()
    freshness = FreshnessPolicy(ttl_of=lambda _, value: timedelta(seconds=value))
    async with BackfillCache(MappingSource({"b": 2}), freshness=freshness, clock=clock) as cache:
        await cache.put("a", 1, ttl=timedelta(seconds=5))
        await cache.get("b")

        clock.advance(timedelta(seconds=1.5))
        assert (cache.peek("a"), cache.peek("b")) == (1, 2)
        clock.advance(timedelta(seconds=1))
        assert (cache.peek("a"), cache.peek("b")) == (1, None)
        clock.advance(timedelta(seconds=3))
        assert cache.peek("a") is None


@pytest.mark.anyio
async def test_a_put_for_a_negative_timedelta_is_refused():
    async with BackfillCache(MappingSource({}), freshness=FreshnessPolicy(ttl=1)) as cache:
        with pytest.raises(ConfigurationError, match=r"^ttl: -1.0 is not 0.0 or more$"):
            await cache.put("a", 1, ttl=timedelta(seconds=-1))
        with pytest.raises(ConfigurationError, match=r"^ttl: nan "):
            await cache.put("a", 1, ttl=math.nan)


@pytest.mark.anyio
async def test_what_a_copy_keeps_leaves_after_a_timedelta():
    clock = ManualClock()
    store = MemoryFarStore(clock=clock, lease=timedelta(seconds=1))

    async def pages():
        yield {"a": 1}

    await copy_rows(pages(), store, ttl=timedelta(seconds=5))

    clock.advance(4)
    assert "a" in await store.get_many(["a"])
    clock.advance(1)
    assert await store.get_many(["a"]) == {}


@pytest.mark.parametrize("setting", ["wait_initial", "wait_max", "jitter"])
def test_a_retrying_source_takes_timedeltas(setting):
    RetryingSource(MappingSource({}), on=OSError, **{setting: timedelta(seconds=1)})
    with pytest.raises(ConfigurationError, match=f"^{setting}: "):
        RetryingSource(MappingSource({}), on=OSError, **{setting: timedelta(seconds=-1)})


@pytest.mark.anyio
async def test_a_simulated_source_takes_timedeltas():
    clock = ManualClock()
    source = SimulatedSource(
        {1: 1}, latency=timedelta(seconds=2), key_latency=timedelta(seconds=1), sleep=clock.sleep
    )

    await source.load_many([1])

    assert clock() == 3.0


def test_what_talks_to_redis_takes_timedeltas():
    connection = connect("redis://localhost", connect_timeout=timedelta(seconds=1))
    store = RedisStore(connection, namespace="durations")

    RedisLeases(store, seconds=timedelta(seconds=1))
    RedisInvalidations(connection, namespace="durations", bound=timedelta(seconds=1))
    with pytest.raises(ConfigurationError, match=r"^connect_timeout: -1.0 is not"):
        connect("redis://localhost", connect_timeout=timedelta(seconds=-1))
    with pytest.raises(ConfigurationError, match=r"^seconds: -1.0 is not"):
        RedisLeases(store, seconds=timedelta(seconds=-1))
    with pytest.raises(ConfigurationError, match=r"^bound: -1.0 is not"):
        RedisInvalidations(connection, namespace="durations", bound=timedelta(seconds=-1))


def test_a_source_over_http_takes_a_timedelta():
    HTTPSource("https://host/{key}", timeout=timedelta(seconds=1))
    with pytest.raises(ConfigurationError, match=r"^timeout: -1.0 is not"):
        HTTPSource("https://host/{key}", timeout=timedelta(seconds=-1))
