"""Terminal output of a run: a progress bar, and a short table at the end."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import TextIO

_LONG: Final = 1.0


class ProgressBar:
    """A progress bar on ``stream``, inside ``with``, for what takes longer than a second.

    It shows the rate, and the time that is left where the total is known. Nothing is shown when ``stream`` is
    ``None`` or not a terminal.

    :param doing: the first word of the bar, such as ``"replaying"``.
    :param in_bytes: whether the bar counts bytes.
    :param clock: seconds that never go back.
    """

    def __init__(
        self,
        stream: TextIO | None,
        *,
        doing: str = "replaying",
        in_bytes: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream = stream if stream is not None and stream.isatty() else None
        self._doing = doing
        self._columns: tuple[ProgressColumn, ...] = (
            (DownloadColumn(), TransferSpeedColumn()) if in_bytes else (MofNCompleteColumn(), _Rate())
        )
        self._clock = clock
        self._began = clock()
        self._bar: Progress | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show(self, done: int, total: int) -> None:
        """Show ``done`` of ``total``: lookups begun, or bytes read; a total of 0 is not known."""
        if self._stream is None or (self._bar is None and self._clock() - self._began < _LONG):
            return
        if self._bar is None:
            self._bar = Progress(
                TextColumn(self._doing),
                BarColumn(),
                *self._columns,
                TimeRemainingColumn(),
                console=Console(file=self._stream),
                transient=True,
            )
            self._bar.add_task(self._doing, total=total or None)
            self._bar.start()
        self._bar.update(self._bar.task_ids[0], completed=done, total=total or None)


class _Rate(ProgressColumn):
    """How many a second."""

    def render(self, task: Task) -> Text:
        """Return the rate of ``task``, once there is one."""
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f}/s")


def print_table(summary: dict[str, Any], stream: TextIO) -> None:
    """Print the figures of ``summary`` to ``stream`` in two columns: the cache, and its source."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 1))
    for side in ("left", "right"):
        table.add_column(f"{side} name", style="dim")
        table.add_column(f"{side} figure", justify="right", min_width=10)
    rows = (
        ("lookups", "lookups", "source calls", "source_calls"),
        ("hits", "hits", "source keys", "source_keys"),
        ("misses", "misses", "backfills", "backfills"),
        ("hit rate", "hit_rate", "backfills skipped", "backfills_skipped"),
        ("miss rate", "miss_rate", "backfills denied", "backfills_denied"),
        ("absent keys", "absent", "evictions", "evictions"),
        ("failed", "failed", "cache size", "cache_size"),
    )
    for left, left_name, right, right_name in rows:
        table.add_row(left, _figure(summary[left_name]), right, _figure(summary[right_name]))
    if "virtual_seconds" in summary:
        p50, p99 = summary["latency_p50"], summary["latency_p99"]
        table.add_row("virtual time", f"{summary['virtual_seconds']:,.1f} s")
        table.add_row("latency p50", f"{p50:,.4f} s", "latency p99", f"{p99:,.4f} s")
    _Console(file=stream, highlight=False).print(table)


class _Console(Console):
    """A console that raises `BrokenPipeError`; rich itself would end the process."""

    def on_broken_pipe(self) -> None:
        raise  # noqa: PLE0704 - it is called while the BrokenPipeError is handled


def _figure(value: object) -> str:
    return f"{value:.2%}" if isinstance(value, float) else f"{value:,}"
