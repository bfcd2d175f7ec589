from __future__ import annotations

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from async_backfill._runner.scenario.decode import decode
from async_backfill._runner.scenario.model import (
    FileSpec,
    HTTPSpec,
    KeyFile,
    MappingSpec,
    Settings,
    SimulatedSpec,
    SQLSpec,
    StoreSpec,
    Table,
    TableSpec,
    ZipfSpec,
)
from async_backfill.errors import ScenarioError

LEAST = {"source": {"a": 1}, "lookups": ["a"]}


def document(**changed: object) -> dict:
    return {**copy.deepcopy(LEAST), **changed}


def refusal(value: dict) -> str:
    with pytest.raises(ScenarioError) as refused:
        decode(value, "FILE")
    message = str(refused.value)
    assert message.startswith("FILE: $")
    assert message.isprintable()
    return message.removeprefix("FILE: ")


def test_the_least_scenario_has_every_default():
    scenario = decode(LEAST, "FILE")
    assert scenario.source == MappingSpec(entries={"a": 1})
    assert scenario.lookups == ["a"]
    assert scenario.settings == Settings(
        miss_threshold=0.5,
        backfill_batch=10,
        max_backfills=None,
        capacity=None,
        window=1000,
        min_lookups=3,
        backfill_evicts=False,
        eviction="fifo",
        concurrency=1,
        selection="source",
        successors=0,
        flush_at=None,
        lookups_per_second=None,
        arrival_seed=0,
        ttl=None,
        ttl_jitter=0.0,
        ttl_seed=0,
        stale_for=0.0,
        absent_ttl=None,
    )


def test_every_setting_can_stand_in_the_scenario():
    settings = {
        "capacity_bytes": 17,
        "miss_threshold": 1,
        "backfill_batch": 2,
        "max_backfills": 0,
        "capacity": 4,
        "window": 5,
        "min_lookups": 6,
        "backfill_evicts": True,
        "eviction": "fifo",
        "concurrency": 7,
        "selection": "history",
        "successors": 8,
        "flush_at": 9,
        "lookups_per_second": 10.5,
        "arrival_seed": 11,
        "ttl": 12.5,
        "ttl_jitter": 0.25,
        "ttl_seed": 13,
        "stale_for": 14.5,
        "absent_ttl": 15.5,
    }
    assert set(settings) == set(Settings.__struct_fields__)
    assert decode(document(**settings), "FILE").settings == Settings(**{**settings, "miss_threshold": 1.0})


@pytest.mark.parametrize("setting", ["max_backfills", "capacity", "lookups_per_second", "ttl", "absent_ttl"])
def test_null_is_the_wish_for_no_limit(setting):
    assert getattr(decode(document(**{setting: None}), "FILE").settings, setting) is None


@pytest.mark.parametrize(
    ("source", "spec"),
    [
        ({}, MappingSpec(entries={})),
        ({"a": None, "b": {"kind": 1}}, MappingSpec(entries={"a": None, "b": {"kind": 1}})),
        ({"kind": "mapping", "entries": {"kind": "x"}}, MappingSpec(entries={"kind": "x"})),
        ({"kind": "table", "file": "f", "key": "k"}, TableSpec(file="f", key="k")),
        ({"kind": "table", "file": "f", "key": "k", "value": "v"}, TableSpec(file="f", key="k", value="v")),
        (
            {"kind": "simulated", "keys": 3, "latency": 1, "seed": 5},
            SimulatedSpec(keys=3, latency=1.0, seed=5),
        ),
        ({"kind": "simulated", "entries": {"a": 1}}, SimulatedSpec(entries={"a": 1})),
        (
            {"kind": "simulated", "table": {"file": "f", "key": "k"}},
            SimulatedSpec(table=Table(file="f", key="k")),
        ),
        ({"kind": "file", "file": "f", "key": "k"}, FileSpec(file="f", key="k")),
        (
            {
                "kind": "sql",
                "url": "sqlite:///f",
                "table": "t",
                "key": "k",
                "value": ["v", "w"],
                "schema": "s",
            },
            SQLSpec(url="sqlite:///f", table="t", key="k", value=["v", "w"], db_schema="s"),
        ),
        ({"kind": "http", "url": "http://h/{key}"}, HTTPSpec(url="http://h/{key}")),
    ],
)
def test_a_source_is_told_by_its_kind(source, spec):
    decoded = decode(document(source=source), "FILE").source
    assert type(decoded) is type(spec)
    assert decoded == spec


def test_lookups_may_be_in_a_file():
    assert decode(document(lookups={"file": "f"}), "FILE").lookups == KeyFile(file="f")


