"""``python -m benchmarks.profiles``: profile each kind of work, print, and write the results."""

from __future__ import annotations

import json
import platform
import sys
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO

import anyio
from cyclopts import App
from rich.console import Console
from rich.table import Table

from benchmarks.profiles.sampling import Profile, profile
from benchmarks.profiles.workloads import WORKLOADS

if TYPE_CHECKING:
    from collections.abc import Sequence

_RESULTS: Final = Path(__file__).parents[1] / "results"
_SHOWN: Final = 8
_KEPT: Final = 30


def benchmark(*, quick: bool = False, output_dir: Path | None = None) -> None:
    """Show the functions that take the time of a hit, a miss and a crowd.

    Parameters
    ----------
    quick:
        A tenth of a second each, to see that everything works.
    output_dir:
        Where to write profiles.json [benchmarks/results; with --quick nowhere].
    """
    if output_dir is None and not quick:
        output_dir = _RESULTS
    seconds = 0.1 if quick else 2.0
    found = [anyio.run(_profile, name, seconds) for name in WORKLOADS]
    print_profiles(found, sys.stdout)
    if output_dir is not None:
        output_dir.mkdir(parents=True, exist_ok=True)
        machine = f"{platform.machine()}, Python {platform.python_version()}"
        (output_dir / "profiles.json").write_text(encode(found, machine), encoding="utf-8")


def print_profiles(profiles: Sequence[Profile], stream: TextIO) -> None:
    """Print the functions with the most time of their own."""
    table = Table(box=None, pad_edge=False, padding=(0, 1))
    for heading in ("workload", "ns a lookup", "sampled", "own time", "module:function"):
        table.add_column(
            heading,
            no_wrap=heading.startswith("work"),
            justify="left" if heading.startswith(("work", "mod")) else "right",
        )
    for one in profiles:
        cells = (one.workload, f"{one.nanoseconds:,.0f}", f"x{one.slowdown:.1f}")
        for function, share in islice(one.shares.items(), _SHOWN):
            table.add_row(*cells, f"{share:.1%}", function)
            cells = ("", "", "")
        table.add_section()
    Console(file=stream, highlight=False, width=160).print(table)


def encode(profiles: Sequence[Profile], machine: str) -> str:
    """Return the profiles as JSON, with the largest shares of each."""
    kept = [{**asdict(one), "shares": dict(islice(one.shares.items(), _KEPT))} for one in profiles]
    return json.dumps({"machine": machine, "profiles": kept}, indent=1) + "\n"


async def _profile(name: str, seconds: float) -> Profile:
    return await profile(name, WORKLOADS[name], seconds=seconds)


if __name__ == "__main__":
    App(name="python -m benchmarks.profiles", default_command=benchmark, version_flags=())()
