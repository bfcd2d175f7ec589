"""Ctrl-C and SIGTERM of who works on jobs: the first one asks for an end, the second one is an end."""

from __future__ import annotations

import signal
import sys
import threading
from typing import TYPE_CHECKING, Final

from anyio import TASK_STATUS_IGNORED, Event, open_signal_receiver

from async_backfill._commands.telling import say

if TYPE_CHECKING:
    from anyio import CancelScope
    from anyio.abc import TaskStatus

_TOLD: Final = "stopping after the pages that have begun: {} (exit 4); once more ends it at once"
_PAUSES: Final = "the job pauses then"
_LEAVES: Final = "other workers go on, now or later"
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class Stopping:
    """Why a worker of this process ends.

    ``asked``
        is set by the first signal.
    ``by``
        the signal that ended it at once, if any.

    :param pauses: whether a job pauses with its last worker.
    """

    def __init__(self, *, pauses: bool = True) -> None:
        self._told = _TOLD.format(_PAUSES if pauses else _LEAVES)
        self.asked = Event()
        self.by: signal.Signals | None = None

    async def hear(self, work: CancelScope, *, task_status: TaskStatus[None] = TASK_STATUS_IGNORED) -> None:
        """Wait for signals: the first one sets ``asked``, the second one cancels ``work``."""
        if threading.current_thread() is not threading.main_thread() or sys.platform == "win32":
            task_status.started()  # Ctrl-C raises KeyboardInterrupt there
            return
        with open_signal_receiver(*_SIGNALS) as signals:
            task_status.started()
            async for number in signals:
                if self.asked.is_set():
                    self.by = signal.Signals(number)
                    work.cancel()
                    return
                self.asked.set()
                say(self._told)
