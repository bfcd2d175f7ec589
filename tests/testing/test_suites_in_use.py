"""The contract suites in a user's test file, run by the plugins for async tests."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]

TESTS = """
import pytest
{imports}

from async_backfill import MappingSource, MemoryStore
from async_backfill.testing import ScanContract, SourceContract, StoreContract

ROWS = {{"apple": 1, "pear": 2, "unknown price": None}}


{mark}
class TestMySource(SourceContract[str, int | None], ScanContract[str]):
    known = {known}
    missing = ["plum", ""]
    keys = list(ROWS)

    @{fixture}
    async def source(self):
        yield MappingSource(ROWS)

    @pytest.fixture
    def scan(self):
        return MappingSource(ROWS)


class TestMyStore(StoreContract[str]):
    keys = [f"key {{number}}" for number in range(20)]

    def make_store(self, capacity):
        return MemoryStore(capacity)
"""
INI = """[pytest]
filterwarnings = error
    ignore:Unknown config option:pytest.PytestConfigWarning
asyncio_default_fixture_loop_scope = function
"""
ANYIO = {
    "plugin": "anyio",
    "imports": "",
    "mark": "@pytest.mark.anyio",
    "fixture": "pytest.fixture",
    "known": "ROWS",
}
ASYNCIO = {
    "plugin": "pytest_asyncio.plugin",
    "imports": "import pytest_asyncio",
    "mark": "@pytest.mark.asyncio",
    "fixture": "pytest_asyncio.fixture",
    "known": "ROWS",
}


def run_pytest(folder, text, plugin):
    """Run pytest with one plugin on ``text``, in ``folder``; return its exit code and what it printed."""
    (folder / "test_mine.py").write_text(text)
    (folder / "pytest.ini").write_text(INI)
    command = [sys.executable, "-m", "pytest", "-q", "-p", plugin]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    ended = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return ended.returncode, ended.stdout


@pytest.mark.parametrize("plugin", [ANYIO, ASYNCIO], ids=["anyio", "pytest-asyncio"])
def test_a_part_of_a_users_own_passes_under_each_plugin(plugin, tmp_path):
    code, printed = run_pytest(tmp_path, TESTS.format_map(plugin), plugin["plugin"])

    assert code == 0, printed
    assert "skipped" not in printed


def test_a_broken_promise_is_shown_with_what_was_expected_and_what_came(tmp_path):
    code, printed = run_pytest(tmp_path, TESTS.format_map({**ANYIO, "known": "{**ROWS, 'fig': 4}"}), "anyio")

    assert code == 1
    assert "AssertionError: one call has all values: expected {'apple': 1" in printed


def test_importing_the_suites_imports_no_pytest():
    code = "import sys, async_backfill.testing; print('pytest' in sys.modules)"
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True
    )

    assert ended.stdout == "False\n"
