"""The tables and the JSON of a run."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final, TextIO

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.peers.goals import Verdict
    from benchmarks.peers.registry import Missing
    from benchmarks.peers.results import Result, Row, Unit

_SCALES: Final[Mapping[Unit, tuple[float, str]]] = {
    "seconds a lookup": (1e6, "µs a lookup"),
    "seconds": (1e3, "ms"),
    "bytes an entry": (1.0, "bytes an entry"),
    "objects": (1.0, "objects"),
}


def print_result(result: Result, stream: TextIO) -> None:
    """Print one workload: a line for each contender, fastest first, then the absent ones."""
    scale, unit = _SCALES[result.unit]
    table = Table(box=None, pad_edge=False, padding=(0, 1))
    table.add_column("", no_wrap=True)
    times = "" if result.baseline is None else f"times {result.baseline}"
    facts = list(dict.fromkeys(name for row in result.rows for name in row.facts))
    for heading in (times, unit, *facts, "rounds"):
        table.add_column(heading, justify="right")
    for row in result.ranked():
        ratio = result.times(row)
        table.add_row(
            row.title + (f" ({row.remark})" if row.remark else ""),
            "" if ratio is None else str(ratio),
            f"{row.cost.median * scale:,.4g}",
            *(_fact(row, name) for name in facts),
            str(len(row.samples)),
        )
    console = Console(file=stream, highlight=False, markup=False, width=150)
    console.print(f"\n{result.workload}: {result.summary}")
    console.print(table)
    for reason in dict.fromkeys(result.absent.values()):
        titles = ", ".join(title for title, why in result.absent.items() if why == reason)
        console.print(f"{reason}: {titles}", soft_wrap=True)


def print_missing(missing: Sequence[Missing], stream: TextIO) -> None:
    """Print the peers that cannot take part, with the reasons."""
    stream.writelines(f"{each.adapter}: {each.reason}\n" for each in missing)


def print_verdicts(verdicts: Sequence[Verdict], stream: TextIO) -> None:
    """Print the table of goals as Markdown, with all rows, also the missed ones."""
    headings = ("workload", "goal", "measured: median (quartiles)", "best peer in this run", "held")
    stream.write(f"\n| {' | '.join(headings)} |\n")
    stream.write("|---|---|---|---|---|\n")
    for each in verdicts:
        held = "not measured" if each.is_held is None else "yes" if each.is_held else "**lost**"
        cells = (each.subject, each.goal, each.measured or "not measured", each.best_peer, held)
        stream.write(f"| {' | '.join(cells)} |\n")


def encode(
    results: Sequence[Result],
    verdicts: Sequence[Verdict],
    missing: Sequence[Missing],
    machine: str,
    versions: Mapping[str, str],
) -> str:
    """Return the whole run as JSON: medians and quartiles, in the units of `Result`."""
    document = {
        "machine": machine,
        "versions": versions,
        "not installed": {each.adapter: each.reason for each in missing},
        "goals": [asdict(each) for each in verdicts],
        "workloads": [_workload(result) for result in results],
    }
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def _workload(result: Result) -> dict[str, Any]:
    rows = []
    for row in result.rows:
        times = result.times(row)
        rows.append(
            {
                "contender": row.title,
                "times": None if times is None else asdict(times),
                "cost": asdict(row.cost),
                "rounds": len(row.samples),
                **row.facts,
            }
        )
    return {
        "workload": result.workload,
        "summary": result.summary,
        "unit": result.unit,
        "baseline": result.baseline,
        "rows": rows,
        "absent": result.absent,
    }


def _fact(row: Row, name: str) -> str:
    if name not in row.facts:
        return ""
    value = row.fact(name)
    return f"{value:.4f}" if name == "hit ratio" else f"{value:,.0f}"
