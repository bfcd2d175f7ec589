"""Entity tags, and the lists of them that clients send."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from async_backfill import ConfigurationError
from async_backfill.frameworks._entity_tags import checked_tag, entity_tag, has_it

OPAQUE = st.text(st.characters(min_codepoint=0x21, max_codepoint=0xFF, exclude_characters='"\x7f'))
TAGS = st.builds(lambda weak, opaque: f'{"W/" * weak}"{opaque}"', st.booleans(), OPAQUE)


@given(tags=st.lists(TAGS, max_size=5), tag=TAGS, gap=st.sampled_from([",", ", ", " ,\t", ",,", ", , "]))
def test_a_list_names_a_tag_when_one_of_it_is_the_same_but_for_being_weak(tags, tag, gap):
    def opaque(one):
        return one.removeprefix("W/")

    expected = opaque(tag) in map(opaque, tags)

    assert has_it([gap.join(tags)], tag) == expected
    assert has_it(tags, tag) == expected


@pytest.mark.parametrize("line", ["*", " * "])
def test_a_star_names_every_tag(line):
    assert has_it([line], '"a"')


@pytest.mark.parametrize(
    "line", ["", "a", '"b" "a"', '"b', "'a'", 'w/"a"', 'W/ "a"', '"b"; "a"', "*a", '"A"', "\0", '"b"x, "a"']
)
def test_what_is_no_list_names_nothing_after_its_mistake(line):
    assert not has_it([line], '"a"')


def test_what_comes_before_a_mistake_counts():
    assert has_it(['"a", oops'], '"a"')


def test_a_very_long_line_is_read_in_one_pass():
    assert not has_it([", " * 200_000, '"b" ' * 100_000, '"b",' * 20_000], '"a"')


@given(bodies=st.lists(st.binary(), min_size=2, max_size=2))
def test_the_tag_of_a_body_is_strong_and_that_of_those_bytes(bodies):
    first, second = map(entity_tag, bodies)

    assert checked_tag(first) == first
    assert not first.startswith("W/")
    assert (first == second) == (bodies[0] == bodies[1])


@pytest.mark.parametrize("tag", ["v7", "", '"', '"a"b"', 'w/"a"', '"a b"', '"a"\r\nX: 1', "W/v7"])
def test_what_is_no_tag_is_refused_and_it_is_said_how_one_looks(tag):
    with pytest.raises(ConfigurationError, match=r"etag: .* is no entity tag; write it in quotes"):
        checked_tag(tag)
