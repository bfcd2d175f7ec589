"""Groups of settings: frozen, keyword-only, and each refuses what cannot be."""

from __future__ import annotations

import dataclasses
import math

import pytest

from async_backfill import (
    BackfillPolicy,
    CircuitPolicy,
    ConfigurationError,
    FreshnessPolicy,
    HistoryPolicy,
    LoadPolicy,
)

WHOLE_FROM_ONE = [0, -1, True, 1.0, "1", None]
FLAGS = [0, 1, None, "yes"]


def test_the_defaults_are_the_documented_ones():
    assert dataclasses.asdict(LoadPolicy()) == {
        "max_batch": 500,
        "concurrency": None,
        "timeout": 30.0,
        "linger": 0.0,
        "split_failed": False,
        "circuit": None,
        "context": "opening",
    }
    assert dataclasses.asdict(BackfillPolicy()) == {
        "window": 1000,
        "min_lookups": 3,
        "evicts": False,
        "inline": False,
        "concurrent": 1,
        "selection": "source",
        "successors": 0,
        "probation": None,
    }
    assert dataclasses.asdict(HistoryPolicy()) == {"size": None, "half_life": None, "save_every": 10.0}
    assert dataclasses.asdict(CircuitPolicy()) == {"failures": 5, "open_for": 10.0}
    assert dataclasses.asdict(FreshnessPolicy()) == {
        "ttl": None,
        "ttl_of": None,
        "jitter": None,
        "stale_for": 0.0,
        "stale_wait": 0.0,
        "retry_after": 1.0,
        "early": 0.0,
        "absent_ttl": None,
        "absent_capacity": 10_000,
        "seed": None,
    }


@pytest.mark.parametrize(
    ("policy", "setting", "value"),
    [
        *(
            (LoadPolicy, setting, value)
            for setting in ("max_batch", "concurrency")
            for value in WHOLE_FROM_ONE
            if (setting, value) != ("concurrency", None)
        ),
        *((LoadPolicy, "context", value) for value in ("closing", None, 1)),
        *((LoadPolicy, "timeout", value) for value in (0, 0.0, -1, math.inf, math.nan, True, "1")),
        *((LoadPolicy, "linger", value) for value in (-0.1, math.inf, math.nan, True, "1", None)),
        *((LoadPolicy, "split_failed", value) for value in FLAGS),
        *((LoadPolicy, "circuit", value) for value in (5, True, "yes", {})),
        *((CircuitPolicy, "failures", value) for value in WHOLE_FROM_ONE),
        *((CircuitPolicy, "open_for", value) for value in (0, 0.0, -1, math.inf, math.nan, True, "1", None)),
        *((FreshnessPolicy, "ttl", value) for value in (0, 0.0, -1, math.inf, math.nan, True, "1")),
        *((FreshnessPolicy, setting, 0.5) for setting in ("jitter", "stale_for", "early")),
        *(
            (BackfillPolicy, setting, value)
            for setting in ("window", "min_lookups", "concurrent")
            for value in WHOLE_FROM_ONE
        ),
        *((BackfillPolicy, setting, value) for setting in ("evicts", "inline") for value in FLAGS),
        *((BackfillPolicy, "selection", value) for value in ("hottest", "", None, 1, True)),
        *((BackfillPolicy, "successors", value) for value in (-1, 1.5, True, "1", None, math.nan)),
        *((BackfillPolicy, "probation", value) for value in (0, 1, "yes")),
        *((HistoryPolicy, "size", value) for value in WHOLE_FROM_ONE if value is not None),
        *((HistoryPolicy, "half_life", value) for value in (0, 0.5, -1, math.inf, math.nan, True, "1")),
        *(
            (HistoryPolicy, "save_every", value)
            for value in (0, 0.0, -1, math.inf, math.nan, True, "1", None)
        ),
    ],
)
def test_a_setting_outside_its_limits_is_refused_by_name(policy, setting, value):
    with pytest.raises(ConfigurationError) as refused:
        policy(**{setting: value})

    assert refused.value.setting == setting


@pytest.mark.parametrize(
    "policy",
    [
        lambda: LoadPolicy(max_batch=1, concurrency=1, timeout=None, linger=0),
        lambda: LoadPolicy(timeout=0.001, linger=10),
        lambda: LoadPolicy(split_failed=True, circuit=CircuitPolicy(failures=1, open_for=0.001)),
        lambda: FreshnessPolicy(ttl=1, jitter=1.0, stale_for=5, stale_wait=None, early=1.0, seed=0),
        lambda: FreshnessPolicy(absent_ttl=0.5, absent_capacity=1),
        lambda: BackfillPolicy(window=1, min_lookups=1, concurrent=1),
        lambda: BackfillPolicy(evicts=True, inline=True, concurrent=9),
        lambda: BackfillPolicy(selection="history", successors=8),
        lambda: BackfillPolicy(selection="history", probation=False),
        lambda: HistoryPolicy(size=1, half_life=1, save_every=0.1),
    ],
)
def test_a_setting_within_its_limits_is_taken(policy):
    assert dataclasses.is_dataclass(policy())


@pytest.mark.parametrize(
    "policy", [LoadPolicy(), BackfillPolicy(), CircuitPolicy(), FreshnessPolicy(), HistoryPolicy()]
)
def test_a_policy_cannot_be_changed_and_is_equal_to_its_like(policy):
    name = dataclasses.fields(policy)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(policy, name, 5)

    assert policy == type(policy)()
    assert hash(policy) == hash(type(policy)())
    assert policy != dataclasses.replace(policy, **{name: 7})


@pytest.mark.parametrize("policy", [LoadPolicy, BackfillPolicy, CircuitPolicy, FreshnessPolicy])
def test_settings_are_given_by_name(policy):
    with pytest.raises(TypeError):
        policy(5)
