"""The command line: arguments in, exit code out, every complaint one line on standard error."""

from __future__ import annotations

import importlib.metadata
import os
import sys
from dataclasses import dataclass, fields
from io import TextIOWrapper
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import anyio
from cyclopts import App, CycloptsError, Group, Parameter, UnusedCliTokensError

from async_backfill.commands.integers import integer
from async_backfill.commands.tune import tune
from async_backfill.errors import AsyncBackfillError, ConfigurationError, ScenarioError
from async_backfill.runner.display import ProgressBar, print_table
from async_backfill.runner.job import Job, run
from async_backfill.runner.wording import one_line
from async_backfill.stores.orders import Eviction  # noqa: TC001 - cyclopts reads the annotation

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cyclopts import Token

    from async_backfill.commands.tune import TuneCommand
    from async_backfill.runner.job import Report

OK: Final = 0
RUN_FAILED: Final = 1
BAD_INPUT: Final = 2
INTERRUPTED: Final = 130

_LONGEST: Final = 400
_HELP: Final = """Replay the lookups of a scenario through a cache that backfills itself.

Reads the scenario, asks the cache for each key in turn, and writes a summary:
hits, misses, backfills, and what they cost the source.
"""
_EPILOGUE: Final = """\
Example: the five products and seven lookups that come with the project.

    python -m async_backfill --input data/sample_input.txt \\
        --output data/output_summary.json

A scenario is a JSON object, or TOML with the same names. This one is complete:

    {"source": {"a": 1, "b": 2}, "lookups": ["a", "c", "a"]}

A source may also be a table (CSV or JSON lines, plain or gzip) or simulated:

    "source": {"kind": "table", "file": "rows.csv.gz", "key": "id"}
    "source": {"kind": "simulated", "keys": 1000, "latency": 0.02}

The lookups may be a file with one key a line, plain or gzip:

    "lookups": {"file": "keys.gz"}

Files are looked for beside the scenario. Every setting above can stand in the
scenario, written with underscores: "max_backfills": 3.

Exit codes: 0 the summary is written; 1 the run failed, such as a full disk;
2 the input or the command is wrong and nothing was written; 130 interrupted.
A complaint is one line on standard error.
"""


def _integer_or_none(_: object, tokens: Sequence[Token]) -> int | Literal["none"]:
    return "none" if tokens[0].value == "none" else integer(_, tokens)


_SETTINGS: Final = Group("Settings, instead of those in the scenario", sort_key=2)
_Setting: Final = Parameter(group=_SETTINGS, show_default=False, negative=())
_Whole: Final = Parameter(group=_SETTINGS, show_default=False, converter=integer)
_WholeOrNone: Final = Parameter(group=_SETTINGS, show_default=False, converter=_integer_or_none)


@dataclass(frozen=True, slots=True, kw_only=True)
class Overrides:
    """The settings of a scenario as options; ``None`` leaves the scenario's."""

    miss_threshold: Annotated[float | None, _Setting] = None
    """Share of misses, 0.01 to 1.0, that starts a backfill [0.5 unless the scenario says]."""

    backfill_batch: Annotated[int | None, _Whole] = None
    """Keys that one backfill loads at the most [10]."""

    max_backfills: Annotated[int | Literal["none"] | None, _WholeOrNone] = None
    """Backfills allowed before a person must approve more [none: no limit]."""

    capacity: Annotated[int | Literal["none"] | None, _WholeOrNone] = None
    """Keys that the cache holds at the most [none: no limit]."""

    window: Annotated[int | None, _Whole] = None
    """Latest lookups that the share of misses is taken over [1000]."""

    min_lookups: Annotated[int | None, _Whole] = None
    """Lookups that the window must hold before a backfill can start [3]."""

    backfill_evicts: Annotated[bool | None, Parameter(group=_SETTINGS, show_default=False)] = None
    """Whether a backfill may push out what is cached, or only fills free room [no]."""

    eviction: Annotated[Eviction | None, _Setting] = None
    """Who leaves a full cache first: FIFO, LRU, SIEVE or S3-FIFO [fifo]."""

    concurrency: Annotated[int | None, _Whole] = None
    """Lookups in flight; above 1 backfills run in the background [1]."""

    def given(self) -> dict[str, Any]:
        """Return the settings that were given, by their name in the scenario."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        return {
            name: None if value == "none" else value for name, value in values.items() if value is not None
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command line that was understood: the job, and how to tell of it."""

    job: Job
    output_format: Literal["table", "json"]
    quiet: bool


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    :param arguments: what follows the program's name; ``None`` takes it from ``sys.argv``.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a terminal may know only ASCII
            stream.reconfigure(errors="backslashreplace")
    try:
        action, bound, _ = _app().parse_args(arguments, exit_on_error=False, print_error=False)
        if action is tune:
            return _tune(tune(*bound.args, **bound.kwargs))
        if action is not _command:  # --help or --version
            return _print(lambda: action(*bound.args, **bound.kwargs))
        command = _command(*bound.args, **bound.kwargs)
        with ProgressBar(None if command.quiet else sys.stderr) as bar:
            report = anyio.run(run, command.job, bar.show)
    except (CycloptsError, AsyncBackfillError) as error:
        return _complain(*_complaint(error))
    except KeyboardInterrupt:
        return _complain("interrupted, nothing was written", INTERRUPTED)
    return OK if command.quiet else _tell(command, report)


