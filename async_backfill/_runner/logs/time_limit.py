"""A limit of time for work in C on the main thread, such as a regular expression, that also heeds Ctrl-C."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """End what runs inside ``with`` after ``seconds`` of processor time, or at once with Ctrl-C.

    An event loop notes a Ctrl-C and goes on until its tasks give way, which a search that takes for ever
    never does. The limit needs the main thread, and a system with timers: Windows has only Ctrl-C.

    :raises TimeoutError: when the time is over.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    interrupt = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        if not hasattr(signal, "setitimer"):
            yield
            return
        alarm = signal.signal(signal.SIGVTALRM, _time_is_over)
        signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0.0)
            signal.signal(signal.SIGVTALRM, alarm)
    finally:
        signal.signal(signal.SIGINT, interrupt)


def _time_is_over(*_: object) -> NoReturn:
    raise TimeoutError