def test_lookups_may_be_made_up():
    least = {"kind": "zipf", "count": 5, "keys": 2}
    assert decode(document(lookups=least), "FILE").lookups == ZipfSpec(count=5, keys=2, exponent=1.0, seed=0)
    full = {**least, "exponent": 0.9, "seed": 3}
    assert decode(document(lookups=full), "FILE").lookups == ZipfSpec(count=5, keys=2, exponent=0.9, seed=3)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("miss_treshold", "miss_threshold"),
        ("maxBackfills", "max_backfills"),
        ("MISS_THRESHOLD", "miss_threshold"),
        ("lookup", "lookups"),
        ("concurency", "concurrency"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest_known_one(name, nearest):
    assert refusal(document(**{name: 1})) == f'$.{name}: unknown name, the nearest known one is "{nearest}"'


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            {"kind": "table", "file": "f", "keys": "k"},
            '$.source.keys: unknown name, the nearest known one is "key"',
        ),
        (
            {"kind": "simulated", "keys": 1, "error_rat": 0.1},
            '$.source.error_rat: unknown name, the nearest known one is "error_rate"',
        ),
        (
            {"kind": "simulated", "table": {"file": "f", "key": "k", "vlaue": "v"}},
            '$.source.table.vlaue: unknown name, the nearest known one is "value"',
        ),
        (
            {"kind": "mapping", "entrys": {}},
            '$.source.entrys: unknown name, the nearest known one is "entries"',
        ),
    ],
)
def test_an_unknown_name_inside_the_source_is_refused_as_well(source, message):
    assert refusal(document(source=source)) == message


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"lookups": []}, "$.source: is missing"),
        ({"source": {}}, "$.lookups: is missing"),
        (document(source={"kind": "table", "key": "k"}), "$.source.file: is missing"),
        (document(source={"kind": "table", "file": "f"}), "$.source.key: is missing"),
        (document(source={"kind": "mapping"}), "$.source.entries: is missing"),
        (
            document(source={"kind": "simulated", "table": {"file": "f"}}),
            "$.source.table.key: is missing",
        ),
        (document(lookups={}), "$.lookups.file: is missing"),
        (document(lookups={"kind": "zipf", "count": 1}), "$.lookups.keys: is missing"),
    ],
)
def test_a_missing_name_is_named(value, message):
    assert refusal(value) == message


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"miss_threshold": "0.4"}, '$.miss_threshold: expected a number, got "0.4"'),
        ({"miss_threshold": True}, "$.miss_threshold: expected a number, got true"),
        ({"miss_threshold": None}, "$.miss_threshold: expected a number, got null"),
        ({"backfill_batch": 1.5}, "$.backfill_batch: expected a whole number, got 1.5"),
        ({"backfill_batch": 2.0}, "$.backfill_batch: expected a whole number, got 2.0"),
        ({"window": [1]}, "$.window: expected a whole number, got a list"),
        ({"capacity": "none"}, '$.capacity: expected a whole number or null, got "none"'),
        ({"max_backfills": False}, "$.max_backfills: expected a whole number or null, got false"),
        ({"backfill_evicts": 1}, "$.backfill_evicts: expected true or false, got 1"),
        ({"eviction": "mru"}, '$.eviction: "mru" is not one of "fifo", "lru", "sieve", "s3-fifo"'),
        ({"selection": "hottest"}, '$.selection: "hottest" is not one of "source", "history"'),
        ({"eviction": {}}, '$.eviction: an object is not one of "fifo", "lru", "sieve", "s3-fifo"'),
        ({"source": ["a"]}, "$.source: expected an object, got a list"),
        ({"source": None}, "$.source: expected an object, got null"),
        (
            {"lookups": "a"},
            '$.lookups: expected a list of keys, {"file": "..."} or {"kind": "zipf", ...}, got "a"',
        ),
        ({"lookups": {"kind": "uniform"}}, '$.lookups.kind: "uniform" is not one of "zipf"'),
        (
            {"lookups": {"kind": "zipf", "count": 1.5, "keys": 1}},
            "$.lookups.count: expected a whole number, got 1.5",
        ),
        (
            {"lookups": {"kind": "zipf", "count": 1, "keys": 1, "exponet": 1}},
            '$.lookups.exponet: unknown name, the nearest known one is "exponent"',
        ),
        ({"ttl": "1m"}, '$.ttl: expected a number or null, got "1m"'),
        ({"stale_for": None}, "$.stale_for: expected a number, got null"),
        ({"lookups": ["a", "b", 3.5]}, "$.lookups[2]: expected a whole number or text, got 3.5"),
        ({"lookups": [["a"]]}, "$.lookups[0]: expected a whole number or text, got a list"),
        ({"lookups": {"file": None}}, "$.lookups.file: expected text, got null"),
        ({"source": {"kind": "table", "file": 1, "key": "k"}}, "$.source.file: expected text, got 1"),
        (
            {"source": {"kind": "table", "file": "f", "key": "k", "value": 1}},
            "$.source.value: expected text or null, got 1",
        ),
        ({"source": {"kind": "mapping", "entries": []}}, "$.source.entries: expected an object, got a list"),
        (
            {"source": {"kind": "simulated", "keys": 1, "latency": "1s"}},
            '$.source.latency: expected a number, got "1s"',
        ),
        ({"source": {"kind": "simulated", "keys": None}}, "$.source.keys: expected a whole number, got null"),
        ({"source": {"kind": "simulated", "table": 3}}, "$.source.table: expected an object, got 3"),
    ],
)
def test_a_value_of_the_wrong_type_is_refused_with_its_path(changed, message):
    assert refusal(document(**changed)) == message


