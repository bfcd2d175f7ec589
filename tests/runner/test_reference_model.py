from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from async_backfill._runner.replay.lookups import replay
from async_backfill._runner.replay.summary import summarize
from async_backfill._runner.scenario.build import load_entries, make_cache, make_source
from async_backfill._runner.scenario.decode import decode
from async_backfill._runner.scenario.loading import load_lookups
from tests.runner.reference_model import ReferenceModel, with_bare_errors

KEYS = [f"k{number}" for number in range(9)]

values = st.one_of(st.none(), st.booleans(), st.integers(-3, 3), st.text(max_size=3), st.just({"a": [1.5]}))
keys = st.sampled_from(KEYS)
odd_keys = st.text(st.characters(exclude_categories=["Cs"]), max_size=2)
thresholds = st.one_of(
    st.sampled_from([0.01, 0.1, 0.2, 0.25, 1 / 3, 0.4, 0.5, 2 / 3, 0.9, 1.0, 1]), st.floats(0.01, 1.0)
)


def window_that_can_be_full(given):
    """The settings with a window that has room for the lookups that a backfill waits for."""
    if "window" in given:
        given = {**given, "window": max(given["window"], given.get("min_lookups", 3))}
    return given


some_settings = st.fixed_dictionaries(
    {
        "capacity": st.none() | st.integers(1, 10),
        "backfill_evicts": st.booleans(),
        "max_backfills": st.none() | st.integers(0, 3),
        "backfill_batch": st.integers(1, 2) | st.integers(3, 16),
    },
    optional={
        "miss_threshold": thresholds,
        "window": st.integers(1, 20),
        "min_lookups": st.integers(1, 12),
    },
).map(window_that_can_be_full)
some_failures = st.fixed_dictionaries(
    {"error_rate": st.sampled_from([0.1, 0.3, 0.6, 1.0]), "seed": st.integers(0, 50)}
)
scenarios = st.fixed_dictionaries(
    {
        "rows": st.dictionaries(keys | odd_keys, values, max_size=4)
        | st.permutations(KEYS).map(lambda order: {key: key.upper() for key in order}),
        "lookups": st.lists(keys | odd_keys, max_size=8) | st.lists(keys, min_size=20, max_size=50),
        "settings": some_settings,
        "failures": st.just({}) | some_failures,
    }
)


@pytest.fixture(scope="module")
def event_loop():
    """One loop for hundreds of scenarios; each has a cache of its own."""
    with asyncio.Runner() as runner:
        yield runner


@settings(max_examples=400, deadline=None, print_blob=True, derandomize=False)
@given(scenario=scenarios)
def test_the_runner_and_the_reference_model_agree_in_every_figure(event_loop, scenario):
    expected = expected_summary(**scenario)
    assert event_loop.run(replayed(**scenario)) == expected


@pytest.mark.parametrize("evicts", [False, True])
@pytest.mark.parametrize("capacity", [None, 1100, 2300])
def test_they_agree_on_a_source_of_several_pages(event_loop, capacity, evicts):
    rows = {f"row_{number}": number for number in range(2500)}
    scenario = {
        "rows": rows,
        "lookups": [f"row_{number * 7919 % 3000}" for number in range(400)],
        "settings": {
            "backfill_batch": 1050,
            "capacity": capacity,
            "backfill_evicts": evicts,
            "miss_threshold": 0.2,
            "window": 5,
        },
        "failures": {},
    }
    assert event_loop.run(replayed(**scenario)) == expected_summary(**scenario)


def test_they_agree_on_an_audit_log_that_had_to_drop_records(event_loop):
    scenario = {
        "rows": {f"k{number}": number for number in range(900)},
        "lookups": [f"k{899 - number}" for number in range(700)],
        "settings": {"backfill_batch": 1, "capacity": 700, "backfill_evicts": True},
        "failures": {},
    }
    summary = event_loop.run(replayed(**scenario))
    assert summary["audit_dropped"] > 0
    assert summary == expected_summary(**scenario)


async def replayed(*, rows, lookups, settings, failures):
    source = {"kind": "simulated" if failures else "mapping", "entries": rows, **failures}
    scenario = decode({"source": source, "lookups": lookups, **settings}, "scenario")
    wanted = await load_lookups(scenario, Path())
    async with make_cache(
        make_source(scenario.source, await load_entries(scenario.source, Path())), scenario.settings
    ) as cache:
        outcomes = await replay(
            cache, wanted, concurrency=scenario.settings.concurrency, keep=True, progress=lambda *_: None
        )
        results = list(zip(wanted, outcomes, strict=True))
        return with_bare_errors(summarize(cache.stats, cache.audit_log, scenario.settings, results=results))


def expected_summary(*, rows, lookups, settings, failures):
    return ReferenceModel(rows, settings, **failures).summary(lookups)
