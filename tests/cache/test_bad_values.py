"""Every number that a user can set, found in the signatures, refuses twenty-one kinds of nonsense."""

from __future__ import annotations

import inspect
import math
from decimal import Decimal

import pytest

from async_backfill import (
    BackfillCache,
    BackfillPolicy,
    CircuitPolicy,
    FarTier,
    FreshnessPolicy,
    LoadPolicy,
    MappingSource,
    MemoryStore,
    SimulatedSource,
    WeighedStore,
    each,
)
from async_backfill.backfill.budget import BackfillBudget
from async_backfill.backfill.trigger import MissRateTrigger
from async_backfill.sources.retrying import RetryingSource
from async_backfill.testing import ManualClock

NUMBERS = {"int", "float", "int | None", "float | None"}
BAD = [
    -1,
    -0.5,
    -(10**30),
    math.nan,
    math.inf,
    -math.inf,
    True,
    False,
    "",
    "1",
    b"1",
    bytearray(b"1"),
    [1],
    (),
    {},
    {1},
    object(),
    1 + 0j,
    Decimal(1),
    int,
    ...,
]
MAKERS = {
    BackfillCache: {"source": MappingSource({})},
    LoadPolicy: {},
    BackfillPolicy: {},
    CircuitPolicy: {},
    FreshnessPolicy: {},
    FarTier: {"store": object()},
    MemoryStore: {},
    WeighedStore: {"max_weight": 1, "weigh": lambda _key, _value: 1},
    SimulatedSource: {"mapping": {}},
    RetryingSource: {"source": MappingSource({}), "on": OSError},
    MissRateTrigger: {"threshold": 0.5},
    BackfillBudget: {},
    ManualClock: {},
}


def numbers(maker):
    """Return the parameters of ``maker`` that are numbers, and whether ``None`` is one of their values."""
    annotations = {
        name: str(parameter.annotation) for name, parameter in inspect.signature(maker).parameters.items()
    }
    return {name: kind.endswith("None") for name, kind in annotations.items() if kind in NUMBERS}


CASES = [
    pytest.param(maker, name, BAD if takes_none else [*BAD, None], id=f"{maker.__name__}-{name}")
    for maker in MAKERS
    for name, takes_none in numbers(maker).items()
]


def refuses(make) -> bool:
    try:
        make()
    except (TypeError, ValueError):
        return True
    return False


def test_there_are_twenty_one_of_them_and_they_are_tried_on_all_numbers():
    assert len(BAD) == 21
    assert sum(len(numbers(maker)) for maker in MAKERS) >= 30
    assert numbers(LoadPolicy) == {
        "max_batch": False,
        "concurrency": True,
        "timeout": True,
        "linger": False,
    }


@pytest.mark.parametrize(("maker", "name", "values"), CASES)
def test_a_number_that_makes_no_sense_is_refused(maker, name, values):
    settings = MAKERS[maker]

    assert [value for value in values if not refuses(lambda v=value: maker(**{**settings, name: v}))] == []


def test_each_refuses_a_concurrency_that_makes_no_sense():
    async def load(key):
        return key

    values = [*BAD, 0, None]
    assert [value for value in values if not refuses(lambda v=value: each(load, concurrency=v))] == []


@pytest.mark.parametrize("maker", MAKERS)
def test_what_is_tried_is_allowed_where_it_is_left_alone(maker):
    assert maker(**MAKERS[maker]) is not None
