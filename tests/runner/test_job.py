from __future__ import annotations

import gzip
import json

import pytest

from async_backfill._runner.replay.job import Report, run
from async_backfill._runner.replay.preparing import Job
from async_backfill.errors import ConfigurationError, ScenarioError

pytestmark = pytest.mark.asyncio

OLD = b"the old summary"


@pytest.fixture
def place(tmp_path):
    """A folder with an older summary, a table and a list of keys."""
    (tmp_path / "summary.json").write_bytes(OLD)
    (tmp_path / "rows.csv").write_text("id,n\na,1\nb,2\nc,3\n")
    (tmp_path / "keys").write_text("a\nx\nc\n")
    return tmp_path


def scenario(**changed: object) -> dict:
    return {"source": {"a": 1, "b": 2, "c": 3}, "lookups": ["c", "x", "c"], **changed}


async def ran(place, document: dict | bytes, *, progress=lambda *_: None, **job: object) -> Report:
    content = document if isinstance(document, bytes) else json.dumps(document).encode()
    (place / "scenario").write_bytes(content)
    job = {"output": str(place / "summary.json"), **job}
    return await run(Job(scenario=str(place / "scenario"), **job), progress)


async def refusal(place, document: dict, **job: object) -> str:
    """What is wrong with the scenario: the message without the scenario's name."""
    with pytest.raises(ScenarioError) as refused:
        await ran(place, document, **job)
    assert (place / "summary.json").read_bytes() == OLD
    assert sorted(path.name for path in place.iterdir()) == ["keys", "rows.csv", "scenario", "summary.json"]
    return str(refused.value).removeprefix(f"{place}/scenario: ")


async def test_the_summary_is_returned_as_it_was_written(place):
    report = await ran(place, scenario())
    assert report.content == (place / "summary.json").read_bytes()
    assert report.summary == json.loads(report.content)
    assert (report.summary["hits"], report.summary["misses"], report.summary["absent"]) == (1, 2, 1)


async def test_a_second_run_gives_the_same_bytes(place):
    document = scenario(
        source={"kind": "simulated", "keys": 9, "error_rate": 0.4}, lookups=["key_1", "key_2"] * 5
    )
    assert (await ran(place, document)).content == (await ran(place, document)).content


@pytest.mark.parametrize(
    "encoded",
    [
        pytest.param(lambda text: b"\xef\xbb\xbf" + text, id="with a byte order mark"),
        pytest.param(gzip.compress, id="packed"),
        pytest.param(lambda text: text.replace(b", ", b",\r\n"), id="with other line ends"),
    ],
)
async def test_a_scenario_is_read_however_it_was_saved(place, encoded):
    plain = await ran(place, scenario())
    assert (await ran(place, encoded(json.dumps(scenario()).encode()))).content == plain.content


async def test_files_are_looked_for_beside_the_scenario(place, monkeypatch):
    monkeypatch.chdir("/")
    document = scenario(source={"kind": "table", "file": "rows.csv", "key": "id"}, lookups={"file": "keys"})
    results = (await ran(place, document)).summary["lookup_results"]
    assert [result["value"] for result in results] == [{"n": "1"}, None, {"n": "3"}]


async def test_what_the_caller_sets_wins_over_the_file(place):
    overrides = {"capacity": None, "miss_threshold": 0.25, "max_backfills": 0}
    document = scenario(capacity=1, miss_threshold=0.75, backfill_batch=2)
    settings = (await ran(place, document, overrides=overrides)).summary["settings"]
    assert {name: settings[name] for name in overrides} == overrides
    assert settings["backfill_batch"] == 2


@pytest.mark.parametrize(("limit", "listed"), [(0, False), (2, False), (3, True)])
async def test_results_are_listed_up_to_a_limit(place, limit, listed):
    summary = (await ran(place, scenario(), results_limit=limit)).summary
    assert ("lookup_results" in summary) == listed
    assert summary["lookups"] == 3


async def test_no_lookups_are_a_replay_as_well(place):
    summary = (await ran(place, scenario(lookups=[]), results_limit=0)).summary
    assert (summary["lookups"], summary["lookup_results"], summary["hit_rate"]) == (0, [], 0.0)


