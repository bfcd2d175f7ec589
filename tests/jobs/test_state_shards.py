"""Shards, dead rows, findings and the log of a job in its state."""

from __future__ import annotations

import dataclasses

import pytest

from async_backfill._jobs._errors import JobRefusedError, JobStateError
from async_backfill._jobs._records import Finding, JobCounts, LogLine, ShardStatus, Throttled
from async_backfill._jobs._state.dead import add_findings, clear_findings, dead_rows, findings, take_dead
from async_backfill._jobs._state.jobs import find_job
from async_backfill._jobs._state.log import append, first_bad_line, lines
from async_backfill._jobs._state.shards import (
    PageDone,
    checkpoint,
    claim,
    release,
    renew,
    restart,
    shards,
)
from async_backfill._jobs._state.split import split
from tests.jobs.state_rows import page
from tests.jobs.table import spec_of


@pytest.fixture
def state(each_state):
    return each_state


def take(state, owner="w", *, lease=30.0):
    return state(claim, 1, owner=owner, lease=lease)


def test_each_worker_gets_another_shard_until_none_is_left(state):
    state.running()

    assert [take(state).number for _ in range(3)] == [0, 1, 2]
    assert take(state) is None


def test_a_worker_that_asks_for_one_shard_gets_that_or_none(state):
    state.running()
    given = {"owner": "w", "lease": 30.0, "number": 1}
    assert state(claim, 1, **given).number == 1
    assert state(claim, 1, **given) is None


def test_a_checkpoint_adds_to_the_counts_and_renews_the_lease(state):
    state.running()
    shard = take(state)
    state.now += 29.0
    state(checkpoint, shard, page(10), lease=30.0)
    state(checkpoint, shard, page(5, cursor=b"#2", seconds=0.5), lease=30.0)

    now = state(shards, 1)[0]
    assert (now.cursor, now.counts.read, now.pages, now.batch) == (b"#2", 15, 2, 500)
    assert (now.leased_until, now.attempts) == (1_059.0, 0)
    assert state(find_job, 1).seconds_running == 0.5


@pytest.mark.parametrize("way", ["checkpoint", "renew", "release", "split"])
def test_a_worker_whose_shard_another_took_writes_nothing(state, way):
    state.running(cuts=())
    slept = take(state, "slept")
    state.now += 30.0
    other = take(state, "other")
    calls = {
        "checkpoint": (checkpoint, (slept, page(dead=())), {"lease": 30.0}),
        "renew": (renew, (slept,), {"lease": 30.0, "throttled": None}),
        "release": (release, (slept,), {"error": "x"}),
        "split": (split, (slept, b"#5"), {"error": "slow"}),
    }
    before = state(shards, 1), state(find_job, 1), state(lines, 1)
    function, arguments, settings = calls[way]

    assert not state(function, *arguments, **settings)

    assert (state(shards, 1), state(find_job, 1), state(lines, 1)) == before
    assert (other.generation, other.repeated) == (2, 1)


@pytest.mark.parametrize("another", [{"owner": "other"}, {"generation": 0}, {"generation": 2}])
def test_a_shard_is_ones_own_by_owner_and_generation(state, another):
    state.running(cuts=())
    not_mine = dataclasses.replace(take(state), **another)

    assert state(checkpoint, not_mine, page(), lease=30.0) is None
    assert state(shards, 1)[0].counts.read == 0


def test_nobody_takes_a_shard_before_its_lease_is_over(state):
    state.running(cuts=())
    take(state)
    state.now += 29.9

    assert take(state) is None


def test_a_shard_that_was_given_back_waits_until_its_time(state):
    state.running(cuts=())
    assert state(release, take(state), error="refused", not_before=1_005.0)

    assert take(state) is None
    state.now = 1_005.0
    again = take(state)
    assert (again.attempts, again.error, again.repeated) == (2, "refused", 0)


def test_a_shard_that_ended_is_taken_by_nobody(state):
    state.running(cuts=())
    shard = take(state)
    state(checkpoint, shard, page(ended=True), lease=30.0)

    assert state(shards, 1)[0].status is ShardStatus.DONE
    assert take(state) is None
    assert state(checkpoint, shard, page(), lease=30.0) is None


def test_why_a_worker_waits_comes_back_as_it_was(state):
    state.running(cuts=())
    why = Throttled(reason="replica lag", since=5.0, value="12 s", limit="10 s")
    state(renew, take(state), lease=30.0, throttled=why)

    assert state(shards, 1)[0].throttled == why


def test_a_split_shard_ends_where_the_new_one_begins(state):
    state.running(cuts=(b"#9",))

    assert state(split, take(state), b"#5", error="slow") == 2

    bounds = [(shard.low, shard.high) for shard in state(shards, 1)]
    assert bounds == [(None, b"#5"), (b"#9", None), (b"#5", b"#9")]
    line = state(lines, 1)[-1]
    assert (line.what, line.facts) == ("shard split", '{"added":2,"error":"slow","shard":0}')


def test_a_split_whose_answer_was_lost_is_not_made_twice(state):
    state.running(cuts=(b"#9",))
    shard = take(state)

    assert [state(split, shard, b"#5", error="slow") for _ in range(2)] == [2, 2]
    assert len(state(shards, 1)) == 3


