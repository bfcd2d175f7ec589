"""Run a verb of ``jobs`` or ``caches``: its answer, its error in one line, its exit code."""

from __future__ import annotations

from dataclasses import asdict, replace
from functools import partial
from inspect import Parameter
from typing import TYPE_CHECKING, Any, Final

import anyio

from async_backfill._commands.jobs.answers import FAILED, REFUSED, VerbError
from async_backfill._commands.telling import complain, print_with
from async_backfill._common.json_text import json_text
from async_backfill._jobs._state.naming import is_of_server
from async_backfill._runner.wording import one_line
from async_backfill.errors import AsyncBackfillError, ConfigurationError, MissingExtraError, ScenarioError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from inspect import BoundArguments

    from async_backfill._commands.jobs.answers import Answer

_LONGEST: Final = 1_000


def run_verb(verb: Callable[..., Awaitable[Answer]], bound: BoundArguments, program: str) -> int:
    """Run ``verb`` in an event loop of its own, print what it answers, and return its exit code.

    :param program: the words that a person types before a command.
    """
    bound.apply_defaults()
    options = bound.arguments["options"] = replace(bound.arguments["options"], program=program)
    call: Any = partial(verb, *bound.args, **bound.kwargs)
    try:
        _require_text(bound)
        answer: Answer = anyio.run(call)
        return print_with(partial(_tell, answer, as_json=options.json), failed=FAILED, ok=answer.code)
    except AsyncBackfillError as error:
        return complain(str(error), _code(error), longest=_LONGEST)
    except MemoryError:
        return complain("there is not enough memory", FAILED)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("what was done before is kept") from None


def _require_text(bound: BoundArguments) -> None:
    """Refuse bytes that are not UTF-8, which no log and no server takes, before anything is done."""
    given = {name: value for name, value in bound.arguments.items() if name != "options"}
    for name, value in {**given, **asdict(bound.arguments["options"])}.items():
        is_path = name == "file" or (name == "state" and not is_of_server(value))
        if is_path or name == "key":  # a key may be any text of Python's
            continue
        for text in value if isinstance(value, (list, tuple)) else (value,):
            if isinstance(text, str) and not _is_unicode(text):
                parameter = bound.signature.parameters.get(name)
                is_option = parameter is None or parameter.kind is Parameter.KEYWORD_ONLY
                called = f"--{name.replace('_', '-')}" if is_option else name.upper()
                raise ConfigurationError(called, "holds bytes that are not UTF-8")


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _code(error: AsyncBackfillError) -> int:
    if isinstance(error, VerbError):
        return error.code
    from async_backfill.jobs import JobRefusedError, JobStateError  # noqa: PLC0415 - as in `Options.jobs`

    refused = (JobRefusedError, JobStateError, ConfigurationError, ScenarioError, MissingExtraError)
    is_setting = isinstance(error.__cause__, ConfigurationError)  # such as a column that there is not
    return REFUSED if isinstance(error, refused) or is_setting else FAILED


def _tell(answer: Answer, *, as_json: bool) -> None:
    if as_json:
        print(json_text(answer.data, indent=2))
        return
    for line in answer.lines:
        print(one_line(line))
