"""The identity of an object in a key: the same while it lives, never that of another object."""

from __future__ import annotations

import pytest

from async_backfill import ConfigurationError
from async_backfill._cached.identity import Instances


class Thing:
    """Equal to everything, and without a hash."""

    def __eq__(self, other):
        return True

    __hash__ = None


def test_an_object_has_the_same_one_while_it_lives_and_no_other_object_has_it():
    instances, one, other = Instances(), Thing(), Thing()

    assert instances.of(one) is instances.of(one)
    assert instances.of(one) != instances.of(other)
    assert len({instances.of(one), instances.of(other), instances.of(one)}) == 2


def test_the_one_of_a_dead_object_is_nobody_elses_and_is_forgotten():
    instances, seen, places = Instances(), [], set()
    for _ in range(100):
        thing = Thing()
        seen.append(instances.of(thing))
        places.add(id(thing))
        del thing

    assert len(places) < 100
    assert len(set(seen)) == 100
    assert len(instances) == 0
    assert repr(seen[0]) == "<an object that is gone>"


def test_late_news_of_a_death_leaves_a_new_object_in_the_same_place_alone():
    instances, thing, other = Instances(), Thing(), Thing()
    late, new = instances.of(thing), instances.of(other)
    late.number = new.number
    del thing

    assert instances.of(other) is new
    assert instances.living[id(other)] is new


@pytest.mark.parametrize(
    ("loads", "held", "due"), [(0, 0, False), (5, 10, False), (6, 10, True), (5, 9, True)]
)
def test_a_sweep_is_due_once_when_over_half_of_what_is_held_may_be_of_dead_objects(loads, held, due):
    instances, thing = Instances(), Thing()
    instances.of(thing).loads = loads
    assert not instances.is_sweep_due(held)
    del thing

    assert [instances.is_sweep_due(held), instances.is_sweep_due(held)] == [due, False]


@pytest.mark.parametrize("thing", [1, (), object()])
def test_what_cannot_be_held_weakly_is_refused(thing):
    with pytest.raises(ConfigurationError, match=f"a {type(thing).__name__} cannot be held weakly"):
        Instances().of(thing)
