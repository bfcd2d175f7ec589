"""An event loop that knows how long its longest turn was, in processor time of its thread."""

from __future__ import annotations

import asyncio
import gc
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator


@dataclass(frozen=True, slots=True)
class Stall:
    """The longest piece of loop time of ``who`` doing ``what`` with ``size`` entries, in seconds."""

    what: str
    who: str
    size: int
    longest: float


class Watch:
    """Measures the turns of its event loop while it is on."""

    def __init__(self) -> None:
        self.longest = 0.0
        self._is_on = False
        self._began = 0.0

    @contextmanager
    def on(self) -> Iterator[None]:
        """Measure what runs from here on, without garbage collections: they would come at random."""
        gc.disable()
        self._is_on = True
        self.begin()
        try:
            yield
        finally:
            self.end()
            self._is_on = False
            gc.enable()

    def begin(self) -> None:
        """Take note that a turn begins."""
        self._began = time.thread_time()

    def end(self) -> None:
        """Take note that a turn ends."""
        if self._is_on:
            self.longest = max(self.longest, time.thread_time() - self._began)


class _Loop(asyncio.SelectorEventLoop):
    """Each turn runs what is ready; what waits for the selector costs no processor time."""

    def __init__(self, watch: Watch) -> None:
        super().__init__()
        self._watch = watch

    def _run_once(self) -> None:
        self._watch.begin()
        super()._run_once()  # type: ignore[misc] # private, but there is no other place
        self._watch.end()


def longest_turn(work: Callable[[Watch, int], Coroutine[Any, Any, None]], size: int) -> float:
    """Return the longest turn, in seconds, while ``work`` had its watch on."""
    watch = Watch()
    with asyncio.Runner(loop_factory=lambda: _Loop(watch)) as runner:
        runner.run(work(watch, size))
    return watch.longest
