"""One run of a course: its processes, its operator, its faults, and what must hold at its end."""

from __future__ import annotations

from contextlib import aclosing, suppress

import anyio
from anyio import CancelScope, current_time, sleep, sleep_forever

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
from tests.jobs.working import Job, wall

OVER = {JobStatus.DONE, JobStatus.DONE_WITH_GAPS, JobStatus.CANCELLED}


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