@pytest.mark.parametrize("kind", ["sqlite", 3, None, [], {}])
def test_an_unknown_kind_lists_the_kinds_and_says_how_to_write_a_mapping(kind):
    message = refusal(document(source={"kind": kind}))
    assert message.startswith("$.source.kind: ")
    assert 'is not one of "mapping", "table", "file", "sql", "http", "simulated"' in message
    assert message.endswith('is written {"kind": "mapping", "entries": {...}})')


@pytest.mark.parametrize(
    ("entries", "there"),
    [
        ({}, "none"),
        ({"keys": 1, "entries": {}}, '"entries" and "keys"'),
        (
            {"keys": 1, "entries": {}, "table": {"file": "f", "key": "k"}},
            '"entries" and "table" and "keys"',
        ),
    ],
)
def test_a_simulated_source_has_its_entries_from_one_place(entries, there):
    message = refusal(document(source={"kind": "simulated", **entries}))
    assert message == f'$.source: expected exactly one of "entries", "table" and "keys", got {there}'


def test_a_number_too_large_for_a_float_is_refused():
    assert refusal(document(miss_threshold=10**400)).startswith("$.miss_threshold: 1000")


def test_a_long_or_strange_name_makes_no_long_or_strange_message():
    assert len(refusal(document(**{"a" * 5000: 1}))) < 200
    assert r"\n" in refusal(document(**{"a\nb\x1b[31m": 1}))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["kind", "file", "key", "value", "entries", "table", "keys", "seed"]), inner
        )
    ),
    max_leaves=8,
)
kinds = st.sampled_from(["mapping", "table", "simulated"])


@given(
    value=st.fixed_dictionaries(
        {
            "source": json_values
            | st.builds(
                lambda fields, kind: {**fields, "kind": kind},
                st.dictionaries(
                    st.sampled_from(["file", "key", "value", "entries", "table", "keys", "seed", "jitter"]),
                    json_values,
                ),
                kinds,
            ),
            "lookups": json_values,
        },
        optional=dict.fromkeys(Settings.__struct_fields__, json_values),
    )
)
def test_any_document_is_a_scenario_or_is_refused_in_one_line(value):
    message = "FILE: $"
    try:
        decode(value, "FILE")
    except ScenarioError as error:
        message = str(error)
    assert message.startswith("FILE: $")
    assert message.isprintable()
    assert len(message) < 400


def test_a_store_is_told_by_its_kind():
    store = {"kind": "redis", "url": "redis://h", "namespace": "shop", "leases": True}

    assert decode(document(store=store), "FILE").store == StoreSpec(
        url="redis://h", namespace="shop", leases=True
    )


def test_without_a_store_there_is_none():
    assert decode(document(), "FILE").store is None


@pytest.mark.parametrize(
    ("store", "problem"),
    [
        (3, "$.store: expected an object, got 3"),
        ({}, '$.store.kind: null is not one of "redis"'),
        ({"kind": "memcached"}, '$.store.kind: "memcached" is not one of "redis"'),
        ({"kind": "redis"}, "$.store.url: is missing"),
        ({"kind": "redis", "url": 1}, "$.store.url: expected text, got 1"),
        (
            {"kind": "redis", "url": "redis://h", "lease": True},
            '$.store.lease: unknown name, the nearest known one is "leases"',
        ),
    ],
)
def test_a_store_that_is_none_is_refused_with_its_place(store, problem):
    assert refusal(document(store=store)) == problem
