"""What makes a job wait: the first reason that holds, with what was measured and what is allowed."""

from __future__ import annotations

import pytest

from async_backfill._jobs._running.throttles import Readings, Reason, first_reason, minutes_of
from async_backfill._jobs._spec import ThrottleLimits
from async_backfill.errors import ConfigurationError

LIMITS = ThrottleLimits(hours="22:00-06:00", source_latency=3.0, max_load=5.0, store_latency=0.2)
FINE = {"minute": 23 * 60, "source_p95": 0.1, "source_first": 0.1, "lag": 1.0, "load": 1.0, "memory": 0.5}


@pytest.mark.parametrize(
    ("reading", "reason"),
    [
        (
            {"is_busy": True},
            Reason(reason="live loads", value="callers wait for the source", limit="they come first"),
        ),
        ({"minute": 6 * 60}, Reason(reason="hours", value="06:00", limit="22:00-06:00")),
        ({"source_p95": 0.4}, Reason(reason="source latency", value="0.400 s", limit="3.0 times 0.100 s")),
        ({"lag": 12.0}, Reason(reason="replica lag", value="12 s", limit="10 s")),
        ({"lag_error": "down"}, Reason(reason="replica lag", value="not known: down", limit="10 s")),
        ({"load": 7.0}, Reason(reason="source load", value="7", limit="5")),
        ({"load_error": "404"}, Reason(reason="source load", value="not known: 404", limit="5")),
        ({"memory": 0.95}, Reason(reason="store memory", value="95.0 % in use", limit="90 %")),
        ({"evicted": 1}, Reason(reason="store evictions", value="1 entries", limit="none")),
        ({"store_p95": 0.3}, Reason(reason="store latency", value="0.300 s", limit="0.2 s")),
        (
            {"pages": 100, "failed": 51},
            Reason(reason="error rate", value="51 of the last 100 pages failed", limit="50 %"),
        ),
    ],
)  # fmt: skip
def test_each_throttle_says_what_it_measured_and_what_is_allowed(reading, reason):
    assert first_reason(LIMITS, Readings(**FINE)) is None
    assert first_reason(LIMITS, Readings(**{**FINE, **reading})) == reason


def test_what_has_no_limit_or_is_not_known_makes_nobody_wait():
    readings = Readings(minute=0, source_p95=9.0, source_first=0.1, load=9.0, load_error="no", store_p95=9.0)

    assert first_reason(ThrottleLimits(max_lag=None), readings) is None
    assert first_reason(LIMITS, Readings()) is None


def test_the_first_of_several_reasons_is_shown():
    found = first_reason(LIMITS, Readings(minute=720, memory=0.99))

    assert found is not None
    assert found.reason == "hours"


@pytest.mark.parametrize("minute", [22 * 60, 23 * 60 + 59, 0, 5 * 60 + 59])
def test_hours_may_go_over_midnight(minute):
    assert first_reason(LIMITS, Readings(minute=minute)) is None


def test_hours_may_end_at_midnight():
    limits = ThrottleLimits(hours="22:00-24:00")

    assert first_reason(limits, Readings(minute=23 * 60 + 59)) is None
    assert first_reason(limits, Readings(minute=0)) is not None


@pytest.mark.parametrize(
    "hours", ["", "22:00", "22-6", "24:00-06:00", "22:00-06:60", "06:00-06:00", "00:00-24:00", "a:b-c:d"]
)
def test_hours_that_are_no_begin_and_end_are_refused(hours):
    with pytest.raises(ConfigurationError, match='such as "22:00-06:00"'):
        minutes_of(hours)
