"""The command line: parse arguments, run a command, print errors in one line, return an exit code."""

from __future__ import annotations

import csv
import importlib.metadata
import sys
from contextlib import contextmanager
from inspect import iscoroutinefunction
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any, Final

from cyclopts import App, CycloptsError, UnusedCliTokensError

from async_backfill._commands.caches.app import caches_app
from async_backfill._commands.epilogue import EPILOGUE
from async_backfill._commands.history import history
from async_backfill._commands.jobs.app import jobs_app
from async_backfill._commands.jobs.running import run_verb
from async_backfill._commands.replay import replay
from async_backfill._commands.serve import serve
from async_backfill._commands.several import repeated
from async_backfill._commands.telling import complain, print_with
from async_backfill._commands.termination import interrupted_by_sigterm
from async_backfill._commands.tune import tune
from async_backfill.errors import AsyncBackfillError, ConfigurationError, MissingExtraError, ScenarioError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from async_backfill._commands.command import Command

OK: Final = 0
RUN_FAILED: Final = 1
BAD_INPUT: Final = 2
INTERRUPTED: Final = 130
TERMINATED: Final = 143

_SUBCOMMANDS: Final = (history, serve, tune)
_WIDEST_CELL: Final = 1 << 26


def main(arguments: Sequence[str] | None = None, *, program: str = "python -m async_backfill") -> int:
    """Run the command line and return its exit code.

    :param arguments: the arguments after the program's name; ``None`` takes those of ``sys.argv``.
    :param program: the program's name in the help.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a terminal may support only ASCII
            stream.reconfigure(errors="backslashreplace")
    with interrupted_by_sigterm() as termination, _wide_cells():
        try:
            return _run(arguments, program)
        except KeyboardInterrupt as interruption:
            left = str(interruption) or "nothing was written"
            if termination.has_come:
                return complain(f"terminated, {left}", TERMINATED)
            return complain(f"interrupted, {left}", INTERRUPTED)


@contextmanager
def _wide_cells() -> Iterator[None]:
    """Let a cell of CSV be as large as a row, inside ``with``: the limit is one of the whole process."""
    before = csv.field_size_limit(_WIDEST_CELL)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _run(arguments: Sequence[str] | None, program: str) -> int:
    try:
        given = repeated(sys.argv[1:] if arguments is None else arguments)
        action, bound, _ = _app(program).parse_args(given, exit_on_error=False, print_error=False)
        if iscoroutinefunction(action):
            return run_verb(action, bound, program)
        if action not in {replay, *_SUBCOMMANDS}:  # --help or --version
            return print_with(lambda: action(*bound.args, **bound.kwargs), failed=RUN_FAILED)
        command: Command[Any] = action(*bound.args, **bound.kwargs)
        with command.progress_bar() as bar:
            result = command.run(bar.show)
    except (CycloptsError, AsyncBackfillError) as error:
        return complain(*_complaint(error))
    except MemoryError:
        return complain("there is not enough memory, nothing was written", RUN_FAILED)
    if command.quiet:
        return OK
    done = f"; {command.written}" if command.written else ""
    try:
        return print_with(lambda: command.tell(result), done, failed=RUN_FAILED)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(command.written) from None


def _complaint(error: Exception) -> tuple[str, int]:
    """Return the message for ``error``, and the exit code."""
    match error:
        case UnusedCliTokensError():
            return f"{error} Every option begins with two dashes; see --help.", BAD_INPUT
        case ConfigurationError():
            return f"--{error.setting.replace('_', '-')}: {error.problem}", BAD_INPUT
        case CycloptsError() | ScenarioError() | MissingExtraError():
            return str(error), BAD_INPUT
    return str(error), RUN_FAILED


def _app(program: str) -> App:
    app = App(
        name=program,
        usage=f"Usage: {program} --input SCENARIO --output SUMMARY [OPTIONS]\n"
        f"       {program} {'|'.join(command.__name__ for command in _SUBCOMMANDS)}|jobs|caches --help\n",
        help_format="plaintext",
        help_epilogue=EPILOGUE,
        version=lambda: importlib.metadata.version("async-backfill"),
    )
    app.default(replay)
    for subcommand in _SUBCOMMANDS:
        app.command(subcommand, help_epilogue="")
    app.command(jobs_app())
    app.command(caches_app())
    return app
