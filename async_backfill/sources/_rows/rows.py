"""Parse and check the rows of CSV and JSON lines, with errors that name file, line and column."""

from __future__ import annotations

import difflib
import json
import math
import os
from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING, Any, BinaryIO, Final, NoReturn, TypeAlias

from async_backfill.errors import ScenarioError

if TYPE_CHECKING:
    import csv
    from collections.abc import Collection, Iterable, Sequence

AnyPath: TypeAlias = str | os.PathLike[str]

_DEEPEST: Final = 100
_LONGEST: Final = 100
_PIECE: Final = 1 << 16
_MOST_COMPARED: Final = 1000
_SPACE: Final = " \t\r\n"


def json_row(path: AnyPath, line: int, text: str, wanted: Iterable[str]) -> dict[str, Any]:
    """Return the JSON object in ``text``, which must have the columns ``wanted``.

    Refused are: a name that appears twice, ``NaN``, a number beyond the range of floats, more than 100
    levels, and half of a surrogate pair.

    :raises ScenarioError: when the text is not such an object; names the file, the line and the column.
    """
    row, end = json_part(path, line, text, len(text) - len(text.lstrip(_SPACE)), wanted)
    if rest := text[end:].lstrip(_SPACE):
        raise ScenarioError(f"{path}:{line}:{text.rindex(rest) + 1}: not JSON: Extra data")
    return row


def json_part(
    path: AnyPath, line: int, text: str, start: int, wanted: Iterable[str]
) -> tuple[dict[str, Any], int]:
    """Return the JSON object that begins at ``start`` in ``text``, and where it ends; else as `json_row`.

    :param line: the number of the line of ``start``.
    """
    try:
        row, end = _json_object(text, start)
    except json.JSONDecodeError as error:
        at = line + text.count("\n", start, min(error.pos, len(text.rstrip())))
        goes_on = text.rstrip().endswith(("{", "[", ","))
        hint = " (expected one whole object a line, or an array of objects)" if goes_on else ""
        raise ScenarioError(f"{path}:{at}:{error.colno}: not JSON: {error.msg}{hint}") from error
    except ValueError as error:
        raise ScenarioError(f"{path}:{line}: {str(error).partition(';')[0]}") from error
    check_columns(path, line, row, wanted)
    return row, end


def check_header(path: AnyPath, line: int, header: Sequence[str], wanted: Iterable[str]) -> None:
    """Check that ``header`` names each column once and has all columns ``wanted``.

    :raises ScenarioError: when it does not; names the file and the line.
    """
    if len(set(header)) < len(header):
        raise ScenarioError(f"{path}:{line}: the column {shown(_repeated(header))} appears twice")
    check_columns(path, line, header, wanted)


def check_columns(path: AnyPath, line: int, known: Collection[str], wanted: Iterable[str]) -> None:
    """Check that all columns ``wanted`` are among the ``known`` ones.

    :raises ScenarioError: for the first missing column; names the file, the line and the nearest column.
    """
    for name in wanted:
        if name not in known:
            folded = {column[:_LONGEST].casefold(): column for column in islice(known, _MOST_COMPARED)}
            nearest = difflib.get_close_matches(name[:_LONGEST].casefold(), folded, n=1, cutoff=0.0)
            hint = f", the nearest is {shown(folded[nearest[0]])}" if nearest else ""
            raise ScenarioError(f"{path}:{line}: no column {shown(name)}{hint}")


def shown(value: object) -> str:
    """Return ``value`` as JSON, or what JSON does not know as text, cut to fit into the line of an error."""
    text = json.dumps(value, default=str)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def repeated_key(path: AnyPath, line: int, key: object, first: int) -> ScenarioError:
    """Return the error for a key in ``line`` that line ``first`` has already."""
    allowed = 'duplicates = "first" or "last" keeps one'
    return ScenarioError(
        f"{path}:{line}: the key {shown(key)} appears twice, first in line {first}: {allowed}"
    )


def width_refusal(path: AnyPath, line: int, columns: int, expected: int) -> ScenarioError:
    """Return the error for a CSV row whose number of columns differs from the header's."""
    return ScenarioError(f"{path}:{line}: {columns} columns, expected {expected} as in the header")


def line_ends(file: BinaryIO, start: int, end: int) -> int:
    """Return the number of line ends between two positions of ``file``."""
    file.seek(start)
    count = 0
    while start < end and (piece := file.read(min(_PIECE, end - start))):
        count += piece.count(b"\n")
        start += len(piece)
    return count


def csv_refusal(path: AnyPath, line: int, error: csv.Error) -> ScenarioError:
    """Return the error for what the csv module refuses."""
    problem = str(error)
    if problem.startswith("new-line character"):
        problem = "a line that ends with CR alone, expected LF or CRLF: use tr '\\r' '\\n'"
    elif problem.startswith("field larger"):
        problem += ", which csv.field_size_limit() raises; or a quote is not closed"
    return ScenarioError(f"{path}:{line}: not CSV: {problem}")


def _json_object(text: str, start: int) -> tuple[dict[str, Any], int]:
    decoder = json.JSONDecoder(
        object_pairs_hook=_unique_names, parse_constant=_refuse_constant, parse_float=_finite
    )
    try:
        row, end = decoder.raw_decode(text, start)
    except RecursionError:
        raise ValueError(f"nested deeper than {_DEEPEST} levels") from None
    nested = text.count("{", start, end) + text.count("[", start, end)
    if nested > _DEEPEST and _depth(row) > _DEEPEST:
        raise ValueError(f"nested deeper than {_DEEPEST} levels")
    if not isinstance(row, dict):
        raise ValueError(f"{shown(row)} is not a JSON object")  # noqa: TRY004 - a fault of the file
    if text.find("\\u", start, end) >= 0:
        try:
            json.dumps(row, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise ValueError("half of a surrogate pair, which is not text") from None
    return row, end


def _unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(names := dict(pairs)) < len(pairs):
        raise ValueError(f"the name {shown(_repeated(name for name, _ in pairs))} appears twice")
    return names


def _repeated(names: Iterable[str]) -> str:
    counts = Counter(names)
    return next(name for name, count in counts.items() if count > 1)


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a JSON number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{shown(text)} is beyond the range of numbers")
    return number


def _depth(value: object) -> int:
    deepest = 0
    level = [value]
    while level:
        deepest += 1
        level = [
            inner
            for outer in level
            if isinstance(outer, (dict, list))
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
    return deepest
