"""Values of any source in the types of JSON."""

from __future__ import annotations

import datetime as dt
import decimal
import ipaddress
import json
import math
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from async_backfill._runner.replay.plain import PlainValues
from async_backfill._runner.replay.summary import encode

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.binary(),
    st.decimals(allow_nan=False),
    st.datetimes(),
    st.dates(),
    st.times(),
    st.timedeltas(),
    st.uuids(),
    st.ip_addresses(),
    st.complex_numbers(),
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(scalars, inner, max_size=3) | st.tuples(inner, inner)
    ),
    max_leaves=6,
)


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (decimal.Decimal("1.20"), "1.20"),
        (dt.datetime(2026, 1, 2, 3, 4, tzinfo=dt.UTC), "2026-01-02T03:04:00Z"),
        (dt.date(2026, 1, 2), "2026-01-02"),
        (dt.time(3, 4), "03:04:00"),
        (dt.timedelta(days=1, seconds=2), "P1DT2S"),
        (uuid.UUID(int=7), "00000000-0000-0000-0000-000000000007"),
        (b"\x00\xff", "AP8="),
        (ipaddress.ip_address("::1"), "::1"),
        ({"a": decimal.Decimal(1)}, {"a": "1"}),
        ({1: "a"}, {"1": "a"}),
        ([math.inf, 1.5], [None, 1.5]),
        (math.nan, None),
        ({"a"}, ["a"]),
        (10**40, 10**40),
    ],
)
def test_a_value_has_one_documented_form(value, plain):
    assert PlainValues().of(value) == plain


@given(value=values)
def test_whatever_a_source_gives_can_be_written(value):
    assert json.loads(encode({"value": PlainValues().of(value)}))


def test_half_of_a_surrogate_pair_is_written_as_its_escape():
    assert json.loads(encode({"value": "\udc80"})) == {"value": "\udc80"}


def test_what_json_could_not_hold_is_counted():
    values = PlainValues()
    values.of([math.nan, math.inf, 1.0])
    values.of(1j)
    assert values.notes == [
        "2 numbers are infinite or no number, and are written as null",
        "1 values of a type without a form in JSON are written as text",
    ]
