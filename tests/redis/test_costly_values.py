"""Values that anybody may have written: to decode one takes a time that grows with its size, and no more."""

from __future__ import annotations

import itertools
import random
import struct
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("redis", reason="needs the extra redis")
from async_backfill._common.bounded_hashing import fill
from async_backfill._envelopes.envelope import Envelopes
from async_backfill._envelopes.values.plain import PlainCodec
from async_backfill._envelopes.values.text_keys import has_part
from async_backfill._envelopes.values.typed import TypedCodec

KEY = b"ns:k:a"
SECRET = b"of this fleet only, as it is"
MANY = 12_000
TUPLE, PAIRS, SET, FROZENSET = 3, 4, 5, 6  # of PlainCodec


@dataclass
class Order:
    lines: dict[UUID, int]


@dataclass(frozen=True)
class Note:
    parts: list[dict[str, Any]]


def packed(items, kind=0xDF):
    return bytes([kind]) + struct.pack(">I", len(items)) + b"".join(items)


def extension(code, content):
    return b"\xc9" + struct.pack(">Ib", len(content), code) + content


def one_hash(count=MANY):
    """Packed lists of -1 and -2, whose hashes are one in Python: as tuples they collide."""
    return [
        bytes([0xDC, 0, 14, *key])
        for key in itertools.islice(itertools.product(b"\xff\xfe", repeat=14), count)
    ]


def as_map():
    return packed([key + b"\xc0" for key in one_hash()])


def as_parts(code):
    tuples = [extension(TUPLE, key) for key in one_hash()]
    return extension(code, packed([part + b"\xc0" * (code == PAIRS) for part in tuples], 0xDD))


def as_pairs():
    tuples = [extension(TUPLE, key) + b"\xc0" for key in one_hash()]
    return extension(PAIRS, b"\xdd" + struct.pack(">I", 2 * MANY) + b"".join(tuples))


HOSTILE = {
    "a map": as_map(),
    "a map in a list": b"\x91" + as_map(),
    "a map in a map in a list": b"\x91\x81\xa1a" + as_map(),
    "a map in a tuple": extension(TUPLE, b"\x91" + as_map()),
    "a map in an extension of no type": extension(99, as_map()),
    "a map as a key": b"\x81" + as_map() + b"\xc0",
    "a set": as_parts(SET),
    "a frozenset in a list": b"\x91" + as_parts(FROZENSET),
    "pairs": as_pairs(),
    "a large map 40 deep": b"\x91" * 40 + as_map(),
    "lists 100,000 deep": b"\x91" * 100_000 + b"\xc0",
    "a list of 4 billion": b"\xdd\xff\xff\xff\xff\xc0",
    "a map of 4 billion": b"\xdf\xff\xff\xff\xff\xa1a\xc0",
    "a text of 4 GB": b"\xdb\xff\xff\xff\xffx",
    "an extension of 4 GB": b"\xc9\xff\xff\xff\xff\x03x",
}


@pytest.mark.parametrize("payload", HOSTILE.values(), ids=HOSTILE)
def test_what_would_take_long_to_decode_is_a_counted_miss(payload):
    envelopes = Envelopes()
    forged = Forger().seal_many([KEY], [payload])

    assert envelopes.open_many([KEY], forged) == [None]
    assert sum(envelopes.rejected.values()) == 1


class Forger(Envelopes):
    """Envelopes with the codec of another, whatever the payload is."""

    def __init__(self, value_type=Any):
        super().__init__(value_type)
        self._encode = lambda payload: payload


def test_a_nest_of_extensions_is_a_counted_miss():
    payload = b"\xc0"
    for _ in range(20_000):
        payload = extension(TUPLE, payload)
    envelopes = Envelopes()

    assert envelopes.open_many([KEY], Forger().seal_many([KEY], [payload[:900_000]])) == [None]
    assert envelopes.rejected == {"wrong_type": 1}


