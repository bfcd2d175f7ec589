"""Names in Redis: keys share one exactly when they are one key in Python, and a key comes back equal."""

from __future__ import annotations

import math
import re
from enum import Enum
from typing import Any
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from async_backfill._envelopes.keyspace import LONGEST, Keyspace
from async_backfill.contracts import KeyType
from async_backfill.errors import ConfigurationError, KeyRefusedError
from tests.common.key_values import CLASSES, are_one, keys

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


class Colour(Enum):
    RED = "red"


@given(keys)
def test_a_key_comes_back_as_one_that_is_equal(key):
    keyspace = Keyspace("ns", CLASSES)

    assert are_one(keyspace.unpack(keyspace.pack(key)), key)


@given(keys, keys)
def test_keys_have_one_name_exactly_when_they_are_one_key(one, other):
    keyspace = Keyspace("ns")

    assert (keyspace.redis_key(one) == keyspace.redis_key(other)) is are_one(one, other)


@given(
    st.lists(keys, max_size=10)
    | st.lists(st.integers(-(2**70), 2**70))
    | st.lists(st.text(st.characters(categories=["Cs", "Ll"])))
    | st.lists(st.sampled_from([2**63, 2**63 - 1, -(2**63), 1 - 2**63, 0]))
)
def test_many_keys_have_the_names_that_each_has_alone(many):
    keyspace = Keyspace("ns")

    assert keyspace.redis_keys(many) == [keyspace.redis_key(key) for key in many]


def test_text_and_numbers_stay_readable():
    names = Keyspace("shop").redis_keys(["product_1", 7, ("de", 7)])

    assert names == [b"shop:k:product_1", b"shop:k#7", b"shop:k(3::de2:#7"]


@pytest.mark.parametrize("key", HOSTILE, ids=lambda key: ascii(key)[:20])
def test_a_hostile_key_has_a_short_name_of_its_own(key):
    keyspace = Keyspace("ns")

    assert len(keyspace.redis_key(key)) <= len(b"ns:k") + LONGEST
    assert keyspace.redis_key(key).startswith(b"ns:")
    assert keyspace.unpack(keyspace.pack(key)) == key


def test_one_and_true_are_one_name_and_text_and_bytes_are_others():
    assert len(set(Keyspace("ns").redis_keys([1, True, "1", b"1", 1.0, (1,)]))) == 4


def test_two_long_keys_that_differ_at_the_end_have_different_names():
    keyspace = Keyspace("ns")

    assert keyspace.redis_key("x" * 1_000_000 + "a") != keyspace.redis_key("x" * 1_000_000 + "b")


def test_a_set_in_a_key_has_one_name_whatever_its_order():
    names = {Keyspace("ns").redis_key(frozenset(order)) for order in ([8, 16, 0], [0, 8, 16], [16, 0, 8])}

    assert len(names) == 1


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


def test_keys_that_are_refused_are_left_out_counted_and_logged_once_a_second(caplog):
    now = [0.0]
    keyspace = Keyspace("ns", clock=lambda: now[0])

    assert keyspace.names(["a", object(), 7, math.nan]) == (["a", 7], [b"ns:k:a", b"ns:k#7"])
    assert dict(keyspace.refused) == {"object": 1, "float": 1}
    now[0] = 0.9
    keyspace.names([object()])
    now[0] = 1.0
    keyspace.names([math.nan])
    assert ["a key of type object cannot" in line for line in caplog.messages] == [True, False]
    assert (
        "only its process has it: nan: a key of type float cannot leave this process: NaN is" in caplog.text
    )


def test_a_key_type_that_makes_another_key_than_it_was_given_is_found_out():
    wrong = KeyType(type=Colour, name="colour", encode=lambda key: key.value, decode=lambda _: "blue")
    with pytest.raises(KeyRefusedError, match="others cannot decode a key of type Colour"):
        Keyspace("ns", wrong).pack(Colour.RED)


def test_several_refused_keys_are_one_error_that_has_them_all():
    packed, refusal = Keyspace("ns").packed(["a", Colour.RED, "b", Colour.RED])

    assert packed == [b":a", b":b"]
    assert refusal.keys == (Colour.RED, Colour.RED)
    assert "set key_type=Colour (and 1 more)" in str(refusal)


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
    with pytest.raises(KeyRefusedError, match="key of type object cannot leave this process"):
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


@given(keys)
@example("")
@example(b"")
@example("x" * 1_000)
def test_the_name_of_every_key_is_that_of_an_entry(key):
    keyspace = Keyspace("ns", CLASSES)

    assert keyspace.is_entry(keyspace.redis_key(key))
    assert not Keyspace("n").is_entry(keyspace.redis_key(key))


@pytest.mark.parametrize(
    "name",
    [
        *(b"ns", b"ns:", b"ns:k", b"ns:h", b"ns:cart:17", b"ns:kitchen:4", b"ns:k8s:pod", b"ns:key:1"),
        *(b"ns:known", b"ns:kube", b"ns:home", b"ns:h" + bytes(31), b"ns:h" + bytes(33), b"ns-2:k:a"),
        *(b"ns:k:" + b"x" * LONGEST, b"ns:k(9:n", b"ns:k#x", b"ns!permits", b"n:k:a", b"nss:k:a", b"ns:k\0"),
    ],
)
def test_a_name_that_no_entry_has_is_told_apart(name):
    assert not Keyspace("ns").is_entry(name)
