"""Parse JSON or TOML, told apart by content, into plain JSON values.

JSON is read more strictly than by `json` alone: a name that appears twice, ``NaN``, a number beyond the
range of float and half of a surrogate pair are refused, each with its path. A flaw that the parser cannot
refuse with its path becomes a `_Flaw` in the tree, and a walk over the tree reports the first one.
"""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections import Counter
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import TYPE_CHECKING, Any, Final

from async_backfill._runner.wording import one_line, path_of, shown
from async_backfill.errors import ScenarioError

if TYPE_CHECKING:
    from async_backfill._runner.wording import Place

DEEPEST: Final = 100
"""The largest number of nested levels, so that the summary can be written without deep recursion."""

_QUOTED: Final = re.compile(
    r""""{3}(?:[^"\\]|\\.|"(?!""))*+(?:"{3})?+|"(?:[^"\\\n]|\\.)*+"?+|"""
    r"""\'{3}(?:[^']|'(?!''))*+(?:'{3})?+|'[^'\n]*+'?+|#[^\n]*+""",
    re.DOTALL,
)
"""Text and comments in TOML; one that is not closed goes on to its end, so that none is tried twice."""

_LONG_KEY: Final = re.compile(rf"(?<![\w-])(?:[\w-]++[ \t]*+\.[ \t]*+){{{DEEPEST}}}")
_TOML_PLACE: Final = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")


def parse(text: str, file: str, *, what: str = "a scenario") -> dict[str, Any]:
    """Return the document in ``text``: an object of plain JSON types, with dates as ISO 8601 text.

    :param file: the name of the file, the start of each error message.
    :param what: what the file is expected to hold.
    :raises ScenarioError: for any other text; the message has line and column, or the path.
    """
    start = text.lstrip()
    if not start:
        raise ScenarioError(f"{file}: the file is empty, expected {what} in JSON or TOML")
    try:
        document = _from_json(text, file) if start.startswith("{") else _from_toml(text, file, what)
        plain = _plain(document, None, 0)
    except RecursionError:
        raise ScenarioError(f"{file}: nested deeper than {DEEPEST} levels") from None
    except _FlawError as error:
        raise ScenarioError(f"{file}: {error}") from None
    if not isinstance(plain, dict):  # impossible: both parsers return an object
        raise TypeError(type(plain))
    return plain


class _FlawError(Exception):
    """A problem with its path; `parse` adds the name of the file."""


@dataclass(frozen=True, slots=True)
class _Flaw:
    """A placeholder in the tree for a refused value; ``name`` is the faulty name in it, if any."""

    problem: str
    name: str | None = None


def _from_json(text: str, file: str) -> object:
    try:
        return json.loads(
            text, object_pairs_hook=_pairs, parse_constant=_constant, parse_float=_float, parse_int=_int
        )
    except json.JSONDecodeError as error:
        raise ScenarioError(f"{file}:{error.lineno}:{error.colno}: not JSON: {error.msg}") from error


def _from_toml(text: str, file: str, what: str) -> object:
    if _LONG_KEY.search(_QUOTED.sub(_without_content, text)):  # tomllib takes time and memory by its square
        raise RecursionError
    try:
        return tomllib.loads(text, parse_float=_float)
    except tomllib.TOMLDecodeError as error:
        message = one_line(str(error))
        line, column = text.count("\n") + 1, len(text) - text.rfind("\n")
        if (place := _TOML_PLACE.search(message)) is not None:
            message = message[: place.start()]
            if place[1] is not None:
                line, column = int(place[1]), int(place[2])
        hint = f" ({what} in JSON is an object, from its first brace on)" if line == 1 else ""
        raise ScenarioError(f"{file}:{line}:{column}: not TOML: {message}{hint}") from error
    except ValueError as error:  # an integer of thousands of digits, a date such as 30 February
        raise ScenarioError(f"{file}: not TOML: {str(error).partition(';')[0]}") from error


def _without_content(quoted: re.Match[str]) -> str:
    return "" if quoted[0].startswith("#") else "text"


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any] | _Flaw:
    names = dict(pairs)
    if len(names) == len(pairs):
        return names
    counts = Counter(name for name, _ in pairs)
    return _Flaw("appears twice", next(name for name, count in counts.items() if count > 1))


def _constant(text: str) -> _Flaw:
    return _Flaw(f"{text} is not a JSON number")


def _float(text: str) -> float | _Flaw:
    number = float(text)
    if math.isfinite(number):
        return number
    return _Flaw(f"{text if len(text) <= DEEPEST else 'a number'} is not a finite number")


def _int(text: str) -> int | _Flaw:
    try:
        return int(text)
    except ValueError:
        return _Flaw(f"a whole number of {len(text)} digits is too long")


def _plain(value: object, place: Place, depth: int) -> object:
    """Return ``value`` with dates as text; raise `_FlawError` for the first value that JSON cannot hold."""
    if isinstance(value, str):
        if not value.isascii():
            _check_text(value, place)
        return value
    if isinstance(value, (dict, list)):
        if depth == DEEPEST:
            raise _FlawError(f"{path_of(place)}: nested deeper than {DEEPEST} levels")
        if isinstance(value, list):
            return [_plain(item, (place, number), depth + 1) for number, item in enumerate(value)]
        for name in value:
            if not name.isascii():
                _check_text(name, (place, name))
        return {name: _plain(item, (place, name), depth + 1) for name, item in value.items()}
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, _Flaw):
        raise _flaw(value, place)
    return value


def _flaw(flaw: _Flaw, place: Place) -> _FlawError:
    where = place if flaw.name is None else (place, flaw.name)
    return _FlawError(f"{path_of(where)}: {flaw.problem}")


def _check_text(text: str, place: Place) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise _FlawError(f"{path_of(place)}: {shown(text)} holds half of a surrogate pair") from None
