"""What the package offers, and that importing it does nothing else."""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
import subprocess
import sys
from collections import deque
from functools import cache
from pathlib import Path
from types import FunctionType, ModuleType

import pytest

import async_backfill
from async_backfill import contracts, errors
from tests.test_floors import cycles, graph, with_packages

ROOT = Path(__file__).parents[1]
MODULES = sorted(module.name for module in pkgutil.walk_packages(async_backfill.__path__, "async_backfill."))

# A library of these is imported by the room that needs it, when a user imports that room.
EDGE_LIBRARIES = {
    "aiofiles",
    "cyclopts",
    "distributed",
    "msgspec",
    "rich",
    "stamina",
    "trio",
    "uvloop",
    "matplotlib",
    "looptime",
}

WATCHED_IMPORT = """
import json, logging, os, signal, sys, threading, warnings

deeds = []
HARMLESS = ("import", "exec", "compile", "marshal.", "object.", "code.", "sys._getframe", "os.listdir",
            "os.scandir", "builtins.id", "ctypes.", "sys.set", "sys.excepthook", "cpython.")

def hook(event, arguments):
    if event == "open":
        if isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"):
            deeds.append(f"open {arguments}")
    elif not event.startswith(HARMLESS):
        deeds.append(f"{event} {arguments}")

if len(sys.argv) > 2:
    import matplotlib.figure  # and with it numpy, which ignores a warning of its own
    import aiohttp.web  # so does this
    import distributed  # and this reads its configuration
before = (
    dict(os.environ),
    list(warnings.filters),
    [signal.getsignal(number) for number in sorted(signal.valid_signals())],
    threading.active_count(),
    list(logging.getLogger().handlers),
)
import anyio  # what a dependency does is its own affair
if len(sys.argv) > 2:
    import aiofiles, cyclopts, looptime, msgspec, rich.console, rich.progress, rich.table, stamina
sys.addaudithook(hook)
for name in sys.argv[1].split():
    __import__(name)
after = (
    dict(os.environ),
    list(warnings.filters),
    [signal.getsignal(number) for number in sorted(signal.valid_signals())],
    threading.active_count(),
    list(logging.getLogger().handlers),
)
deeds += [f"{old} became {new}" for old, new in zip(before, after) if old != new]
deeds += [
    f"{name} has handlers" for name in logging.root.manager.loggerDict
    if name.startswith("async_backfill") and logging.getLogger(name).handlers
]
print(json.dumps({"deeds": deeds, "modules": sorted(sys.modules)}))
"""

# Goes on after WATCHED_IMPORT, which has loaded all libraries. Each module is imported when nothing of the
# package is loaded but what the package itself brings, because Python imports that first.
EACH_FIRST = """
from functools import cache
from importlib.machinery import SourceFileLoader
SourceFileLoader.get_code = cache(SourceFileLoader.get_code)  # else each is compiled again and again

def forget(names):
    for name in names:
        package, _, own = name.rpartition(".")
        del sys.modules[name]
        vars(sys.modules.get(package, sys)).pop(own, None)

def loaded():
    return {name for name in sys.modules if name.partition(".")[0] == "async_backfill"}

forget(loaded())
import async_backfill
brought = loaded()
failed = {}
for name in sys.argv[3].split():
    if name not in brought:
        try:
            __import__(name)
        except Exception as error:
            failed[name] = repr(error)
        forget(loaded() - brought)
print(json.dumps(failed))
"""


def run(code, *arguments):
    """Run ``code`` in an interpreter of its own, warnings being errors, and return what it printed."""
    command = [sys.executable, "-B", "-W", "error", "-c", code, *arguments]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout


def test_all_is_sorted_and_says_everything_once():
    assert async_backfill.__all__ == sorted(set(async_backfill.__all__))


@pytest.mark.parametrize("name", async_backfill.__all__)
def test_each_public_name_can_be_imported_and_has_a_docstring(name):
    assert inspect.getdoc(getattr(async_backfill, name))


def test_nothing_public_is_left_out_of_all():
    public = {
        name
        for name, value in vars(async_backfill).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    }

    assert public == set(async_backfill.__all__)


def test_every_error_is_public():
    raised = {name for name, _ in inspect.getmembers(errors, inspect.isclass) if name.endswith("Error")}

    assert raised <= set(async_backfill.__all__)


def test_each_module_says_what_it_is_for():
    assert [name for name in MODULES if not importlib.import_module(name).__doc__] == []


def test_no_module_holds_state_that_can_be_changed():
    changeable = [
        f"{name}.{held}"
        for name in MODULES
        for held, value in vars(importlib.import_module(name)).items()
        if isinstance(value, (list, dict, set, bytearray, deque)) and not held.startswith("__")
    ]

    assert changeable == []


def test_a_contract_has_at_most_five_methods_of_its_own():
    protocols = [
        protocol
        for _, protocol in inspect.getmembers(contracts, inspect.isclass)
        if getattr(protocol, "_is_protocol", False) and protocol.__module__.startswith(contracts.__name__)
    ]
    methods = {
        protocol.__name__: [
            name
            for name, member in vars(protocol).items()
            if isinstance(member, (FunctionType, property))
            and (name == "__len__" or not name.startswith("_"))
        ]
        for protocol in protocols
    }

    assert len(methods) >= 8
    assert {name: own for name, own in methods.items() if len(own) > 5} == {}


@cache
def imported_alone():
    return json.loads(run(WATCHED_IMPORT, "async_backfill async_backfill.testing"))


@cache
def imported_all_and_each_first():
    # What no cycle of imports leads back to can be imported first where it can be imported at all.
    modules = sorted(set().union(*cycles(with_packages(graph()))))
    code = WATCHED_IMPORT + EACH_FIRST
    lines = run(code, " ".join(MODULES), "with the edge libraries", " ".join(modules)).splitlines()
    return [json.loads(line) for line in lines]


def test_importing_the_package_imports_no_library_that_only_an_edge_needs():
    loaded = {name.partition(".")[0] for name in imported_alone()["modules"]}

    assert "anyio" in loaded
    assert loaded & EDGE_LIBRARIES == set()


def test_importing_the_package_has_no_side_effect():
    assert imported_alone()["deeds"] == []


def test_importing_any_module_has_no_side_effect():
    told, _ = imported_all_and_each_first()

    assert told["deeds"] == []
    assert set(MODULES) <= set(told["modules"])


def test_each_module_can_be_imported_first():
    _, failed = imported_all_and_each_first()

    assert failed == {}


def test_the_package_tells_type_checkers_that_it_is_typed():
    assert (Path(async_backfill.__file__).parent / "py.typed").is_file()
