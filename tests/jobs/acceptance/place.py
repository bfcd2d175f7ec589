"""A table, a store and a state for a job of the product: all in files, or in PostgreSQL and Valkey."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa

from async_backfill._jobs._running.worker import work
from async_backfill.jobs import JobEnds, JobRecord, Jobs, JobSettings, JobSpec, open_ends
from async_backfill.jobs._states import state_at
from async_backfill.sources.sql import open_database
from tests.servers.postgres import start_postgres
from tests.servers.valkey import Valkey, start_valkey

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from async_backfill.contracts import JobState

_PASSWORD = "ACCEPTANCE_PASSWORD"  # noqa: S105 - the name of a variable
_AT_ONCE = 10_000


class Shown(NamedTuple):
    """What one program showed: whether it ``holds``, and its figures in one line."""

    holds: bool
    figures: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the table, the store and the state are.

    ``state_url``
        of the state, which is a file without it.
    ``valkey``
        the server of the store, in the process that started it; ``None`` for a file.
    """

    folder: str
    source: str
    store: dict[str, Any]
    state_url: str | None = None
    valkey: Valkey | None = None

    @property
    def state(self) -> str:
        """The file of the state, or its URL."""
        return self.state_url or f"{self.folder}/jobs.sqlite"

    @property
    def kind(self) -> str:
        """Where the ends are, in a word."""
        return "files" if self.store["kind"] == "sqlite" else "servers"

    @property
    def url(self) -> str:
        """The URL of the source with its password."""
        return os.path.expandvars(self.source)

    def spec(self, *, settings: JobSettings, **others: Any) -> JobSpec:
        """Return a job that copies the table into the store."""
        source = {"kind": "sql", "url": self.source, "table": "products", "key": "id", "value": "price"}
        return JobSpec(
            **{"name": "shop", "source": source, "store": self.store, "settings": settings} | others
        )


@contextmanager
def in_files() -> Iterator[Place]:
    """A place of which all is in SQLite, in a folder that is removed in the end."""
    with tempfile.TemporaryDirectory() as folder:
        store = {"kind": "sqlite", "file": f"{folder}/cache.db", "max_bytes": 8_000_000_000}
        yield Place(folder=folder, source=f"sqlite:///{folder}/shop.db", store=store)


@contextmanager
def on_servers(*arguments: str) -> Iterator[Place]:
    """A place with a PostgreSQL, also of the state, and a Valkey; ``arguments`` go to the latter."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        url = sa.make_url(stack.enter_context(start_postgres()).url)
        os.environ[_PASSWORD] = str(url.password)
        source = url.set(password="PASSWORD").render_as_string(hide_password=False)  # noqa: S106 - replaced
        valkey = stack.enter_context(start_valkey(Path(folder) / "valkey", *arguments))
        yield Place(
            folder=folder,
            source=source.replace(":PASSWORD@", f":${{{_PASSWORD}}}@"),
            store={"kind": "redis", "url": valkey.url},
            state_url=url.update_query_dict({"schema": "jobs"}).render_as_string(hide_password=False),
            valkey=valkey,
        )


@contextmanager
def anew(place: Place, name: str) -> Iterator[Place]:
    """The same servers with an empty store and a state of its own; files in a folder of their own."""
    folder = Path(place.folder) / name
    folder.mkdir()
    store = dict(place.store)
    if "file" in store:
        store["file"] = f"{folder}/cache.db"
    else:
        store["namespace"] = name
    state = None if place.state_url is None else f"{place.state_url.partition('?')[0]}?schema={name}"
    yield replace(place, folder=str(folder), store=store, state_url=state)


async def execute(place: Place, statement: str, rows: Any = None) -> list[Any]:
    """Run a statement in the database of the source; return what it finds."""
    async with open_database(place.url) as engine, engine.begin() as connection:
        result = await connection.execute(sa.text(statement), rows)
        return list(result) if result.returns_rows else []


async def make_table(place: Place, rows: int, *, size: int = 90) -> None:
    """Make the table of so many rows, each of which has about ``size`` letters."""
    async with open_database(place.url) as engine, engine.begin() as connection:
        if engine.dialect.name == "sqlite":
            await connection.execute(sa.text("PRAGMA journal_mode = WAL"))  # others write while it is read
        await connection.execute(sa.text("DROP TABLE IF EXISTS products"))
        await connection.execute(
            sa.text("CREATE TABLE products (id INTEGER PRIMARY KEY, price TEXT NOT NULL)")
        )
        insert = sa.text("INSERT INTO products VALUES (:id, :price)")
        for first in range(0, rows, _AT_ONCE):
            some = range(first, min(rows, first + _AT_ONCE))
            await connection.execute(
                insert, [{"id": n, "price": f"price of {n} ".ljust(size, "x")} for n in some]
            )
    async with open_database(place.url) as engine, engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.execute(sa.text("ANALYZE"))


async def approved(place: Place, spec: JobSpec) -> int:
    """Plan a job, approve it and let it run; return its number."""
    async with Jobs(place.state) as jobs:
        job = await jobs.plan(spec, by="ada")
        allowed = {"max_rows": 10**9, "seconds": 1e6}
        await jobs.approve(job.id, plan_hash=job.plan_hash, by="bob", reason="acceptance", **allowed)
        return (await jobs.resume(job.id, by="bob")).id


@asynccontextmanager
async def ends_of(place: Place, job: int) -> AsyncIterator[tuple[JobState, JobEnds[Any, Any]]]:
    """Open the state and the ends of a job."""
    async with state_at(place.state, create=False) as state:
        spec = (await Jobs(state).status(job)).plan.spec
        async with open_ends(spec) as ends:
            yield state, ends


async def worked(
    place: Place,
    job: int,
    *,
    wrap: Callable[[JobEnds[Any, Any]], JobEnds[Any, Any]] = lambda ends: ends,
    **settings: Any,
) -> JobRecord:
    """Work on a job to its end; return how it is then."""
    async with ends_of(place, job) as (state, ends):
        return await work(state, job, wrap(ends), **{"owner": "w1", **settings})


async def differing(place: Place, job: int) -> tuple[int, int]:
    """Return how many rows have another copy, and how many have none."""
    wrong = missing = 0
    async with ends_of(place, job) as (_, ends):
        async for page in ends.rows.rows():
            found = await ends.store.get_many(tuple(page))
            missing += len(page) - len(found)
            wrong += sum(copy.value != page[key] for key, copy in found.items())
    return wrong, missing


async def entries(place: Place, job: int) -> int:
    """Return how many keys the store has by its own list."""
    keys: set[Any] = set()
    async with ends_of(place, job) as (_, ends):
        page = await ends.store.list_keys(None, 1000)
        keys.update(page.keys)
        while page.cursor is not None:
            page = await ends.store.list_keys(page.cursor, 1000)
            keys.update(page.keys)
    return len(keys)
