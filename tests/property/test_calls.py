"""A cached method answers as the plain one: however it is called, by equal and by dying instances."""

from __future__ import annotations

import functools
import gc
from weakref import ref

import pytest
from anyio import create_task_group, fail_after, sleep
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from async_backfill import MemoryStore, cached
from tests.callers import FOR_EVER, run


class RefusedError(Exception):
    """What the method raises for some arguments."""

    def __init__(self, *, of, number):
        super().__init__()
        self.of = of
        self.number = number


def traced(function):
    """Wrap a function as most decorators do."""

    @functools.wraps(function)
    async def call(*args, **named):
        return await function(*args, **named)

    return call


def make(above, capacity):
    """Return a class whose instances are all equal and cannot be hashed, with a cached method."""

    class Thing:
        def __init__(self, name):
            self.name = name
            self.asked = []

        def __eq__(self, other):
            return isinstance(other, Thing)

        __hash__ = None

        @above
        @cached(store=MemoryStore(capacity))
        async def tell(self, number, *, twice=False):
            self.asked.append((number, twice))
            await sleep(1)
            if number == 0:
                raise RefusedError(of=self.name, number=number)
            return self.name, number, twice

    return Thing


class Course:
    """Four instances at a time, and what was left of those that others replaced."""

    def __init__(self, class_):
        self.class_ = class_
        self.things = [class_(number) for number in range(4)]
        self.born = 4
        self.gone = []
        self.refused = set()

    async def work(self, program):
        for what, place, number, twice in program:
            match what:
                case "call":
                    await self.call(self.things[place], number, twice=twice)
                case "replace":
                    self.replace(place)
                case "invalidate":
                    await self.class_.tell.invalidate(self.things[place], number, twice=twice)
                case _:
                    await sleep(place)

    async def call(self, thing, number, *, twice):
        try:
            told = await thing.tell(number, twice=twice)
        except RefusedError as error:
            self.refused.add(thing.name)
            assert (number, error.of, error.number) == (0, thing.name, 0)  # noqa: PT017 - or else it is told
        else:
            assert number != 0
            assert told == (thing.name, number, twice)

    def replace(self, place):
        thing, self.things[place] = self.things[place], self.class_(self.born)
        self.born += 1
        self.gone.append((thing.name, ref(thing)))


steps = st.one_of(
    st.tuples(st.just("call"), st.integers(0, 3), st.integers(0, 2), st.booleans()),
    st.tuples(st.just("call"), st.integers(0, 3), st.integers(0, 2), st.booleans()),
    st.tuples(st.just("replace"), st.integers(0, 3), st.none(), st.none()),
    st.tuples(st.just("invalidate"), st.integers(0, 3), st.integers(0, 2), st.booleans()),
    st.tuples(st.just("sleep"), st.integers(1, 2), st.none(), st.none()),
)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    program=st.lists(st.lists(steps, min_size=1, max_size=10), min_size=1, max_size=4),
    above=st.sampled_from([lambda function: function, traced]),
    capacity=st.sampled_from([None, 1, 4]),
)
def test_each_instance_gets_its_own_results_and_errors_and_is_let_go(backend, program, above, capacity):
    course = Course(make(above, capacity))

    async def main():
        async with course.class_.tell.cache as cache:
            with fail_after(FOR_EVER):
                async with create_task_group() as tasks:
                    for one in program:
                        tasks.start_soon(course.work, one)
                await cache.settle()
            gc.collect(0)
            # The error of the last load may be kept until the next one.
            gone = [thing() for name, thing in course.gone if name not in course.refused]
            assert gone == [None] * len(gone)

    run(main, backend)
