"""The counts of a job add up at any moment, and are those of the store's own answers."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress

import pytest
from anyio import create_task_group, sleep
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from async_backfill._jobs._errors import JobError, JobRefusedError
from async_backfill._jobs._records import JobCounts, Wanted
from async_backfill._jobs._spec import JobSettings
from async_backfill.contracts import Kept
from tests.jobs.table import Table, rows_of
from tests.jobs.working import Job, Shelf, state_in

pytestmark = pytest.mark.anyio

KEYS = st.sets(st.integers(0, 39).map(lambda number: f"k{number:05}"), max_size=8)


class Counting(Shelf):
    """A store that keeps its last answer for each key."""

    def __init__(self, poisoned, large):
        async def before(items):
            await sleep(0.2)
            if not poisoned.isdisjoint(items):
                raise ValueError("a poisoned row")

        super().__init__(before)
        self.large = large
        self.answers = {}

    async def set_page(self, items, /, *, read_at, ttl=None):
        rejected = {key: "too large" for key in items if key in self.large}
        fit = {key: value for key, value in items.items() if key not in rejected}
        kept = await super().set_page(fit, read_at=read_at, ttl=ttl) if fit else Kept(kept=0)
        self.answers |= dict.fromkeys(items, "kept") | dict.fromkeys(rejected, "dead")
        self.answers |= dict.fromkeys(kept.newer, "newer") | dict.fromkeys(kept.leased, "leased")
        return Kept(kept=kept.kept, newer=kept.newer, leased=kept.leased, rejected=rejected)


@given(
    poisoned=KEYS,
    large=KEYS,
    newer=KEYS,
    leased=KEYS,
    cuts=st.integers(0, 3),
    batch=st.integers(1, 20),
    lanes=st.integers(1, 3),
    pauses=st.lists(st.sampled_from([0.1, 0.5, 1.3]), max_size=3),
)
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_counts_add_up_at_any_moment_and_are_those_of_the_store(  # noqa: PLR0917 - all drawn
    poisoned, large, newer, leased, cuts, batch, lanes, pauses, tmp_path_factory
):
    with state_in(tmp_path_factory.mktemp("counts")) as state:
        shelf, moments = Counting(poisoned, large), []
        job = Job(
            state,
            table=Table(rows_of(40)),
            cuts=cuts,
            settings=JobSettings(batch=batch, lanes=lanes),
        ).on(shelf)
        if leased:
            await shelf.inner.leases.acquire_many(sorted(leased), bytes(24))

        def look():
            counts = sum((part.counts for part in job.shards), JobCounts())
            parts = counts.kept + counts.newer + counts.leased + counts.rejected + counts.dead
            assert counts.read == parts
            # A page is written before it is kept, so no more is told than the store has answered.
            assert counts.kept <= Counter(shelf.answers.values())["kept"] + len(newer | leased)
            moments.append(counts)

        async def work():
            with suppress(JobRefusedError):  # it is over
                await job.work()

        async def watch():
            while True:
                await sleep(0.07)
                look()

        async with create_task_group() as tasks:
            tasks.start_soon(watch)
            for pause in pauses:
                tasks.start_soon(work)
                await sleep(pause)
                if newer:
                    await shelf.inner.set_many(dict.fromkeys(newer, "newer"))
                with suppress(JobError):  # it may be over
                    job.want(Wanted.PAUSE)
                await sleep(20.0)
                with suppress(JobError):
                    job.start()
            await work()
            tasks.cancel_scope.cancel()
        look()
        answers = Counter(shelf.answers.values())
        total = moments[-1]
        assert total.read == 40
        assert total.dead == len(poisoned | large)
        told = {"kept": total.kept, "newer": total.newer, "leased": total.leased}
        assert told == {name: answers[name] for name in told}
