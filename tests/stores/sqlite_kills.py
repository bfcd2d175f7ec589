"""Kills processes that write pages of one value to a far store in a file, again and again.

``python -m tests.stores.sqlite_kills PATH KILLS`` prints how many kills and torn pages there were, what
SQLite says of the file, and how many pages were written.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
import sys
import time
from contextlib import closing

from async_backfill.stores.sqlite import SQLiteStore

KEYS = tuple(f"key {number}" for number in range(300))
WRITERS = 2


def start(path, begin):
    """Fork a process that writes pages, each of one value for all keys, until it is killed."""
    child = os.fork()
    if child:
        return child
    try:
        asyncio.run(write(path, begin))
    finally:
        os._exit(1)


def opened(path):
    return SQLiteStore(path, namespace="n", max_bytes=1_000_000, max_value_bytes=10_000)


async def write(path, number):
    """Write pages for ever, by turns as a page and as a put."""
    store = opened(path)
    while True:
        number += 1
        rows = dict.fromkeys(KEYS, f"{number} of {os.getpid()} ".ljust(number % 900, "x"))
        if number % 3:
            await store.set_page(rows, read_at=store.now())
        else:
            await store.set_many(rows)


async def values(path):
    """Return the different values that all keys have."""
    async with opened(path) as store:
        return {copy.value for copy in (await store.get_many(KEYS)).values()}


def run(path, kills):
    """Kill one of the writers at a random moment, look whether the page is whole, and start another."""
    draws = random.Random(kills)
    torn = largest = 0
    children = [start(path, 0) for _ in range(WRITERS)]
    try:
        for number in range(kills):
            time.sleep(draws.uniform(0.01, 0.12))
            os.kill(children[number % WRITERS], signal.SIGKILL)
            os.waitpid(children[number % WRITERS], 0)
            found = asyncio.run(values(path))
            torn += len(found) > 1
            largest = max([largest, *(int(value.split()[0]) for value in found)])
            children[number % WRITERS] = start(path, largest)
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    torn += len(asyncio.run(values(path))) > 1
    with closing(sqlite3.connect(path)) as other:
        print(kills, "kills", torn, "torn", *other.execute("PRAGMA integrity_check").fetchone())
    print(largest, "pages")


if __name__ == "__main__":
    run(sys.argv[1], int(sys.argv[2]))
