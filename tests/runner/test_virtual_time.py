"""Runs in virtual time: the same bytes each time, and effects of the clock."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys

import anyio
import pytest

from async_backfill._commands.cli import main
from async_backfill._runner.output import OutputError
from async_backfill._runner.replay.job import Report, run, run_in_virtual_time
from async_backfill._runner.replay.preparing import Job
from async_backfill._runner.replay.virtual_time import run_virtually
from async_backfill.errors import MissingExtraError, ScenarioError
from tests.command_line import ROOT

CROWDED = {
    "source": {"kind": "simulated", "keys": 300, "latency": 0.02, "jitter": 0.03, "error_rate": 0.05},
    "lookups": {"kind": "zipf", "count": 1500, "keys": 320, "exponent": 0.8},
    "concurrency": 8,
    "capacity": 90,
    "backfill_batch": 20,
    "ttl": 0.4,
    "ttl_jitter": 0.5,
    "stale_for": 0.1,
    "absent_ttl": 1.0,
}


def replayed(folder, document: dict, **job: object) -> Report:
    (folder / "in.json").write_text(json.dumps(document), "utf-8")
    return run_in_virtual_time(
        Job(scenario=str(folder / "in.json"), output=str(folder / "out.json"), **job), lambda *_: None
    )


def other_hash_seed() -> str:
    """A seed of another process's hashes that is not that of this one's."""
    return "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"


def one_key(count: int, **changed: object) -> dict:
    return {"source": {"kind": "simulated", "entries": {"a": 1}}, "lookups": ["a"] * count, **changed}


@pytest.mark.parametrize("settings", [{}, {"lookups_per_second": 100}], ids=["closed", "open"])
def test_other_hash_seeds_give_the_same_bytes(tmp_path, monkeypatch, settings):
    (tmp_path / "in.json").write_text(json.dumps({**CROWDED, **settings}), "utf-8")
    command = ["--input", "in.json", "--output", "out.json", "--virtual-time", "--quiet"]
    monkeypatch.chdir(tmp_path)
    assert main(command) == 0
    here = (tmp_path / "out.json").read_bytes()
    subprocess.run(
        [sys.executable, "-W", "error", "-m", "async_backfill", *command],
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": other_hash_seed()},
        check=True,
    )
    assert (tmp_path / "out.json").read_bytes() == here
    summary = json.loads(here)
    assert min(summary[name] for name in ("hits", "absent", "failed", "backfills", "evictions")) > 0


@pytest.mark.parametrize(
    "changed", [{"ttl_seed": 1}, {"lookups_per_second": 100, "arrival_seed": 1}], ids=["ttl", "arrivals"]
)
def test_another_seed_gives_another_run(tmp_path, changed):
    before = {name: 0 if name.endswith("seed") else value for name, value in changed.items()}
    first = replayed(tmp_path, {**CROWDED, **before}).summary
    other = replayed(tmp_path, {**CROWDED, **changed}).summary
    assert first["virtual_seconds"] != other["virtual_seconds"]


def test_the_summary_tells_the_simulated_time_and_the_latency_of_lookups(tmp_path):
    source = {"kind": "simulated", "keys": 200, "latency": 10}
    lookups = [f"key_{number}" for number in range(99)] + ["key_0"] * 101
    document = {"source": source, "lookups": lookups, "min_lookups": 1000}
    summary = replayed(tmp_path, {**document, "concurrency": 200}).summary
    assert summary["virtual_seconds"] == 10.0
    assert (summary["latency_p50"], summary["latency_p99"]) == (10.0, 10.0)
    summary = replayed(tmp_path, {**document, "concurrency": 1}).summary
    assert summary["virtual_seconds"] == 99 * 10.0
    assert (summary["latency_p50"], summary["latency_p99"]) == (0.0, 10.0)


def test_in_real_time_the_summary_tells_no_time(tmp_path):
    (tmp_path / "in.json").write_text(json.dumps(one_key(3, lookups_per_second=1000, ttl=60)), "utf-8")
    job = Job(scenario=str(tmp_path / "in.json"), output=str(tmp_path / "out.json"))
    summary = anyio.run(run, job, lambda *_: None).summary
    assert (summary["hits"], summary["misses"]) == (2, 1)
    assert {"virtual_seconds", "latency_p50", "latency_p99"} & set(summary) == set()


def test_a_run_in_virtual_time_decides_as_a_run_in_real_time_does(tmp_path):
    document = json.loads((ROOT / "data" / "sample_input.txt").read_text("utf-8"))
    summary = replayed(tmp_path, document).summary
    expected = json.loads((ROOT / "data" / "output_summary.json").read_text("utf-8"))
    assert {name: summary[name] for name in expected} == expected


def test_values_expire_in_virtual_time(tmp_path):
    document = one_key(2000, lookups_per_second=1, ttl=600)
    summary = replayed(tmp_path, document).summary
    assert summary["virtual_seconds"] == pytest.approx(2000, rel=0.1)
    assert 3 <= summary["source_calls"] <= 4


def test_a_stale_value_is_served_while_its_key_is_loaded_again(tmp_path):
    document = one_key(2000, lookups_per_second=1, ttl=600, stale_for=60)
    document["source"]["latency"] = 0.25
    summary = replayed(tmp_path, document, overrides={"concurrency": 2}).summary
    assert summary["misses"] == 1
    assert 3 <= summary["source_calls"] <= 4
    assert summary["latency_p99"] == 0.0


def test_an_absent_key_is_asked_for_again_when_its_time_is_over(tmp_path):
    document = {"source": {}, "lookups": ["a"] * 100, "lookups_per_second": 1}
    asks_each_time = replayed(tmp_path, document).summary
    remembers = replayed(tmp_path, {**document, "absent_ttl": 1000}).summary
    assert (asks_each_time["source_calls"], remembers["source_calls"]) == (100, 1)


def test_a_journal_is_read_before_and_written_after(tmp_path):
    document = {**CROWDED, "selection": "history"}
    journal = tmp_path / "hot.journal"
    cold = replayed(tmp_path, document, journal=str(journal)).summary
    saved = journal.read_bytes()
    warm = replayed(tmp_path, document, journal=str(journal)).summary
    assert saved.startswith(b"async_backfill hot keys version 3")
    assert warm["source_calls"] != cold["source_calls"]
    journal.write_bytes(saved)
    assert replayed(tmp_path, document, journal=str(journal)).summary == warm


def test_a_damaged_journal_is_reported_and_replaced(tmp_path, caplog):
    journal = tmp_path / "hot.journal"
    journal.write_bytes(b"async_backfill hot keys version 3, cut off")
    with caplog.at_level(logging.WARNING, "async_backfill.journal"):
        replayed(tmp_path, {**CROWDED, "selection": "history"}, journal=str(journal))
    lines = [record.getMessage() for record in caplog.records if record.name == "async_backfill.journal"]
    assert [line[:36] for line in lines] == ["the journal of hot keys is ignored: "]
    assert journal.read_bytes().startswith(b"async_backfill hot keys version 3")


def test_a_journal_that_cannot_be_written_is_a_failed_run(tmp_path):
    journal = tmp_path / "folder" / "hot.journal"
    journal.parent.mkdir()

    def take_the_folder_away(*_: int) -> None:
        if journal.parent.is_dir():
            journal.parent.rmdir()

    (tmp_path / "in.json").write_text(json.dumps({**CROWDED, "selection": "history"}), "utf-8")
    job = Job(scenario=str(tmp_path / "in.json"), output=str(tmp_path / "out.json"), journal=str(journal))
    with pytest.raises(OutputError, match=f"^{journal}: cannot be written: no such file or directory$"):
        run_in_virtual_time(job, take_the_folder_away)
    assert not (tmp_path / "out.json").exists()


def test_bad_values_are_refused_as_in_real_time(tmp_path):
    with pytest.raises(ScenarioError) as refused:
        replayed(tmp_path, one_key(1, ttl=0))
    assert str(refused.value).startswith(f"{tmp_path}/in.json: $.ttl: 0.0 is not above 0")


def test_without_its_library_a_run_says_how_to_install_it_before_it_reads_anything(monkeypatch):
    monkeypatch.delitem(sys.modules, "async_backfill._runner.replay.virtual_time")
    monkeypatch.setitem(sys.modules, "looptime", None)
    with pytest.raises(MissingExtraError) as refused:
        run_in_virtual_time(Job(scenario="missing", output="missing"), lambda *_: None)
    assert str(refused.value) == "--virtual-time: needs looptime: pip install 'async-backfill[virtual]'"


def test_time_jumps_from_one_timer_to_the_next():
    async def sleep_twice() -> list[float]:
        moments = [anyio.current_time()]
        for seconds in (86_400.0, 0.5):
            await anyio.sleep(seconds)
            moments.append(anyio.current_time())
        return moments

    assert run_virtually(sleep_twice) == [0.0, 86_400.0, 86_400.5]


def test_time_stands_still_while_anything_can_run():
    async def take_turns() -> float:
        with anyio.move_on_after(1.0) as scope:
            for _ in range(1000):
                await anyio.lowlevel.checkpoint()
        assert not scope.cancelled_caught
        return anyio.current_time()

    assert run_virtually(take_turns) == 0.0
