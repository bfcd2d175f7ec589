"""Cache-Control and Age, from what a cache knows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from async_backfill.frameworks._cache_headers import cache_headers
from async_backfill.stats import EntryFreshness

SECONDS = st.floats(0.0, 1e12)


def known(age, expires_in, revalidate=0.0, error=0.0):
    return EntryFreshness(
        age=age,
        expires_in=expires_in,
        is_stale=expires_in is not None and expires_in <= 0.0,
        stale_while_revalidate=revalidate,
        stale_if_error=error,
    )


@pytest.mark.parametrize(
    ("freshness", "headers"),
    [
        (known(4.5, 5.5), {"Cache-Control": "private, max-age=9", "Age": "4"}),
        (known(None, 5.5), {"Cache-Control": "private, max-age=5"}),
        (
            known(4.0, 6.0, 30.0, 60.0),
            {
                "Cache-Control": "private, max-age=10, stale-while-revalidate=30, stale-if-error=60",
                "Age": "4",
            },
        ),
        (
            known(12.0, -2.0, 30.0, 60.0),
            {
                "Cache-Control": "private, max-age=12, stale-while-revalidate=28, stale-if-error=58",
                "Age": "12",
            },
        ),
        (known(None, None, 30.0, 60.0), {"Cache-Control": "private, no-cache"}),
        (None, {"Cache-Control": "private, no-cache"}),
    ],
    ids=["fresh", "of unknown age", "stale for a while", "stale", "for ever", "not held"],
)
def test_what_the_cache_knows_is_told(freshness, headers):
    assert cache_headers(freshness, is_public=False) == headers


def test_it_is_public_only_when_that_is_said():
    assert cache_headers(known(0.0, 5.0), is_public=True)["Cache-Control"] == "public, max-age=5"


@given(
    age=st.none() | SECONDS,
    expires_in=st.floats(-1e12, 1e12),
    windows=st.tuples(SECONDS, SECONDS),
    now=SECONDS,
)
def test_a_cache_on_the_way_never_serves_a_value_for_longer_than_this_one(age, expires_in, windows, now):
    """``now`` is the time since the answer was sent; RFC 9111, section 4.2, and RFC 5861, section 3."""
    headers = cache_headers(known(age, expires_in, *windows), is_public=True)
    told = dict(part.split("=") for part in headers["Cache-Control"].split(", ")[1:])
    lifetime = int(told["max-age"]) - int(headers.get("Age", "0"))

    assert all(int(seconds) <= 2**31 for seconds in told.values())
    if lifetime > now:
        assert expires_in > now
    for name, window in zip(("stale-while-revalidate", "stale-if-error"), windows, strict=True):
        if name in told and lifetime + int(told[name]) > now:
            assert expires_in + window > now
