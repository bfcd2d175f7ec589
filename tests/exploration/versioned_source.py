"""A source whose rows are versions, slow by turns of the event loop or at once, failing as its draws say."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from typing import Protocol

from tests.exploration.shuffled_loop import turns


class Judge(Protocol):
    """Says what a load may do, and takes note of what it should not have done."""

    def promise(self, kept: bool, what: str) -> None: ...
    def overlap_allowed(self, key: str) -> int: ...
    def check_wanted(self) -> None: ...


class VersionedSource:
    """Answers with the version of each key, as it is at a drawn moment of the load."""

    def __init__(self, rows: dict[str, int], draws: random.Random, failing: float, judge: Judge) -> None:
        self.rows = rows
        self.failing = failing
        self.calls = 0
        self.delivered = 0
        self.running = 0
        self.failures: Counter[str] = Counter()
        self._loading: Counter[str] = Counter()
        self._draws = draws
        self._judge = judge
        self._never_waits = draws.random() < 0.3  # so that lone loads end in the turn of their caller

    def write(self, key: str) -> int:
        """Make and return a new version of ``key``."""
        self.rows[key] = self.rows.get(key, 0) + 1
        return self.rows[key]

    async def load_many(self, keys: Sequence[str]) -> dict[str, int]:
        self.calls += 1
        self.running += 1
        self._loading.update(keys)
        for key in keys:
            loads, allowed = self._loading[key], 1 + self._judge.overlap_allowed(key)
            self._judge.promise(loads <= allowed, f"{loads} loads of {key!r} at once, {allowed} may be")
        try:
            await self._wait()
            rows = {key: self.rows[key] for key in keys if key in self.rows}
            await self._wait()
            if self._draws.random() < self.failing:
                self.failures.update(keys)
                raise ConnectionError("down")
        finally:
            self.running -= 1
            self._loading.subtract(keys)
        self.delivered += len(rows)
        return rows

    async def _wait(self) -> None:
        if self._never_waits:
            return
        if self._draws.random() < 0.15:
            await asyncio.sleep(self._draws.choice([0.2, 0.5]))
        await turns(self._draws.choice([0, 1, 2, self._draws.randint(0, 20)]))
        self._judge.check_wanted()
