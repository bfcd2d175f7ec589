"""The benchmark of the operator's page opens it and follows it, and says what both cost."""

from __future__ import annotations

import json

import pytest

from tests.benchmarks.commands import run_command

pytest.importorskip("starlette", reason="the operator's page needs the extra admin")


def test_it_writes_each_of_its_figures(tmp_path):
    assert run_command("operator_page", "--quick", "--output-dir", str(tmp_path)) == 0
    figures = json.loads((tmp_path / "operator_page.json").read_text("utf-8"))

    assert list(figures)[3:] == [
        *("overview_seconds", "job_seconds", "overview_followed_share", "job_followed_share")
    ]
