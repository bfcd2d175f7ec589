"""The tree of errors: one base, standard types to catch them by, and the facts each one carries."""

from __future__ import annotations

import inspect

import pytest

from async_backfill import errors
from async_backfill.errors import (
    AsyncBackfillError,
    CacheClosedError,
    ConfigurationError,
    KeyNotFoundError,
    LoadCycleError,
    LoadError,
    LoadTimeoutError,
)

ALL = [
    error for _, error in inspect.getmembers(errors, inspect.isclass) if error.__module__ == errors.__name__
]


@pytest.mark.parametrize("error", ALL)
def test_every_error_has_the_one_base_and_a_contract(error):
    assert issubclass(error, AsyncBackfillError)
    assert error.__doc__


@pytest.mark.parametrize(
    ("error", "base"),
    [
        (ConfigurationError, ValueError),
        (CacheClosedError, RuntimeError),
        (KeyNotFoundError, LookupError),
        (LoadTimeoutError, LoadError),
        (LoadTimeoutError, TimeoutError),
        (LoadCycleError, LoadError),
    ],
)
def test_an_error_can_be_caught_by_its_standard_type(error, base):
    assert issubclass(error, base)


def test_an_absence_is_no_failure_and_a_failure_no_absence():
    assert not issubclass(KeyNotFoundError, LoadError)
    assert not issubclass(LoadError, LookupError)
    assert not issubclass(CacheClosedError, LoadError)


def test_a_key_that_is_not_found_is_no_key_error_which_shows_its_text_in_quotes():
    assert not issubclass(KeyNotFoundError, KeyError)
    assert str(KeyNotFoundError("no key 'a'", key="a")) == "no key 'a'"


def test_a_refused_setting_is_named_first():
    error = ConfigurationError("capacity", "0 is less than 1")

    assert (error.setting, error.problem) == ("capacity", "0 is less than 1")
    assert str(error) == "capacity: 0 is less than 1"


@pytest.mark.parametrize("error", [KeyNotFoundError, LoadError, LoadTimeoutError, LoadCycleError])
def test_an_error_about_a_key_knows_the_key(error):
    assert error("text", key=("a", 1)).key == ("a", 1)
    assert error("text").key is None
    assert str(error("text", key="a")) == "text"


def test_a_cycle_lists_its_keys_in_order():
    assert LoadCycleError("text", key="a", cycle=("a", "b", "a")).cycle == ("a", "b", "a")
    assert LoadCycleError("text").cycle == ()
