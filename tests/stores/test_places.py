"""Places in queues: a dead one is never taken for a living one, and they do not pile up."""

from __future__ import annotations

from async_backfill.outcomes import ABSENT
from async_backfill.stores._eviction.places import Places, Queue


def placed(places, keys):
    return Queue(places.new(key) for key in keys)


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


def test_dead_places_are_taken_out_a_few_at_each_removal_and_the_order_stays():
    places = Places()
    one, other = placed(places, range(3000)), placed(places, range(3000, 6000))
    for key in range(2, 6000, 3):
        before = len(one) + len(other)
        places.discard(key)
        places.tidy(one, other)
        assert before - len(one) - len(other) <= 16 + 2 * 4
    for key in range(1, 6000, 3):
        places.discard(key)
        places.tidy(one, other)

    assert len(one) + len(other) < 2000 * 3 / 2
    assert [places.key(places.pop(one)) for _ in range(1000)] == list(range(0, 3000, 3))


def test_what_is_added_while_a_queue_is_tidied_comes_last():
    places = Places()
    queue = placed(places, range(200))
    for key in range(1, 140, 2):
        places.discard(key)
        places.tidy(queue)
        queue.append(places.new(1000 + key))
    assert queue.front

    left = []
    while (place := places.pop(queue)) is not ABSENT:
        left.append(places.key(place))
    expected = [key for key in range(200) if key % 2 == 0 or key > 140]
    assert left == [*expected, *range(1001, 1140, 2)]


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
