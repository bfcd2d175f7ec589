"""The file of a far store: whose it is, what is refused, and what becomes of it."""

from __future__ import annotations

import os
import random
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from functools import partial

import pytest
from anyio import create_task_group, to_thread

from async_backfill import StoreError
from async_backfill.stores.sqlite import SQLiteStore
from tests.forked import ROOT, printed_by
from tests.stores.test_sqlite import values

pytestmark = pytest.mark.anyio

ON_POSIX = pytest.mark.skipif(sys.platform == "win32", reason="files of POSIX")


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "cache.db"


async def is_refused(path, text):
    """Assert that neither reading nor writing works, with one line, and that the file stays as it is."""
    before = path.read_bytes()
    store = SQLiteStore(path, namespace="n")
    for call in (store.get_many(["a"]), store.set_many({"a": 1}), store.clear(), store.__aenter__()):
        with pytest.raises(StoreError) as refused:
            await call
        assert str(refused.value) == f"{path}: {text}"
    await store.aclose()
    assert path.read_bytes() == before


@ON_POSIX
async def test_the_file_and_those_beside_it_are_for_their_owner_alone(path):
    mask = os.umask(0)
    try:
        async with SQLiteStore(path, namespace="n") as store:
            await store.set_many({"a": 1})
            modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    finally:
        os.umask(mask)

    assert modes == dict.fromkeys(("cache.db", "cache.db-wal", "cache.db-shm"), 0o600)


async def test_a_file_that_is_no_database_is_refused(path):
    path.write_text("key,value\n" * 1_000)
    await is_refused(path, "it is no file of SQLiteStore: name another one")


async def test_a_database_of_other_software_is_refused(path):
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE entry (name TEXT)")
    await is_refused(path, "it is no file of SQLiteStore: name another one")


async def test_a_file_of_a_newer_release_is_refused(path):
    async with SQLiteStore(path, namespace="n"):
        pass
    with closing(sqlite3.connect(path)) as newer:
        newer.execute("PRAGMA user_version = 3")
    await is_refused(path, "its format is 3, this release has 2: name another file")


async def test_a_damaged_file_is_refused_or_what_is_damaged_is_a_miss(path):
    rows = {number: f"value {number}" * 10 for number in range(2_000)}
    async with SQLiteStore(path, namespace="n") as store:
        await store.set_many(rows)
    whole = path.read_bytes()
    draws = random.Random(7)
    said = set()
    for size in (1, 100, 5_000) * 10:
        begin = draws.randrange(100, len(whole))
        path.write_bytes(whole[:begin] + draws.randbytes(size) + whole[begin + size :])
        try:
            async with SQLiteStore(path, namespace="n") as store:
                assert (await values(store, list(rows))).items() <= rows.items()
                await store.set_many({"a": 1})
        except StoreError as error:
            said.add(str(error))

    assert said
    assert all(line.startswith(f"{path}: ") and "\n" not in line for line in said)


@pytest.mark.parametrize(("name", "text"), [("", "is not a regular file"), ("none/cache.db", "no such file")])
async def test_a_place_where_no_file_can_be_is_an_error_of_one_line(tmp_path, name, text):
    store = SQLiteStore(tmp_path / name, namespace="n")
    with pytest.raises(StoreError, match=text):
        await store.get_many(["a"])


@ON_POSIX
@pytest.mark.parametrize("others", [False, True])
async def test_a_file_that_was_removed_is_made_again_for_all(path, others):
    async with SQLiteStore(path, namespace="n") as store, SQLiteStore(path, namespace="n") as peer:
        await store.set_many({"a": 1})
        assert await values(peer, ["a"]) == {"a": 1}
        for file in path.parent.iterdir() if others else [path]:
            file.unlink()
        assert await values(peer, ["a"]) == {}
        await peer.set_many({"b": 2})

        assert await values(store, ["a", "b"]) == {"b": 2}
        with closing(sqlite3.connect(path)) as other:
            assert other.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@ON_POSIX
async def test_opening_it_again_leaves_the_locks_of_the_first(path):
    alone = "import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute('PRAGMA journal_mode = DELETE'))"
    async with SQLiteStore(path, namespace="n") as store:
        await store.set_many({"a": 1})
        async with SQLiteStore(path, namespace="n") as second:
            await second.set_many({"b": 1})
        done = await to_thread.run_sync(
            partial(subprocess.run, [sys.executable, "-c", alone, path], capture_output=True, check=False)
        )

        assert b"database is locked" in done.stderr


