"""The import contract of pyproject.toml, checked again from the syntax trees alone."""

from __future__ import annotations

import ast
import tomllib
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = "async_backfill"
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
LAYERS = next(contract for contract in CONTRACTS if contract["type"] == "layers")
FORBIDDEN = [contract for contract in CONTRACTS if contract["type"] == "forbidden"]


def modules_of(root):
    """Return the syntax tree of each module below ``root / PACKAGE``, by its dotted name."""
    trees = {}
    for path in sorted((root / PACKAGE).rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        trees[name] = (ast.parse(path.read_text("utf-8")), parts[-1] == "__init__")
    return trees


def imports_of(name, trees):
    """Return the full name of everything that module ``name`` imports, wherever in it that stands."""
    tree, is_package = trees[name]
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = name.split(".")[: len(name.split(".")) - node.level + is_package] if node.level else []
            base = ".".join([*above, *filter(None, [node.module])])
            for alias in node.names:
                full = f"{base}.{alias.name}"
                imported.add(full if full in trees else base)
    return imported


def floors(contract):
    """Return the floor of each room, the lowest being 0."""
    rows = [[room.strip() for room in row.split("|")] for row in reversed(contract["layers"])]
    return {room: height for height, row in enumerate(rows) for room in row}


def room_of(module):
    return module.split(".")[1] if module.startswith(f"{PACKAGE}.") else None


def graph_of(root):
    """Return what each module below ``root / PACKAGE`` imports."""
    trees = modules_of(root)
    return {name: imports_of(name, trees) for name in trees}


@cache
def graph():
    return graph_of(ROOT)


def breaches(imports, contract):
    """Return what of ``imports`` the layers do not allow."""
    floor = floors(contract)
    found = [f"{name} has no floor" for name in imports if name != PACKAGE and room_of(name) not in floor]
    for name, imported_by_it in imports.items():
        room = room_of(name)
        if room not in floor:
            continue
        for imported in imported_by_it:
            if imported == PACKAGE:
                found.append(f"{name} imports the package as a whole")
            other = room_of(imported)
            if other in floor and other != room and floor[other] >= floor[room]:
                found.append(f"{name} imports {imported}")
    return sorted(found)


def forbidden_imports(imports, contract):
    """Return which of the contract's modules import directly what it forbids and does not ignore."""
    ignored = {tuple(pair.split(" -> ")) for pair in contract.get("ignore_imports", ())}
    return sorted(
        f"{name} imports {imported}"
        for name, imported_by_it in imports.items()
        if any(name == source or name.startswith(f"{source}.") for source in contract["source_modules"])
        for imported in imported_by_it
        if imported.partition(".")[0] in contract["forbidden_modules"]
        and (name, imported.partition(".")[0]) not in ignored
    )


def build(root, files):
    """Write a package below ``root``: the source of each of its ``files``."""
    for name, source in files.items():
        path = root / PACKAGE / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source, "utf-8")


def test_an_import_goes_down_the_floors_and_never_to_a_room_on_the_same_floor():
    assert breaches(graph(), LAYERS) == []


@pytest.mark.parametrize("contract", FORBIDDEN, ids=[contract["name"] for contract in FORBIDDEN])
def test_what_is_forbidden_to_a_module_is_not_imported_by_it(contract):
    assert forbidden_imports(graph(), contract) == []


@pytest.mark.parametrize("contract", FORBIDDEN, ids=[contract["name"] for contract in FORBIDDEN])
def test_a_module_that_a_contract_names_is_there(contract):
    assert set(contract["source_modules"]) <= set(graph())


def test_every_room_with_a_floor_is_there():
    assert {room_of(name) for name in graph()} - {None} == set(floors(LAYERS))


EXAMPLE = {"layers": ["top", "left | right", "low"]}
ROOMS = ["top.py", "left/__init__.py", "left/deep.py", "right.py", "low.py"]


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("low.py", "import async_backfill.left"),
        ("low.py", "from async_backfill.left import thing"),
        ("low.py", "from async_backfill import left"),
        ("low.py", "from . import left"),
        ("low.py", "from .left import thing"),
        ("low.py", "def late():\n    from async_backfill.left import thing"),
        ("left/deep.py", "from ..right import thing"),
        ("left/deep.py", "import async_backfill.right as other"),
        ("left/deep.py", "from async_backfill.top import thing"),
        ("top.py", "import async_backfill"),
        ("top.py", "from async_backfill import Thing"),
        ("unknown.py", ""),
    ],
)
def test_an_import_that_goes_up_or_sideways_or_a_room_without_a_floor_is_found(tmp_path, file, source):
    build(tmp_path, {"__init__.py": "Thing = 1", **dict.fromkeys(ROOMS, "")})
    assert breaches(graph_of(tmp_path), EXAMPLE) == []
    build(tmp_path, {file: source})

    assert len(breaches(graph_of(tmp_path), EXAMPLE)) == 1


def test_an_import_that_goes_down_is_none_of_them(tmp_path):
    sources = {
        "__init__.py": "from async_backfill.top import thing",
        "top.py": "from async_backfill.left.deep import thing",
        "left/__init__.py": "",
        "left/deep.py": "from . import other\nfrom ..low import thing\nimport os.path",
        "left/other.py": "import async_backfill.low",
        "right.py": "from async_backfill.low import thing",
        "low.py": "import asyncio",
    }
    build(tmp_path, sources)

    assert breaches(graph_of(tmp_path), EXAMPLE) == []


def test_an_import_that_is_forbidden_is_found(tmp_path):
    sources = {
        "top.py": "import asyncio.events",
        "left/deep.py": "from asyncio import run",
        "low.py": "import asyncio",
    }
    build(tmp_path, sources)
    contract = {"source_modules": [f"{PACKAGE}.top", f"{PACKAGE}.left"], "forbidden_modules": ["asyncio"]}

    assert forbidden_imports(graph_of(tmp_path), contract) == [
        "async_backfill.left.deep imports asyncio",
        "async_backfill.top imports asyncio.events",
    ]


def test_an_import_that_a_contract_excepts_is_allowed_there_and_nowhere_else(tmp_path):
    sources = {"left/deep.py": "import stamina", "low.py": "from stamina import retry"}
    build(tmp_path, sources)
    contract = {
        "source_modules": [PACKAGE],
        "forbidden_modules": ["stamina"],
        "ignore_imports": ["async_backfill.left.deep -> stamina"],
    }

    assert forbidden_imports(graph_of(tmp_path), contract) == ["async_backfill.low imports stamina"]


@pytest.mark.parametrize("contract", FORBIDDEN, ids=[contract["name"] for contract in FORBIDDEN])
def test_an_exception_that_a_contract_makes_is_one_that_is_used(contract):
    strict = {**contract, "ignore_imports": []}
    lines = [line.partition(" imports ") for line in forbidden_imports(graph(), strict)]
    used = sorted({f"{module} -> {imported.partition('.')[0]}" for module, _, imported in lines})

    assert used == contract.get("ignore_imports", [])
