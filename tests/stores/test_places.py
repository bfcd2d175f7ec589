"""Places in queues: a dead one is never taken for a living one, and they do not pile up."""

from __future__ import annotations

from collections import deque

from async_backfill.outcomes import ABSENT
from async_backfill.stores._eviction.places import Places


def placed(places, keys):
    return deque(places.new(key) for key in keys)


def test_a_key_that_died_is_skipped():
    places = Places()
    queue = placed(places, "abc")
    places.discard("a")

    assert places.key(places.pop(queue)) == "b"


def test_a_key_that_died_and_came_back_has_its_new_place_only():
    places = Places()
    queue = placed(places, "ab")
    places.discard("a")
    queue.append(places.new("a"))

    assert [places.key(places.pop(queue)) for _ in range(2)] == ["b", "a"]
    assert places.pop(queue) is ABSENT


def test_a_key_that_died_twice_is_gone():
    places = Places()
    queue = placed(places, "a")
    for _ in range(2):
        places.discard("a")
        queue.append(places.new("a"))
    places.discard("a")

    assert places.pop(queue) is ABSENT


def test_a_key_that_is_none_or_false_is_a_key_like_any_other():
    places = Places()
    queue = placed(places, [None, False, ""])

    assert [places.pop(queue) for _ in range(3)] == [None, False, ""]


def test_the_queues_are_rebuilt_once_more_than_half_of_the_places_are_dead():
    places = Places()
    one, other = placed(places, range(100)), placed(places, range(100, 200))
    for key in range(2, 200, 3):
        places.discard(key)
        places.tidy(one, other)
    assert len(one) + len(other) == 200
    for key in range(1, 200, 3):
        places.discard(key)
        places.tidy(one, other)

    assert len(one) + len(other) < 135
    assert [places.key(places.pop(one)) for _ in range(34)] == list(range(0, 100, 3))


def test_nothing_is_left_of_a_key_that_came_back_and_left_for_good():
    places = Places()
    queue = placed(places, "a")
    places.discard("a")
    queue.append(places.new("a"))
    places.leave(places.key(places.pop(queue)))

    assert (places._again, places._dead, places._count) == ({}, set(), 0)


def test_dead_places_at_the_front_go_without_a_rebuilding():
    places = Places()
    queue = placed(places, range(100))
    for key in range(60):
        places.discard(key)
        places.tidy(queue)

        assert len(queue) == 99 - key