async def test_two_that_begin_at_once_make_one_file(path):
    stores = [SQLiteStore(path, namespace="n") for _ in range(8)]
    async with create_task_group() as tasks:
        for number, store in enumerate(stores):
            tasks.start_soon(store.set_many, {number: number})
    for store in stores:
        await store.aclose()
    assert [file.name for file in path.parent.iterdir()] == ["cache.db"]
    async with SQLiteStore(path, namespace="n") as store:
        assert await values(store, range(8)) == {number: number for number in range(8)}


@ON_POSIX
def test_a_disk_without_room_is_an_error_and_what_is_there_can_be_read(path):
    lines = printed_by(
        """
        import resource
        from async_backfill.stores.sqlite import SQLiteStore

        async def main():
            async with SQLiteStore(sys.argv[1], namespace="n") as store:
                await store.set_many({"a": 1})
                free = resource.getrlimit(resource.RLIMIT_FSIZE)
                resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, free[1]))
                try:
                    await store.set_many({number: b"x" * 1000 for number in range(1000)})
                except StoreError as error:
                    print(error)
                print((await store.get_many(["a"]))["a"].value, await store.get_many([1, 2, 3]))
                resource.setrlimit(resource.RLIMIT_FSIZE, free)
                await store.set_many({"b": 2})
                print([copy.value for copy in (await store.get_many(["a", "b"])).values()])

        asyncio.run(main())
        """,
        str(path),
    )

    assert lines[0].startswith(f"{path}: ")
    assert lines[1:] == ["1 {}", "[1, 2]"]


@ON_POSIX
def test_a_forked_process_has_connections_of_its_own(path):
    lines = printed_by(
        """
        from async_backfill.stores.sqlite import SQLiteStore

        store = SQLiteStore(sys.argv[1], namespace="n")

        async def work(mine):
            for number in range(20):
                await store.set_many({(mine, number): number})
            found = await store.get_many([(mine, number) for number in range(20)])
            await store.aclose()
            return len(found)

        async def main():
            await store.set_many({"a": 1})
            told = [in_child(lambda mine=mine: asyncio.run(work(mine))) for mine in range(3)]
            print(await work("parent"), *(tell() for tell in told))

        asyncio.run(main())
        """,
        str(path),
    )

    assert lines == ["20 20 20 20"]


@ON_POSIX
def test_what_a_forked_process_writes_is_kept_when_its_parent_closes(path):
    lines = printed_by(
        """
        from async_backfill.stores.sqlite import SQLiteStore

        store = SQLiteStore(sys.argv[1], namespace="n")
        written, closed = os.pipe(), os.pipe()

        async def child():
            await store.set_many({"before": 1})
            os.write(written[1], b"x")
            os.read(closed[0], 1)
            await store.set_many({"after": 1})
            found = sorted(await store.get_many(["parent", "before", "after", "another"]))
            await store.aclose()
            return found

        async def main():
            await store.set_many({"parent": 1})
            told = in_child(lambda: asyncio.run(child()))
            os.read(written[0], 1)
            await store.aclose()
            async with SQLiteStore(sys.argv[1], namespace="n") as another:
                await another.set_many({"another": 1})
                os.write(closed[1], b"x")
                print(told())
                print(sorted(await another.get_many(["parent", "before", "after", "another"])))

        asyncio.run(main())
        """,
        str(path),
    )

    assert lines == ["['after', 'another', 'before', 'parent']"] * 2


@ON_POSIX
def test_a_fork_waits_for_calls_and_who_is_forked_in_one_is_refused(path):
    lines = printed_by(
        """
        import threading
        from async_backfill.stores._sqlite import connections
        from async_backfill.stores.sqlite import SQLiteStore

        store = SQLiteStore(sys.argv[1], namespace="n")

        async def child():
            await store.set_many({"b": 2})
            return sorted(await store.get_many(["a", "b"]))

        async def main():
            await store.set_many({"a": 1})
            lent, may_end = threading.Event(), threading.Event()

            def call():
                with store._connections.get().one():
                    lent.set()
                    may_end.wait()

            thread = threading.Thread(target=call)
            thread.start()
            lent.wait()
            threading.Timer(0.1, may_end.set).start()
            print(in_child(lambda: asyncio.run(child()))())
            thread.join()
            connections.PATIENCE = 0.01
            with store._connections.get().one():
                print(in_child(lambda: asyncio.run(child()))())
            print(await child())
            await store.aclose()

        asyncio.run(main())
        """,
        str(path),
    )

    assert lines[0] == lines[2] == "['a', 'b']"
    assert lines[1].startswith(f"StoreError: {path}: a call of the parent process used it")


@ON_POSIX
def test_writers_that_are_killed_leave_whole_pages_and_a_sound_file(path):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.stores.sqlite_kills", str(path), "15"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    kills, pages = done.stdout.splitlines()
    assert kills == "15 kills 0 torn ok"
    assert int(pages.split()[0]) > 0
