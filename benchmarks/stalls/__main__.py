"""``python -m benchmarks.stalls``: measure each work at each size, print, and write the results."""

from __future__ import annotations

import platform
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cyclopts import App

from benchmarks.stalls.measuring import Stall, longest_turn
from benchmarks.stalls.ours import OURS
from benchmarks.stalls.report import OURS_NAME, encode, print_stalls
from benchmarks.stalls.theirs import theirs

if TYPE_CHECKING:
    from collections.abc import Sequence

_RESULTS: Final = Path(__file__).parents[1] / "results"
_SIZES: Final = (100_000, 1_000_000)
_QUICK_SIZES: Final = (300,)


def benchmark(*, quick: bool = False, output_dir: Path | None = None) -> None:
    """Show for how long one step holds the event loop, at most.

    Parameters
    ----------
    quick:
        Small sizes, to see that everything works.
    output_dir:
        Where to write stalls.json [benchmarks/results; with --quick nowhere].
    """
    if output_dir is None and not quick:
        output_dir = _RESULTS
    stalls = measure(_QUICK_SIZES if quick else _SIZES)
    print_stalls(stalls, sys.stdout)
    if output_dir is not None:
        output_dir.mkdir(parents=True, exist_ok=True)
        machine = f"{platform.machine()}, Python {platform.python_version()}"
        (output_dir / "stalls.json").write_text(encode(stalls, machine), encoding="utf-8")


def measure(sizes: Sequence[int]) -> list[Stall]:
    """Return the longest turns of each cache doing each work at each of ``sizes``."""
    return [
        Stall(what, who, size, longest_turn(work, size))
        for who, works in {OURS_NAME: OURS, **theirs()}.items()
        for size in sizes
        for what, work in works.items()
    ]


if __name__ == "__main__":
    App(name="python -m benchmarks.stalls", default_command=benchmark, version_flags=())()
