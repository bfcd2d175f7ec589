"""Run a contract suite without pytest, and list the failed tests."""

from __future__ import annotations

import inspect

from tests.callers import run


def failed_tests(suite, /, **fixtures) -> set[str]:
    """Return the names of the tests of ``suite`` that fail.

    :param fixtures: a function for each fixture, called for each test; one that must have an argument is
        given what those before it have made.
    """
    names = names_of(suite)
    assert names
    return {name for name in names if _fails(getattr(suite, name), fixtures)}


def names_of(suite) -> set[str]:
    """Return the names of the tests of ``suite``."""
    return {name for name in dir(suite) if name.startswith("test_")}


def _fails(test, fixtures) -> bool:
    async def main():
        made = {}
        for name, make in fixtures.items():
            made[name] = make(made) if _needs_an_argument(make) else make()
        wanted = {name: made[name] for name in inspect.signature(test).parameters}
        try:
            await test(**wanted)
        except Exception:  # noqa: BLE001 - a part that breaks its contract may raise anything
            return True
        return False

    if inspect.iscoroutinefunction(test):
        return run(main, "asyncio")
    try:
        test()
    except Exception:  # noqa: BLE001 - as above
        return True
    return False


def _needs_an_argument(make) -> bool:
    parameters = inspect.signature(make).parameters.values()
    return any(parameter.default is parameter.empty for parameter in parameters)
