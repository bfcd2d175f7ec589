"""``kill -9`` while the journal is written: it always loads, and misses the last interval at most."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import anyio

from async_backfill.backfill.journal_file import JournalFile

ROOT = Path(__file__).parents[2]
KILLS = 50
INTERVAL = 100

# Python starts once; each process that is killed is a copy of one that has imported everything.
SERVER = """
import os, sys
import anyio
from async_backfill.backfill._history.hot_keys import HotKeys
from async_backfill.backfill.journal_file import JournalFile
from async_backfill.contracts import Heats

path, interval = sys.argv[1], int(sys.argv[2])


async def note_and_save():
    journal, hot = JournalFile(path), HotKeys(2000, 1e9)
    found = await journal.load()
    hot.restore(found.keys if found is not None else {})
    noted = max(hot, default=0)
    while True:
        hot.note(range(noted + 1, noted + interval + 1))
        noted += interval
        await journal.save(Heats(hot.heats(), 0.5))
        os.write(1, b"saved %d\\n" % noted)


for _ in sys.stdin:
    child = os.fork()
    if not child:
        os.write(1, b"process %d\\n" % os.getpid())
        anyio.run(note_and_save)
    os.waitpid(child, 0)
    os.write(1, b"gone\\n")
"""


def test_a_process_killed_at_any_moment_loses_one_interval_of_its_journal_at_most(
    tmp_path,
):
    path = tmp_path / "hot.journal"
    moments = random.Random(4)
    server = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", SERVER, path, str(INTERVAL)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    told = 0
    with server, server.stdout as output:
        for _ in range(KILLS):
            server.stdin.write(b"next\n")
            process = int(output.readline().removeprefix(b"process "))
            for _ in range(moments.randint(0, 3)):  # so that saves happen on a busy machine, too
                told = int(output.readline().removeprefix(b"saved "))
            time.sleep(moments.uniform(0.0, 0.01))
            os.kill(process, signal.SIGKILL)
            while (line := output.readline()) != b"gone\n":
                told = int(line.removeprefix(b"saved "))

            found = anyio.run(JournalFile(path).load)
            last = max(found.keys) if found is not None else 0
            assert told <= last <= told + INTERVAL
            assert found is None or sorted(found.keys) == list(range(max(1, last - 1999), last + 1))
            told = last  # what the next process starts from
        server.stdin.close()
    assert server.returncode == 0
    assert told >= INTERVAL
