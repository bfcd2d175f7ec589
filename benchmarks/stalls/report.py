"""The table and the JSON of the results."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Final, TextIO

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.stalls.measuring import Stall

LIMIT: Final = 0.010
"""Seconds: no step of ours should hold the loop for longer, with a million entries."""
OURS_NAME: Final = "async_backfill"


def print_stalls(stalls: Sequence[Stall], stream: TextIO) -> None:
    """Print the longest turn of each work at each size, beside those of the peers."""
    columns = list(dict.fromkeys((stall.who, stall.size) for stall in stalls))
    table = Table(box=None, pad_edge=False, padding=(0, 1), title_justify="left")
    table.title = f"longest turn of the event loop, ms of processor time; * is over {LIMIT * 1000:g}"
    table.add_column("what")
    for who, size in columns:
        table.add_column(f"{who}, {size:,}", justify="right")
    for what in dict.fromkeys(stall.what for stall in stalls):
        row = {(stall.who, stall.size): stall.longest for stall in stalls if stall.what == what}
        table.add_row(what, *(_cell(row.get(column)) for column in columns))
    Console(file=stream, highlight=False, width=200).print(table)


def encode(stalls: Sequence[Stall], machine: str) -> str:
    """Return the results as JSON; times are seconds."""
    return json.dumps({"machine": machine, "stalls": [asdict(stall) for stall in stalls]}, indent=1) + "\n"


def _cell(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f"{seconds * 1000:.1f}{'*' if seconds > LIMIT else ' '}"
