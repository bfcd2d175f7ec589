from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from async_backfill._runner.wording import nearest, one_line, path_of, shown


@pytest.mark.parametrize(
    ("place", "path"),
    [
        (None, "$"),
        ((None, "source"), "$.source"),
        (((None, "lookups"), 3), "$.lookups[3]"),
        ((((None, "a"), "b c"), "d"), '$.a["b c"].d'),
        ((None, ""), '$[""]'),
        ((None, "3"), '$["3"]'),
        ((None, 'say "x"'), r'$["say \"x\""]'),
        ((None, "ä"), r'$["\u00e4"]'),
        ((None, "a\nb"), r'$["a\nb"]'),
    ],
)
def test_a_place_is_written_as_a_path(place, path):
    assert path_of(place) == path


def test_a_deep_place_is_cut_off():
    place = None
    for _ in range(500):
        place = (place, 0)
    assert path_of(place) == "$" + "[0]" * 8 + "..."


@given(value=st.recursive(st.none() | st.integers() | st.text(), st.lists))
def test_a_value_is_shown_as_json_in_ascii_and_cut_off_where_it_gets_long(value):
    text = shown(value)
    assert text.isascii()
    assert text.isprintable()
    assert text == json.dumps(value) or (len(text) <= 12 * 60 + 5 and "..." in text)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("miss_treshold", "miss_threshold"),
        ("WINDOW", "window"),
        ("windw", "window"),
        ("missthreshold" * 1000, "miss_threshold"),
    ],
)
def test_the_nearest_name_is_the_one_that_looks_most_alike(name, expected):
    assert nearest(name, ["capacity", "window", "miss_threshold"]) == expected


@given(text=st.text())
def test_a_line_moves_no_cursor_and_still_says_which_letters_were_there(text):
    line = one_line(text)
    assert line.isprintable()
    assert (line == text) == text.isprintable()
