"""Every public exception, copied, pickled, and sent through a process pool, with all that it knows."""

from __future__ import annotations

import copy
import importlib
import inspect
import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress

import pytest

from async_backfill.errors import KeyRefusedError, LoadTimeoutError, MissingExtraError
from async_backfill.warming import CopyError, CopyProgress
from tests.raising import raise_it
from tests.test_public_modules import public_modules

FACTS = {
    "setting": "capacity",
    "problem": "0 is less than 1",
    "message": "it failed: 'a'",
    "key": ("a", 1),
    "keys": ("a", 1.5),
    "cycle": ("a", "b", "a"),
    "code": "OOM",
    "status": 503,
    "retry_after": 2.5,
    "copied": CopyProgress(read=5, kept=4, dead=1, bad={"k": "why"}, pages=1, through="k"),
}
NOTES = {"__notes__": ["noted"], "own": [1, 2]}


def public_exceptions():
    modules = []
    for name in public_modules():
        with suppress(MissingExtraError):
            modules.append(importlib.import_module(name))
    found = {
        value
        for module in modules
        for value in map(vars(module).get, module.__all__)
        if inspect.isclass(value) and issubclass(value, BaseException)
    }
    return sorted(found, key=lambda error: error.__qualname__)


def made(kind):
    """Return an exception with every fact that its class takes, a note, and an attribute of a user."""
    args, named = ["text"], {}
    if "__init__" in vars(kind) or any("__init__" in vars(base) for base in kind.__mro__[:-4]):
        parameters = list(inspect.signature(kind.__init__).parameters.values())[1:]
        known = [one for one in parameters if one.name in FACTS]
        if known:
            args = [FACTS[one.name] for one in known if one.kind is one.POSITIONAL_OR_KEYWORD]
            named = {one.name: FACTS[one.name] for one in known if one.kind is one.KEYWORD_ONLY}
    error = kind(*args, **named)
    vars(error).update(copy.deepcopy(NOTES))
    if isinstance(error, ImportError):
        error.name, error.path = "redis", "/somewhere"
    return error


def told_by(error):
    standard = [getattr(error, name, None) for name in ("errno", "strerror", "filename", "name", "path")]
    return type(error), str(error), repr(error), error.args, vars(error), standard


def test_there_are_many_public_exceptions_and_each_can_be_made():
    errors = [made(kind) for kind in public_exceptions()]

    assert len(errors) > 20
    assert {name for error in errors for name in vars(error)} >= FACTS.keys() | NOTES.keys()


WAYS = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    **{
        f"pickle {number}": lambda error, number=number: pickle.loads(pickle.dumps(error, number))  # noqa: S301 - its own
        for number in range(pickle.HIGHEST_PROTOCOL + 1)
    },
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", public_exceptions())
def test_a_public_exception_survives_with_all_that_it_knows(kind, way):
    error = made(kind)
    twin = WAYS[way](error)

    assert twin is not error
    assert told_by(twin) == told_by(error)


def test_a_public_exception_comes_out_of_a_process_pool_as_it_was_raised():
    # A few kinds from modules that are quick to import: it is pickling that brings them there and back.
    sent = [made(kind) for kind in (LoadTimeoutError, KeyRefusedError, MissingExtraError, CopyError)]
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        raised = [pool.submit(raise_it, error).exception() for error in sent]

    assert [told_by(error) for error in raised] == [told_by(error) for error in sent]
