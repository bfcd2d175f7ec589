"""Hash slots: the server of a key in a cluster."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from async_backfill.redis._cluster import SLOTS, SlotMap, by_slot, hash_slot


@pytest.mark.parametrize(
    ("key", "slot"),
    [
        (b"123456789", 0x31C3),  # the check value of the specification
        (b"foo", 12182),
        (b"{user1000}.following", 3443),
        (b"{user1000}.followers", 3443),
        (b"foo{}{bar}", hash_slot(b"foo{}{bar}x"[:-1])),
        (b"foo{{bar}}zap", hash_slot(b"{bar")),
        (b"foo{bar}{zap}", hash_slot(b"bar")),
    ],
)
def test_a_slot_is_that_of_the_specification(key, slot):
    assert hash_slot(key) == slot


@given(st.lists(st.binary(), unique=True))
def test_groups_have_each_key_once_and_one_slot_each(keys):
    groups = by_slot(keys)

    assert sorted(place for group in groups for place in group) == list(range(len(keys)))
    assert len({frozenset(hash_slot(keys[place]) for place in group) for group in groups}) == len(groups)


def test_a_map_finds_the_server_of_each_slot():
    slots = SlotMap(
        [[8192, SLOTS - 1, [b"b", 2, b"id"]], [0, 8191, [b"", 1, b"id"], [b"replica", 9]]], "home"
    )

    assert slots.addresses == {("home", 1), ("b", 2)}
    assert slots.address(b"foo") == ("b", 2)
    assert slots.address(b"{user1000}") == ("home", 1)
    assert SlotMap([], "home").address(b"foo") is None
