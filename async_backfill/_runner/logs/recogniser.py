"""Recognise what a file of lookups is, by its first lines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import msgspec

from async_backfill._runner.logs.fields import HEADER, Fields
from async_backfill._runner.logs.filters import refuse_filters
from async_backfill._runner.logs.formats import Column, KeyLines, Matches, lines_of
from async_backfill._runner.logs.json_lines import JsonField, path_field
from async_backfill._runner.logs.requests import COMMON, KINDS, RequestLog
from async_backfill._runner.wording import shown
from async_backfill.errors import ConfigurationError, ScenarioError
from async_backfill.sources._rows.delimiters import WORDS, cells_of, delimiter_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from async_backfill._runner.logs.filters import Filters
    from async_backfill._runner.logs.formats import Format

FormatName: TypeAlias = Literal["log", "keys", "csv"]
FORMATS: Final = ("log", "keys", "csv")

_LOOKED_AT: Final = 100
_SHOWN: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPlace:
    """What a user says of the place of the keys in a file; all that is ``None`` is recognised.

    ``column``
        the column of a table, by its name, or by its number from 1 where there is no header.
    ``field``
        the field of a JSON object, such as ``request.uri``.
    ``pattern``
        a regular expression whose group is the key.
    ``filters``
        which requests of a log count.

    :raises ConfigurationError: when two of them exclude each other; names the option.
    """

    format_name: FormatName | None = None
    column: str | None = None
    field: str | None = None
    pattern: str | None = None
    filters: Filters | None = None

    def __post_init__(self) -> None:
        given = [name for name in ("pattern", "field", "column") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ConfigurationError(given[0], f"cannot be combined with --{given[1]}")
        if self.pattern is not None:
            Matches(self.pattern)
        if given and given[0] != "column" and self.format_name is not None:
            raise ConfigurationError(given[0], f"cannot be combined with --format {self.format_name}")
        if self.format_name == "csv" and self.column is None:
            raise ConfigurationError("column", "is missing, expected the key column of the table")
        if self.column is not None and self.format_name in {"keys", "log"}:
            raise ConfigurationError("column", f"cannot be combined with --format {self.format_name}")
        if self.filters is not None and (self.pattern is not None or self.format_name in {"keys", "csv"}):
            raise ConfigurationError("method", "is for logs of requests only, as --status is")


def recognise(name: str, text: str, place: KeyPlace) -> Format:
    """Return the format of a file that begins with ``text``.

    :param name: the name of the file, for error messages.
    :raises ScenarioError: when it is not certain where the keys are; names the option that says it.
    """
    lines = lines_of(text)[:_LOOKED_AT]
    _check_line_ends(name, lines)
    if place.pattern is not None:
        return Matches(place.pattern)
    if place.field is not None:
        return JsonField(place.field, place.filters)
    if place.format_name == "keys":
        return KeyLines()
    if place.format_name == "log":
        return _requests(lines, place.filters) or RequestLog(COMMON, place.filters)
    return _recognised(name, lines, place)


def _recognised(name: str, lines: Sequence[str], place: KeyPlace) -> Format:
    if any(line.startswith(HEADER) for line in lines) and place.format_name is None:
        return Fields(name, place.column, place.filters)
    if place.column is not None:
        refuse_filters(name, place.filters)
        return Column(name, place.column, delimiter_of(lines) or ",")
    found = _requests(lines, place.filters) or _json(name, lines, place.filters)
    if found is not None:
        return found
    refuse_filters(name, place.filters)
    return _table(name, lines) or _keys(name, lines)


def _check_line_ends(name: str, lines: Sequence[str]) -> None:
    if len(lines) == 1 and lines[0].count("\r") > 1:
        raise ScenarioError(f"{name}: its lines end with CR alone, expected LF or CRLF: use tr '\\r' '\\n'")


def _requests(lines: Sequence[str], filters: Filters | None) -> Format | None:
    """Return the log of which more than half of ``lines`` are requests."""
    shares = [(RequestLog(kind).share(lines), -number) for number, kind in enumerate(KINDS)]
    share, number = max(shares)
    return RequestLog(KINDS[-number], filters) if share > 1 / 2 else None


def _json(name: str, lines: Sequence[str], filters: Filters | None) -> Format | None:
    start = lines[0].lstrip() if lines else ""
    if start.startswith("["):
        raise ScenarioError(f"{name}: is a JSON array, expected one object a line: use jq -c '.[]'")
    if not start.startswith("{"):
        return None
    found: Any = None
    for line in lines:
        try:
            found = msgspec.json.decode(line)
        except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
            continue
        if (field := path_field(found)) is not None:
            return JsonField(field, filters)
    if not isinstance(found, dict):
        raise ScenarioError(
            f"{name}: looks like JSON, but no line is an object; the first is {shown(lines[0])}"
        )
    names = ", ".join(list(map(str, found))[:_SHOWN])
    raise ScenarioError(f"{name}: is JSON lines with the fields {names}: say --field with the key's")


def _table(name: str, lines: Sequence[str]) -> Format | None:
    delimiter = delimiter_of(lines)
    if delimiter is None or delimiter == "|":  # keys are often made of parts with bars between them
        return None
    rows = [line for line in lines if not line.startswith(("#", "sep="))]
    table = cells_of(rows, delimiter)
    if delimiter != "\t" and len(set(map(len, table))) > 1:  # keys may hold commas
        return None
    cells = next(iter(table), [])
    some = ", ".join(cells[:_SHOWN]) + (", ..." if len(cells) > _SHOWN else "")
    raise ScenarioError(
        f"{name}: looks like a table with {WORDS[delimiter]}, and its first row is {some}: say --column with "
        "the name of the key's, or its number where there is no header; or --format keys"
    )


def _keys(name: str, lines: Sequence[str]) -> Format:
    if not any(" " in line or "\t" in line for line in lines):
        return KeyLines()
    raise ScenarioError(
        f"{name}: cannot tell where the keys are; the first line is {shown(lines[0])}: say --column, --field "
        "or --pattern, or --format keys"
    )
