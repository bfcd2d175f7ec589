"""Settings: what is allowed, and that everything else is refused with its name and a reason."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction

import pytest

from async_backfill import (
    BackfillCache,
    BackfillPolicy,
    ConfigurationError,
    LoadPolicy,
    MappingSource,
    MemoryStore,
)

NOT_WHOLE = [1.0, 2.5, math.nan, math.inf, "10", "", True, False, [1], 1 + 0j, Decimal(1)]
NOT_A_NUMBER = ["0.5", "", True, False, [0.5], 0.5 + 0j, Decimal("0.5"), b"1"]
NOT_FINITE = [math.nan, math.inf, -math.inf, 10**400]
NOT_A_FLAG = [0, 1, None, "", "true", "no", 1.0]


def make_cache(**settings):
    return BackfillCache(MappingSource({}), **settings)


def refusals(setting, values):
    return [pytest.param(setting, value, id=f"{setting}={value!r:.20}") for value in values]


WHOLE = [-1, -(10**30), *NOT_WHOLE]


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        *refusals("capacity", WHOLE),
        *refusals("miss_threshold", [0, 0.0, -0.0, 0.009, -0.5, 1.01, 2, None, *NOT_A_NUMBER, *NOT_FINITE]),
        *refusals("backfill_batch", [0, *WHOLE]),
        *refusals("max_backfills", WHOLE),
        *refusals("audit_keep", [0, None, *WHOLE]),
    ],
)
def test_a_cache_refuses_a_value_that_makes_no_sense(setting, value):
    with pytest.raises(ConfigurationError) as refused:
        make_cache(**{setting: value})

    assert refused.value.setting == setting
    assert str(refused.value).startswith(f"{setting}: ")


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        *refusals("max_batch", [0, None, *WHOLE]),
        *refusals("concurrency", [0, *WHOLE]),
        *refusals("timeout", [0, 0.0, -1, -0.5, *NOT_A_NUMBER, *NOT_FINITE]),
        *refusals("linger", [-1, -0.001, None, *NOT_A_NUMBER, *NOT_FINITE]),
    ],
)
def test_a_load_policy_refuses_a_value_that_makes_no_sense(setting, value):
    with pytest.raises(ConfigurationError) as refused:
        LoadPolicy(**{setting: value})

    assert refused.value.setting == setting


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        *refusals("window", [0, None, *WHOLE]),
        *refusals("min_lookups", [0, None, *WHOLE]),
        *refusals("concurrent", [0, None, *WHOLE]),
        *refusals("evicts", NOT_A_FLAG),
        *refusals("inline", NOT_A_FLAG),
    ],
)
def test_a_backfill_policy_refuses_a_value_that_makes_no_sense(setting, value):
    with pytest.raises(ConfigurationError) as refused:
        BackfillPolicy(**{setting: value})

    assert refused.value.setting == setting


@pytest.mark.parametrize("value", [0, 0.0, -1, 0.005, math.nan, "0.5", True])
def test_the_refusal_of_a_threshold_says_why_zero_thrashes(value):
    with pytest.raises(ConfigurationError, match=r"every single miss would start a backfill.*thrash"):
        make_cache(miss_threshold=value)


@pytest.mark.parametrize("value", [0.0, 1.5])
def test_the_refusal_of_a_threshold_says_what_is_allowed(value):
    with pytest.raises(ConfigurationError, match=rf"{value} is not between 0\.01 and 1\.0"):
        make_cache(miss_threshold=value)


@pytest.mark.parametrize("value", [0, -5])
def test_the_refusal_of_a_number_that_is_too_small_says_so(value):
    with pytest.raises(ConfigurationError, match=f"backfill_batch: {value} is less than 1"):
        make_cache(backfill_batch=value)


def test_the_refusal_of_a_timeout_of_zero_says_how_to_switch_it_off():
    with pytest.raises(ConfigurationError, match="None switches it off"):
        LoadPolicy(timeout=0)


def test_a_refusal_is_also_a_value_error():
    with pytest.raises(ValueError, match="capacity"):
        make_cache(capacity=-1)


@pytest.mark.parametrize("value", [0.01, 0.5, 1.0, 1, Fraction(1, 3)])
def test_every_threshold_from_one_percent_to_one_is_allowed(value):
    assert make_cache(miss_threshold=value).stats.lookups == 0


@pytest.mark.parametrize(
    "settings",
    [
        {"capacity": 0},
        {"capacity": 1},
        {"capacity": None},
        {"backfill_batch": 1},
        {"max_backfills": 0},
        {"max_backfills": None},
        {"audit_keep": 1},
    ],
)
def test_the_least_that_is_allowed_is_allowed(settings):
    assert make_cache(**settings).stats.size == 0


@pytest.mark.parametrize("value", [0.001, 1, 1e9, None])
def test_a_timeout_is_any_finite_time_above_zero_or_none(value):
    assert LoadPolicy(timeout=value).timeout == value


@pytest.mark.parametrize("value", [0, 0.0, 0.001, 60])
def test_a_linger_is_any_finite_time_from_zero(value):
    assert LoadPolicy(linger=value).linger == value


def test_the_threshold_is_checked_although_a_trigger_of_ones_own_is_given():
    with pytest.raises(ConfigurationError):
        make_cache(miss_threshold=0, trigger=object())


def test_a_capacity_beside_a_store_of_ones_own_is_refused_and_says_where_it_belongs():
    with pytest.raises(ConfigurationError, match="belongs to the store"):
        make_cache(store=MemoryStore(5), capacity=5)


@pytest.mark.parametrize("policy", [LoadPolicy(), BackfillPolicy()])
def test_a_policy_cannot_be_changed_after_it_was_checked(policy):
    with pytest.raises(AttributeError):
        setattr(policy, next(iter(policy.__slots__)), 0)


def test_making_a_cache_needs_no_event_loop_and_starts_nothing():
    assert make_cache().stats.in_flight == 0


@pytest.mark.anyio
async def test_approving_is_refused_without_a_number_a_name_a_reason_or_a_limit():
    approvals = [
        ("n", {"n": 0, "by": "me", "reason": "why"}),
        ("n", {"n": True, "by": "me", "reason": "why"}),
        ("n", {"n": 1.5, "by": "me", "reason": "why"}),
        ("by", {"n": 1, "by": " ", "reason": "why"}),
        ("reason", {"n": 1, "by": "me", "reason": ""}),
        ("reason", {"n": 1, "by": "me", "reason": None}),
    ]
    async with make_cache(max_backfills=0) as cache:
        for setting, approval in approvals:
            with pytest.raises(ConfigurationError) as refused:
                await cache.approve_backfills(approval.pop("n"), **approval)
            assert refused.value.setting == setting
        assert (cache.stats.permits_left, cache.audit_log) == (0, ())
    async with make_cache() as unlimited:
        with pytest.raises(ConfigurationError, match="no limit"):
            await unlimited.approve_backfills(1, by="me", reason="why")


@pytest.mark.anyio
async def test_forcing_a_backfill_is_refused_where_there_is_nothing_to_choose_keys_from():
    async with make_cache() as cache:
        with pytest.raises(ConfigurationError, match="scan"):
            await cache.force_backfill()
