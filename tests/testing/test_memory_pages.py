"""Pages in a far tier in memory: what is later than their read wins, and they age from it."""

from __future__ import annotations

import pytest
from anyio import current_time, sleep

from async_backfill import ConfigurationError
from async_backfill.contracts import FarCopy, GuardedStore, Kept
from async_backfill.errors import StalePageError
from async_backfill.outcomes import ABSENT
from async_backfill.testing import ManualClock, MemoryFarStore
from async_backfill.testing._memory_marks import Marks
from tests.leases import lease

pytestmark = pytest.mark.anyio


@pytest.fixture
def store():
    return MemoryFarStore()


def kept(count, *, newer=(), leased=()):
    return Kept(kept=count, newer=list(newer), leased=list(leased))


def value_of(found):
    return found["a"].value if found else None


async def put(store):
    await store.set_many({"a": "new"})


async def short_put(store):
    await store.set_many({"a": "new"}, ttl=0.5)
    await sleep(1)


async def delete(store):
    await store.delete_many(["a"])


async def clear(store):
    await store.clear()


async def lease_and_write(store):
    tokens = await lease(store.leases, ["a"])
    await store.leases.set_many({"a": "new"}, tokens)


async def lease_and_release(store):
    await store.delete_many(["a"])
    tokens = await lease(store.leases, ["a"])
    await store.leases.release_many(tokens)


async def lease_and_tell_that_it_is_absent(store):
    tokens = await lease(store.leases, ["a"])
    await store.leases.release_many(tokens, told={"a": ABSENT})


async def lease_and_die(store):
    await store.delete_many(["a"])
    await lease(store.peer(lease=0.5).leases, ["a"])
    await sleep(1)


CHANGES = [
    (put, "new"),
    (short_put, None),
    (delete, None),
    (clear, None),
    (lease_and_write, "new"),
    (lease_and_release, None),
    (lease_and_tell_that_it_is_absent, None),
    (lease_and_die, None),
]


@pytest.mark.parametrize("pause", [0.0, 0.1])
@pytest.mark.parametrize(("change", "left"), CHANGES)
async def test_a_change_after_the_read_began_wins(store, change, left, pause):
    read_at = store.now()
    await sleep(pause)
    await change(store)

    assert await store.peer().set_page({"a": "old", "b": 1}, read_at=read_at) in (
        kept(1, newer=["a"]),
        kept(0, newer=["a", "b"]),  # of a clear
    )
    assert value_of(await store.get_many(["a"])) == left


@pytest.mark.parametrize("pause", [0.0, 0.1])
@pytest.mark.parametrize("change", [change for change, _ in CHANGES])
async def test_a_change_before_the_read_began_does_not_hinder_a_page(store, change, pause):
    await change(store)
    await sleep(pause)

    assert await store.set_page({"a": "now"}, read_at=store.now()) == kept(1)
    assert value_of(await store.get_many(["a"])) == "now"


async def test_a_lease_is_not_overruled_and_its_holder_writes(store):
    read_at = store.now()
    tokens = await lease(store.leases, ["a"])

    assert await store.set_page({"a": "old"}, read_at=read_at) == kept(0, leased=["a"])
    assert await store.leases.set_many({"a": "new"}, tokens) == ["a"]


async def test_of_two_pages_the_one_that_was_read_later_stays(store):
    first = store.now()
    await sleep(1)
    assert await store.set_page({"a": "later"}, read_at=store.now()) == kept(1)

    assert await store.set_page({"a": "earlier"}, read_at=first) == kept(0, newer=["a"])
    assert value_of(await store.get_many(["a"])) == "later"


async def test_a_page_can_be_written_again_when_its_answer_was_lost(store):
    read_at = store.now()
    await store.set_page({"a": 1}, read_at=read_at)

    assert await store.set_page({"a": 1}, read_at=read_at) == kept(1)


async def test_a_copy_ages_and_lives_from_the_begin_of_its_read(store):
    read_at = current_time()
    await sleep(3)
    await store.set_page({"a": 1}, read_at=read_at, ttl=5.0)
    assert await store.get_many(["a"]) == {"a": FarCopy(1, 3.0)}
    await sleep(2)

    assert await store.get_many(["a"]) == {}


@pytest.mark.parametrize(("ttl", "most"), [(None, 10.0), (60.0, 10.0), (2.0, 2.0)])
async def test_a_page_older_than_the_deadline_or_its_ttl_is_refused(store, ttl, most):
    read_at = store.now()
    await sleep(most)
    assert await store.set_page({"a": 1}, read_at=read_at, ttl=ttl) == kept(1)
    await sleep(0.001)

    with pytest.raises(StalePageError, match=r"began .* s ago"):
        await store.set_page({"b": 1}, read_at=read_at, ttl=ttl)
    assert await store.get_many(["b"]) == {}


def test_its_class_says_that_it_has_a_guard_and_its_deadline_can_be_chosen():
    assert GuardedStore in MemoryFarStore.__mro__
    assert MemoryFarStore(deadline=3).peer().deadline == 3.0
    with pytest.raises(ConfigurationError, match="deadline"):
        MemoryFarStore(deadline=0)


def test_marks_are_kept_no_longer_than_a_page_may_need_them():
    clock = ManualClock()
    marks = Marks(clock, 10.0)
    for number in range(1000):
        marks.leave([number])
        clock.advance(1.0)

    assert len(marks) <= 11
