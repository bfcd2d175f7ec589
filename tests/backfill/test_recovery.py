"""How far a recovery goes: steps that double while what they loaded is read."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from async_backfill import BackfillCause
from async_backfill.backfill._history.recovery import UNPROVEN, WAITING, Recovery, RecoveryTrigger
from async_backfill.backfill._receipts.receipts import Receipts

RECOVERY, READY, MANUAL = BackfillCause.RECOVERY, BackfillCause.READY, BackfillCause.MANUAL

pytestmark = pytest.mark.anyio  # a pause is measured by the clock of the event loop


class Traffic:
    """A recovery, and lookups of which some read a backfilled key."""

    def __init__(self, *, most=10_000, a_call=500, first_step=500, **emptied):
        self.lookups = self.hits = self.number = self.wanted = 0
        self.loaded = []
        self.receipts = Receipts(window=1000, report=lambda *_: None)
        self.recovery = Recovery(
            first_step=first_step,
            a_call=a_call,
            most=lambda: most,
            patience=1000,
            reads=self.receipts,
            wanted=lambda: self.wanted,
            lookups=lambda: self.lookups,
            usual=lambda: 0.6,
            reading=lambda: (self.lookups - self.hits, self.lookups),
        )
        self.recovery.emptied(**{"has_history": True, "is_vouched_for": False, **emptied})

    def load(self, cause=RECOVERY, batch=500):
        """Load what is allowed, batch by batch; return how many keys."""
        loaded = 0
        while loaded < 20_000 and (keys := min(batch, self.recovery.allows(cause))):
            loaded += keys
            self.number += 1
            page = [(self.number, place) for place in range(keys)]
            self.recovery.begins(page)
            self.receipts.begin(self.number, BackfillCause.RECOVERY, page)
            self.receipts.asks(self.number, page)
            self.receipts.came(self.number, page)
            self.receipts.landed(self.number, self.lookups, 1)
            self.loaded.append(page)
            self.recovery.landed()
        return loaded

    def look_up(self, times, *, read=0, of=-1):
        """Look up other keys, then ``read`` keys of the backfill at place ``of``."""
        self.lookups += times
        for _ in range(read):
            self.lookups += 1
            self.hits += 1
            self.receipts.resolved(self.loaded[of].pop(), read=True)


async def test_steps_double_while_what_they_loaded_is_read():
    traffic = Traffic()
    steps = []
    for _ in range(4):
        steps.append(traffic.load())
        traffic.look_up(3, read=4)

    assert steps == [500, 1000, 2000, 4000]


async def test_nothing_more_is_loaded_before_keys_of_the_latest_step_were_read():
    traffic = Traffic()
    assert traffic.load() == 500
    traffic.look_up(5, read=1)
    assert (traffic.load(), traffic.recovery.why_not(RECOVERY)) == (0, WAITING)
    traffic.look_up(0, read=1)
    assert traffic.load() == 1000
    traffic.look_up(0, read=300, of=0)
    assert traffic.load() == 0
    traffic.look_up(0, read=2)
    assert traffic.load() == 2000


@pytest.mark.parametrize(("every", "loaded"), [(1, 7500), (50, 7500), (240, 7500), (501, 500), (2000, 500)])
async def test_it_goes_on_at_four_reads_in_its_patience_and_ends_at_fewer_than_two(every, loaded):
    traffic = Traffic()
    keys = traffic.load()
    for _ in range(40):
        traffic.look_up(every - 1, read=1)
        if keys < 7500:
            keys += traffic.load()

    assert keys == loaded


async def test_it_gives_up_after_its_patience_and_says_what_was_read():
    traffic = Traffic()
    traffic.load()
    traffic.look_up(998, read=1)
    assert traffic.recovery.why_not(RECOVERY) == WAITING
    traffic.look_up(1)

    assert traffic.recovery.why_not(RECOVERY) == "of the 500 keys loaded last, 1 were read in 1000 lookups"
    assert (traffic.recovery.is_on, traffic.load(READY), traffic.recovery.allows(MANUAL)) == (
        False,
        0,
        sys.maxsize,
    )


@pytest.mark.parametrize(
    "again", [Recovery.approved, lambda it: it.emptied(has_history=True, is_vouched_for=False)]
)
async def test_after_it_gave_up_an_approval_or_an_emptied_cache_begins_again(again):
    traffic = Traffic()
    traffic.load()
    traffic.look_up(1000)
    assert traffic.load() == 0
    again(traffic.recovery)

    assert traffic.recovery.is_due
    assert traffic.load() == 500


async def test_misses_of_keys_that_it_would_have_loaded_are_proof_as_well():
    traffic = Traffic()
    traffic.load()
    traffic.look_up(50)
    assert traffic.load() == 0
    traffic.wanted += 2
    assert traffic.load() == 1000


async def test_but_not_where_each_key_is_a_call():
    traffic = Traffic(a_call=1, first_step=50)
    traffic.load()
    traffic.wanted += 50
    assert traffic.load() == 0


async def test_where_each_key_is_a_call_half_of_them_must_be_read():
    traffic = Traffic(a_call=1, first_step=50)
    assert traffic.load() == 50
    traffic.look_up(30, read=24)
    assert traffic.load() == 0
    traffic.look_up(0, read=1)
    assert traffic.load() == 100


@settings(max_examples=10)
@given(batch=st.integers(200, 700), reads=st.lists(st.integers(0, 30), max_size=4))
async def test_a_step_never_begins_before_the_one_before_was_read(batch, reads):
    traffic = Traffic()
    step = 500
    assert traffic.load(batch=batch) == step
    for read in reads:
        traffic.look_up(5, read=min(read, len(traffic.loaded[-1])))
        loaded = traffic.load(batch=batch)
        assert loaded in {0, 2 * step}
        step = loaded or step


async def test_a_question_of_readiness_loads_two_steps_that_nobody_has_read():
    traffic = Traffic()
    assert traffic.load(READY) == UNPROVEN == 1500
    assert traffic.recovery.why_not(READY) == WAITING
    traffic.look_up(0, read=2)
    assert traffic.load(READY) > 0


async def test_it_loads_all_where_the_history_is_vouched_for_until_nobody_reads_it():
    traffic = Traffic(is_vouched_for=True)
    assert traffic.load(READY) >= 20_000
    assert traffic.load(RECOVERY) == 0
    traffic.look_up(1000)
    assert traffic.load(RECOVERY) == 0
    assert traffic.recovery.why_not(READY).startswith("of the 20000 keys loaded last, 0 were read")


async def test_without_a_history_nothing_is_held_back():
    traffic = Traffic(has_history=False)
    traffic.recovery.begins(range(5000))

    assert traffic.recovery.allows(RECOVERY) == sys.maxsize
    assert not traffic.recovery.is_on
    assert not traffic.recovery.goes_on(0)


async def test_it_is_on_until_the_hit_rate_is_the_usual_one_or_all_that_fits_was_asked_for():
    traffic = Traffic(most=500)
    assert traffic.recovery.is_on
    traffic.look_up(10, read=0)
    traffic.hits, traffic.lookups = 70, 100
    assert not traffic.recovery.is_on
    traffic.hits, traffic.lookups = 50, 100
    assert traffic.recovery.is_on
    traffic.load()
    assert not traffic.recovery.is_on


async def test_a_source_that_fails_makes_it_pause_and_a_budget_that_is_spent_ends_it():
    traffic = Traffic()
    traffic.recovery.hindered()
    assert not traffic.recovery.is_on
    traffic.recovery.landed()
    assert traffic.recovery.is_on
    traffic.recovery.over()
    assert not traffic.recovery.is_on
    traffic.recovery.approved()
    assert traffic.recovery.is_on


class Never:
    """A trigger that does not fire."""

    def observe_miss(self, _lookup):
        return False

    def reading(self):
        return 3, 4


async def test_the_trigger_fires_at_each_miss_while_a_recovery_is_due():
    traffic = Traffic()
    trigger = RecoveryTrigger(Never(), traffic.recovery)
    assert (trigger.observe_miss(1), trigger.reading()) == (True, (3, 4))
    traffic.load()
    assert not trigger.observe_miss(2)
    traffic.look_up(0, read=2)
    assert trigger.observe_miss(5)
