"""Keys that are written as text and read back."""

from __future__ import annotations

import datetime as dt
import decimal
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from async_backfill._common.written_keys import (
    DESCRIBED,
    KEY_TYPES,
    canonical,
    key_of_value,
    key_reader,
    name_of_type,
)

decimals = st.decimals(allow_nan=False, allow_infinity=False)
any_key = st.one_of(st.text(min_size=1), st.integers(), st.uuids(), st.dates(), decimals)


@given(key=st.one_of(st.integers(), st.uuids(), st.dates(), st.decimals("-1e9", "1e9", places=3)))
def test_a_key_comes_back_from_its_text_with_its_type(key):
    read = key_reader(name_of_type(type(key)))(str(key))
    assert read == key
    assert type(read) is type(key)


@given(one=decimals, other=decimals)
def test_decimals_have_one_text_exactly_when_they_are_equal(one, other):
    assert (canonical(one) == canonical(other)) is (one == other)


@given(key=decimals, zeros=st.integers(0, 5))
def test_zeros_at_the_end_make_no_other_key(key, zeros):
    sign, digits, exponent = key.as_tuple()
    longer = decimal.Decimal((sign, (*digits, *[0] * zeros), exponent - zeros))
    assert longer == key
    assert canonical(longer) == canonical(key)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("str", ""),
        ("int", ""),
        ("int", "1.0"),
        ("int", " 1"),
        ("int", "٣"),
        ("int", "9" * 1001),
        ("uuid", "7"),
        ("date", "2026-02-30"),
        ("date", "2026-1-1"),
        ("date", "20260101"),
        ("decimal", "NaN"),
        ("decimal", "Infinity"),
        ("decimal", "1_0"),
        ("decimal", "1e99999"),
        ("decimal", "1" * 1001),
    ],
)
def test_a_text_that_is_no_such_key_gives_none(name, text):
    assert key_reader(name)(text) is None


@pytest.mark.parametrize(
    ("kind", "value", "key"),
    [
        (uuid.UUID, "00000000-0000-0000-0000-000000000007", uuid.UUID(int=7)),
        (dt.date, "2026-03-01", dt.date(2026, 3, 1)),
        (dt.date, dt.datetime(2026, 3, 1, tzinfo=dt.UTC), None),
        (decimal.Decimal, 1.1, decimal.Decimal("1.1")),
        (decimal.Decimal, 3, decimal.Decimal(3)),
        (decimal.Decimal, float("nan"), None),
        (decimal.Decimal, decimal.Decimal("NaN"), None),
        (int, True, None),
        (int, "7", None),
        (str, 7, None),
        (str, "", None),
    ],
)
def test_a_typed_file_means_a_key_of_the_type_that_is_said(kind, value, key):
    assert key_of_value(value, kind) == key


def test_every_type_has_words_and_a_class():
    assert list(DESCRIBED) == list(KEY_TYPES)


@given(key=any_key)
def test_every_written_key_has_a_canonical_text(key):
    assert canonical(key) is not None
    assert canonical(b"bytes") is None
