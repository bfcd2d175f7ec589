"""The job of the README's third command; ``nox -s bare`` runs the command itself, in real processes."""

from __future__ import annotations

import pytest

pytest.importorskip("aiosqlite", reason="needs the extra sql")

from async_backfill._commands.cli import main
from docs.examples.whole_job import jobs, prepare


def test_the_job_of_the_example_is_planned_approved_run_and_verified(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("ASYNC_BACKFILL_STATE", str(tmp_path / "jobs.sqlite"))
    file = prepare(tmp_path, most=500)

    assert main(["jobs", "plan", str(file), "--by", "ada"]) == 0
    *_, approve = capsys.readouterr().out.split("--plan ")
    plan_hash = approve.split()[0]
    given = ["--plan", plan_hash, "--by", "bob", "--reason", "a first job"]
    assert main(["jobs", "approve", "1", *given]) == 0
    assert main(["jobs", "run", "1", "--by", "bob"]) == 0
    assert main(["jobs", "verify", "1", "--all", "--by", "bob"]) == 0
    assert "500 rows compared, all: 0 differences" in capsys.readouterr().out


def test_the_example_ends_with_the_exit_code_of_the_verb_that_failed(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("ASYNC_BACKFILL_STATE", str(tmp_path / "jobs.sqlite"))

    with pytest.raises(SystemExit) as ended:
        jobs("run", "7")

    assert ended.value.code == 2
    printed = capfd.readouterr()
    assert printed.out == "\n$ python -m async_backfill jobs run 7\n"
    assert "there is no such state of jobs" in printed.err
