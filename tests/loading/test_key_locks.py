"""The per-key locks alone: who holds the lock of a key, and who may still drop it."""

from __future__ import annotations

from anyio import Event
from hypothesis import given
from hypothesis import strategies as st

from async_backfill._loading.batch import Batch
from async_backfill._loading.key_locks import KeyLocks
from async_backfill.outcomes import LoadCause


def batch_of(*keys):
    batch = Batch(LoadCause.MISS, Event, lambda _: None)
    batch.keys.update(dict.fromkeys(keys))
    return batch


def locks_of(*batches):
    locks = KeyLocks()
    for batch in batches:
        for key in batch.keys:
            locks.take(key, batch)
    return locks


def test_the_batch_that_took_a_lock_holds_it():
    batch = batch_of("a")

    assert locks_of(batch).holder("a") is batch


def test_a_key_that_nobody_loads_has_no_lock():
    locks = locks_of(batch_of("a"))

    assert locks.holder("b") is None
    assert "b" not in locks


def test_the_number_of_locks_is_the_number_of_keys_in_flight():
    locks = locks_of(batch_of("a", "b"), batch_of("c"))

    assert len(locks) == 3


def test_a_batch_holds_its_keys_in_the_order_it_asks_for_them():
    batch = batch_of("c", "a", "b")

    assert locks_of(batch).held(batch) == ["c", "a", "b"]


def test_a_released_batch_holds_nothing():
    batch = batch_of("a", "b")
    locks = locks_of(batch)

    locks.release(batch, batch.keys)

    assert locks.held(batch) == []
    assert len(locks) == 0


def test_a_revoked_lock_is_held_by_nobody():
    batch = batch_of("a", "b")
    locks = locks_of(batch)

    locks.revoke(["a"])

    assert locks.holder("a") is None
    assert locks.held(batch) == ["b"]


def test_revoking_a_lock_that_nobody_holds_changes_nothing():
    batch = batch_of("a")
    locks = locks_of(batch)

    locks.revoke(["b"])

    assert locks.held(batch) == ["a"]


def test_revoking_all_leaves_no_lock():
    locks = locks_of(batch_of("a", "b"), batch_of("c"))

    locks.revoke_all()

    assert len(locks) == 0


def test_a_batch_whose_lock_was_revoked_does_not_release_the_lock_of_the_next_one():
    older, newer = batch_of("a", "b"), batch_of("a")
    locks = locks_of(older)
    locks.revoke(["a"])
    locks.take("a", newer)

    locks.release(older, older.keys)

    assert locks.holder("a") is newer
    assert locks.holder("b") is None


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["take", "revoke", "release", "revoke all"]), st.integers(0, 3), st.integers(0, 2)
    ),
    max_size=40,
)


@given(STEPS)
def test_the_holder_of_a_key_is_whoever_took_its_lock_last_and_still_has_it(steps):
    batches = [batch_of(*range(4)) for _ in range(3)]
    locks = KeyLocks()
    expected = {}
    for what, key, number in steps:
        batch = batches[number]
        if what == "take":
            locks.take(key, batch)
            expected[key] = batch
        elif what == "revoke":
            locks.revoke([key])
            expected.pop(key, None)
        elif what == "release":
            locks.release(batch, batch.keys)
            expected = {held: holder for held, holder in expected.items() if holder is not batch}
        else:
            locks.revoke_all()
            expected = {}
        assert {held: locks.holder(held) for held in range(4) if held in locks} == expected
        assert len(locks) == len(expected)
        for each in batches:
            assert locks.held(each) == [held for held in range(4) if expected.get(held) is each]
