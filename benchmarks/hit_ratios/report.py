"""The results as a table and as JSON; the same results give the same bytes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console
from rich.table import Table

from async_backfill.stores._eviction.orders import EVICTIONS
from benchmarks.hit_ratios.replay import FRACTIONS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import TextIO

    from benchmarks.hit_ratios.reference import References
    from benchmarks.hit_ratios.replay import Replay

_WIDTH: Final = 120


def print_trace(replays: Sequence[Replay], references: References, stream: TextIO) -> None:
    """Print the hit ratios of one trace as a table, with the same width on every terminal."""
    first = replays[0]
    table = Table(
        title=f"{first.trace}: {first.requests:,} requests for {first.unique:,} keys",
        title_justify="left",
        box=None,
        pad_edge=False,
    )
    for name in ("capacity", "share", *EVICTIONS, "largest\ndifference"):
        table.add_column(name, justify="right", no_wrap=True)
    for fraction in FRACTIONS:
        row = [replay for replay in replays if replay.fraction == fraction]
        difference = largest_difference(row, references)
        table.add_row(
            f"{row[0].capacity:,}",
            f"{fraction:.1%}",
            *(f"{replay.hit_ratio:.4f}" for replay in row),
            "-" if difference is None else f"{difference:.6f}",
        )
    console = Console(file=stream, width=_WIDTH, highlight=False)
    console.print(table)
    console.print()


def print_largest(replays: Iterable[Replay], references: References, stream: TextIO) -> None:
    """Print the largest difference of each eviction order from the references; nothing without references."""
    by_order = {eviction: [one for one in replays if one.eviction == eviction] for eviction in EVICTIONS}
    for eviction, own in by_order.items():
        difference = largest_difference(own, references)
        if difference is not None:
            compared = sum(len(references.of(replay)) for replay in own)
            print(
                f"{eviction}: {compared} references, largest difference of a hit ratio {difference:.6f}",
                file=stream,
            )


def largest_difference(replays: Iterable[Replay], references: References) -> float | None:
    """Return the largest difference of a hit ratio from a reference; ``None`` without references."""
    return max(
        (abs(replay.hit_ratio - ratio) for replay in replays for ratio in references.of(replay).values()),
        default=None,
    )


def encode(replays: Iterable[Replay], references: References) -> str:
    """Return the results as JSON, with no figure that depends on the machine."""
    traces: dict[str, list[dict[str, Any]]] = {}
    for replay in replays:
        traces.setdefault(replay.trace, []).append(_facts(replay, references))
    document = {"settings": {"fractions": FRACTIONS}, "traces": traces}
    return json.dumps(document, indent=2, sort_keys=True) + "\n"


def _facts(replay: Replay, references: References) -> dict[str, Any]:
    return {
        "requests": replay.requests,
        "unique": replay.unique,
        "fraction": replay.fraction,
        "capacity": replay.capacity,
        "eviction": replay.eviction,
        "hits": replay.hits,
        "hit_ratio": round(replay.hit_ratio, 6),
        "references": dict(references.of(replay)),
    }
