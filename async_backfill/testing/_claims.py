"""Assertions of the contract suites, which name the broken promise."""

# Not plain assert: pytest does not rewrite it in a package, and -O removes it (decision 42 in notes.md).

from __future__ import annotations


def same(found: object, expected: object, promise: str) -> None:
    """Raise an `AssertionError` with ``promise`` and both values, unless ``found`` equals ``expected``."""
    if found != expected:
        raise AssertionError(f"{promise}: expected {expected!r:.500}, got {found!r:.500}")


def holds(promise: str, *, kept: bool) -> None:
    """Raise an `AssertionError` with ``promise``, unless it was kept."""
    if not kept:
        raise AssertionError(promise)
