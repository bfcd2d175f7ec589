"""The benchmark of tracing says what spans cost, without a provider and with one."""

from __future__ import annotations

import json

import pytest

from tests.benchmarks.commands import run_command

pytest.importorskip("opentelemetry.sdk", reason="the benchmark of tracing needs the SDK of OpenTelemetry")


def test_it_compares_each_kind_of_lookup(tmp_path):
    assert run_command("tracing", "--quick", "--output-dir", str(tmp_path)) == 0
    ratios = json.loads((tmp_path / "tracing.json").read_text("utf-8"))["ratios"]

    assert list(ratios) == ["hit", "lone miss", "stampede", "get_many"]
    assert {tuple(each) for each in ratios.values()} == {("the same again", "no provider", "a provider")}
