"""Where a file comes from, and whether it fits its reader."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from async_backfill._common.provenance import age, duration, from_facts, here, misfit, to_facts
from async_backfill.records import Provenance

texts = st.none() | st.text(min_size=1)
provenances = st.builds(
    Provenance,
    time=st.floats(allow_nan=False, allow_infinity=False),
    host=st.text(),
    cache=texts,
    fingerprint=texts,
)


OWN = ": give each a file of its own"


def of(cache=None, fingerprint=None, time=100.0):
    return Provenance(time=time, host="web-1", cache=cache, fingerprint=fingerprint)


@given(provenance=st.none() | provenances)
def test_it_comes_back_from_json_as_it_was(provenance):
    assert from_facts(json.loads(json.dumps(to_facts(provenance)))) == provenance


@pytest.mark.parametrize(
    "facts",
    [
        7,
        [],
        {"time": 1.0},
        {"time": "now", "host": "web-1"},
        {"time": math.nan, "host": "web-1"},
        {"time": math.inf, "host": "web-1"},
        {"time": 1.0, "host": None},
        {"time": 1.0, "host": "web-1", "fingerprint": 7},
    ],
)
def test_what_is_no_provenance_is_refused(facts):
    with pytest.raises(ValueError):
        from_facts(facts)


@given(written=provenances, reader=provenances)
def test_it_fits_where_the_fingerprints_are_equal_and_no_two_names_differ(written, reader):
    names_fit = None in (written.cache, reader.cache) or written.cache == reader.cache
    fits = names_fit and written.fingerprint == reader.fingerprint
    assert (misfit(written, reader) is None) is fits


@given(reader=provenances)
def test_what_says_nothing_fits_only_where_no_fingerprint_is_asked_for(reader):
    assert (misfit(None, reader) is None) is (reader.fingerprint is None)


@pytest.mark.parametrize(
    ("written", "reader", "reason"),
    [
        (
            of("users"),
            of("products", time=7300.0),
            "it was saved by the cache 'users' on web-1 2 h ago, and this cache is 'products'" + OWN,
        ),
        (
            of(fingerprint="v1"),
            of(fingerprint="v2"),
            "it was saved on web-1 0 s ago with fingerprint 'v1', and this cache has fingerprint 'v2'",
        ),
        (
            of(),
            of(fingerprint="v2"),
            "it was saved on web-1 0 s ago with no fingerprint, and this cache has fingerprint 'v2'",
        ),
        (
            of(fingerprint="v1"),
            of(),
            "it was saved on web-1 0 s ago with fingerprint 'v1', and this cache has no fingerprint",
        ),
        (
            None,
            of(fingerprint="v2"),
            "it does not say where it comes from, and this cache has fingerprint 'v2'",
        ),
    ],
)
def test_why_it_does_not_fit_is_said_with_who_wrote_it_and_when(written, reader, reason):
    assert misfit(written, reader) == reason


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.0, "0 s"),
        (119.4, "119 s"),
        (120.0, "2 min"),
        (7199.0, "120 min"),
        (7200.0, "2 h"),
        (172_800.0, "2 d"),
    ],
)
def test_a_duration_is_said_in_the_largest_unit_of_which_there_are_two(seconds, words):
    assert duration(seconds) == words


def test_a_clock_that_was_ahead_makes_nothing_older_than_new():
    assert (age(of(time=200.0), 100.0), age(of(time=100.0), 160.0)) == (0.0, 60.0)


def test_what_is_written_here_names_this_machine_and_now():
    written = here(lambda: 5.0, cache="products", fingerprint="v1")
    assert (written.time, written.cache, written.fingerprint) == (5.0, "products", "v1")
    assert written.host
