"""Print the settings worth choosing as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rich.console import Console
from rich.table import Table

from async_backfill._runner.tuning.grid import DIMENSIONS
from async_backfill._runner.tuning.trial import KEYS_A_CALL

if TYPE_CHECKING:
    from typing import TextIO

    from async_backfill._runner.tuning.report import Sample, Tuning
    from async_backfill._runner.tuning.trial import Result

_WIDE: Final = 200
_ALL_WANTED: Final = (
    "the source has no key that is not looked up: if it was made of the same log, a real one has more, and "
    "backfills in source order would be worth less"
)
_FIGURES: Final = ("entries", "source calls", "keys read", "cost", "hit rate")


def print_choices(tuning: Tuning, stream: TextIO) -> None:
    """Print the settings worth choosing to ``stream``, in ascending order of memory, and their basis."""
    table = Table(box=None, pad_edge=False, padding=(0, 1), header_style="dim")
    for number, name in enumerate([*(dimension.name for dimension in DIMENSIONS), *_FIGURES]):
        table.add_column(name.replace("_", " "), justify="left" if number == 1 else "right", no_wrap=True)
    for result in tuning.chosen:
        table.add_row(*_row(result))
    table.add_section()
    table.add_row(*_row(tuning.own), style="dim", end_section=True)
    console = _Console(file=stream, highlight=False, width=None if stream.isatty() else _WIDE)
    console.print(table)
    console.print(_basis(tuning), markup=False)


def _basis(tuning: Tuning) -> str:
    what = f"{len(tuning.tried):,} settings tried on {tuning.lookups:,} lookups of {tuning.keys:,} keys"
    lines = [f"last line: the scenario's own settings; {what}"]
    lines.append(f"cost: source calls, and one more for each {KEYS_A_CALL} keys read")
    if tuning.all_wanted:
        lines.append(_ALL_WANTED)
    if (sample := tuning.sample) is not None:
        lines.append(_basis_of(sample, tuning))
    return "\n".join(lines)


def _basis_of(sample: Sample, tuning: Tuning) -> str:
    size = f"sample of {sample.share:g}: {sample.lookups:,} lookups of {sample.keys:,} keys"
    if sample.error is None:
        margin = max(result.margin for result in (*tuning.chosen, tuning.own))
        doubt = f"give or take {margin:.2%} (three standard errors), more where backfills ran"
        return f"{size}; hit rates are estimates, {doubt}: --check replays the lines above in full"
    off = f"sampled hit rates were off by {sample.error:.2%} at most"
    return f"{size}; the lines above are full replays, their {off}"


def _row(result: Result) -> list[str]:
    settings = [_shown(getattr(result.settings, dimension.name)) for dimension in DIMENSIONS]
    figures = [
        f"{result.entries:,}",
        f"{result.source_calls:,}",
        f"{result.source_keys:,}",
        f"{result.cost:,.0f}",
    ]
    return [*settings, *figures, f"{result.hit_rate:.2%}"]


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    return f"{value:,}" if isinstance(value, int) else str(value)


class _Console(Console):
    """A console that raises `BrokenPipeError`; rich itself would end the process."""

    def on_broken_pipe(self) -> None:
        raise  # noqa: PLE0704 - it is called while the BrokenPipeError is handled
