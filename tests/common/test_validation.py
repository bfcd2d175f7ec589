"""Checks of numbers that users set: what is allowed comes back, all else is refused with its name."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from async_backfill import ConfigurationError
from async_backfill._common.validation import (
    flag,
    positive_seconds_or_none,
    real,
    seconds,
    text,
    whole,
    whole_or_none,
)

NO_NUMBERS = [True, False, "3", b"3", None, [3], Decimal(3), 3j, ...]


class Index(int):
    """A whole number of a type of its own."""


@settings(deadline=None)
@given(st.integers(-5, 5), st.integers())
def test_a_whole_number_is_allowed_from_the_least_one_up(least, value):
    if value >= least:
        assert whole("x", value, least=least) == value
    else:
        with pytest.raises(ConfigurationError, match=f"^x: {value} is less than {least}$"):
            whole("x", value, least=least)


def test_a_whole_number_of_another_type_comes_back_as_a_plain_int():
    assert type(whole("x", Index(3), least=0)) is int


@pytest.mark.parametrize("value", [*NO_NUMBERS, 3.0, 3.5, Fraction(3), math.nan], ids=repr)
def test_what_is_no_whole_number_is_refused_with_what_came_and_its_type(value):
    with pytest.raises(ConfigurationError) as refused:
        whole("x", value, least=0)

    assert str(refused.value) == f"x: {value!r} is not a whole number (a {type(value).__name__})"


def test_a_whole_number_may_be_missing_only_where_that_is_said():
    assert whole_or_none("x", None, least=1) is None
    assert whole_or_none("x", 1, least=1) == 1
    with pytest.raises(ConfigurationError):
        whole_or_none("x", 0, least=1)
    with pytest.raises(ConfigurationError):
        whole_or_none("x", False, least=0)


@settings(deadline=None)
@given(st.floats() | st.integers() | st.fractions())
def test_a_real_number_is_allowed_within_its_limits_both_included(value):
    if not math.isnan(value) and 0.01 <= value <= 1.0:
        checked = real("x", value, least=0.01, most=1.0)
        assert (type(checked), checked) == (float, float(value))
    else:
        with pytest.raises(ConfigurationError, match=r"^x: "):
            real("x", value, least=0.01, most=1.0)


@pytest.mark.parametrize("value", [0.01, 1.0, 1])
def test_a_limit_itself_is_allowed(value):
    assert real("x", value, least=0.01, most=1.0) == value


@pytest.mark.parametrize("value", NO_NUMBERS, ids=repr)
def test_what_is_no_number_is_refused_with_what_came_its_type_and_the_reason(value):
    with pytest.raises(ConfigurationError) as refused:
        real("x", value, least=0.0, most=1.0, why=" (because)")

    assert str(refused.value) == f"x: {value!r} is not a number (a {type(value).__name__}) (because)"


@pytest.mark.parametrize("value", [10**400, -(10**400), Fraction(10**400)])
def test_a_number_that_no_float_can_hold_is_refused(value):
    with pytest.raises(ConfigurationError, match=r"^x: the number is beyond the range of a float because$"):
        real("x", value, least=0.0, most=1.0, why=" because")


def test_a_refusal_says_what_is_allowed():
    with pytest.raises(ConfigurationError, match=r"^x: 2.0 is not between 0.01 and 1.0, why$"):
        real("x", 2, least=0.01, most=1.0, why=", why")
    with pytest.raises(ConfigurationError, match=r"^x: -1.0 is not 0.0 or more$"):
        seconds("x", -1)


@settings(deadline=None)
@given(st.floats() | st.integers(-3, 3))
def test_seconds_are_finite_and_not_negative(value):
    if 0.0 <= value < math.inf:
        assert seconds("x", value) == value
    else:
        with pytest.raises(ConfigurationError, match=r"^x: "):
            seconds("x", value)


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_a_duration_that_is_not_finite_is_refused(value):
    with pytest.raises(ConfigurationError):
        seconds("x", value)
    with pytest.raises(ConfigurationError):
        positive_seconds_or_none("x", value)


def test_a_timeout_is_above_zero_or_switched_off():
    assert positive_seconds_or_none("x", None) is None
    assert positive_seconds_or_none("x", 5e-324) == 5e-324
    with pytest.raises(ConfigurationError, match=r"^x: 0.0 is not above 0 \(None switches it off\)$"):
        positive_seconds_or_none("x", 0)
    with pytest.raises(ConfigurationError):
        positive_seconds_or_none("x", -0.5)


def test_a_flag_is_true_or_false_and_nothing_that_is_like_it():
    assert flag("x", True) is True
    assert flag("x", False) is False
    for value in (1, 0, None, "true", ""):
        with pytest.raises(ConfigurationError, match=r"^x: .* is neither True nor False$"):
            flag("x", value)


def test_a_text_must_say_something():
    assert text("x", " ada ") == " ada "
    for value in ("", "  \n", None, 5, b"ada"):
        with pytest.raises(ConfigurationError, match=r"^x: must be text that is not blank, not .*$"):
            text("x", value)
