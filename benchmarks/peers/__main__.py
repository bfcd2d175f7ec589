"""``python -m benchmarks.peers``: measure, print, and write the results."""

from __future__ import annotations

import asyncio
import sys
from importlib.metadata import version
from pathlib import Path
from time import thread_time
from typing import TYPE_CHECKING, Final

from cyclopts import App

from benchmarks.peers.goals import judge
from benchmarks.peers.machine import machine
from benchmarks.peers.plot import draw
from benchmarks.peers.registry import find_peers, versions
from benchmarks.peers.report import encode, print_missing, print_result, print_verdicts
from benchmarks.peers.sizes import FULL, QUICK
from benchmarks.peers.workloads import WORKLOADS, Name

if TYPE_CHECKING:
    from benchmarks.peers.results import Result

_RESULTS: Final = Path(__file__).parents[1] / "results"


def benchmark(
    *,
    only: tuple[Name, ...] = (),
    quick: bool = False,
    uvloop: bool = False,
    processor_time: bool = False,
    output_dir: Path | None = None,
) -> None:
    """Compare with other caches for asyncio, and with the least possible cost.

    Parameters
    ----------
    only:
        One workload; can be given more than once [all].
    quick:
        Small sizes and few rounds, to see that everything works.
    uvloop:
        Run on uvloop in place of the event loop of asyncio.
    processor_time:
        Measure the processor's time of the thread, for a machine that others use; sleeping takes none.
    output_dir:
        Where to write peers.json and peers.svg [benchmarks/results; with any other option nowhere].
    """
    if output_dir is None and not (quick or only or uvloop or processor_time):
        output_dir = _RESULTS
    peers, missing = find_peers()
    installed = versions(peers)
    print(machine())
    if uvloop:
        from uvloop import EventLoopPolicy  # noqa: PLC0415 - only where it is asked for

        asyncio.set_event_loop_policy(EventLoopPolicy())
        installed["uvloop"] = version("uvloop")
    print(", ".join(f"{package} {version}" for package, version in installed.items()))
    if processor_time:
        for module in [sys.modules[name] for name in sys.modules if name.startswith("benchmarks.peers.")]:
            if hasattr(module, "perf_counter"):
                vars(module)["perf_counter"] = thread_time
    print_missing(missing, sys.stdout)
    results: list[Result] = []
    for name, measure in WORKLOADS.items():
        if not only or name in only:
            results.append(measure(peers, QUICK if quick else FULL))
            print_result(results[-1], sys.stdout)
            sys.stdout.flush()
    verdicts = [] if quick else judge(results)
    shown = [each for each in verdicts if not only or each.measured]
    if shown:
        print_verdicts(shown, sys.stdout)
    if output_dir is not None:
        output_dir.mkdir(parents=True, exist_ok=True)
        text = encode(results, verdicts, missing, machine(), installed)
        (output_dir / "peers.json").write_text(text, encoding="utf-8")
        draw(results, output_dir / "peers.svg")


if __name__ == "__main__":
    App(name="python -m benchmarks.peers", default_command=benchmark, version_flags=())()
