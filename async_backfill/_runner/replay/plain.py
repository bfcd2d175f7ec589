"""Values of any source in the types that JSON has, for the summary.

Dates and times are written as ISO 8601, a duration too; a decimal, a UUID and an address as text, bytes as
base64, a set as a list. Infinity and what is no number become null. Anything else becomes its ``repr``.
"""

from __future__ import annotations

import math
from typing import Any

import msgspec


class PlainValues:
    """Makes plain JSON values, and counts what JSON could not hold."""

    def __init__(self) -> None:
        self.no_numbers = 0
        """The number of floats that are infinite or no number, written as null."""
        self.shown = 0
        """The number of values of an unknown type, written as their ``repr``."""

    def of(self, value: object) -> Any:
        """Return ``value`` as plain JSON types."""
        if value is None or isinstance(value, (str, bool, int)):
            return value
        try:
            plain = msgspec.to_builtins(value, str_keys=True, enc_hook=self._other)
        except (TypeError, ValueError, RecursionError):  # such as a dict whose keys are tuples
            plain = self._other(value)
        return self._finite(plain)

    @property
    def notes(self) -> list[str]:
        """One line for each kind of value that could not be written as it is."""
        notes = []
        if self.no_numbers:
            notes.append(f"{self.no_numbers} numbers are infinite or no number, and are written as null")
        if self.shown:
            notes.append(f"{self.shown} values of a type without a form in JSON are written as text")
        return notes

    def _other(self, value: object) -> str:
        text = str(value)
        if type(value).__module__ != "ipaddress":
            self.shown += 1
            text = repr(value)
        return text

    def _finite(self, plain: Any) -> Any:
        if isinstance(plain, dict):
            return {key: self._finite(inner) for key, inner in plain.items()}
        if isinstance(plain, (list, tuple)):
            return [self._finite(inner) for inner in plain]
        if isinstance(plain, float) and not math.isfinite(plain):
            self.no_numbers += 1
            return None
        return plain