async def test_progress_is_reported_until_the_end(place):
    shown = []
    await ran(place, scenario(), progress=lambda *step: shown.append(step))
    assert shown == [(begun, 3) for begun in range(4)]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"miss_threshold": 0}, "$.miss_threshold: 0.0 is not between 0.01 and 1.0 (at 0 every single miss"),
        ({"backfill_batch": 0}, "$.backfill_batch: 0 is less than 1"),
        ({"max_backfills": -1}, "$.max_backfills: -1 is less than 0"),
        ({"capacity": 0}, "$.capacity: 0 is less than 1"),
        ({"window": 0}, "$.window: 0 is less than 1"),
        ({"min_lookups": 0}, "$.min_lookups: 0 is less than 1"),
        ({"concurrency": 0}, "$.concurrency: 0 is less than 1"),
        ({"source": {"kind": "simulated", "keys": -1}}, "$.source.keys: -1 is less than 0"),
        (
            {"source": {"kind": "simulated", "keys": 1, "error_rate": 2}},
            "$.source.error_rate: 2.0 is not between 0.0 and 1.0",
        ),
        (
            {"source": {"kind": "simulated", "keys": 1, "latency": -1}},
            "$.source.latency: -1.0 is not 0.0 or more",
        ),
        ({"surplus": 1}, "$.surplus: unknown name"),
        ({"lookups_per_second": 0}, "$.lookups_per_second: 0.0 is not above 0"),
        ({"lookups_per_second": -2}, "$.lookups_per_second: -2.0 is not 0.0 or more"),
        ({"arrival_seed": -1}, "$.arrival_seed: -1 is less than 0"),
        ({"ttl": 0}, "$.ttl: 0.0 is not above 0"),
        ({"ttl": 5, "ttl_jitter": 2}, "$.ttl_jitter: 2.0 is not between 0.0 and 1.0"),
        ({"ttl_jitter": 0.5}, "$.ttl_jitter: has no effect without ttl"),
        ({"ttl_seed": -1}, "$.ttl_seed: -1 is less than 0"),
        ({"stale_for": 5}, "$.stale_for: has no effect without ttl"),
        ({"absent_ttl": 0}, "$.absent_ttl: 0.0 is not above 0"),
        ({"lookups": {"kind": "zipf", "count": 1, "keys": 0}}, "$.lookups.keys: 0 is less than 1"),
    ],
)
async def test_a_value_out_of_range_is_refused_with_file_and_path(place, changed, message):
    assert (await refusal(place, scenario(**changed))).startswith(message)


async def test_a_value_that_the_caller_set_is_refused_under_the_name_of_its_option(place):
    message = await refusal(place, scenario(miss_threshold=0.5), overrides={"miss_threshold": 0.0})
    assert message.startswith("--miss-threshold: 0.0 is not between 0.01 and 1.0")
    assert await refusal(place, scenario(), overrides={"backfill_batch": 0}) == (
        "--backfill-batch: 0 is less than 1"
    )
    assert await refusal(place, scenario(), overrides={"backfill_evicts": 1}) == (
        "--backfill-evicts: 1 is neither True nor False"
    )


async def test_a_bad_value_in_the_file_does_not_matter_when_the_caller_overrides_it(place):
    assert (await ran(place, scenario(window=0), overrides={"window": 5})).summary["lookups"] == 3


async def test_a_flaw_in_a_table_is_refused_with_its_place_in_both_files(place):
    table = {"kind": "table", "file": "rows.csv", "key": "ID"}
    message = await refusal(place, scenario(source=table))
    assert message == f'$.source: {place}/rows.csv:1: no column "ID", the nearest is "id"'


@pytest.mark.parametrize("name", ["scenario", "rows.csv", "keys"])
async def test_a_run_never_overwrites_what_it_reads(place, name):
    document = scenario(source={"kind": "table", "file": "rows.csv", "key": "id"}, lookups={"file": "keys"})
    before = {path: path.read_bytes() for path in place.iterdir() if path.name != "scenario"}
    with pytest.raises(ScenarioError, match=f"would overwrite {place}/{name}, which this run reads"):
        await ran(place, document, output=str(place / name))
    assert {path: path.read_bytes() for path in before} == before


async def test_an_output_that_cannot_be_written_is_found_before_anything_is_replayed(place):
    shown = []
    with pytest.raises(ScenarioError, match="does not exist"):
        await ran(place, scenario(), output=f"{place}/no/x", progress=lambda *step: shown.append(step))
    assert shown == []


@pytest.mark.parametrize("limit", [-1, 1.5, None, True])
async def test_a_job_refuses_an_impossible_limit(limit):
    with pytest.raises(ConfigurationError, match="results_limit"):
        Job(scenario="x", output="y", results_limit=limit)
