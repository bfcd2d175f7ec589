"""The import contract of pyproject.toml, checked again from the syntax trees alone."""

from __future__ import annotations

import ast
import tomllib
from functools import cache
from itertools import accumulate
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = "async_backfill"
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
LAYERS = [contract for contract in CONTRACTS if contract["type"] == "layers"]
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


def room_of(module, container):
    """Return the room of ``module`` right below ``container``, ``None`` outside of it."""
    inside = module.startswith(f"{container}.")
    return module.removeprefix(f"{container}.").split(".")[0] if inside else None


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
    (container,) = contract["containers"]
    rooms = {name: room_of(name, container) for name in imports}
    found = [f"{name} has no floor" for name, room in rooms.items() if room and room not in floor]
    for name, room in rooms.items():
        if room not in floor:
            continue
        for imported in imports[name]:
            if imported == container:
                found.append(f"{name} imports the package as a whole")
            other = room_of(imported, container)
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


def cycles(imports):
    """Return the groups of modules each of which reaches all others of its group by imports."""
    reached = {name: set() for name in imports}
    for name, met in reached.items():
        ahead = [name]
        while ahead:
            new = imports.get(ahead.pop(), set()) - met
            met.update(new)
            ahead += new
    groups = {
        frozenset(other for other in met if name in reached.get(other, ())) for name, met in reached.items()
    }
    return sorted(map(set, groups - {frozenset()}), key=sorted)


def with_packages(imports):
    """Return ``imports`` with the packages, but the whole one, that Python imports before each of them."""
    return {
        name: {
            package
            for imported in (*met, name)
            for package in map(".".join, accumulate([part] for part in imported.split(".")))
            if package in imports and package not in {PACKAGE, name}
        }
        for name, met in imports.items()
    }


def build(root, files):
    """Write a package below ``root``: the source of each of its ``files``."""
    for name, source in files.items():
        path = root / PACKAGE / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source, "utf-8")


@pytest.mark.parametrize("contract", LAYERS, ids=[contract["name"] for contract in LAYERS])
def test_an_import_goes_down_the_floors_and_rooms_on_one_floor_are_apart(contract):
    assert breaches(graph(), contract) == []


@pytest.mark.parametrize("contract", FORBIDDEN, ids=[contract["name"] for contract in FORBIDDEN])
def test_what_is_forbidden_to_a_module_is_not_imported_by_it(contract):
    assert forbidden_imports(graph(), contract) == []


@pytest.mark.parametrize("contract", FORBIDDEN, ids=[contract["name"] for contract in FORBIDDEN])
def test_a_module_that_a_contract_names_is_there(contract):
    assert set(contract["source_modules"]) <= set(graph())


@pytest.mark.parametrize("contract", LAYERS, ids=[contract["name"] for contract in LAYERS])
def test_every_room_with_a_floor_is_there(contract):
    (container,) = contract["containers"]
    assert {room_of(name, container) for name in graph()} - {None} == set(floors(contract))


def test_no_module_imports_itself_by_way_of_others_types_included():
    assert cycles(graph()) == []


def test_a_cycle_of_imports_is_found():
    imports = {"a": {"b"}, "b": {"c", "asyncio"}, "c": {"a"}, "d": {"a"}}

    assert cycles(imports) == [{"a", "b", "c"}]


def test_no_file_of_the_package_has_more_than_260_lines():
    files = (ROOT / PACKAGE).rglob("*.py")
    assert [file.name for file in files if file.read_text("utf-8").count("\n") > 260] == []


def test_the_package_has_at_most_thirteen_floors():
    assert [contract["name"] for contract in LAYERS if len(contract["layers"]) > 13] == []


EXAMPLE = {"containers": [PACKAGE], "layers": ["top", "left | right", "low"]}
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
    used = {f"{module} -> {imported.partition('.')[0]}" for module, _, imported in lines}
    # What a module of ours imports late may be excepted as a whole.
    late = {f"{module} -> {imported}" for module in graph() for imported in graph()[module]}
    excepted = contract.get("ignore_imports", [])

    assert sorted(used | late.intersection(excepted)) == excepted