some_values = st.recursive(
    st.none() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(max_size=300),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.text(), inner, max_size=30)
        | st.dictionaries(st.integers() | st.tuples(st.integers()), inner, max_size=30)
    ),
    max_leaves=12,
)


@given(some_values)
def test_a_value_of_any_shape_is_the_same_with_and_without_a_signature(value):
    plain, trusting = PlainCodec(), PlainCodec(trusts=True)
    payload = plain.encode([value] * 9)

    assert plain.decode(payload) == trusting.decode(payload) == [value] * 9


def test_large_values_with_keys_of_any_type_come_back_without_a_signature():
    dice = random.Random(7)
    codec = PlainCodec()
    for value in (
        dict.fromkeys(range(40_000)),
        {dice.getrandbits(64): 1 for _ in range(40_000)},
        {(number, str(number)) for number in range(20_000)},
        frozenset(UUID(int=dice.getrandbits(128)) for _ in range(10_000)),
        {f"k{number}": dice.random() for number in range(10_000)},
        [{f"column {number}": "x" * 60 for number in range(22)}] * 100,
    ):
        assert codec.decode(codec.encode(value)) == value


@pytest.mark.parametrize(
    ("value_type", "of_keys", "of_any"),
    [
        *((int, False, False), (str, False, False), (list[str], False, False), (Any, False, True)),
        *((dict[str, int], False, False), (dict[str, Any], False, True), (dict, True, True)),
        *((dict[int, str], True, False), (dict[str | int, str], True, False), (set[str], False, False)),
        *(
            (set[UUID], True, False),
            (frozenset[bytes], False, False),
            (list[dict[str, set[float]]], True, False),
        ),
        *((Order, True, False), (Note, False, True), (list[Order | None], True, False)),
    ],
)
def test_a_type_whose_hashes_can_be_chosen_is_known(value_type, of_keys, of_any):
    assert has_part(value_type, of_keys=True) is of_keys
    assert has_part(value_type, of_keys=False) is of_any


def test_a_large_value_of_such_a_type_needs_a_signature():
    order = Order({UUID(int=number): number for number in range(1_000)})
    with pytest.raises(TypeError, match="give the store a signing_key, or use texts as keys"):
        TypedCodec(Order).encode(order)
    signed = TypedCodec(Order, trusts=True)

    assert signed.decode(signed.encode(order)) == order
    assert TypedCodec(Order).decode(TypedCodec(Order).encode(Order({UUID(int=7): 7}))) == Order(
        {UUID(int=7): 7}
    )


def test_a_large_value_with_parts_of_any_type_needs_texts_as_keys_there():
    codec = TypedCodec(Note)
    assert codec.decode(codec.encode(Note([{"a": {"b": "x" * 2000}}] * 5))).parts[4]["a"]["b"] == "x" * 2000
    with pytest.raises(TypeError, match="keys that are no texts"):
        codec.encode(Note([{"a": dict.fromkeys(range(2000))}]))
    with pytest.raises(ValueError, match="keys that are no texts"):
        codec.decode(msgspec.msgpack.encode({"parts": [{"a": dict.fromkeys(range(2000))}]}))


def test_a_signed_store_takes_its_own_values_of_any_type_and_size():
    envelopes = Envelopes(dict[int, int], signing_key=SECRET)
    value = {number: number for number in range(20_000)}
    (copy,) = envelopes.open_many([KEY], envelopes.seal_many([KEY], [value]))

    assert copy is not None
    assert copy.value == value


def test_few_keys_of_one_hash_are_taken_and_many_are_not():
    keys = [tuple(key[3:]) for key in one_hash(64)]
    made = set()
    fill(made.update, [tuple(-1 if byte == 255 else -2 for byte in key) for key in keys], 0)
    assert len(made) == 64
    with pytest.raises(ValueError, match="one hash"):
        fill(
            set().update,
            [tuple(-1 if byte == 255 else -2 for byte in key[3:]) for key in one_hash()],
            100_000,
        )
