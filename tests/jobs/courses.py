"""Courses of a job: workers that are killed, operators, faults and writers, drawn at random, in virtual time.

``python -m tests.jobs.courses --courses 1000`` runs so many of them, and prints the seed of each that ends
wrong.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from contextlib import aclosing, suppress
from dataclasses import dataclass
from pathlib import Path

import anyio
import looptime
from anyio import CancelScope, create_task_group, current_time, move_on_after, sleep, sleep_forever

from async_backfill._jobs._errors import JobError
from async_backfill._jobs._packing import unpack
from async_backfill._jobs._records import JobCounts, JobStatus, Wanted
from async_backfill._jobs._running.worker import work
from async_backfill._jobs._spec import JobSettings, ThrottleLimits
from async_backfill._jobs._state.approvals import approve, revoke
from async_backfill._jobs._state.dead import dead_rows
from async_backfill._jobs._state.log import first_bad_line, lines
from async_backfill._jobs._verifying.verifying import Request
from async_backfill.outcomes import Failed
from tests.jobs.table import Table, ends_of
from tests.jobs.working import Job, state_in, wall

WHAT = (
    *("kill", "kill", "spawn", "spawn", "pause", "resume", "resume", "set", "stop"),
    *("store down", "store up", "source down", "source up", "update", "update", "delete", "insert"),
    *("revoke", "approve", "forget", "lease", "cancel"),
)
RARE = {"forget": 0.2, "cancel": 0.1}
OVER = {JobStatus.DONE, JobStatus.DONE_WITH_GAPS, JobStatus.CANCELLED}


@dataclass(frozen=True)
class Step:
    """What happens ``after`` so many seconds, to the worker or row of that number."""

    after: float
    what: str
    number: int


@dataclass(frozen=True)
class Course:
    """One course; ``poisoned`` are numbers of rows that cannot be made."""

    rows: int
    cuts: int
    lanes: int
    batch: int
    policy: str
    poisoned: frozenset[int]
    steps: tuple[Step, ...]


def draw(seed: int) -> Course:
    """Return the course of that seed."""
    draws = random.Random(seed)
    rows = draws.choice([0, 1, 7, 40, 40, 120])
    steps = []
    for _ in range(draws.randint(0, 14)):
        what = draws.choice(WHAT)
        if draws.random() < RARE.get(what, 1.0):
            steps.append(Step(draws.choice([0.0, 0.01, 0.06, 0.3, 2.0]), what, draws.randrange(1000)))
    return Course(
        rows=rows,
        cuts=draws.choice([0, 1, 4]) if rows > 4 else 0,
        lanes=draws.choice([1, 2, 3]),
        batch=draws.choice([1, 3, 10]),
        policy=draws.choice(["missing", "stale", "all"]),
        poisoned=frozenset(draws.sample(range(rows), draws.choice([0, 0, 1])) if rows else ()),
        steps=tuple(steps),
    )


class SlowTable(Table):
    """A table whose pages take a moment, and which may be down."""

    is_down = False

    async def rows(self, **bounds):
        async with aclosing(super().rows(**bounds)) as pages:
            while True:
                await sleep(0.05)
                if self.is_down:
                    raise ConnectionError("the source is down")
                page = await anext(pages, None)
                if page is None:
                    return
                await sleep(0.03)  # on its way
                yield page


class Process:
    """A worker in a process of its own: once killed, nothing that it does reaches anybody."""

    def __init__(self, run, name):
        self.run = run
        self.name = name
        self.stop = anyio.Event()
        self.is_dead = False
        self.scope = CancelScope()
        self.store = run.job.store.peer()
        self.store.link.latency = 0.02
        if run.is_store_down:
            self.store.link.fail()

    async def transact(self, work):
        """Pass ``work`` on to the state, unless dead."""
        if self.is_dead:
            await sleep_forever()
        return await self.run.job.state.transact(work)

    async def live(self):
        """Work until the end, or until killed."""
        job, run = self.run.job, self.run
        ends = ends_of(job.table, self.store, job.facts)
        with self.scope, suppress(JobError):
            await work(
                self,
                job.id,
                ends,
                owner=self.name,
                stop=self.stop,
                lease=5.0,
                wall=wall,
                request=Request(apart=0.1),
            )
        run.processes.pop(self.name, None)

    def kill(self):
        """End it at once, in the midst of whatever it does."""
        self.is_dead = True
        self.store.link.fail()
        self.scope.cancel()


class Run:
    """One run of a course."""

    def __init__(self, course, state, tasks):
        self.course = course
        self.tasks = tasks
        self.processes = {}
        self.is_store_down = False
        self.touched = set()
        self.deleted = set()
        self.kills = self.spawned = 0
        self.has_forgotten = self.has_been_emptied = self.is_over = False
        table = SlowTable({self.key(number): f"value {number}" for number in range(course.rows)})
        for number in course.poisoned:
            table.data[self.key(number)] = Failed(ValueError("poisoned"))
        self.job = Job(
            state,
            course.rows,
            cuts=course.cuts,
            table=table,
            policy=course.policy,
            settings=JobSettings(batch=course.batch, lanes=course.lanes),
            throttle=ThrottleLimits(patience=100.0, error_rate=1.0),
        )
        self.writer = self.job.store.peer()

    @staticmethod
    def key(number):
        return f"k{number:05}"

    def spawn(self):
        self.spawned += 1
        process = Process(self, f"p{self.spawned}")
        self.processes[process.name] = process
        self.tasks.start_soon(process.live)

    async def step(self, step):  # noqa: C901, PLR0912 - a list of cases
        """Let what ``step`` says happen."""
        job, key = self.job, self.key(step.number % max(1, self.course.rows))
        alive = list(self.processes.values())
        match step.what:
            case "kill" | "stop" if alive:
                process = alive[step.number % len(alive)]
                if step.what == "kill":
                    self.kills += 1
                    process.kill()
                else:
                    process.stop.set()
            case "spawn" if len(alive) < 3:
                self.spawn()
            case "pause" | "cancel":
                with suppress(JobError):
                    job.want(Wanted.PAUSE if step.what == "pause" else Wanted.CANCEL)
            case "resume":
                with suppress(JobError):
                    job.start()
                    if not alive:
                        self.spawn()
            case "set":
                with suppress(JobError):
                    rate = [None, 50.0][step.number % 2]
                    job.set(JobSettings(batch=1 + step.number % 9, lanes=1 + step.number % 4, rate=rate))
            case "revoke":
                with suppress(JobError):
                    job.state.now(revoke, job.id, by="bob", reason="no")
            case "approve":
                with suppress(JobError):
                    self.approve()
            case "store down" | "store up":
                self.is_store_down = step.what == "store down"
                for process in alive:
                    (process.store.link.fail if self.is_store_down else process.store.link.recover)()
            case "source down" | "source up":
                job.table.is_down = step.what == "source down"
            case "lease":
                await self.writer.leases.acquire_many([key], step.number.to_bytes(24, "big"))
            case "forget":
                self.has_forgotten = self.has_forgotten or (bool(job.facts.marks) and job.count("read") > 0)
                self.has_been_emptied = True
                self.is_over = job.record.status in OVER
                await self.writer.clear()
                job.facts.marks.clear()
            case "update" | "delete" | "insert":
                await self.write(step, key)

    async def write(self, step, key):
        """Change a row as an application does: in the source, and a moment later in the store."""
        table = self.job.table
        if step.what == "insert":
            key = f"{key}b"
        self.touched.add(key)
        if step.what == "delete":
            table.data.pop(key, None)
            self.deleted.add(key)
            await sleep(0.01)
            await self.writer.delete_many([key])
            return
        value = f"new {step.number}"
        table.data[key] = value
        self.deleted.discard(key)
        await sleep(0.01)
        await self.writer.set_many({key: value})

    def approve(self):
        job = self.job
        allowed = {"max_rows": 10**6, "seconds": 1e6}
        job.state.now(approve, job.id, plan_hash=job.record.plan_hash, by="bob", reason="on", **allowed)

    async def heal(self):
        """Make everything work again, and work until the job is over."""
        self.is_store_down = self.job.table.is_down = False
        for process in list(self.processes.values()):
            process.store.link.recover()
        for _ in range(6):
            end = current_time() + 200.0
            while self.processes and current_time() < end:  # noqa: ASYNC110 - in virtual time
                await sleep(0.5)
            assert not self.processes, f"still at work: {self.processes} {self.job.record.status}"
            if self.job.record.status in OVER or self.is_lost():
                return
            with suppress(JobError):
                self.approve()
            with suppress(JobError):
                self.job.start()
            self.spawn()
            await sleep(0.0)

    def is_lost(self):
        record = self.job.record
        return record.status is JobStatus.FAILED and "lost its memory" in (record.reason or "")

    def check(self):
        """Check what holds at any moment."""
        for shard in self.job.shards:
            counts = shard.counts
            parts = counts.kept + counts.newer + counts.leased + counts.rejected + counts.dead
            assert counts.read == parts, counts

    async def check_end(self):
        """Check what holds at the end."""
        job = self.job
        record = job.record
        self.check()
        said = job.state.now(lines, job.id)
        assert first_bad_line(said, record.log_head) is None
        if record.status is JobStatus.CANCELLED or self.is_over:  # the store was emptied afterwards
            return
        if self.has_been_emptied and self.is_lost():
            return
        assert record.status in OVER, (record.status, record.reason)
        assert not self.has_forgotten, "the store had lost its memory, and the job says that it is done"
        keys = tuple({*job.table.data, *self.deleted})
        found = await self.writer.get_many(keys) if keys else {}
        dead = {unpack(row.key) for row in job.state.now(dead_rows, job.id)}
        leased = job.count("leased")
        missing = []
        for key, value in job.table.data.items():
            if isinstance(value, Failed):
                assert key in dead or key in self.touched, key
            elif key in found:
                assert found[key].value == value, (key, found[key].value, value)
            elif key not in self.touched and key not in dead:
                missing.append(key)
        assert len(missing) <= leased, missing
        assert not [key for key in self.deleted if key in found], "deleted rows are back"
        total = sum((shard.counts for shard in job.shards), JobCounts())
        repeated = sum(shard.repeated for shard in job.shards)
        assert total.read <= self.course.rows + len(self.touched)
        assert repeated <= self.kills * 4 + 3 * self.spawned, repeated


async def run_course(course, folder):
    """Run ``course`` with its state in ``folder``; raises what ends wrong."""
    with state_in(folder) as state:
        async with create_task_group() as tasks:
            run = Run(course, state, tasks)
            run.spawn()
            with move_on_after(10_000.0) as limit:
                for step in course.steps:
                    await sleep(step.after)
                    await run.step(step)
                    run.check()
                await run.heal()
                await run.check_end()
            assert not limit.cancelled_caught, "it never ended"
            tasks.cancel_scope.cancel()


def main() -> int:
    """Run the courses that the command line asks for; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.jobs.courses", description=__doc__)
    parser.add_argument("--courses", type=int, default=1000, help="how many")
    parser.add_argument("--seed", type=int, default=0, help="of the first one")
    options = parser.parse_args()
    wrong = 0
    for seed in range(options.seed, options.seed + options.courses):
        with tempfile.TemporaryDirectory() as name:
            loop = {"loop_factory": lambda: looptime.new_event_loop(start=0.0, end=None, noop_cycles=0)}
            try:
                anyio.run(run_course, draw(seed), Path(name), backend_options=loop)
            except BaseException as error:
                if isinstance(error, KeyboardInterrupt):
                    raise
                while isinstance(error, BaseExceptionGroup):
                    error = error.exceptions[0]
                wrong += 1
                print(f"seed {seed}: {type(error).__name__}: {error}", flush=True)  # noqa: T201
    print(f"{options.courses} courses, {wrong} ended wrong")  # noqa: T201
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
