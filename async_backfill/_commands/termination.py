"""SIGTERM, which ends a command in the way that Ctrl-C does."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class Termination:
    """Whether SIGTERM has come; made by `interrupted_by_sigterm`."""

    def __init__(self) -> None:
        self.has_come = False

    def __call__(self, *_: object) -> None:
        """Interrupt what runs, as Ctrl-C does."""
        self.has_come = True
        signal.raise_signal(signal.SIGINT)


@contextmanager
def interrupted_by_sigterm() -> Iterator[Termination]:
    """Let SIGTERM raise `KeyboardInterrupt` inside ``with``, where signals can be handled."""
    termination = Termination()
    if threading.current_thread() is not threading.main_thread():
        yield termination
        return
    before = signal.signal(signal.SIGTERM, termination)
    try:
        yield termination
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL if before is None else before)
