"""Names in Redis: no two keys share a name, and a key comes back unchanged."""

from __future__ import annotations

import re
from enum import Enum
from typing import Any
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from async_backfill.errors import ConfigurationError
from async_backfill.redis._keyspace import LONGEST, Keyspace

PLAIN = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**80), 2**80),
    st.floats(allow_nan=False),
    st.text(),
    st.text(st.characters(categories=["Cs", "Cc", "Ll"])),
    st.binary(),
)
KEYS = st.recursive(PLAIN, lambda parts: st.lists(parts, max_size=3).map(tuple), max_leaves=5)
HOSTILE = [
    "\0",
    "a\nb\r\n",
    "*?[a-z]",
    "{tag}",
    "\ud800",
    "\udfff" + "a",
    "",
    b"",
    b"\xff\0\r\n",
    "x" * 1_000_000,
]


def typed(key):
    """Return ``key`` in a form in which equal means of equal types, down to the bits."""
    if isinstance(key, tuple):
        return tuple(typed(part) for part in key)
    return type(key), repr(key)


@given(KEYS)
def test_a_key_comes_back_as_it_was(key):
    keyspace = Keyspace("ns")

    assert typed(keyspace.unpack(keyspace.pack(key))) == typed(key)


@given(KEYS, KEYS)
def test_keys_that_differ_also_by_type_only_have_different_names(one, other):
    keyspace = Keyspace("ns")

    assert (keyspace.redis_key(one) == keyspace.redis_key(other)) is (typed(one) == typed(other))


@given(st.lists(KEYS, max_size=10))
def test_many_keys_have_the_names_that_each_has_alone(keys):
    keyspace = Keyspace("ns")

    assert keyspace.redis_keys(keys) == [keyspace.redis_key(key) for key in keys]


@pytest.mark.parametrize("key", HOSTILE, ids=lambda key: ascii(key)[:20])
def test_a_hostile_key_has_a_short_name_of_its_own(key):
    keyspace = Keyspace("ns")

    assert len(keyspace.redis_key(key)) <= len(b"ns:k") + LONGEST
    assert keyspace.redis_key(key).startswith(b"ns:")
    assert keyspace.unpack(keyspace.pack(key)) == key


def test_one_true_text_and_bytes_of_one_are_four_names():
    assert len(set(Keyspace("ns").redis_keys([1, True, "1", b"1", 1.0, (1,)]))) == 6


def test_two_long_keys_that_differ_at_the_end_have_different_names():
    keyspace = Keyspace("ns")

    assert keyspace.redis_key("x" * 1_000_000 + "a") != keyspace.redis_key("x" * 1_000_000 + "b")


def test_a_set_in_a_key_has_one_name_whatever_its_order():
    names = {Keyspace("ns").redis_key(frozenset(order)) for order in ([8, 16, 0], [0, 8, 16], [16, 0, 8])}

    assert len(names) == 1


class Colour(Enum):
    RED = "red"


@pytest.mark.parametrize(
    ("key_type", "key"),
    [
        (str, "a"),
        (str, "\ud800"),
        (bytes, b"\xff"),
        (int, 2**90),
        (tuple[str, int], ("\ud800", 3)),
        (tuple[bytes, str], (b"\xff", "\udfff")),
        (UUID, UUID(int=7)),
        (Colour, Colour.RED),
        (frozenset[int], frozenset({1, 2})),
        (Any, ("a", (1, None))),
    ],
)
def test_a_key_comes_back_in_the_type_of_the_keyspace(key_type, key):
    keyspace = Keyspace("ns", key_type)

    assert keyspace.unpack(keyspace.pack(key)) == key


@pytest.mark.parametrize(
    ("key_type", "key"), [(str, 1), (int, True), (bytes, "abcd"), (str, b"a"), (str, None)]
)
def test_a_key_of_another_type_is_refused(key_type, key):
    with pytest.raises(ValueError, match="not a key of ns"):
        Keyspace("ns", key_type).unpack(Keyspace("ns").pack(key))


@given(st.binary())
@example(b"\x80")  # a map
@example(b"\x92\x00\x80")  # a list that holds one
def test_damaged_bytes_are_a_key_or_refused_and_nothing_else(data):
    keyspace = Keyspace("ns")
    try:
        key = keyspace.unpack(data)
    except ValueError:
        return
    hash(key)


def test_a_key_that_cannot_be_encoded_is_refused_with_its_type():
    with pytest.raises(ConfigurationError, match="object cannot be encoded"):
        Keyspace("ns").redis_key(object())


@pytest.mark.parametrize("namespace", ["", " ", "a:b", "a*", "a{b}", "a!b", "ä", "x" * 65, "a\n", None, 3])
def test_a_namespace_that_could_reach_into_another_is_refused(namespace):
    with pytest.raises(ConfigurationError, match="namespace"):
        Keyspace(namespace)


def test_a_type_that_msgspec_does_not_know_is_refused():
    with pytest.raises(ConfigurationError, match="key_type"):
        Keyspace("ns", int | UUID | str | bytes | float | Colour | complex | Keyspace)


def test_what_is_no_entry_has_a_name_that_no_entry_and_no_pattern_has():
    keyspace = Keyspace("ns")
    prefix = keyspace.pattern.decode().removesuffix("*")

    assert not keyspace.name("permits").startswith(prefix.encode())
    assert re.fullmatch(r"[A-Za-z0-9:!]+", keyspace.name("permits").decode())
