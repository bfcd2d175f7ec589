"""A job file is read strictly: what is wrong is one line with its path, and no secret goes on."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from async_backfill._jobs._spec import JobSettings, JobSpec, ThrottleLimits
from async_backfill._runner.job_files.reading import job_of, read_job
from async_backfill.errors import ScenarioError
from tests.one_loop import anyio_backend  # noqa: F401 - a fixture

WHOLE = """
name = "products"
guard = "stamp"
policy = "stale"
ttl = 3600.0
ttl_jitter = 0.1
rate = 20000
batch = 500
lanes = 3
shards = 8
max_dead = 7
four_eyes = true

[source]
kind = "sql"
url = "postgresql://app:${PGPASSWORD}@db/shop"
table = "products"
key = "id"
value = ["name", "price"]

[store]
kind = "redis"
url = "redis://:${REDIS}@cache:6379/0"
namespace = "shop"

[throttle]
hours = "22:00-06:00"
max_lag = 2
load_query = "SELECT count(*) FROM pg_stat_activity"
max_load = 50
"""
HOURS = 'must be a begin and an end such as "22:00-06:00", not'
SOURCE = {"kind": "file", "file": "rows.csv", "key": "id"}
SQL = {"kind": "sql", "url": "postgresql://db/shop", "table": "t", "key": "id", "value": ["name", "price"]}
REDIS = {"kind": "redis", "url": "redis://cache"}
MINIMAL = {"name": "products", "source": SOURCE}


def refusal(**changes):
    """Return the text of the error for a job with ``changes``; a name with None is left out."""
    given = {name: value for name, value in (MINIMAL | changes).items() if value is not None}
    with pytest.raises(ScenarioError) as refused:
        job_of(json.dumps(given), "job.json", Path("/jobs"))
    text = str(refused.value)
    assert "\n" not in text
    return text.removeprefix("job.json: ")


def test_everything_in_a_file_is_in_the_job_with_its_secrets_left_out():
    spec, line = job_of(WHOLE, "job.toml", Path("/jobs"))
    assert line is None
    assert spec == JobSpec(
        name="products",
        source=tomllib.loads(WHOLE)["source"],
        store=tomllib.loads(WHOLE)["store"],
        ttl=3600.0,
        ttl_jitter=0.1,
        settings=JobSettings(rate=20_000.0, batch=500, lanes=3),
        shards=8,
        max_dead=7,
        four_eyes=True,
        throttle=ThrottleLimits(
            hours="22:00-06:00",
            max_lag=2.0,
            load_query="SELECT count(*) FROM pg_stat_activity",
            max_load=50.0,
        ),
    )


def test_json_and_toml_are_the_same_job():
    as_json = json.dumps(tomllib.loads(WHOLE))
    assert job_of(as_json, "job", Path("/jobs")) == job_of(WHOLE, "job", Path("/jobs"))


def test_a_budget_is_that_of_the_file_or_the_one_that_is_given_instead():
    budget = {"kind": "redis", "url": "redis://:${PW}@budget", "namespace": "shop", "permits": 3}
    text = json.dumps(MINIMAL | {"budget": budget, "pages": 3})
    assert job_of(text, "job.json", Path("/jobs"))[0].budget == budget
    given = job_of(text, "job.json", Path("/jobs"), budget="redis://other")[0]
    assert (given.budget, given.settings.pages) == ({"kind": "redis", "url": "redis://other"}, 3)
    assert job_of(json.dumps(MINIMAL), "job.json", Path("/jobs"))[0].budget is None


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"budget": {"url": "redis://b"}}, "$.budget.kind: is missing"),
        ({"budget": {"kind": "sqlite", "url": "redis://b"}}, "$.budget.kind: "),
        ({"budget": {"kind": "redis"}}, "budget"),
        ({"budget": {"kind": "redis", "url": "redis://b", "rate": 3}}, "rate"),
        ({"budget": {"kind": "redis", "url": "redis://:secret@b"}}, "$.budget.url: "),
        ({"pages": 3}, "$.pages: needs a budget"),
        ({"workers": 0}, "$.workers: must be 1 to 600, not 0"),
    ],
)
def test_a_budget_that_cannot_be_names_its_place(changes, told):
    text = refusal(**changes)
    assert told in text
    assert "secret" not in text


@pytest.mark.parametrize(
    ("given", "shards"), [({}, 32), ({"workers": 5}, 80), ({"workers": 5, "shards": 7}, 7)]
)
def test_there_are_sixteen_shards_for_each_worker_unless_said_otherwise(given, shards):
    assert job_of(json.dumps(MINIMAL | given), "job.json", Path("/jobs"))[0].shards == shards


def test_without_a_store_it_is_a_file_beside_the_job_and_that_is_said():
    spec, line = job_of(json.dumps(MINIMAL), "job.json", Path("/jobs"))
    assert spec.store == {"kind": "sqlite", "file": str(Path("/jobs/cache.db").absolute())}
    assert line == f"store: {spec.store['file']}, as the job file names none"
    named, line = job_of(
        json.dumps(MINIMAL | {"store": {"kind": "sqlite", "file": "other.db"}}), "job.json", Path("/jobs")
    )
    assert (named.store["file"], line) == (str(Path("/jobs/other.db").absolute()), None)


def test_paths_are_absolute_so_that_a_process_elsewhere_finds_them(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    spec, _ = job_of(json.dumps(MINIMAL), "jobs/job.json", Path("jobs"))
    assert (spec.source["file"], spec.store["file"]) == (
        str(tmp_path / "jobs" / "rows.csv"),
        str(tmp_path / "jobs" / "cache.db"),
    )
    url = {**SQL, "url": "sqlite:///shop.db"}
    spec, _ = job_of(json.dumps(MINIMAL | {"source": url}), "job.json", Path("jobs"))
    assert spec.source["url"] == f"sqlite:///{tmp_path / 'jobs' / 'shop.db'}"


@pytest.mark.anyio
async def test_a_file_is_read_and_its_errors_name_it(tmp_path):
    path = tmp_path / "job.toml"
    path.write_text('name = "n"\n[source]\nkind = "file"\nfile = "rows.csv"\nkey = "id"\n')
    spec, _ = await read_job(path)
    assert spec.source["file"] == str(tmp_path / "rows.csv")
    path.write_text("")
    with pytest.raises(ScenarioError, match=r"job\.toml: the file is empty, expected a job in JSON or TOML"):
        await read_job(path)
    with pytest.raises(ScenarioError, match="nothing"):
        await read_job(tmp_path / "nothing.toml")


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"nmae": "x"}, '$.nmae: unknown name, the nearest known one is "name"'),
        ({"name": None}, "$.name: is missing"),
        ({"source": None}, "$.source: is missing"),
        ({"name": 7}, "$.name: expected text, got 7"),
        ({"name": ""}, "$.name: must be 1 to 100 printable characters, not ''"),
        ({"guard": "stamps"}, '$.guard: "stamps" is not one of "stamp", "recheck", "version", "none"'),
        ({"policy": "some"}, '$.policy: "some" is not one of "missing", "stale", "all"'),
        ({"ttl": 0}, "$.ttl: 0.0 is not above 0"),
        ({"ttl_jitter": 1.5}, "$.ttl_jitter: 1.5 is not between 0.0 and 1.0"),
        ({"rate": 0}, "$.rate: 0 rows a second would never end"),
        ({"rate": "fast"}, '$.rate: expected a number or null, got "fast"'),
        ({"batch": "large"}, "$.batch: must be \"auto\" or a whole number, not 'large'"),
        ({"batch": 0}, "$.batch: 0 is less than 1"),
        ({"batch": 2_000_000}, "$.batch: must be at most 1000000"),
        ({"lanes": 0}, "$.lanes: 0 is less than 1"),
        ({"lanes": True}, "$.lanes: expected a whole number, got true"),
        ({"shards": 0}, "$.shards: 0 is less than 1"),
        ({"max_dead": -1}, "$.max_dead: -1 is less than 0"),
        ({"four_eyes": "yes"}, '$.four_eyes: expected true or false, got "yes"'),
        ({"source": "rows.csv"}, '$.source: expected an object, got "rows.csv"'),
        ({"source": {"file": "rows.csv"}}, '$.source.kind: is missing: one of "sql", "file"'),
        ({"source": {"kind": "files"}}, '$.source.kind: "files" is not one of "sql", "file"'),
        ({"source": {"kind": "file", "key": "id"}}, "$.source.file: is missing"),
        ({"source": SOURCE | {"kye": 1}}, '$.source.kye: unknown name, the nearest known one is "key"'),
        ({"source": SQL | {"value": 7}}, "$.source.value: expected text or a list, got 7"),
        ({"store": []}, "$.store: expected an object, got a list"),
        ({"store": {"kind": "memory"}}, '$.store.kind: "memory" is not one of "sqlite", "redis"'),
        ({"store": {"kind": "redis"}}, "$.store.url: is missing"),
        ({"store": REDIS | {"leases": True}}, "$.store.leases: unknown name"),
        ({"throttle": 1}, "$.throttle: expected an object, got 1"),
        ({"throttle": {"hour": ""}}, '$.throttle.hour: unknown name, the nearest known one is "hours"'),
        (
            {"throttle": {"hours": "22-6"}},
            '$.throttle.hours: must be a begin and an end such as "22:00-06:00"',
        ),
        ({"throttle": {"hours": "25:00-06:00"}}, "$.throttle.hours: must be a begin"),
        ({"throttle": {"hours": "06:00-06:00"}}, "$.throttle.hours: '06:00-06:00' is not a begin"),
        ({"throttle": {"max_lag": -1}}, "$.throttle.max_lag: -1.0 is not 0.0 or more"),
        ({"throttle": {"max_lag": "x"}}, '$.throttle.max_lag: expected a number or null, got "x"'),
        ({"throttle": {"source_latency": 0.5}}, "$.throttle.source_latency: 0.5 is not 1.0 or more"),
        ({"throttle": {"store_memory": 0}}, "$.throttle.store_memory: must be above 0.0"),
        ({"throttle": {"error_rate": 1.5}}, "$.throttle.error_rate: 1.5 is not between 0.0 and 1.0"),
        ({"throttle": {"store_latency": 0}}, "$.throttle.store_latency: 0.0 is not above 0"),
        ({"throttle": {"patience": -1}}, "$.throttle.patience: -1.0 is not 0.0 or more"),
        ({"throttle": {"max_load": 1}}, "$.throttle.max_load: needs load_query or load_url"),
        ({"source": SQL, "throttle": {"load_query": "SELECT 1"}}, "$.throttle.max_load: is missing"),
        ({"throttle": {"load_query": "x", "max_load": 1}}, "$.throttle.load_query: needs a source with a"),
        ({"throttle": {"load_url": "ftp://x", "max_load": 1}}, "$.throttle.load_url: must begin with http"),
        ({"guard": "version"}, '$.store.version: is missing: with guard = "version" it names a column'),
        (
            {"source": SQL, "store": REDIS | {"version": "v"}},
            "$.store.version: 'v' is not one of the columns",
        ),
        ({"source": SQL | {"value": "name"}, "store": REDIS | {"version": "name"}}, "$.store.version: needs"),
    ],
)
def test_what_is_wrong_is_refused_with_its_path(changes, text):
    found = refusal(**changes)
    assert text in found
    assert found.startswith(text.partition(": ")[0])


@pytest.mark.parametrize("kind", ["http", "simulated", "mapping", "table"])
def test_a_source_that_cannot_be_read_in_ranges_is_refused_with_a_sentence(kind):
    text = refusal(source={"kind": kind})
    assert text.startswith(f'$.source.kind: "{kind}" cannot be read in ranges, so no job can copy it: ')


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"source": SQL | {"url": "postgresql://app:hunter2@db/shop"}}, "$.source.url"),
        ({"store": {"kind": "redis", "url": "redis://:hunter2@cache"}}, "$.store.url"),
        (
            {"store": {"kind": "redis", "url": "redis://c", "signing_key": "hunter2" * 3}},
            "$.store.signing_key",
        ),
        ({"store": {"kind": "sqlite", "signing_key": "hunter2" * 3}}, "$.store.signing_key"),
        ({"throttle": {"load_url": "https://u:hunter2@x/load", "max_load": 1}}, "$.throttle.load_url"),
        ({"throttle": {"load_url": "https://x/load?token=hunter2", "max_load": 1}}, "$.throttle.load_url"),
    ],
)
def test_a_secret_in_the_file_is_refused_and_not_shown(changes, path):
    text = refusal(**changes)
    assert text.startswith(f"{path}: ")
    assert "${NAME}" in text
    assert "hunter2" not in text


def test_no_variable_is_read_before_the_ends_are_opened(monkeypatch):
    monkeypatch.setenv("PGPASSWORD", "hunter2")
    spec, _ = job_of(WHOLE, "job.toml", Path("/jobs"))
    assert "hunter2" not in repr(spec)
