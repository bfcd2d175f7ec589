"""What of a row is its key, and what its value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeAlias, cast

from async_backfill.contracts import V
from async_backfill.errors import ConfigurationError
from async_backfill.outcomes import Failed

if TYPE_CHECKING:
    from collections.abc import Callable

Columns: TypeAlias = dict[str, Any]


class KeyType:
    """What keys are: text that is not empty, or whole numbers.

    :param kind: ``str`` or ``int``.
    :raises ConfigurationError: for anything else.
    """

    def __init__(self, kind: type[Any]) -> None:
        if kind is not str and kind is not int:
            raise ConfigurationError("key_type", f"{kind!r} is neither str nor int")
        self._kind = kind

    def expected(self, key: object) -> str:
        """Return what a key is, as the end of a line; with a hint when ``key`` is of the other type."""
        described, other = ("text", int) if self._kind is str else ("a whole number", str)
        hint = isinstance(key, other) and not isinstance(key, bool) and key != ""
        return f"{described}, or key_type={other.__name__}" if hint else described

    def digest(self, key: object) -> int | None:
        """Return the 64-bit hash of ``key``; ``None`` when it is of another type, so that no row has it.

        It is Python's hash of text (SipHash with a secret of the process), for numbers too: their own
        is known to all, and a file could be made whose rows have one hash.
        """
        if not isinstance(key, self._kind):
            return None
        return str.__hash__(key if self._kind is str else int.__format__(key, "x"))

    def of_text(self, text: str) -> str | int | None:
        """Return the key that ``text`` stands for; ``None`` when there is none."""
        if self._kind is str:
            return text or None
        digits = text.removeprefix("-")
        if not (digits.isascii() and digits.isdigit() and len(digits) <= 1000):
            return None
        return int(text)

    def of_value(self, value: object) -> str | int | None:
        """Return ``value`` when it is a key; ``None`` when not."""
        if not isinstance(value, self._kind) or isinstance(value, bool) or value == "":
            return None
        return cast("str | int", value)


class RowValue(Generic[V]):
    """Makes the value of a row: a dict of all columns but the key, one column, or what ``row`` returns.

    :param key: the column that identifies a row.
    :param value: the column that becomes the value.
    :param row: makes the value from all columns; not together with ``value``.
    :raises ConfigurationError: when both are given, or a column has no name.
    """

    def __init__(self, key: str, *, value: str | None, row: Callable[[Columns], V] | None) -> None:
        _check_column("key", key)
        if value is not None:
            _check_column("value", value)
        if value is not None and row is not None:
            raise ConfigurationError("row", "not together with value, each of them makes the value of a row")
        self.key = key
        self.wanted = (key,) if value is None else (key, value)
        self.takes_all = value is None
        self._value = value
        self._row = row

    def of(self, columns: Columns, place: str) -> V | Failed:
        """Return the value of a row; what ``row`` raises is its failure, with a note of the place."""
        made: Any
        if self._row is not None:
            try:
                made = self._row(dict(columns))
            except Exception as error:  # noqa: BLE001 - the user's code; it is the failure of this key
                error.add_note(f"raised by row() for {place}")
                made = Failed(error)
        elif self._value is not None:
            made = columns[self._value]
        else:
            made = {name: column for name, column in columns.items() if name != self.key}
        return cast("V | Failed", made)


def _check_column(setting: str, name: object) -> None:
    if not isinstance(name, str):
        raise ConfigurationError(setting, f"{name!r} is not the name of a column")
