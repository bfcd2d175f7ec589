"""The command line: parse arguments, run a command, print errors in one line, return an exit code."""

from __future__ import annotations

import csv
import importlib.metadata
import os
import sys
from contextlib import contextmanager
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any, Final

from cyclopts import App, CycloptsError, UnusedCliTokensError

from async_backfill._commands.epilogue import EPILOGUE
from async_backfill._commands.history import history
from async_backfill._commands.replay import replay
from async_backfill._commands.serve import serve
from async_backfill._commands.several import repeated
from async_backfill._commands.termination import interrupted_by_sigterm
from async_backfill._commands.tune import tune
from async_backfill._runner.wording import one_line
from async_backfill.errors import AsyncBackfillError, ConfigurationError, MissingExtraError, ScenarioError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from async_backfill._commands.command import Command

OK: Final = 0
RUN_FAILED: Final = 1
BAD_INPUT: Final = 2
INTERRUPTED: Final = 130
TERMINATED: Final = 143

_SUBCOMMANDS: Final = (history, serve, tune)
_LONGEST: Final = 400
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
        except KeyboardInterrupt:
            if termination.has_come:
                return _complain("terminated, nothing was written", TERMINATED)
            return _complain("interrupted, nothing was written", INTERRUPTED)


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
        if action not in {replay, *_SUBCOMMANDS}:  # --help or --version
            return _print(lambda: action(*bound.args, **bound.kwargs))
        command: Command[Any] = action(*bound.args, **bound.kwargs)
        with command.progress_bar() as bar:
            result = command.run(bar.show)
    except (CycloptsError, AsyncBackfillError) as error:
        return _complain(*_complaint(error))
    except MemoryError:
        return _complain("there is not enough memory, nothing was written", RUN_FAILED)
    if command.quiet:
        return OK
    return _print(lambda: command.tell(result), f"; {command.written}" if command.written else "")


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
        f"       {program} {'|'.join(command.__name__ for command in _SUBCOMMANDS)} --help\n",
        help_format="plaintext",
        help_epilogue=EPILOGUE,
        version=lambda: importlib.metadata.version("async-backfill"),
    )
    app.default(replay)
    for subcommand in _SUBCOMMANDS:
        app.command(subcommand, help_epilogue="")
    return app


def _print(tell: Callable[[], object], done: str = "") -> int:
    """Run ``tell``, which prints the result; return the exit code.

    :param done: the end of the error message when printing fails.
    """
    if sys.stdout is None:  # closed by the parent process
        return OK
    try:
        tell()
        sys.stdout.flush()
    except (BrokenPipeError, SystemExit):  # such as "| head"; rich exits when the reader is gone
        _silence()
    except OSError as error:
        _silence()
        return _complain(f"standard output: cannot be written: {error.strerror}{done}", RUN_FAILED)
    return OK


def _silence() -> None:
    """Discard buffered output, which would fail again with a traceback when the interpreter ends."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)


def _complain(problem: str, code: int) -> int:
    line = one_line(problem)
    if sys.stderr is not None:
        print(f"error: {line if len(line) <= _LONGEST else f'{line[:_LONGEST]}...'}", file=sys.stderr)
    return code