def test_a_job_is_split_at_most_256_times(state):
    state.running(cuts=())
    shard, made = take(state), []
    for number in range(300):
        made.append(state(split, shard, b"#%03d" % (999 - number), error="slow"))
        shard = dataclasses.replace(shard, high=b"#%03d" % (999 - number))

    assert made == [*range(1, 257), *[None] * 44]
    assert len(state(shards, 1)) == 257


def test_counts_that_do_not_add_up_are_not_written(state):
    state.running(cuts=())
    shard = take(state)
    done = PageDone(cursor=b"#1", counts=JobCounts(read=10, kept=9), batch=500)

    with pytest.raises(JobStateError, match="counts_add_up"):
        state(checkpoint, shard, done, lease=30.0)
    assert state(shards, 1)[0] == shard


def dead_page(*keys, count=None):
    counts = JobCounts(read=5, kept=5 - len(keys), dead=len(keys) if count is None else count)
    dead = [(key, "too large") for key in keys]
    return PageDone(cursor=b"#1", counts=counts, batch=500, dead=dead)


def test_dead_rows_are_kept_with_the_page_that_had_them(state):
    state.running(cuts=())
    orders = state(checkpoint, take(state), dead_page(b"#3", b"#4"), lease=30.0)

    assert [(row.key, row.error) for row in state(dead_rows, 1)] == [
        (b"#3", "too large"),
        (b"#4", "too large"),
    ]
    assert orders.dead == 2


def test_dead_rows_without_keys_are_refused_and_nothing_is_written(state):
    state.running(cuts=())
    shard = take(state)
    done = dataclasses.replace(dead_page(b"#3"), dead=())

    with pytest.raises(JobRefusedError, match="1 rows are dead, 0 keys"):
        state(checkpoint, shard, done, lease=30.0)
    assert state(shards, 1)[0] == shard


def test_dead_rows_that_were_written_after_all_count_as_kept(state):
    state.running(cuts=())
    shard = take(state)
    state(checkpoint, shard, dead_page(b"#3", b"#4"), lease=30.0)
    state(checkpoint, shard, dead_page(b"#3"), lease=30.0)

    assert state(take_dead, 1, [b"#3", b"#7"]) == 2
    counts = state(shards, 1)[0].counts
    assert (counts.read, counts.kept, counts.dead) == (10, 9, 1)
    assert [row.key for row in state(dead_rows, 1)] == [b"#4"]


def test_a_restart_begins_anew_and_takes_the_shards_of_those_who_work(state):
    state.running(cuts=())
    shard = take(state)
    state(checkpoint, shard, dead_page(b"#3"), lease=30.0)
    state(restart, 1)

    again = state(shards, 1)[0]
    assert (again.cursor, again.counts, again.status) == (None, JobCounts(), ShardStatus.READY)
    assert list(state(dead_rows, 1)) == []
    assert state(checkpoint, shard, page(), lease=30.0) is None


@pytest.mark.parametrize(("policy", "started"), [("stale", 1_041.0), ("missing", 1_000.0)])
def test_after_a_restart_the_speed_and_the_ttl_are_those_of_the_new_run(state, policy, started):
    state.running(cuts=(), spec=spec_of(policy=policy))
    shard = take(state)
    state(checkpoint, shard, page(seconds=5.0), lease=30.0)
    state.now += 40.0
    assert take(state).repeated == 1
    state.now += 1.0
    state(restart, 1)

    job = state(find_job, 1)
    assert (job.started, job.seconds_running) == (started, 0.0)  # "missing" leaves values with an older ttl
    assert state(shards, 1)[0].repeated == 0


def test_findings_are_kept_until_they_are_cleared(state):
    state.planned()
    one = Finding(job=1, key=b"#3", kind="wrong", at=5.0)
    state(add_findings, 1, [one, dataclasses.replace(one, kind="missing")])

    assert state(findings, 1) == [dataclasses.replace(one, kind="missing")]
    state(clear_findings, 1)
    assert state(findings, 1) == []


@pytest.fixture
def log(state):
    state.running()
    state(append, 1, by="ada", what="note", facts={"text": "é", "rows": 5})
    return state(lines, 1), state(find_job, 1).log_head


def test_a_whole_log_has_no_bad_line(log):
    assert first_bad_line(*log) is None


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(LogLine)])
def test_the_first_line_of_which_a_byte_was_changed_is_found(log, field):
    found, head = log
    for at, line in enumerate(found):
        value = getattr(line, field)
        if isinstance(value, str):
            changes = [value[:n] + chr(ord(letter) ^ 1) + value[n + 1 :] for n, letter in enumerate(value)]
            changes += [value + " ", value[:-1]] if value else ["x"]
        else:
            changes = [value + 1, value - 1]
        for change in changes:
            bad = dataclasses.replace(line, **{field: change})
            assert first_bad_line([*found[:at], bad, *found[at + 1 :]], head) == at + 1


def test_a_line_that_was_removed_is_found(log):
    found, head = log

    for at in range(len(found)):
        assert first_bad_line([*found[:at], *found[at + 1 :]], head) == at + 1


def test_lines_in_another_order_are_found(log):
    found, head = log

    assert first_bad_line([found[1], found[0], *found[2:]], head) == 1


def test_a_log_that_was_cut_at_any_line_is_found(log):
    found, head = log

    for left in range(len(found)):
        assert first_bad_line(found[:left], head) == left + 1


def test_a_line_that_was_written_behind_the_chain_is_found(log):
    found, _ = log

    assert first_bad_line(found, found[-2].hash) == len(found) + 1
