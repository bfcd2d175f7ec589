"""An event loop of asyncio that takes what is ready in a drawn order, in virtual time."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable
from typing import Any, Final
from weakref import WeakKeyDictionary

TURNS: Final = 5_000


class StuckError(AssertionError):
    """Somebody waits for what will never come."""


class ShuffledLoop(asyncio.SelectorEventLoop):
    """Shuffles its ready queue before each turn, and holds some of it back for a later one.

    Time stands still while anything is ready, and jumps to the next timer when nothing is. What
    would hang raises `StuckError`: nothing ready and no timer, or more than ``limit`` turns.

    :param seed: of the draws; the same seed takes the same order.
    :param holds: the chance that a ready callback has to wait for another turn.
    """

    def __init__(self, seed: object, *, holds: float = 0.0, limit: int = TURNS) -> None:
        super().__init__()
        self.turns = 0
        self.after_turn: Callable[[], object] = _nothing
        self._draws = random.Random(str(seed))
        self._holds = holds
        self._limit = limit
        self._now = 0.0
        self._at: dict[int, list[Callable[[], object]]] = {}
        self._count = itertools.count()
        self._numbers: WeakKeyDictionary[asyncio.Task[Any], int] = WeakKeyDictionary()
        self.set_task_factory(self._number_task)

    def time(self) -> float:
        return self._now

    def at_turn(self, turn: int, callback: Callable[[], object]) -> None:
        """Call ``callback`` before the turn of that number, whatever is ready then."""
        self._at.setdefault(turn, []).append(callback)

    def _run_once(self) -> None:
        self.turns += 1
        for callback in self._at.pop(self.turns, ()):
            callback()
        if self.turns > self._limit:
            raise StuckError(f"not at an end after {self._limit} turns: {self._waiting()}")
        if not self._ready and not self._stopping:
            self._jump()
        held = self._shuffle()
        super()._run_once()
        self._ready.extend(held)
        self.after_turn()

    def _jump(self) -> None:
        timers = [timer for timer in self._scheduled if not timer.cancelled()]
        if not timers:
            raise StuckError(f"hangs: {self._waiting()}")
        self._now = max(self._now, min(timer.when() for timer in timers))

    def _shuffle(self) -> list[asyncio.Handle]:
        """Put what is ready into a drawn order, and return what is held back."""
        # First an order that does not depend on the addresses of tasks in somebody's set.
        ready = sorted(self._ready, key=self._number)
        self._draws.shuffle(ready)
        held: list[asyncio.Handle] = []
        if self._holds:
            held = [handle for handle in ready[1:] if self._draws.random() < self._holds]
            ready = [handle for handle in ready if handle not in held]
        self._ready.clear()
        self._ready.extend(ready)
        return held

    def _number_task(self, loop: asyncio.AbstractEventLoop, work: Any, **options: Any) -> asyncio.Task[Any]:
        task = asyncio.Task(work, loop=loop, **options)
        self._numbers[task] = next(self._count)
        return task

    def _number(self, handle: asyncio.Handle) -> int:
        owner = getattr(handle._callback, "__self__", None)
        return self._numbers.get(owner, -1) if isinstance(owner, asyncio.Task) else -1

    def _waiting(self) -> str:
        return ", ".join(sorted(task.get_name() for task in asyncio.all_tasks(self)))


def run(loop: ShuffledLoop, main: Awaitable[Any]) -> Any:
    """Run ``main`` in ``loop`` and close it."""
    try:
        return loop.run_until_complete(main)
    finally:
        loop.close()


async def turns(number: int) -> None:
    """Let at least ``number`` turns of the loop go by."""
    for _ in range(number):
        await asyncio.sleep(0)


def _nothing() -> None:
    """Do nothing after a turn."""
