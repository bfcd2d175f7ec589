"""The view of jobs that run: live on a terminal, a line now and then elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from async_backfill._commands.jobs.words import share_read, speed, waiting
from async_backfill._runner.wording import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self, TextIO

    from rich.console import RenderableType

    from async_backfill.jobs import JobReport

_LIVE: Final = 0.5
_PLAIN: Final = 10.0
_MOST_JOBS: Final = 8
_BAR: Final = 24
_NONE: Final = "no job runs: waiting for one"


class View:
    """Shows how jobs get on, on ``stream``, inside ``with``; on none when that is ``None``.

    ``interval``
        the seconds after which it is to be shown anew.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        is_terminal = stream is not None and stream.isatty()
        self.interval = _LIVE if is_terminal else _PLAIN
        self._live = (
            Live(console=Console(file=stream), auto_refresh=False, transient=True) if is_terminal else None
        )
        self._last = ""

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, reports: Sequence[JobReport]) -> None:
        """Show ``reports``; lines that have not changed are not repeated."""
        if self._live is not None:
            blocks = [_block(report) for report in reports[:_MOST_JOBS]] or [Text(_NONE)]
            self._live.update(Group(*blocks), refresh=True)
        elif self._stream is not None:
            lines = "\n".join(map(_line, reports)) or _NONE
            if lines != self._last:
                self._last = lines
                print(lines, file=self._stream, flush=True)


def _line(report: JobReport) -> str:
    parts = [f"{share_read(report)} rows", *speed(report)]
    if report.throttled is not None:
        parts.append(f"waits {waiting(report.throttled)}")
    return one_line(f"job {report.id} {report.name} {report.status}: {', '.join(parts)}")


def _block(report: JobReport) -> RenderableType:
    total = report.rows_total
    head = Table.grid(padding=(0, 1))
    head.add_row(
        Text(one_line(f"{report.id} {report.name}"), overflow="ellipsis", no_wrap=True),
        ProgressBar(total=max(1, total), completed=min(report.counts.read, total), width=_BAR),
        Text(share_read(report), no_wrap=True),
    )
    done = sum(shard.status == "done" for shard in report.shards)
    live = sum(worker.lease_seconds > 0 for worker in report.workers)
    parts = [report.status, *speed(report), f"shards {done} of {len(report.shards)}", f"workers {live}"]
    if report.counts.dead:
        parts.append(f"dead {report.counts.dead:,}")
    lines: list[RenderableType] = [head, Text(f"  {', '.join(parts)}")]
    if report.throttled is not None:
        waits = one_line(f"  waits {waiting(report.throttled)}")
        lines.append(Text(waits, style="yellow", overflow="ellipsis", no_wrap=True))
    return Group(*lines)
