"""Looking for the bad key: few calls, everybody else is served, and it always comes to an end."""

from __future__ import annotations

import math

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from async_backfill._loading.bisection import isolate
from async_backfill.outcomes import Failed

DOWN = ConnectionError("one of them is bad")


class Asked:
    """Asks for keys; a call with one of ``bad`` among them fails."""

    def __init__(self, bad):
        self.bad = set(bad)
        self.calls = []

    async def __call__(self, keys):
        self.calls.append(tuple(keys))
        return DOWN if self.bad.intersection(keys) else {key: f"row {key}" for key in keys}


def taken_apart(size, bad):
    asked = Asked(bad)
    found = anyio.run(isolate, range(size), DOWN, asked)
    return found, asked.calls


@settings(deadline=None, max_examples=60)
@given(data=st.data(), size=st.integers(1, 600))
def test_one_bad_key_fails_alone_and_costs_no_more_than_the_logarithm_and_one(data, size):
    bad = data.draw(st.integers(0, size - 1))
    found, calls = taken_apart(size, [bad])

    assert found == {key: Failed(DOWN) if key == bad else f"row {key}" for key in range(size)}
    assert len(calls) <= math.ceil(math.log2(size)) + 1


@pytest.mark.parametrize("size", range(1, 18))
def test_the_bad_key_is_found_wherever_it_stands(size):
    for bad in range(size):
        found, calls = taken_apart(size, [bad])

        assert [key for key, answer in found.items() if answer == Failed(DOWN)] == [bad]
        assert len(calls) <= math.ceil(math.log2(size)) + 1


@settings(deadline=None, max_examples=60)
@given(size=st.integers(1, 100), data=st.data())
def test_with_several_bad_keys_each_key_gets_an_answer_and_no_bad_one_a_value(size, data):
    bad = data.draw(st.sets(st.integers(0, size - 1), min_size=1))
    found, calls = taken_apart(size, bad)

    assert set(found) == set(range(size))
    assert all(found[key] == Failed(DOWN) for key in bad)
    assert all(found[key] in (Failed(DOWN), f"row {key}") for key in range(size))
    assert len(calls) <= math.ceil(math.log2(size)) + 1


@settings(deadline=None, max_examples=60)
@given(size=st.integers(1, 100), data=st.data())
def test_no_call_asks_for_nothing_or_all_or_for_a_key_that_was_delivered(size, data):
    bad = data.draw(st.sets(st.integers(0, size - 1), min_size=1))
    delivered = set()
    for keys in taken_apart(size, bad)[1]:
        assert 0 < len(keys) < size
        assert not delivered.intersection(keys)
        if not bad.intersection(keys):
            delivered.update(keys)


def test_a_key_that_a_call_does_not_find_is_absent_and_not_failed():
    async def ask(keys):
        return DOWN if 0 in keys else {}

    assert anyio.run(isolate, range(8), DOWN, ask) == {0: Failed(DOWN)}


def test_each_group_that_fails_gets_the_error_of_its_own_call():
    errors = [ConnectionError("half"), ConnectionError("aside")]

    async def ask(_keys):
        return errors.pop(0)

    half, aside = errors
    assert anyio.run(isolate, "ab", DOWN, ask) == {"a": Failed(half), "b": Failed(aside)}


def test_the_search_ends_when_nobody_wants_to_know():
    asked = []

    async def ask(keys):
        asked.append(keys)

    assert anyio.run(isolate, range(100), DOWN, ask) == {}
    assert len(asked) == 1
