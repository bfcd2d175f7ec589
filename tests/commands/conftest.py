"""What the tests of the command line of jobs share: a folder with a table, and who types in it."""

from __future__ import annotations

import pytest

from tests.commands.operating import Operator, products


@pytest.fixture
def rows():
    """How many rows the table has."""
    return 300


@pytest.fixture
def folder(tmp_path, monkeypatch, rows):
    """A folder of its own for a test, with a table in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ASYNC_BACKFILL_STATE", raising=False)
    products(rows)
    return tmp_path


@pytest.fixture
def jobs(capsys):
    return Operator(capsys)
