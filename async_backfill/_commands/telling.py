"""Print results to standard output, and complaints to standard error in one line."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from async_backfill._runner.wording import one_line

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TextIO

_LONGEST: Final = 400


def print_with(tell: Callable[[], object], done: str = "", *, failed: int, ok: int = 0) -> int:
    """Run ``tell``, which prints the result; return the exit code.

    :param done: the end of the error message when printing fails.
    :param failed, ok: the exit code when it fails, and when it does not.
    """
    if sys.stdout is None:  # closed by the parent process
        return ok
    try:
        tell()
        sys.stdout.flush()
    except (BrokenPipeError, SystemExit):  # such as "| head"; rich exits when the reader is gone
        silence(sys.stdout)
    except OSError as error:
        silence(sys.stdout)
        return complain(f"standard output: cannot be written: {error.strerror}{done}", failed)
    return ok


def complain(problem: str, code: int, *, longest: int = _LONGEST) -> int:
    """Print ``problem`` as one line of an error, and return ``code``."""
    line = one_line(problem)
    say(f"error: {line if len(line) <= longest else f'{line[:longest]}...'}")
    return code


def say(line: str) -> None:
    """Print ``line`` to standard error, if anybody reads it."""
    if sys.stderr is not None:
        with suppress(OSError):
            print(line, file=sys.stderr, flush=True)


def silence(stream: TextIO) -> None:
    """Discard buffered output, which would fail again with a traceback when the interpreter ends."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)
