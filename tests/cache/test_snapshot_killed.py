"""``kill -9`` while a snapshot is written: the older or the newer one loads, never a broken one.

``python -m tests.cache.test_snapshot_killed`` kills a hundred times.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio

from async_backfill import BackfillCache, MappingSource
from async_backfill.records import RestoreState
from async_backfill.stores.snapshot_file import SnapshotFile

ROOT = Path(__file__).parents[2]
KILLS = 5
A_ROUND = 50
CAPACITY = 6 * A_ROUND

# Python starts once; each process that is killed is a copy of one that has imported everything. Round n puts
# fifty new keys with the value n, removes one of them, and saves; a line says what has been done.
SERVER = """
import os, sys
import anyio
from async_backfill import BackfillCache, MappingSource
from async_backfill.stores.snapshot_file import SnapshotFile

path, keys, capacity = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])


async def change_and_save():
    file = SnapshotFile(path, restored="trusted", save_every=None)
    async with BackfillCache(MappingSource({}), capacity=capacity, snapshot=file) as cache:
        done = max([key[0] for key in cache._parts.near.entries], default=0)
        os.write(1, b"%s %d\\n" % (cache.stats.snapshot.state.encode(), done))
        while True:
            done += 1
            await cache.put_many({(done, number): done for number in range(keys)})
            await cache.invalidate((done, 0))
            os.write(1, b"removed %d\\n" % done)
            await cache.save_snapshot()
            os.write(1, b"saved %d\\n" % done)


for _ in sys.stdin:
    child = os.fork()
    if not child:
        os.write(1, b"process %d\\n" % os.getpid())
        anyio.run(change_and_save)
    os.waitpid(child, 0)
    os.write(1, b"gone\\n")
"""


async def start_with(folder):
    """Return what a process would start with: the state, and all entries."""
    file = SnapshotFile(folder / "values", restored="trusted", save_every=None)
    async with BackfillCache(MappingSource({}), capacity=CAPACITY, snapshot=file) as cache:
        return cache.stats.snapshot.state, dict(cache._parts.near.entries)


def kill_and_look(folder, kills, seed):
    """Kill a process that changes and saves, so many times, and check each time what is left."""
    path, moments = folder / "own" / "values", random.Random(seed)
    path.parent.mkdir()
    server = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", SERVER, path, str(A_ROUND), str(CAPACITY)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    told = {b"saved": 0, b"removed": 0}
    with server, server.stdout as output:
        for kill in range(kills):
            server.stdin.write(b"next\n")
            process = int(output.readline().removeprefix(b"process "))
            state, _ = output.readline().split()
            assert state == (b"restored" if told[b"saved"] else b"none")
            lines = [output.readline() for _ in range(moments.randint(1, 4))]  # also on a busy machine
            time.sleep(moments.uniform(0.0, 0.01))
            os.kill(process, signal.SIGKILL)
            while (line := output.readline()) != b"gone\n":
                lines.append(line)
            for what, number in map(bytes.split, lines):
                told[what] = int(number)

            copied = folder / f"copy_{kill}"
            shutil.copytree(path.parent, copied)
            state, entries = anyio.run(start_with, copied)
            saved = max((value for value in entries.values()), default=0)
            assert saved in {told[b"saved"], told[b"saved"] + 1}
            assert state is (RestoreState.RESTORED if saved else RestoreState.NONE)
            assert all(key[0] == value for key, value in entries.items())
            assert [key for key in entries if key[1] == 0 and key[0] <= told[b"removed"]] == []
            for number in range(max(1, saved - 4), saved + 1):
                assert sum(key[0] == number for key in entries) == A_ROUND - 1
            told[b"saved"] = saved  # also one that nobody has been told of
        server.stdin.close()
    assert server.returncode == 0
    assert told[b"saved"] >= kills // 5


def test_a_process_killed_while_it_saves_leaves_the_older_or_the_newer_snapshot(tmp_path):
    kill_and_look(tmp_path, KILLS, seed=7)


if __name__ == "__main__":
    with TemporaryDirectory() as directory:
        kill_and_look(Path(directory), 100, seed=random.randrange(1_000_000))
    sys.stdout.write("100 kills: the older or the newer snapshot loaded each time\n")