def _tune(command: TuneCommand) -> int:
    with ProgressBar(None if command.quiet else sys.stderr) as bar:
        tuning = anyio.run(command.run, bar.show)
    written = f"; {command.written}" if command.written else ""
    return OK if command.quiet else _print(lambda: command.tell(tuning), written)


def _complaint(error: Exception) -> tuple[str, int]:
    """Return what to say of ``error``, and the exit code."""
    match error:
        case UnusedCliTokensError():
            return f"{error} Every option begins with two dashes; see --help.", BAD_INPUT
        case ConfigurationError():
            return f"--{error.setting.replace('_', '-')}: {error.problem}", BAD_INPUT
        case CycloptsError() | ScenarioError():
            return str(error), BAD_INPUT
    return str(error), RUN_FAILED


def _app() -> App:
    app = App(
        name="python -m async_backfill",
        help=_HELP,
        help_format="plaintext",
        help_epilogue=_EPILOGUE,
        version=lambda: importlib.metadata.version("async-backfill"),
    )
    app.default(_command)
    app.command(tune, help_epilogue="")
    return app


def _command(
    *,
    input: Annotated[str, Parameter(name="--input")],  # noqa: A002 - the option's name is given
    output: Annotated[str, Parameter(name="--output")],
    format: Literal["table", "json"] = "table",  # noqa: A002 - as above
    quiet: Annotated[bool, Parameter(negative=())] = False,
    results_limit: Annotated[int, Parameter(converter=integer)] = 1000,
    overrides: Annotated[Overrides | None, Parameter(name="*")] = None,
) -> Command:
    """Return the command that the options describe.

    Parameters
    ----------
    input:
        The scenario: JSON or TOML, whatever the file is called.
    output:
        The summary, JSON; an older one is replaced once the new one is complete.
    format:
        What to print: a table, or the summary itself as JSON.
    quiet:
        Print nothing but complaints.
    results_limit:
        Above this many lookups the summary does not list each result.
    """
    given = overrides.given() if overrides is not None else {}
    job = Job(scenario=input, output=output, overrides=given, results_limit=results_limit)
    return Command(job=job, output_format=format, quiet=quiet)


def _tell(command: Command, report: Report) -> int:
    """Print what came of the run; the summary is on the disk whatever happens here."""
    written = one_line(f"{command.job.output} written")

    def tell() -> None:
        if command.output_format == "json":
            sys.stdout.buffer.write(report.content)
            print(written, file=sys.stderr)
        else:
            print_table(report.summary, sys.stdout)
            print(written)

    return _print(tell, f"; {written}")


def _print(tell: Callable[[], object], done: str = "") -> int:
    """Run ``tell``, which prints; return the exit code.

    :param done: what to add when printing fails.
    """
    if sys.stdout is None:  # closed by whoever started this process
        return OK
    try:
        tell()
        sys.stdout.flush()
    except (BrokenPipeError, SystemExit):  # such as "| head"; rich exits when its reader has gone
        _silence()
    except OSError as error:
        _silence()
        return _complain(f"standard output: cannot be written: {error.strerror}{done}", RUN_FAILED)
    return OK


def _silence() -> None:
    """Drop what is still buffered: it would fail again, with a traceback, when the interpreter ends."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)


def _complain(problem: str, code: int) -> int:
    line = one_line(problem)
    if sys.stderr is not None:
        print(f"error: {line if len(line) <= _LONGEST else f'{line[:_LONGEST]}...'}", file=sys.stderr)
    return code
