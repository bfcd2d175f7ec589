from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import anyio
import pytest

from async_backfill._runner.scenario.build import (
    files_of,
    load_entries,
    make_cache,
    make_source,
)
from async_backfill._runner.scenario.decode import decode
from async_backfill._runner.scenario.environment import Secrets
from async_backfill._runner.scenario.loading import load_lookups
from async_backfill._runner.scenario.model import (
    KeyFile,
    MappingSpec,
    Scenario,
    Settings,
    SimulatedSpec,
    Table,
    TableSpec,
    ZipfSpec,
)
from async_backfill.errors import ConfigurationError, ScenarioError
from async_backfill.sources.mapping import MappingSource
from async_backfill.sources.simulated import SimulatedSource

pytestmark = pytest.mark.asyncio

HERE = Path("folder")


@pytest.mark.parametrize(
    ("source", "lookups", "files"),
    [
        (MappingSpec(entries={}), ["a"], []),
        (MappingSpec(entries={}), KeyFile(file="keys"), ["folder/keys"]),
        (TableSpec(file="rows", key="id"), ["a"], ["folder/rows"]),
        (TableSpec(file="/rows", key="id"), KeyFile(file="../keys"), ["/rows", "folder/../keys"]),
        (SimulatedSpec(table=Table(file="rows", key="id")), ["a"], ["folder/rows"]),
        (SimulatedSpec(keys=3), ["a"], []),
    ],
)
async def test_the_files_of_a_scenario_lie_beside_it(source, lookups, files):
    scenario = Scenario(source=source, lookups=lookups, settings=Settings())
    assert [str(path) for path in files_of(scenario, HERE, Secrets())] == files


async def test_lookups_come_from_the_scenario_or_from_a_file(tmp_path):
    (tmp_path / "keys").write_text("a\nb\na\n")
    for lookups in (["a", "b", "a"], KeyFile(file="keys")):
        scenario = Scenario(source=MappingSpec(entries={}), lookups=lookups, settings=Settings())
        assert list((await load_lookups(scenario, tmp_path)).keys) == ["a", "b", "a"]


@pytest.mark.parametrize(
    "spec",
    [
        MappingSpec(entries={"a": "1", "b": "2"}),
        TableSpec(file="rows", key="id", value="n"),
        SimulatedSpec(table=Table(file="rows", key="id", value="n")),
        SimulatedSpec(entries={"a": "1", "b": "2"}),
    ],
)
async def test_a_source_has_the_entries_of_its_spec(tmp_path, spec):
    (tmp_path / "rows").write_text("id,n\na,1\nb,2\n")
    source = make_source(spec, await load_entries(spec, tmp_path))
    assert isinstance(source, SimulatedSource if isinstance(spec, SimulatedSpec) else MappingSource)
    assert await source.load_many(["b", "a", "c"]) == {"b": "2", "a": "1"}
    assert list((await source.scan(None, 10)).keys) == ["a", "b"]


COMMON = '127.0.0.1 - - [10/Oct/2000:13:55:36 -0700] "{} {}?q HTTP/1.0" {} 23\n'


