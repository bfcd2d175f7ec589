"""What kind of trouble an error is decides whether it is tried again."""

from __future__ import annotations

import pytest

from async_backfill._jobs._running.faults import is_hopeless, is_timeout
from async_backfill.errors import ConfigurationError, StoreError


class DriverError(Exception):
    """An error of a database's driver."""

    def __init__(self, sqlstate):
        super().__init__(sqlstate)
        self.sqlstate = sqlstate


def wrapped(error):
    """The error as a source raises it: the driver's is that of a wrapper, which is the cause."""
    wrapper = RuntimeError("wrapper")
    wrapper.orig = error
    outer = RuntimeError("a query failed")
    outer.__cause__ = wrapper
    return outer


@pytest.mark.parametrize("sqlstate", ["28P01", "3D000", "42703", "42P01", "42501", "22P02"])
def test_a_wrong_password_name_or_type_cannot_get_better(sqlstate):
    assert is_hopeless(wrapped(DriverError(sqlstate)))
    assert not is_timeout(wrapped(DriverError(sqlstate)))


def test_a_wrong_setting_cannot_get_better():
    assert is_hopeless(ConfigurationError("column", "no such column: nam"))


@pytest.mark.parametrize(
    "error",
    [DriverError("57014"), TimeoutError(), StoreError("down"), ConnectionError(), DriverError("08006")],
)
def test_what_may_get_better_is_waited_for(error):
    assert not is_hopeless(wrapped(error))


def test_a_timeout_is_one_by_whatever_clock():
    assert is_timeout(wrapped(DriverError("57014")))
    assert is_timeout(wrapped(TimeoutError()))
    assert not is_timeout(wrapped(ConnectionError()))


def test_an_error_that_causes_itself_is_looked_at_once():
    error = ConnectionError()
    error.orig = error

    assert not is_hopeless(error)
