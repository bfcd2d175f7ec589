"""A source in memory for jobs: rows in ranges, loads by key, and facts, all of which can change or fail."""

from __future__ import annotations

from anyio import sleep_forever

from async_backfill._jobs._ends import JobEnds
from async_backfill._jobs._spec import JobSpec
from async_backfill.contracts import RowPage, StoreState
from async_backfill.outcomes import Failed


class Table:
    """Rows in the order of their keys; a row that is a `Failed` cannot be made.

    ``slow_cuts``
        the number of shards above which the cuts are never found.
    """

    def __init__(self, rows=(), *, slow_cuts=None):
        self.data = dict(rows)
        self.columns = "id text, value text"
        self.counted_as = None
        self.slow_cuts = slow_cuts
        self.asked_cuts = []
        self.reads = 0

    async def rows(self, *, after=None, until=None, page=5000):
        while True:
            self.reads += 1
            keys = sorted(
                key for key in self.data if (after is None or key > after) and (until is None or key <= until)
            )[:page]
            if not keys:
                return
            after = keys[-1]
            yield RowPage(
                {key: self.data[key] for key in keys if not isinstance(self.data[key], Failed)},
                cursor=after,
                failed={key: self.data[key] for key in keys if isinstance(self.data[key], Failed)},
            )

    async def cuts(self, shards):
        self.asked_cuts.append(shards)
        if self.slow_cuts is not None and shards > self.slow_cuts:
            await sleep_forever()
        keys = sorted(self.data)
        return [keys[len(keys) * cut // shards - 1] for cut in range(1, shards) if len(keys) * cut // shards]

    async def load_many(self, keys):
        return {key: self.data[key] for key in keys if key in self.data}

    async def count(self):
        return (len(self.data), "counted") if self.counted_as is None else self.counted_as

    async def schema(self):
        return self.columns

    async def lag(self):
        return None

    async def middle(self, after, until):
        keys = sorted(key for key in self.data if (after or "") < key and (until is None or key < until))
        return keys[len(keys) // 2] if keys else None

    async def load(self, query):  # noqa: ARG002
        return 0.0


class Facts:
    """The facts of a store with so many bytes in use."""

    def __init__(self, used=None, limit=None):
        self.used, self.limit, self.marks = used, limit, {}

    async def mark(self, name, value):
        self.marks[name] = value

    async def marked(self, name):
        return self.marks.get(name)

    async def unmark(self, name):
        self.marks.pop(name, None)

    async def state(self):
        return StoreState(used=self.used, limit=self.limit)


def ends_of(table, store, facts=None, **others):
    return JobEnds(rows=table, source=table, store=store, source_facts=table, store_facts=facts, **others)


def spec_of(**changes):
    given = {"name": "shop", "source": {"kind": "test"}, "store": {"kind": "test"}}
    return JobSpec(**given | changes)


def rows_of(count):
    """So many rows of text."""
    return {f"k{number:05}": f"value {number}" for number in range(count)}
