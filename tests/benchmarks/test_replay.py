"""The replay benchmark replays what it says it does, and writes what it prints."""

from __future__ import annotations

import json

import pytest

from benchmarks.replay.__main__ import benchmark, keys_of, measure


@pytest.mark.parametrize(("share", "least", "most"), [(1.0, 0.99, 1.0), (0.8, 0.4, 0.9)])
def test_as_many_lookups_hit_as_is_said(share, least, most):
    cost = measure(keys_of(share, 5_000), 1)
    assert least <= cost.hit_rate <= most
    assert cost.replay > 0.0


def test_a_quick_run_prints_and_writes_only_where_it_is_told_to(tmp_path, capsys):
    benchmark(quick=True, output_dir=tmp_path)
    assert "a loop over a dict" in capsys.readouterr().out
    costs = json.loads((tmp_path / "replay.json").read_text())["costs"]
    assert [cost["hit_rate"] > 0.9 for cost in costs] == [True, False]
