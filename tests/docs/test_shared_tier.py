"""The example of the README starts from nothing, and shows what it promises."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("redis", reason="needs the extra redis")
pytest.importorskip("sqlalchemy", reason="needs the extra sql")

from tests.servers.wheels import NoServerError

ROOT = Path(__file__).parents[2]


def test_the_second_process_is_served_without_a_source_call():
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-m", "docs.examples.shared_tier"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.stderr.startswith("error: "):
        raise NoServerError(ran.stderr)

    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.splitlines() == [
        "the first process: 1000 products, 1000 of PostgreSQL in 2 calls",
        "the second one: 1000 products, 0 of PostgreSQL in 0 calls",
    ]