async def test_lookups_may_be_an_access_log_and_it_is_said_what_it_was_taken_for(tmp_path):
    lines = [("GET", "/a", 200), ("GET", "/b", 404), ("POST", "/c", 200), ("GET", "/a", 200)]
    (tmp_path / "access.log").write_text("".join(COMMON.format(*line) for line in lines))

    async def read(**spec):
        scenario = decode({"source": {}, "lookups": {"file": "access.log", **spec}}, "s")
        said = []
        return list((await load_lookups(scenario, tmp_path, taken_for=said.append)).keys), said

    log = "lookups: access.log: common or combined log, key: path without query"
    assert await read() == (["/a", "/b", "/c", "/a"], [f"{log}: 4 lookups in 4 lines"])
    counted = f"{log}: 2 lookups in 4 lines, 2 without one that counts"
    assert await read(method=["GET"], status=["2xx"]) == (["/a", "/a"], [counted])


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ({}, "$.lookups: rows.csv: looks like a table with commas"),
        ({"column": "no"}, '$.lookups: rows.csv:1: no column "no"'),
        ({"pattern": "("}, "$.lookups.pattern: is not a regular expression"),
        ({"pattern": "(x)"}, "$.lookups: rows.csv: no line is one that --pattern matches"),
        ({"status": ["x"]}, "$.lookups.status: must be a status such as 200 or 2xx"),
    ],
)
async def test_lookups_whose_place_is_not_certain_are_refused(tmp_path, spec, problem):
    (tmp_path / "rows.csv").write_text("id,v\n1,2\n")
    scenario = decode({"source": {}, "lookups": {"file": "rows.csv", **spec}}, "s")
    with pytest.raises(ScenarioError) as refused:
        await load_lookups(scenario, tmp_path)
    assert str(refused.value).replace(f"{tmp_path}/", "").startswith(problem)


async def test_a_simulated_source_can_make_its_entries_up():
    source = make_source(SimulatedSpec(keys=3), await load_entries(SimulatedSpec(keys=3), HERE))
    assert len(source) == 3
    assert await source.load_many(["key_0", "key_2", "key_3"]) == {"key_0": 0, "key_2": 2}


async def test_the_error_rate_and_the_seed_of_a_spec_reach_its_source():
    async def failures(seed: int) -> list[int]:
        source = make_source(
            SimulatedSpec(keys=1, error_rate=0.5, seed=seed),
            await load_entries(SimulatedSpec(keys=1, error_rate=0.5, seed=seed), HERE),
        )
        failed = []
        for _ in range(30):
            with suppress(ConnectionError):
                await source.load_many(["key_0"])
            failed.append(source.failures)
        return failed

    assert 0 < (await failures(1))[-1] < 30
    assert await failures(1) == await failures(1)
    assert await failures(1) != await failures(2)


@pytest.mark.parametrize(
    ("spec", "setting"),
    [
        (SimulatedSpec(keys=-1), "keys"),
        (SimulatedSpec(keys=10_000_001), "keys"),
        (SimulatedSpec(keys=1, latency=-0.1), "latency"),
        (SimulatedSpec(keys=1, key_latency=float("inf")), "key_latency"),
        (SimulatedSpec(keys=1, jitter=-1.0), "jitter"),
        (SimulatedSpec(keys=1, error_rate=1.1), "error_rate"),
        (SimulatedSpec(keys=1, seed=-1), "seed"),
    ],
)
async def test_an_impossible_simulation_is_refused(spec, setting):
    with pytest.raises(ConfigurationError) as refused:
        make_source(spec, await load_entries(spec, HERE))
    assert refused.value.setting == setting


@pytest.mark.parametrize(
    ("spec", "place"),
    [
        (TableSpec(file="missing", key="id"), "$.source: "),
        (SimulatedSpec(table=Table(file="missing", key="id")), "$.source.table: "),
    ],
)
async def test_a_table_that_cannot_be_read_is_refused_with_its_place_in_the_scenario(tmp_path, spec, place):
    with pytest.raises(ScenarioError) as refused:
        make_source(spec, await load_entries(spec, tmp_path))
    assert str(refused.value).startswith(f"{place}{tmp_path}/missing: cannot be read")


async def test_a_key_file_that_cannot_be_read_is_refused_with_its_place_in_the_scenario(tmp_path):
    scenario = Scenario(source=MappingSpec(entries={}), lookups=KeyFile(file="missing"), settings=Settings())
    with pytest.raises(ScenarioError) as refused:
        await load_lookups(scenario, tmp_path)
    assert str(refused.value).startswith(f"$.lookups: {tmp_path}/missing: cannot be read")


