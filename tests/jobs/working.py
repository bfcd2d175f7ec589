"""Jobs that run in virtual time: a state whose clock is that of the event loop, a table and a store."""

from __future__ import annotations

from contextlib import aclosing, contextmanager

from anyio import current_time, sleep

from async_backfill._jobs._errors import JobStateError
from async_backfill._jobs._packing import pack
from async_backfill._jobs._running.worker import work
from async_backfill._jobs._state.approvals import approve, start
from async_backfill._jobs._state.file import StateFile
from async_backfill._jobs._state.jobs import add_job, find_job, set_settings, want
from async_backfill._jobs._state.shards import shards
from async_backfill._jobs._verifying.verifying import Request
from async_backfill.contracts import GuardedStore
from async_backfill.testing import MemoryFarStore
from tests.jobs.state_rows import plan_of
from tests.jobs.table import Facts, Table, ends_of, rows_of, spec_of

BEGIN = 1_000_000.0


def wall():
    return BEGIN + current_time()


class DirectState:
    """A state of jobs that takes no time, so that the clock may jump; ``broken`` is what each call raises."""

    def __init__(self, path):
        self._file = StateFile(str(path), create=True, clock=wall)
        self.broken = None
        self.calls = 0

    async def transact(self, work):
        self.calls += 1
        if self.broken is not None:
            raise JobStateError(self.broken)
        return self._file.transact(work)

    def now(self, function, *arguments, **settings):
        """Call a function of the state in a transaction."""
        return self._file.transact(lambda tx: function(tx, *arguments, **settings))

    def close(self):
        self._file.close()


@contextmanager
def state_in(folder):
    state = DirectState(folder / "jobs.sqlite")
    try:
        yield state
    finally:
        state.close()


class Job:
    """A job over a table of so many rows, approved and started."""

    def __init__(self, state, rows=5_000, *, cuts=3, table=None, max_rows=10**9, seconds=1e9, **spec):
        self.state = state
        self.table = Table(rows_of(rows)) if table is None else table
        self.store = MemoryFarStore()
        self.facts = Facts()
        keys = sorted(self.table.data)
        places = [pack(keys[len(keys) * n // (cuts + 1)]) for n in range(1, cuts + 1)] if keys else []
        plan = plan_of(spec=spec_of(**spec), rows=rows, cuts=tuple(places), schema=None)
        self.id = state.now(add_job, plan, by="ada").id
        allowed = {"max_rows": max_rows, "seconds": seconds}
        state.now(approve, self.id, plan_hash=plan.hash, by="bob", reason="new prices", **allowed)
        self.start()

    def start(self):
        return self.state.now(start, self.id, by="bob")

    def want(self, wanted, reason="asked"):
        return self.state.now(want, self.id, wanted, by="bob", reason=reason)

    def set(self, settings):
        return self.state.now(set_settings, self.id, settings, by="bob")

    def ends(self):
        return ends_of(self.table, self.store, self.facts)

    def on(self, store):
        """Copy into ``store``."""
        self.store = store
        return self

    async def work(self, owner="w1", *, ends=None, **settings):
        given = {"lease": 30.0, "wall": wall, "request": Request(apart=0.1)} | settings
        return await work(self.state, self.id, self.ends() if ends is None else ends, owner=owner, **given)

    @property
    def record(self):
        return self.state.now(find_job, self.id)

    @property
    def shards(self):
        return self.state.now(shards, self.id)

    def count(self, name):
        return sum(getattr(shard.counts, name) for shard in self.shards)

    async def wrong(self):
        """The keys whose copy is not their row."""
        keys = tuple(self.table.data)
        found = await self.store.get_many(keys) if keys else {}
        return [key for key in keys if key not in found or found[key].value != self.table.data[key]]


class Shelf(GuardedStore):
    """A guarded store whose writes ``before`` may delay or fail."""

    deadline = 10.0

    def __init__(self, before=None):
        self.inner = MemoryFarStore()
        self.before = before
        self.writes = []

    def now(self):
        return self.inner.now()

    async def get_many(self, keys, /):
        return await self.inner.get_many(keys)

    async def delete_many(self, keys, /):
        await self.inner.delete_many(keys)

    async def set_page(self, items, /, *, read_at, ttl=None):
        self.writes.append(tuple(items))
        if self.before is not None:
            await self.before(items)
        return await self.inner.set_page(items, read_at=read_at, ttl=ttl)


class Broken(Table):
    """A table that fails where ``fails`` says so."""

    def __init__(self, rows, fails):
        super().__init__(rows)
        self.fails = fails
        self.sizes = []

    async def rows(self, *, after=None, until=None, page=5000):
        async with aclosing(super().rows(after=after, until=until, page=page)) as pages:
            while True:
                self.sizes.append(page)
                await self.fails(after, page)
                found = await anext(pages, None)
                if found is None:
                    return
                after = found.cursor
                yield found


def slow(rows=2_000):
    """A table whose pages take half a second."""

    async def moment(_, __):
        await sleep(0.5)

    return Broken(rows_of(rows), moment)
