"""A state of jobs in processes that are killed or fork, and in calls that are cancelled."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from anyio import create_task_group, sleep, to_thread

from async_backfill._jobs._errors import JobStateError
from async_backfill._jobs._state.jobs import add_job, find_job, list_jobs
from async_backfill._jobs._state.log import first_bad_line, lines
from async_backfill._jobs._state.sqlite import SQLiteJobState
from tests.forked import printed_by
from tests.jobs.state_rows import State, plan_of


@pytest.fixture
def path(tmp_path):
    return tmp_path / "jobs.sqlite"


KILLED = """
import sys
from tests.jobs.state_rows import State, page
from async_backfill._jobs._state.shards import checkpoint, claim
state = State(sys.argv[1])
state.running(max_rows=10**9, cuts=())
shard = state(claim, 1, owner="w", lease=30.0)
print("begun", flush=True)
while True:
    state(checkpoint, shard, page(1), lease=30.0)
"""


@pytest.mark.parametrize("after", [0.001, 0.02, 0.05])
def test_a_state_whose_process_was_killed_is_whole(path, after):
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(path)], cwd=root, stdout=subprocess.PIPE
    ) as killed:
        killed.stdout.readline()
        threading.Event().wait(after)
        killed.send_signal(signal.SIGKILL)

    state = State(path)
    assert first_bad_line(state(lines, 1), state(find_job, 1).log_head) is None
    read, pages, spent = state.file.transact(
        lambda tx: tx.rows("SELECT shard.read, pages, rows FROM shard, approval")
    )[0]
    assert read == pages == spent
    state.file.close()


def test_a_forked_process_writes_through_a_connection_of_its_own(path):
    program = """
    from async_backfill._jobs._state.jobs import list_jobs
    from async_backfill._jobs._state.sqlite import SQLiteJobState
    from tests.jobs.state_rows import State, plan_of
    from async_backfill._jobs._state.jobs import add_job

    async def main():
        async with SQLiteJobState(sys.argv[1]) as state:
            told = in_child(lambda: state._file.get().transact(lambda tx: add_job(tx, plan_of(), by="a")).id)
            print(told())
            print(len(await state.transact(list_jobs)))

    asyncio.run(main())
    """
    assert printed_by(program, str(path)) == ["1", "1"]


def test_what_a_forked_process_writes_is_kept_when_its_parent_closes(path):
    program = """
    from async_backfill._jobs._state.jobs import add_job, list_jobs
    from async_backfill._jobs._state.sqlite import SQLiteJobState
    from tests.jobs.state_rows import plan_of

    written, closed = os.pipe(), os.pipe()

    def child(file):
        file().transact(lambda tx: add_job(tx, plan_of("first"), by="a"))
        os.write(written[1], b"x")
        os.read(closed[0], 1)
        file().transact(lambda tx: add_job(tx, plan_of("second"), by="a"))
        return len(file().transact(list_jobs))

    async def main():
        async with SQLiteJobState(sys.argv[1]) as state:
            await state.transact(list_jobs)
            told = in_child(lambda file=state._file: child(file.get))
            os.read(written[0], 1)
        async with SQLiteJobState(sys.argv[1]) as another:
            await another.transact(lambda tx: add_job(tx, plan_of("third"), by="b"))
            os.write(closed[1], b"x")
            print(told(), len(await another.transact(list_jobs)))

    asyncio.run(main())
    """
    assert printed_by(program, str(path)) == ["3 3"]


def test_who_is_forked_in_a_call_of_its_parent_may_not_use_the_file(path):
    program = """
    from async_backfill._jobs._state import file
    from async_backfill._jobs._state.jobs import list_jobs
    from async_backfill._jobs._state.sqlite import SQLiteJobState

    async def main():
        async with SQLiteJobState(sys.argv[1]) as state:
            file.PATIENCE = 0.01
            with state._file.get()._turn():
                print(in_child(lambda: state._file.get().transact(list_jobs))())
            print(await state.transact(list_jobs))

    asyncio.run(main())
    """
    refused, after = printed_by(program, str(path))
    assert refused.startswith(f"JobStateError: {path}: a call of the parent process used it")
    assert after == "[]"


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request):
    """In real time, because a thread takes some."""
    return request.param


@pytest.mark.anyio
async def test_what_was_committed_is_there_when_it_is_opened_again(path):
    async with SQLiteJobState(path) as state:
        job = await state.transact(lambda tx: add_job(tx, plan_of(), by="ada"))
    async with SQLiteJobState(path, create=False) as state:
        assert await state.transact(list_jobs) == [job]
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.anyio
async def test_a_state_that_is_not_there_is_made_only_where_that_is_asked(path):
    with pytest.raises(JobStateError, match="no such state of jobs"):
        async with SQLiteJobState(path, create=False):
            pass
    assert not path.exists()


@pytest.mark.anyio
async def test_a_state_that_is_not_open_says_so(path):
    with pytest.raises(JobStateError, match="async with"):
        await SQLiteJobState(path).transact(list_jobs)


@pytest.mark.anyio
async def test_what_raises_is_rolled_back(path):
    def fail(tx):
        add_job(tx, plan_of(), by="ada")
        raise KeyError("x")

    async with SQLiteJobState(path) as state:
        with pytest.raises(KeyError):
            await state.transact(fail)
        assert list(await state.transact(list_jobs)) == []


@pytest.mark.anyio
async def test_a_call_that_was_cancelled_while_it_waited_writes_nothing(path):
    holds, go_on = threading.Event(), threading.Event()

    def hold(_tx):
        holds.set()
        go_on.wait()

    async with SQLiteJobState(path) as state, create_task_group() as all_tasks:
        all_tasks.start_soon(state.transact, hold)
        await to_thread.run_sync(holds.wait)
        async with create_task_group() as cancelled:
            cancelled.start_soon(state.transact, lambda tx: add_job(tx, plan_of(), by="ada"))
            await sleep(0.01)
            cancelled.cancel_scope.cancel()
        go_on.set()
        assert list(await state.transact(list_jobs)) == []
