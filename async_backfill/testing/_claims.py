"""What the contract suites say when a promise is broken; plain ``assert`` is silent outside of tests."""

from __future__ import annotations


def same(found: object, expected: object, promise: str) -> None:
    """Raise `AssertionError` that shows both, unless ``found`` equals ``expected``."""
    if found != expected:
        raise AssertionError(f"{promise}: expected {expected!r:.500}, got {found!r:.500}")


def holds(promise: str, *, kept: bool) -> None:
    """Raise `AssertionError` that says ``promise``, unless it was kept."""
    if not kept:
        raise AssertionError(promise)
