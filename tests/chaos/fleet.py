"""The fleet, its servers, and the faults that befall them."""

from __future__ import annotations

import asyncio
import random
import signal
import sys
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

from async_backfill.sources.sql import open_database
from tests.chaos.verdict import Fault, Verdict, judge
from tests.chaos.worker import HUNG, KEYS
from tests.servers.tcp_proxy import TcpProxy

if TYPE_CHECKING:
    from pathlib import Path

    from tests.servers.valkey import Valkey

PROCESSES: Final = 3
_TO_END: Final = HUNG + 20.0


class Fleet:
    """Three processes of a cache before the PostgreSQL at ``postgres`` and before ``valkey``.

    :param folder: where the logs go.
    :param seed: of the faults, and of what the processes do.
    """

    def __init__(self, postgres: str, valkey: Valkey, folder: Path, seed: int) -> None:
        self._postgres = sa.engine.make_url(postgres)
        self._valkey = valkey
        self._folder = folder
        self._seed = seed
        self._random = random.Random(seed)
        self._faults: list[Fault] = []
        self._processes: list[asyncio.subprocess.Process] = []
        self._logs: list[Path] = []
        self._still_running = 0

    async def run(self, seconds: float) -> tuple[Verdict, list[Fault]]:
        """Let the fleet work among faults, end it, and judge its logs."""
        await self._make_table()
        async with AsyncExitStack() as stack:
            port = self._postgres.port or 5432
            self._to_postgres = await stack.enter_async_context(TcpProxy("127.0.0.1", port))
            self._to_valkey = await stack.enter_async_context(TcpProxy("127.0.0.1", self._valkey.port))
            try:
                self._processes = [await self._start() for _ in range(PROCESSES)]
                await self._befall(time.monotonic() + seconds)
                await asyncio.gather(*map(self._end, self._processes))
            finally:
                for process in self._processes:
                    if process.returncode is None:
                        process.kill()
                        await process.wait()
        verdict = judge(self._logs, self._faults)
        if self._still_running:
            verdict.hung.append(f"{self._still_running} processes did not end within {_TO_END} s")
        return verdict, self._faults

    async def _make_table(self) -> None:
        async with open_database(self._postgres) as engine, engine.begin() as connection:
            await connection.execute(sa.text("DROP TABLE IF EXISTS chaos"))
            await connection.execute(
                sa.text("CREATE TABLE chaos (key integer PRIMARY KEY, version integer NOT NULL)")
            )
            rows = sa.text("INSERT INTO chaos SELECT key, 1 FROM generate_series(0, :last) AS key")
            await connection.execute(rows, {"last": KEYS - 1})

    async def _start(self) -> asyncio.subprocess.Process:
        number = len(self._logs)
        log = self._folder / f"process-{number}.jsonl"
        log.touch()
        self._logs.append(log)
        postgres = self._postgres.set(host="127.0.0.1", port=self._to_postgres.port)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.chaos.worker"),
            postgres.render_as_string(hide_password=False),
            f"redis://127.0.0.1:{self._to_valkey.port}/0",
            *(f"chaos-{self._seed}", str(log), str(self._seed * 1000 + number)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        if (await process.stdout.readline()).strip() != b"running":
            raise RuntimeError(f"process {number} did not start")
        return process

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        try:
            async with asyncio.timeout(_TO_END):
                await process.communicate(b"stop\n")
        except TimeoutError:
            self._still_running += 1

    async def _befall(self, end: float) -> None:
        faults = [
            self._stop_valkey,
            self._kill_valkey,
            self._reset_valkey,
            self._drop_valkey,
            self._refuse_valkey,
            self._reset_postgres,
            self._kill_a_process,
        ]
        waiting: list[int] = []
        while time.monotonic() < end:
            await asyncio.sleep(0.5 + self._random.random() * 2.0)
            if not waiting:
                waiting = self._random.sample(range(len(faults)), len(faults))
            fault, began = faults[waiting.pop()], time.monotonic()
            await fault()
            self._faults.append(Fault(fault.__name__.strip("_").replace("_", " "), began, time.monotonic()))

    async def _stop_valkey(self) -> None:
        self._valkey.process.send_signal(signal.SIGSTOP)
        await self._pass()
        self._valkey.process.send_signal(signal.SIGCONT)

    async def _kill_valkey(self) -> None:
        self._valkey.kill()
        await self._pass()
        await asyncio.to_thread(self._valkey.restart)

    async def _reset_valkey(self) -> None:
        self._to_valkey.reset()

    async def _drop_valkey(self) -> None:
        self._to_valkey.drop()
        await self._pass()
        await self._to_valkey.heal()

    async def _refuse_valkey(self) -> None:
        self._to_valkey.refuse()
        self._to_valkey.reset()
        await self._pass()
        await self._to_valkey.heal()

    async def _reset_postgres(self) -> None:
        self._to_postgres.reset()

    async def _kill_a_process(self) -> None:
        at = self._random.randrange(PROCESSES)
        self._processes[at].kill()
        await self._processes[at].wait()
        self._processes[at] = await self._start()

    async def _pass(self) -> None:
        await asyncio.sleep(0.2 + self._random.random() * 2.0)