@pytest.mark.parametrize(
    ("setting", "values"),
    [
        ("miss_threshold", [0.0, 0.009, 1.1, -1.0, float("nan"), float("inf"), True, "0.5"]),
        ("backfill_batch", [0, -1, 1.0, True]),
        ("max_backfills", [-1, 1.5, True]),
        ("capacity", [0, -1, 1.5, True]),
        ("window", [0, 1.5, None]),
        ("min_lookups", [0, 1.5, None]),
        ("concurrency", [0, -1, 1.5, True, None]),
        ("ttl", [0.0, -1.0, float("inf"), float("nan"), "1"]),
        ("ttl_jitter", [0.5, -0.1]),
        ("ttl_seed", [-1, 1.5, None]),
        ("stale_for", [1.0, -1.0]),
        ("absent_ttl", [0.0, -1.0, "1"]),
    ],
)
async def test_a_setting_outside_its_limits_is_refused_by_name(setting, values):
    for value in values:
        with pytest.raises(ConfigurationError) as refused:
            make_cache(MappingSource({}), Settings(**{setting: value}))
        assert refused.value.setting == setting


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"count": -1}, "count: -1 is less than 0"),
        ({"count": 10_000_001}, "count: must be at most 10000000, not 10000001"),
        ({"keys": 0}, "keys: 0 is less than 1"),
        ({"exponent": -0.5}, "exponent: -0.5 is not between 0.0 and 10.0"),
        ({"seed": -1}, "seed: -1 is less than 0"),
    ],
)
async def test_impossible_made_up_lookups_are_refused_with_their_place_in_the_scenario(changed, problem):
    lookups = ZipfSpec(**{"count": 1, "keys": 1, **changed})
    scenario = Scenario(source=MappingSpec(entries={}), lookups=lookups, settings=Settings())
    with pytest.raises(ScenarioError) as refused:
        await load_lookups(scenario, HERE)
    assert str(refused.value) == f"$.lookups.{problem}"


@pytest.mark.parametrize("concurrency", [1, 2])
async def test_a_miss_waits_for_its_backfill_only_with_one_lookup_at_a_time(concurrency):
    """The source holds each call for several keys back, which only a backfill makes."""
    let_go = anyio.Event()

    async def sleep(duration: float) -> None:
        if duration > 1.0:
            await let_go.wait()

    source = SimulatedSource({"a": 1, "b": 2, "c": 3}, key_latency=1.0, sleep=sleep)
    settings = Settings(concurrency=concurrency, min_lookups=1, backfill_batch=2)
    answers = []

    async def look_up() -> None:
        answers.append(await cache.get("c"))

    async with make_cache(source, settings) as cache, anyio.create_task_group() as tasks:
        tasks.start_soon(look_up)
        await anyio.wait_all_tasks_blocked()
        assert answers == ([] if concurrency == 1 else [3])
        let_go.set()
        await anyio.wait_all_tasks_blocked()
        assert answers == [3]
        assert (cache.peek("a"), cache.peek("b")) == (1, 2)


async def test_a_backfill_of_any_size_is_one_call_of_the_source():
    source = make_source(SimulatedSpec(keys=2500), await load_entries(SimulatedSpec(keys=2500), HERE))
    async with make_cache(source, Settings(min_lookups=1, backfill_batch=2400)) as cache:
        assert await cache.get("key_7") == 7
        assert (cache.stats.backfills, cache.stats.source_calls, cache.stats.size) == (1, 1, 2400)


async def test_the_settings_reach_the_cache():
    settings = Settings(
        miss_threshold=1.0, window=2, min_lookups=2, capacity=3, max_backfills=1, backfill_evicts=True
    )
    async with make_cache(MappingSource({key: key for key in "abcdef"}), settings) as cache:
        await cache.get("f")
        assert cache.stats.backfills == 0
        await cache.get("e")
        assert (cache.stats.backfills, cache.stats.size, cache.stats.evictions) == (1, 3, 2)
        assert cache.stats.permits_left == 0
