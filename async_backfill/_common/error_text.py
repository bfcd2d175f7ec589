"""The text of errors and keys, as it is kept and shown: one line, of bounded length, whatever they hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Hashable

_LONGEST: Final = 500
_LONGEST_KEY: Final = 200


def error_line(error: BaseException) -> str:
    """Return the type and text of ``error`` in one line of about 500 characters at the most.

    An error may hold the whole answer of a service, and is told to each of a thousand callers, kept in the
    audit log and written to files.
    """
    kind = type(error).__name__
    try:
        said = str(error)
    except Exception as raised:  # noqa: BLE001 - a class of the user's
        return f"{kind} (its text raises {type(raised).__name__})"
    said = one_line(said)
    return f"{kind}: {said}" if said else kind


def one_line(said: str) -> str:
    """Return ``said`` in one line of about 500 characters at the most, which says how many there were."""
    if len(said) <= _LONGEST:
        return _joined(said)
    return f"{_joined(said[: 2 * _LONGEST])[:_LONGEST]}... ({len(said):,} characters)"


def _joined(said: str) -> str:
    # Only where lines meet: keys in a text may differ in their spaces.
    return " ".join(part for line in said.splitlines() if (part := line.strip()))


def key_text(key: Hashable) -> str:
    """Return the ``repr`` of ``key`` in about 200 characters at the most, whatever its class does."""
    try:
        said = repr(key)
    except Exception as raised:  # noqa: BLE001 - a class of the user's
        return f"a {type(key).__name__} (its repr raises {type(raised).__name__})"
    return said if len(said) <= _LONGEST_KEY else f"{said[:_LONGEST_KEY]}... ({len(said):,} characters)"
